"""What a stream tells as a reply arrives, and the account of it from which the reply is made.

Knows the order of things told; it does not know how they were found in the text.
"""

from __future__ import annotations

from dataclasses import dataclass

from fcutils.messages import Fault, Reply, ToolCall
from fcutils.parsing.scanner import BadValue
from fcutils.parsing.source import Source


@dataclass(frozen=True, slots=True)
class TextPiece:
    """More of the content."""

    text: str


@dataclass(frozen=True, slots=True)
class ThoughtPiece:
    """More of the thought."""

    text: str


@dataclass(frozen=True, slots=True)
class CallBegins:
    """A call is being written, from `start` on. At least one `CallDone` or `FaultFound` follows."""

    start: int


@dataclass(frozen=True, slots=True)
class CallPiece:
    """More of that call as it is written, to be shown; nothing is settled before `CallDone`."""

    text: str


@dataclass(frozen=True, slots=True)
class CallDone:
    """A call that is whole."""

    call: ToolCall


@dataclass(frozen=True, slots=True)
class FaultFound:
    """Something that should have been a call and cannot be read."""

    fault: Fault


Event = TextPiece | ThoughtPiece | CallBegins | CallPiece | CallDone | FaultFound


class Account:
    """Takes down what a reader finds: as events for the moment, as a reply for good."""

    def __init__(self, source: Source) -> None:
        self.blank = True  # no content so far but white space
        self.tries = 0  # how many calls there were, or what looked like calls
        self._source = source
        self._events: list[Event] = []
        self._said: list[str] = []  # pieces of text that make one event
        self._thinking = False  # whether they are thought
        self._content: list[str] = []
        self._thoughts: list[list[str]] = []
        self._calls: list[ToolCall] = []
        self._faults: list[Fault] = []
        self._shown: int | None = None  # inside a call: up to where its text was told

    def text(self, text: str) -> None:
        if text:
            self._say(text, thinking=False)
            self._content.append(text)
            self.blank = self.blank and text.isspace()

    def new_thought(self) -> None:
        self._thoughts.append([])

    def thought(self, text: str) -> None:
        """More of the thought that was begun last."""
        if text:
            self._say(text, thinking=True)
            self._thoughts[-1].append(text)

    def call_begins(self, start: int) -> None:
        if self._shown is None:
            self._flush()
            self._events.append(CallBegins(start))
            self._shown = start

    def call(self, call: ToolCall) -> None:
        self._end_call()
        self._calls.append(call)
        self._events.append(CallDone(call))

    def fault(self, start: int, bad: BadValue) -> None:
        self._end_call()
        fault = Fault(bad.kind, bad.reason, start, self._source.offset)
        self._faults.append(fault)
        self._events.append(FaultFound(fault))

    def take_events(self) -> list[Event]:
        """Everything told since the last time."""
        self._show()
        self._flush()
        events, self._events = self._events, []
        return events

    def reply(self, text: str) -> Reply:
        thoughts = ("".join(pieces).strip() for pieces in self._thoughts)
        return Reply(
            content="".join(self._content).strip(),
            thought="\n".join(thought for thought in thoughts if thought),
            calls=tuple(self._calls),
            faults=tuple(self._faults),
            text=text,
        )

    def _say(self, text: str, thinking: bool) -> None:
        if thinking != self._thinking:
            self._flush()
            self._thinking = thinking
        self._said.append(text)

    def _flush(self) -> None:
        if self._said:
            text = "".join(self._said)
            self._said = []
            self._events.append(ThoughtPiece(text) if self._thinking else TextPiece(text))

    def _show(self) -> None:
        if self._shown is not None and self._source.offset > self._shown:
            self._events.append(CallPiece(self._source.since(self._shown)))
            self._shown = self._source.offset

    def _end_call(self) -> None:
        self._flush()
        self._show()
        self._shown = None
