"""Choosing on its own, with words of no meaning: some items, each a name with words behind it, and questions that hold a few
of an item's words; the answer is its name.

So many choices a token are in no conversation. Between question and answer, and around an item's parts, stands what stands
there in real prompts, or a piece of it: choosing is found within minutes where the way is short, and is then carried over
longer ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

from fcutils.pocket.corpus import Example

ITEMS = (
    ('\n{"type": "function", "function": {"name": "', '\n{"name": "', "\n"),  # before a name
    ('", "description": "', "(): ", ": "),  # behind it
    ('.", "parameters": {"type": "object", "properties": {}}}}', "."),  # behind the words
)
TAGS = ("tool_call", "call", "function_call", "invoke_call", "use")
CALLS = tuple(  # what stands between a question and its answer
    f'.<|im_end|>\n<|im_start|>assistant\n<{tag}>{line}{{"{key}": "' for tag in TAGS for line in "\n " for key in ("name", "fn")
)
BEHIND_CALLS = tuple(
    f'", "{key}": {{}}}}{line}</{tag}><|im_end|>\n<|im_start|>user\n'
    for tag, line, key in (("tool_call", "\n", "arguments"), ("call", "", "args"))
)
PROSE = (".<end_of_turn>\n<start_of_turn>model\nI would use", "?<end_of_turn>\n<start_of_turn>model\nI would use")
BEHIND_PROSE = (".<end_of_turn>\n<start_of_turn>user\n",)
FRAMES = {"calls": (*ITEMS, BEHIND_CALLS, CALLS), "prose": (*ITEMS, BEHIND_PROSE, PROSE)}
WORDS, COMMON = 400, range(300, 400)  # tokens from which on they are words here; those that stand in all items alike
HARD = 1.5  # where the draw is capped at one: a third of all are as hard as can be


def strings(tokenizer: Any, rng: Random, corpus: str = "calls", hard: float = HARD) -> Iterator[Example]:
    """Without end, from easy to hard ones, mixed (with `hard` 0, all as easy as can be), framed as in this corpus."""
    frames = [[_before_a_word(text, tokenizer) for text in texts] for texts in FRAMES[corpus]]
    while True:
        yield _example(frames, len(tokenizer), rng, min(1.0, hard * rng.random()))


def _before_a_word(text: str, tokenizer: Any) -> list[int]:
    """Its tokens as they are where a word comes next: quotation marks before one are not those before a space."""
    found: list[int] = tokenizer.encode(text + (" a" if text[-1].isalpha() else "a"), add_special_tokens=False)[:-1]
    return found


def _example(frames: Sequence[Sequence[Sequence[int]]], vocabulary: int, rng: Random, hard: float) -> Example:
    before, named, ended, asks, answers = (
        _piece(rng.choice(frame), rng, hard, last=place in (0, 3, 4)) for place, frame in enumerate(frames)
    )

    def some(least: int, most: int) -> list[int]:
        return [rng.randrange(WORDS, vocabulary) for _ in range(rng.randint(least, most))]

    items = [(some(1, 3), some(3, 8)) for _ in range(rng.randint(2, 3 + int(5 * hard)))]
    ids: list[int] = []
    for name, words in items:
        ids += before + name + named
        for word in words:
            ids += [rng.choice(COMMON), word] if rng.random() < 0.3 else [word]
        ids += ended
    weights = [0.0] * len(ids)
    for _ in range(rng.randint(8, 14)):
        name, words = rng.choice(items)
        said = rng.sample(words, rng.randint(1, 3)) + rng.choices(COMMON, k=rng.randint(0, 3)) + some(0, int(3 * hard))
        rng.shuffle(said)
        question = asks + said + answers
        ids += question + name
        weights += [0.0] * len(question) + [1.0] + [0.3] * (len(name) - 1)
    return Example(ids, weights)


def _piece(whole: Sequence[int], rng: Random, hard: float, last: bool) -> list[int]:
    """All of it, or its last or first few: more of it as it gets harder."""
    kept = len(whole) if rng.random() < hard**2 else max(1, int(rng.random() * (hard * len(whole) + 1)))
    return list(whole[len(whole) - kept :] if last else whole[:kept])
