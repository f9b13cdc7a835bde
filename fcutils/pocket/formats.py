"""The formats in which a pocket model sees tools and calls: those of two families, and ones made up on the spot.

A made-up format exists in its prompt alone, which describes it, so that a model follows the format it is shown. One family of
formats (square brackets around `{"tool": …, "input": …}`) is never shown in training: it is the proof. Tools mostly stand as
JSON; now and then in brief, a line each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from fcutils.dialects import Dialect, Piece, get
from fcutils.dialects.base import call_pieces, learnt, tool_lines
from fcutils.dialects.hermes import ChatML
from fcutils.messages import Message, dumps

FORMATS = {"hermes": 0.5, "openhermes": 0.25, "shown": 0.25}  # where tools are listed as JSON; else the format is made up


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
    listing: str = "json"  # or "lines", a line a parameter; or "signature", a line a tool

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


LISTINGS = {"signature": _signature, "lines": _lines}  # beside JSON
LISTED = {"json": 0.8, "signature": 0.1, "lines": 0.1}  # a call names a tool as its JSON does, which says where to look


def drawn(rng: Random, shares: Mapping[str, float]) -> str:
    return rng.choices(list(shares), list(shares.values()))[0]


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


def dialect_for(rng: Random) -> Dialect:
    listing = drawn(rng, LISTED)
    name = drawn(rng, FORMATS) if listing == "json" else "shown"
    return shown(rng, listing) if name == "shown" else get(name)
