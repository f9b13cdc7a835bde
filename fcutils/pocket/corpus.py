"""What a pocket model reads: conversations of the universe, written in many formats, as ids with a weight for every token.

The formats are those of `formats.py`. Of the conversations, half are in other words (`universe/exchange.py`). Calls that were
refused are read and not learnt.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import groupby
from random import Random
from typing import Any

from fcutils.dialects import Dialect, Encoded, encode
from fcutils.messages import Conversation
from fcutils.pocket.formats import dialect_for
from fcutils.universe import Corner, Recipe
from fcutils.universe.exchange import exchanged, words
from fcutils.universe.writer import conversation

WEIGHTS = {"text": 1.0, "structure": 1.0, "name": 2.0, "value": 2.0}
DECIDED = 3.0  # how much more the first token of a name, a value or a stretch of text counts: the rest mostly follows from it
DECIDING = {"value": 2}  # how many tokens decide: a value's first one is often its quotation mark
EXCHANGED = 0.5  # of the conversations
PROMPT_WEIGHT = 0.15  # of one prompt token; only every PROMPT_EVERY-th is looked at, at so much more weight
PROMPT_EVERY = 8


@dataclass(frozen=True, slots=True)
class Example:
    """One conversation as ids, and how much each token counts."""

    ids: list[int]
    weights: list[float]


def weigh(encoded: Encoded, rng: Random, refused: Collection[int] = ()) -> Example:
    """Names and values above structure, and what is decided above what follows; of the prompt a thin sample, so that it
    stays a language model.

    `refused`: replies, by their number, that are not to be learnt.
    """
    start, before, since = rng.randrange(PROMPT_EVERY), None, 0
    weights = []
    for i, (learn, part) in enumerate(zip(encoded.learn, encoded.parts, strict=True)):
        since = since + 1 if (learn, part) == before else 0
        if learn:
            weights.append(WEIGHTS[part] * (DECIDED if since < DECIDING.get(part, 1) else 1.0))
        else:
            weights.append(PROMPT_WEIGHT * PROMPT_EVERY * ((i + start) % PROMPT_EVERY == 0))
        before = (learn, part)
    for number, (start, end) in enumerate(reply_spans(encoded) if refused else ()):
        if number in refused:
            weights[start:end] = [0.0] * (end - start)
    return Example(encoded.ids, weights)


def reply_spans(encoded: Encoded) -> Iterator[tuple[int, int]]:
    """Where each of the model's replies begins and ends."""
    at = 0
    for learn, group in groupby(encoded.learn):
        length = len(list(group))
        if learn:
            yield at, at + length
        at += length


def refused_replies(talk: Conversation) -> set[int]:
    """Which of the replies are calls that were refused: there to be mended, and not to be learnt."""
    replies = [at for at, message in enumerate(talk.messages) if message.role == "assistant"]
    return {replies.index(at) for at in talk.meta.get("refused", ())}


def examples(where: Corner, tokenizer: Any, seed: int, recipe: Recipe, longest: int = 2048) -> Iterator[Example]:
    """Without end: conversations in changing formats, none longer than `longest`."""
    number, pool = 0, words(where)
    while True:
        rng = Random(f"corpus/{seed}/{number}")
        number += 1
        talk = conversation(where, rng, recipe)
        if talk is None:
            continue
        if rng.random() < EXCHANGED:
            talk = exchanged(talk, pool, rng)
        example = written(talk, dialect_for(rng), tokenizer, rng)
        if len(example.ids) <= longest:
            yield example


def written(talk: Conversation, dialect: Dialect, tokenizer: Any, rng: Random) -> Example:
    return weigh(encode(dialect.render(talk), tokenizer), rng, refused_replies(talk))


def copying(vocabulary: int, length: int, rng: Random) -> Example:
    """Spans of random tokens, then the same spans in another order: what is left to learn is to copy."""
    spans: list[list[int]] = []
    while sum(map(len, spans)) < length // 2:
        spans.append([rng.randrange(300, vocabulary) for _ in range(rng.randint(2, 12))])
    first = [token for span in spans for token in span]
    rng.shuffle(spans)
    again = [token for span in spans for token in span]
    # The first token of a span cannot be known; those that follow can.
    known = [float(i > 0) for span in spans for i in range(len(span))]
    return Example(first + again, [0.0] * len(first) + known)
