"""`hermes`: ChatML with `<tools>`, `<tool_call>` and `<tool_response>`, as Hermes 2 Pro and Hermes 3 were trained on it.

The system text is the published one to the letter (its stray braces and its missing space, too): the models know it by heart.
Some of the family's tokenizers have the markers as tokens, others spell them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fcutils.dialects.base import Piece, tool_lines
from fcutils.dialects.chatml import ChatML
from fcutils.messages import Message

SYSTEM_HEAD = (
    "You are a function calling AI model. You are provided with function signatures within <tools></tools> XML tags. You may "
    "call one or more functions to assist with the user query. Don't make assumptions about what values to plug into "
    "functions. Here are the available tools: <tools> "
)
SYSTEM_TAIL = (
    " </tools>Use the following pydantic model json schema for each tool call you will make: "
    '{"properties": {"name": {"title": "Name", "type": "string"}, "arguments": {"title": "Arguments", "type": "object"}}, '
    '"required": ["name", "arguments"], "title": "FunctionCall", "type": "object"}}\n'
    "For each function call return a json object with function name and arguments within <tool_call></tool_call> XML tags as "
    'follows:\n<tool_call>\n{"name": <function-name>, "arguments": <args-dict>}\n</tool_call>'
)


class Hermes(ChatML):
    name = "hermes"
    tags = ("<tools>", "</tools>", "<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>")
    call_open, call_close = "<tool_call>", "</tool_call>"
    result_open, result_close = "<tool_response>", "</tool_response>"

    def system_text(self, tools: Sequence[Mapping[str, Any]], system: str) -> list[Piece]:
        told = [*self.own(SYSTEM_HEAD), Piece(self.escape(tool_lines(tools))), *self.own(SYSTEM_TAIL)]
        return [*told, Piece(f"\n\n{system}")] if system else told

    def results(self, messages: Sequence[Message]) -> list[Piece]:
        return self.turn("tool", self.blocks(messages))
