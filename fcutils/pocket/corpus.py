"""What a pocket model reads: conversations of the universe, written in many formats, as ids with a weight for every token.

`pocket-hermes` sees `hermes`, `openhermes`, and formats that are made up on the spot and described in the prompt, so that it
follows the format it is shown. One family of formats (square brackets around `{"tool": …, "input": …}`) is never shown in
training: it is the proof. Calls that were refused are read and not learnt.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from random import Random
from typing import Any

from fcutils.dialects import Dialect, Encoded, Piece, encode, get
from fcutils.dialects.base import call_pieces, learnt, tool_lines
from fcutils.dialects.hermes import ChatML
from fcutils.messages import Conversation, Message, dumps
from fcutils.universe import Corner, Recipe
from fcutils.universe.writer import conversation

FORMATS = {"hermes": 0.4, "openhermes": 0.25, "shown": 0.2, "signature": 0.08, "lines": 0.07}
SHORT_FORMATS = {"hermes": 0.05, "openhermes": 0.05, "shown": 0.05, "signature": 0.5, "lines": 0.35}  # many choices a token
WEIGHTS = {"text": 1.0, "structure": 1.0, "name": 2.0, "value": 2.0}
DECIDED = 3.0  # how much more the first token of a name, a value or a stretch of text counts: the rest mostly follows from it
PROMPT_WEIGHT = 0.15  # of one prompt token; only every PROMPT_EVERY-th is looked at, at so much more weight
PROMPT_EVERY = 8


@dataclass(frozen=True)
class Shown(ChatML):
    """A format that exists in its prompt alone."""

    call_open: str = "<call>"
    call_close: str = "</call>"
    name_key: str = "name"
    arguments_key: str = "arguments"
    result_open: str = "<result>"
    result_close: str = "</result>"
    line: str = "\n"  # between a tag and what it holds
    whole: bool = True  # tools as {"type": "function", ...} or the bare function
    array: bool = False  # tools as one JSON list
    wording: int = 0
    listing: str = "json"  # or "lines", a line a parameter; or "signature", a line a tool: short, so that many choices fit

    name = "shown"

    @property
    def tags(self) -> tuple[str, ...]:  # type: ignore[override]
        return (self.call_open, self.call_close, self.result_open, self.result_close)

    def system_text(self, tools: Sequence[Mapping[str, Any]], system: str) -> str:
        listed = self.escape(self.listed(tools))
        example = f'{{"{self.name_key}": <function-name>, "{self.arguments_key}": <args-dict>}}'
        call = f"{self.call_open}{self.line}{example}{self.line}{self.call_close}"
        text = WORDINGS[self.wording].format(tools=listed, call=call, result=f"{self.result_open} {self.result_close}")
        return f"{text}\n\n{system}" if system else text

    def listed(self, tools: Sequence[Mapping[str, Any]]) -> str:
        functions = [tool["function"] for tool in tools]
        if self.listing != "json":
            return "\n".join(LISTINGS[self.listing](function) for function in functions)
        shown = list(tools) if self.whole else functions
        return dumps(shown) if self.array else tool_lines(shown)

    def results(self, messages: Sequence[Message]) -> list[Piece]:
        blocks = (f"{self.result_open}{self.line}{self.escape(m.content)}{self.line}{self.result_close}" for m in messages)
        return self.turn("tool", "\n".join(blocks))

    def reply(self, message: Message) -> list[Piece]:
        pieces = [learnt(message.content)] if message.content else []
        for call in message.calls:
            pieces.append(learnt(("\n" if pieces else "") + self.call_open + self.line, "structure"))
            pieces += call_pieces(call, f'{{"{self.name_key}": "', f'", "{self.arguments_key}": ')
            pieces.append(learnt(self.line + self.call_close, "structure"))
        return [*pieces, Piece("<|im_end|>", control=True, learn=True, part="structure")]


def _signature(function: Mapping[str, Any]) -> str:
    return f"{function['name']}({', '.join(function['parameters'].get('properties', {}))}): {function['description']}"


def _lines(function: Mapping[str, Any]) -> str:
    parameters = function["parameters"]
    lines = [f"{function['name']}: {function['description']}"]
    for key, schema in parameters.get("properties", {}).items():
        kind = schema.get("type", "string") + ("" if key in parameters.get("required", ()) else ", optional")
        values = f" One of {', '.join(map(str, schema['enum']))}." if "enum" in schema else ""
        lines.append(f"- {key} ({kind}): {schema.get('description', '')}{values}")
    return "\n".join(lines)


LISTINGS = {"signature": _signature, "lines": _lines}
WORDINGS = (  # how a made-up format is explained
    "You can use these tools:\n{tools}\n\nTo call one, write\n{call}\nIts result comes back in {result}.",
    "Tools:\n{tools}\n\nCall a tool like this, several times if needed:\n{call}\nYou will see what it returns in {result}.",
    "You are an assistant with tools. The tools are:\n{tools}\n\nA call looks like this:\n{call}\nResults appear as {result}.",
    "Answer with a call in this form when a tool fits:\n{call}\n\nThe tools:\n{tools}\n\nWhat they return is in {result}.",
    "Available functions: {tools}\n\nFormat of a call:\n{call}\nFormat of a result: {result}",
)
TAG_WORDS = "call tool function action invoke use run request do step api fn exec task job command op".split()  # noqa: SIM905


def shown(rng: Random, listing: str = "json") -> Shown:
    """A made-up format; never one of the held-out family."""
    word = rng.choice(TAG_WORDS) + rng.choice(("", "", "_call", "s", "Call", "-request"))
    opening, closing = rng.choice(
        ((f"<{word}>", f"</{word}>"), (f"<|{word}|>", f"<|/{word}|>"), (f"<<{word}>>", f"<</{word}>>"))
    )
    back = rng.choice(["result", "response", "output", "returned", "answer", "observation"])
    return Shown(
        opening,
        closing,
        rng.choice(("name", "name", "function", "tool_name", "fn", "call")),
        rng.choice(("arguments", "arguments", "parameters", "args", "params")),
        f"<{back}>",
        f"</{back}>",
        rng.choice(("\n", "\n", " ", "")),
        rng.random() < 0.5,
        rng.random() < 0.3,
        rng.randrange(len(WORDINGS)),
        listing,
    )


HELD_OUT = Shown("[USE_TOOL]", "[/USE_TOOL]", "tool", "input", "[GIVEN]", "[/GIVEN]", " ", False, True, 2)


def dialect_for(rng: Random, formats: Mapping[str, float]) -> Dialect:
    name = rng.choices(list(formats), list(formats.values()))[0]
    if name in LISTINGS:
        return shown(rng, name)
    return shown(rng) if name == "shown" else get(name)


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
    start, before = rng.randrange(PROMPT_EVERY), None
    weights = []
    for i, (learn, part) in enumerate(zip(encoded.learn, encoded.parts, strict=True)):
        if learn:
            weights.append(WEIGHTS[part] * (DECIDED if (learn, part) != before else 1.0))
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
    """Without end: conversations in changing formats, none longer than `longest`; a brief recipe lists its tools in brief."""
    formats = SHORT_FORMATS if recipe.brief else FORMATS
    number = 0
    while True:
        rng = Random(f"corpus/{seed}/{number}")
        number += 1
        talk = conversation(where, rng, recipe)
        if talk is None:
            continue
        example = written(talk, dialect_for(rng, formats), tokenizer, rng)
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
