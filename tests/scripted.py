"""Engines that write what a test tells them to, and a handful of rows whose scores can be worked out by hand."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import HealthCheck, settings

from fcutils.dialects import Dialect, get
from fcutils.engines.base import GREEDY, Chat, Constraint, Engine, Sampling, Tools, Written
from fcutils.evaluate import asks_of
from fcutils.messages import Conversation, Message, ToolCall

Script = Callable[[Conversation], str]
patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # on a busy machine


class Scripted(Engine):
    """Writes `script(talk)`; where that raises, the row has failed. Counts what it was asked."""

    context = None

    def __init__(self, script: Script, name: str = "scripted", dialect: str = "hermes") -> None:
        self.script, self.name, self.dialect = script, name, get(dialect)
        self.asked: list[Conversation] = []

    def chat(self, tools: Tools = (), system: str = "") -> Chat:
        raise NotImplementedError

    def speaking(self, dialect: str | Dialect) -> Scripted:
        return Scripted(self.script, self.name, get(dialect).name)

    def reply_many(
        self,
        talks: Sequence[Conversation],
        *,
        max_tokens: int = 512,
        sampling: Sampling = GREEDY,
        constraint: Constraint | None = None,
        on_reply: Callable[[int, Written], None] | None = None,
    ) -> list[Written]:
        out = []
        for index, talk in enumerate(talks):
            self.asked.append(talk)
            try:
                text = self.script(talk)
                written = Written(text, len(text) // 4, 0.5)
            except ValueError as error:
                written = Written(error=str(error))
            out.append(written)
            if on_reply:
                on_reply(index, written)
        return out


def say(message: Message, dialect: str = "hermes") -> str:
    """A message as a model of this dialect writes it."""
    return "".join(piece.text for piece in get(dialect).reply(message) if piece.text not in get(dialect).ends)


def call(name: str, **arguments: Any) -> str:
    return say(Message("assistant", calls=(ToolCall(name, arguments),)))


def gold(rows: Sequence[Conversation], dialect: str = "hermes") -> Script:
    """Always what gold says."""

    def key(talk: Conversation) -> str:
        return "".join(piece.text for piece in get(dialect).render(talk))

    answers = {key(ask.prompt): say(ask.gold, dialect) for n, row in enumerate(rows, 1) for ask in asks_of(row, n)}
    return lambda talk: answers[key(talk)]


def tool(name: str, required: Sequence[str] = (), **properties: Any) -> dict[str, Any]:
    schema = {"type": "object", "properties": properties, "required": list(required)}
    return {"type": "function", "function": {"name": name, "description": name, "parameters": schema}}


WEATHER = tool("weather.now", ["city"], city={"type": "string"}, unit={"enum": ["celsius", "kelvin"], "default": "celsius"})
FIND = tool("find_flight", ["to"], to={"type": "string"}, seats={"type": "integer"})
BOOK = tool("book_flight", ["number"], number={"type": "string"}, seats={"type": "integer", "default": 1})
TOOLS = (WEATHER, FIND, BOOK)


def row(*messages: Message, kinds: Sequence[str], **meta: Any) -> Conversation:
    return Conversation(messages, TOOLS, {"kinds": list(kinds), **meta})


def asks(*calls: tuple[str, dict[str, Any]]) -> Message:
    return Message("assistant", calls=tuple(ToolCall(name, arguments, f"c{n}") for n, (name, arguments) in enumerate(calls)))


def user(text: str) -> Message:
    return Message("user", text)


def says(text: str) -> Message:
    return Message("assistant", text)


def result(value: Any, number: int = 0) -> Message:
    return Message("tool", json.dumps(value), call_id=f"c{number}")


ROWS = (  # 7 rows: 6 turns that must call (one of them two at once), 1 that must not, 1 that must ask, 4 answers, 1 sequence
    row(user("Weather in Oslo?"), asks(("weather.now", {"city": "Oslo"})), result(3), says("3 degrees."), kinds=["single"]),
    row(user("Two seats to Rome?"), asks(("find_flight", {"to": "Rome", "seats": 2})), kinds=["single"]),
    row(
        user("Weather in Paris and Lima?"),
        asks(("weather.now", {"city": "Paris"}), ("weather.now", {"city": "Lima"})),
        result(9),
        result(20, 1),
        says("9 and 20."),
        kinds=["parallel"],
    ),
    row(
        user("Fly me to Bonn, the first one."),
        asks(("find_flight", {"to": "Bonn"})),
        result(["LH7"]),
        asks(("book_flight", {"number": "LH7"})),
        result("ok"),
        says("Booked LH7."),
        kinds=["sequence"],
    ),
    row(user("Sing!"), says("I cannot sing."), kinds=["nothing"]),
    row(user("Is it cold?"), says("Where?"), kinds=["missing"]),
    row(user("Weather in Bern?"), asks(("weather.now", {"city": "Bern"})), result("down"), says("Sorry."), kinds=["failing"]),
)
