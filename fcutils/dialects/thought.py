"""`thought`: `<thought>`, `<function>` and `<observation>` on ChatML's turns, the markers spelt out as plain text.

Any ChatML model can be asked for this format, or tuned to it, without a new token: the counterpart of `gemma`, whose markers
are tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fcutils.dialects.base import Piece, tool_lines
from fcutils.dialects.chatml import ChatML
from fcutils.messages import Message

SYSTEM_HEAD = "You are an assistant that can call these functions:\n\n"
SYSTEM_TAIL = """

First say what you think:
<thought>...</thought>
Then answer, or call a function:
<function>
{"name": ..., "arguments": {...}}
</function>
What it gives back comes as <observation>...</observation>. When no function fits, say so. When a value is missing, ask."""


class Thought(ChatML):
    name = "thought"
    tags = ("<thought>", "</thought>", "<function>", "</function>", "<observation>", "</observation>")
    thought_open, thought_close = "<thought>", "</thought>"
    call_open, call_close = "<function>", "</function>"
    result_open, result_close = "<observation>", "</observation>"

    def system_text(self, tools: Sequence[Mapping[str, Any]], system: str) -> list[Piece]:
        functions = self.escape(tool_lines(tool["function"] for tool in tools))
        told = [*self.own(SYSTEM_HEAD), Piece(functions), *self.own(SYSTEM_TAIL)]
        return [*told, Piece(f"\n\n{system}")] if system else told

    def results(self, messages: Sequence[Message]) -> list[Piece]:
        return self.turn("tool", self.blocks(messages))
