"""What a dialect is: how one model family says tools, thought, call and result, as pieces of text, control tokens and
a loss mask.

A dialect renders. It does not make ids (`encoding.py`), parse (`parsing`), sample or run anything.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from fcutils.dialects.escaping import escape_marks
from fcutils.messages import Conversation, Message, ToolCall, dumps, linked

Part = Literal["text", "structure", "name", "value"]


class DialectError(ValueError):
    """A conversation that this dialect cannot say, or a tokenizer that does not fit it."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of the rendered conversation. `control`: `text` is one token of the tokenizer's. `learn`: the model
    must say this.

    `tag`: `text` is one of the dialect's `tags`, and becomes one token where the tokenizer has it as one. Any other
    text never does.
    """

    text: str
    control: bool = False
    learn: bool = False
    part: Part = "text"
    tag: bool = False


@dataclass(frozen=True, slots=True)
class Encoded:
    """Token ids, whether each is learnt, and which part of a call it belongs to."""

    ids: list[int]
    learn: list[bool]
    parts: list[Part]


class Dialect(ABC):
    """One family's way of writing. A conversation is `start` (through the first user message), then turns; each turn
    only adds.
    """

    name: str
    tokens: tuple[str, ...]  # control tokens: in the tokenizer, added by id
    tags: tuple[str, ...] = ()  # markers that are plain text for most of the family's tokenizers
    ends: tuple[str, ...]  # control tokens with which the model ends its turn
    call_open: str
    call_close: str  # a control token or a tag: where the loop may pause
    result_open: str = ""
    result_close: str = ""
    thought_open: str = ""  # a family without a place for thoughts leaves them out
    thought_close: str = ""
    quote: str = ""  # a control token around every text in a call, where a family has one
    added: tuple[str, ...] = ()  # those of `tokens` that the family's own tokenizer lacks

    @abstractmethod
    def start(self, tools: Sequence[Mapping[str, Any]], system: str, user: str) -> list[Piece]:
        """From the very first token through the end of the first user turn."""

    @abstractmethod
    def user(self, text: str) -> list[Piece]:
        """A later user turn."""

    @abstractmethod
    def results(self, messages: Sequence[Message]) -> list[Piece]:
        """What the tools gave back, in the order of the calls."""

    @abstractmethod
    def prompt(self) -> list[Piece]:
        """What opens the model's turn; the model writes on from here."""

    def reply(self, message: Message) -> list[Piece]:
        """What the model must say: thought, content, calls (each between tags, on lines of its own), the end of its turn."""
        pieces: list[Piece] = []
        if message.thought and self.thought_open:
            pieces += [*self.says(self.thought_open), learnt(self.escape(message.thought)), *self.says(self.thought_close)]
        if message.content:
            pieces.append(learnt(("\n" if pieces else "") + self.escape(message.content)))
        for call in message.calls:
            pieces += self.says(("\n" if pieces else "") + self.call_open + "\n")
            pieces += [*self.call(call), *self.says("\n" + self.call_close)]
        return [*pieces, *self.says(self.ends[0])]

    def after(self) -> list[Piece]:
        """What stands between the end of the model's turn and the next turn."""
        return []

    @property
    def template(self) -> str:
        """The chat template, for TRL and servers: the same text, with the learnt part between `{% generation %}` markers.

        A template writes text, in which a mark in a message could become a token: it rewrites every mark of the dialect, in
        the user's and the system's words, too, where `render` keeps them and `encode` keeps them text. Other spellings of a
        mark it lets through.
        """
        path = Path(__file__).with_name(f"{self.name}.jinja")
        if not path.is_file():
            raise DialectError(f"{self.name}: this dialect has no chat template")
        return path.read_text(encoding="utf-8")

    @property
    def response_template(self) -> dict[str, Any] | None:
        """How a server that runs `transformers` reads a reply: its thought, its calls, and the rest as content.

        For dialects that keep to `reply` as it stands here; None where one does not.
        """
        opening, end = "".join(piece.text for piece in self.prompt()), "|".join(map(re.escape, self.ends))
        marks = {"open_pattern": rf"\s*{re.escape(self.call_open)}", "close_pattern": rf"{re.escape(self.call_close)}\s*"}
        function = {"type": "function", "function": "{content}"}
        fields: dict[str, Any] = {"tool_calls": {**marks, "repeats": True, "content": "json", "transform": function}}
        if self.thought_open:
            close = rf"\s*{re.escape(self.thought_close)}\s*"
            fields["reasoning_content"] = {"open": self.thought_open, "close_pattern": close, "content": "text"}
        fields["content"] = {"close_pattern": rf"\s*(?:{end})\s*", "content": "text"}
        return {"defaults": {"role": "assistant"}, "start_anchor": opening, "fields": fields}

    def dress(self, tokenizer: Any) -> None:
        """Give a tokenizer what a server needs beside the weights: how to write this dialect, and how to read it."""
        tokenizer.chat_template, tokenizer.response_template = self.template, self.response_template

    def render(self, talk: Conversation, *, generate: bool = False) -> list[Piece]:
        """The whole conversation; with `generate`, the model's turn is opened at the end."""
        pieces: list[Piece] = []
        for turn in self._turns(talk):
            pieces += turn
        return pieces + self.prompt() if generate else pieces

    def _turns(self, talk: Conversation) -> Iterator[list[Piece]]:
        system = "\n\n".join(m.content for m in talk.messages if m.role == "system")
        turns = [m for m in linked(talk.messages) if m.role != "system"]
        if not turns or turns[0].role != "user":
            raise DialectError(f"{self.name}: a conversation begins with a user's message")
        yield self.start(talk.tools, system, turns[0].content)
        i = 1
        while i < len(turns):
            message = turns[i]
            if message.role == "tool":
                j = next((k for k in range(i, len(turns)) if turns[k].role != "tool"), len(turns))
                yield self.results(turns[i:j])
                i = j
                continue
            yield (
                self.user(message.content) if message.role == "user" else [*self.prompt(), *self.reply(message), *self.after()]
            )
            i += 1

    def own(self, text: str, *, learn: bool = False) -> list[Piece]:
        """Words of the dialect's own: where they name one of its markers, the marker stands. Never for text from outside."""
        part: Part = "structure" if learn else "text"
        words = _at_marks(self.tokens + self.tags).split(text)
        return [Piece(word, word in self.tokens, learn, part, word in self.tags) for word in words if word]

    def says(self, text: str) -> list[Piece]:
        """The dialect's own words as the model must say them."""
        return self.own(text, learn=True)

    def blocks(self, messages: Sequence[Message]) -> list[Piece]:
        """Results, each between its tags, on lines of its own."""
        pieces: list[Piece] = []
        for message in messages:
            pieces += self.own(("\n" if pieces else "") + self.result_open)
            pieces += [Piece(f"\n{self.escape(message.content)}\n"), *self.own(self.result_close)]
        return pieces

    def escape(self, text: str) -> str:
        """Text from outside, in which no marker of this dialect can be read: its first character is written as
        `\\u003c` would be in JSON.
        """
        return escape_marks(text, self.tokens + self.tags)

    def call(self, call: ToolCall, *shape: str) -> list[Piece]:
        """`call_pieces`, with no marker in names, keys and values; it is JSON, so that it still says the same."""
        return [replace(piece, text=self.escape(piece.text)) for piece in call_pieces(call, *shape)]


@lru_cache
def _at_marks(marks: tuple[str, ...]) -> re.Pattern[str]:
    longest_first = sorted(marks, key=len, reverse=True)
    return re.compile("(" + "|".join(map(re.escape, longest_first)) + ")" if marks else "(?!)")


def call_pieces(call: ToolCall, open_: str = '{"name": "', middle: str = '", "arguments": ', close: str = "}") -> list[Piece]:
    """A call as JSON, in learnt pieces that tell names from values from structure."""
    out = [learnt(open_, "structure"), learnt(dumps(call.name)[1:-1], "name"), learnt(middle + "{", "structure")]
    for number, (key, value) in enumerate(call.arguments.items()):
        out.append(learnt('"' if number == 0 else ', "', "structure"))
        out += [learnt(dumps(str(key))[1:-1], "name"), learnt('": ', "structure"), learnt(dumps(value), "value")]
    return [*out, learnt("}" + close, "structure")]


def learnt(text: str, part: Part = "text") -> Piece:
    return Piece(text, learn=True, part=part)


def tool_lines(tools: Iterable[Mapping[str, Any]]) -> str:
    return "\n".join(dumps(tool) for tool in tools)
