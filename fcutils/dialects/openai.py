"""`openai`: messages as OpenAI's API knows them, `tool_calls` and the older `function_call`; one line of JSON a message.

A dialect without tokens. The server that gets the messages has a template of its own, so that nothing is rendered for a model
here: the lines are what travels, tools first. They are learnt and parsed like any other text, there is no chat template, and a
reply ends with its line. JSON's quotes keep text apart from structure: no text from outside can begin a line.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from fcutils.dialects.base import Dialect, Piece
from fcutils.messages import Conversation, Message, dumps

Style = Literal["tool_calls", "function_call"]


class OpenAI(Dialect):
    name = "openai"
    tokens = ()
    ends = ()
    call_open = call_close = ""
    response_template = None

    def __init__(self, style: Style = "tool_calls") -> None:
        self.style: Style = style

    def start(self, tools: Sequence[Mapping[str, Any]], system: str, user: str) -> list[Piece]:
        offer = Conversation(tools=tuple(tools)).to_dict(self.style)
        del offer["messages"]
        lead = [Piece(dumps(offer) + "\n")] if offer else []
        lead += [self._line(Message("system", system))] if system else []
        return [*lead, *self.user(user)]

    def user(self, text: str) -> list[Piece]:
        return [self._line(Message("user", text))]

    def results(self, messages: Sequence[Message]) -> list[Piece]:
        return [self._line(message) for message in messages]

    def prompt(self) -> list[Piece]:
        return []

    def reply(self, message: Message) -> list[Piece]:
        return [self._line(message, learn=True)]

    def _line(self, message: Message, learn: bool = False) -> Piece:
        return Piece(dumps(message.to_openai(self.style)) + "\n", learn=learn)
