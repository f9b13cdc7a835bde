"""`mistral`: `[AVAILABLE_TOOLS]`, `[INST]`, `[TOOL_CALLS]` and `[TOOL_RESULTS]`, as Mistral 7B Instruct v0.3 (tokenizer v3)
writes them.

Two things differ from that tokenizer's own renderer. It puts tools and system text before the *last* user message, so that a
new question moves them, and everything after them is read anew. Here they stand before the first and stay, because each turn
only adds: the same text where one question is asked, and where Mistral's own tokenizers (v13) put the tools, too. And a result
is always JSON text, so that it cannot break out.

A call's id has nine letters and digits. Of an id that has more, the last nine count; a call without one is named by its place.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from fcutils.dialects.base import Dialect, Piece, learnt
from fcutils.messages import Message, dumps, id_for


class Mistral(Dialect):
    name = "mistral"
    tokens = (
        "<s>",
        "</s>",
        "[INST]",
        "[/INST]",
        "[AVAILABLE_TOOLS]",
        "[/AVAILABLE_TOOLS]",
        "[TOOL_CALLS]",
        "[TOOL_RESULTS]",
        "[/TOOL_RESULTS]",
    )
    ends = ("</s>",)
    call_open, call_close = "[TOOL_CALLS]", "</s>"
    result_open, result_close = "[TOOL_RESULTS]", "[/TOOL_RESULTS]"
    response_template = None

    def start(self, tools: Sequence[Mapping[str, Any]], system: str, user: str) -> list[Piece]:
        told = Piece(f" {self.escape(dumps(list(tools)))}")
        lead = [*self.own("[AVAILABLE_TOOLS]"), told, *self.own("[/AVAILABLE_TOOLS]")] if tools else []
        return [*self.own("<s>"), *lead, *self.user(f"{system}\n\n{user}" if system else user)]

    def user(self, text: str) -> list[Piece]:
        return [*self.own("[INST]"), Piece(f" {text}"), *self.own("[/INST]")]

    def results(self, messages: Sequence[Message]) -> list[Piece]:
        pieces: list[Piece] = []
        for place, message in enumerate(messages):
            result = {"content": message.content, "call_id": short_id(message.call_id, place)}
            pieces += [*self.own("[TOOL_RESULTS]"), Piece(f" {self.escape(dumps(result))}"), *self.own("[/TOOL_RESULTS]")]
        return pieces

    def prompt(self) -> list[Piece]:
        return []

    def reply(self, message: Message) -> list[Piece]:
        pieces = [learnt(f" {self.escape(message.content)}")] if message.content else []
        for place, call in enumerate(message.calls):
            ending = f', "id": "{short_id(call.id, place)}"}}'
            pieces += [*self.says(", " if place else "[TOOL_CALLS] ["), *self.call(call, *BEGINNING, ending)]
        return [*pieces, *self.says("]</s>" if message.calls else "</s>")]


BEGINNING = ('{"name": "', '", "arguments": ')


def short_id(call_id: str | None, place: int) -> str:
    """Nine letters and digits for a call, the same for its result; `place` is theirs among the calls of one reply."""
    return re.sub("[^a-zA-Z0-9]", "", call_id or id_for(place))[-9:].rjust(9, "0")
