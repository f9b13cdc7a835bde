"""`qwen3`: ChatML with Hermes' tags, as Qwen3 writes them: the tools behind the system's words, results in a user's turn, and a
thought between `<think>` and `</think>` on lines of its own.

A test compares this with the original template, as TRL carries it: system text, tools, calls, results and prompt are the same
to the letter. Where a conversation goes on, two things differ. The original takes thoughts out of earlier turns, and gives the
last answer an empty one; here each turn only adds: what was thought stays, and nothing is put in its place. Names and arguments
are JSON in which no marker can stand. Whether it thinks is the model's choice; a message that ends in `/no_think` asks it not
to (its documentation says so; not tried here).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fcutils.dialects.base import Piece, learnt, tool_lines
from fcutils.dialects.chatml import ChatML
from fcutils.messages import Message

SYSTEM_HEAD = (
    "# Tools\n\nYou may call one or more functions to assist with the user query.\n\n"
    "You are provided with function signatures within <tools></tools> XML tags:\n<tools>\n"
)
SYSTEM_TAIL = (
    "\n</tools>\n\nFor each function call, return a json object with function name and arguments within "
    '<tool_call></tool_call> XML tags:\n<tool_call>\n{"name": <function-name>, "arguments": <args-json-object>}\n</tool_call>'
)


class Qwen3(ChatML):
    name = "qwen3"
    tokens = (*ChatML.tokens, "<think>", "</think>", "<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>")
    tags = ("<tools>", "</tools>")
    thought_open, thought_close = "<think>", "</think>"
    call_open, call_close = "<tool_call>", "</tool_call>"
    result_open, result_close = "<tool_response>", "</tool_response>"

    def system_text(self, tools: Sequence[Mapping[str, Any]], system: str) -> list[Piece]:
        lead = [Piece(f"{system}\n\n")] if system else []
        return [*lead, *self.own(SYSTEM_HEAD), Piece(self.escape(tool_lines(tools))), *self.own(SYSTEM_TAIL)]

    def results(self, messages: Sequence[Message]) -> list[Piece]:
        return self.turn("user", self.blocks(messages))

    def reply(self, message: Message) -> list[Piece]:
        pieces: list[Piece] = []
        if message.thought:
            pieces += [*self.says("<think>\n"), learnt(self.escape(message.thought)), *self.says("\n</think>\n\n")]
        if message.content:
            pieces.append(learnt(self.escape(message.content)))
        for place, call in enumerate(message.calls):
            pieces += self.says(("\n" if place or message.content else "") + "<tool_call>\n")
            pieces += [*self.call(call), *self.says("\n</tool_call>")]
        return [*pieces, *self.says("<|im_end|>")]
