"""`gemma`: Gemma 2's turns with the thinking course format: `<think>`, `<tool_call>`, `<tool_response>`.

Gemma has neither a system role nor a tool role: tools and instructions open the first user turn, results come as a user turn.
The six markers that Gemma's tokenizer lacks are added to it as tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fcutils.dialects.base import Dialect, Piece, tool_lines
from fcutils.messages import Message

HEAD = "You can call these tools:\n"
TAIL = (
    '\n\nThink first, between <think> and </think>. To call a tool, write {"name": ..., "arguments": {...}} between '
    "<tool_call> and </tool_call>; its result comes back between <tool_response> and </tool_response>. When no tool fits, say "
    "so; when a value is missing, ask for it.\n\n"
)


class Gemma(Dialect):
    name = "gemma"
    added = ("<think>", "</think>", "<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>")
    tokens = ("<bos>", "<start_of_turn>", "<end_of_turn>", *added)
    ends = ("<end_of_turn>",)
    thought_open, thought_close = "<think>", "</think>"
    call_open, call_close = "<tool_call>", "</tool_call>"
    result_open, result_close = "<tool_response>", "</tool_response>"

    def start(self, tools: Sequence[Mapping[str, Any]], system: str, user: str) -> list[Piece]:
        lead = [*self.own(HEAD), Piece(self.escape(tool_lines(tools))), *self.own(TAIL)] if tools else []
        lead += [Piece(f"{system}\n\n")] if system else []
        return [*self.own("<bos><start_of_turn>user\n"), *lead, Piece(user), *self.own("<end_of_turn>\n")]

    def user(self, text: str) -> list[Piece]:
        return [*self.own("<start_of_turn>user\n"), Piece(text), *self.own("<end_of_turn>\n")]

    def results(self, messages: Sequence[Message]) -> list[Piece]:
        return [*self.own("<start_of_turn>user\n"), *self.blocks(messages), *self.own("<end_of_turn>\n")]

    def prompt(self) -> list[Piece]:
        return self.own("<start_of_turn>model\n")

    def after(self) -> list[Piece]:
        return [Piece("\n")]
