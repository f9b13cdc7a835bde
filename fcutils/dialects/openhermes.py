"""`openhermes`: ChatML for OpenHermes 2.5, which has no tool template of its own; the prompt alone asks for calls, as XML
around JSON.

`<multiplefunctions>` holds one `<functioncall>` a line, a single call as well, so that one rule covers both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fcutils.dialects.base import Piece, learnt, tool_lines
from fcutils.dialects.chatml import ChatML
from fcutils.messages import Message

SYSTEM_HEAD = "You are a helpful assistant that can call these functions:\n\n"
SYSTEM_TAIL = """

When functions fit the request, answer with the calls alone, one a line, in this form:

<multiplefunctions>
    <functioncall> {"name": "function_name", "arguments": {"argument": "value"}} </functioncall>
</multiplefunctions>

Results come back in <functionresponse> tags; answer the user from them. \
When no function fits, say politely that you cannot help with that. When a required value is missing, ask for it."""


class OpenHermes(ChatML):
    name = "openhermes"
    tags = (
        "<multiplefunctions>",
        "</multiplefunctions>",
        "<functioncall>",
        "</functioncall>",
        "<functionresponse>",
        "</functionresponse>",
    )
    call_open, call_close = "<functioncall>", "</functioncall>"
    response_template = None

    def system_text(self, tools: Sequence[Mapping[str, Any]], system: str) -> list[Piece]:
        functions = self.escape(tool_lines(tool["function"] for tool in tools))
        told = [*self.own(SYSTEM_HEAD), Piece(functions), *self.own(SYSTEM_TAIL)]
        return [*told, Piece(f"\n\n{system}")] if system else told

    def results(self, messages: Sequence[Message]) -> list[Piece]:
        pieces: list[Piece] = []
        for message in messages:
            pieces += self.own("\n<functionresponse> " if pieces else "<functionresponse> ")
            pieces += [Piece(self.escape(message.content)), *self.own(" </functionresponse>")]
        return self.turn("tool", pieces)

    def reply(self, message: Message) -> list[Piece]:
        pieces = [learnt(self.escape(message.content))] if message.content else []
        if message.calls:
            pieces += self.says("\n<multiplefunctions>\n" if pieces else "<multiplefunctions>\n")
            for call in message.calls:
                pieces += [*self.says("    <functioncall> "), *self.call(call), *self.says(" </functioncall>\n")]
            pieces += self.says("</multiplefunctions>")
        return [*pieces, *self.says("<|im_end|>")]
