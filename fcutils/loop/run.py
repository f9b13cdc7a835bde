"""The loop itself: it reads what the model writes as it is written, pauses behind every call, has the calls run, and goes on.

It does not know where text comes from (`engines/`), how calls are written (`parsing/`, `dialects/`) or run (`toolbox.py`).
Only what the model sampled is read for calls.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count, zip_longest
from typing import Any, Literal

from fcutils.dialects import Dialect
from fcutils.engines.base import GREEDY, Chat, Constraint, ContextFull, Engine, EngineError, Mark, Sampling
from fcutils.loop.events import (
    Answer,
    BadCall,
    Call,
    Event,
    Observed,
    Offered,
    Shortened,
    Stop,
    StopReason,
    Text,
    Thought,
)
from fcutils.loop.select import Choice, Selector
from fcutils.loop.shorten import cut_oldest
from fcutils.messages import Conversation, Fault, Message, Observation, Reply, ToolCall
from fcutils.parsing import CallDone, FaultFound, ReplyStream, TextPiece, ThoughtPiece
from fcutils.parsing import Event as Parsed
from fcutils.tool import in_thread
from fcutils.toolbox import Toolbox

ROOM = 256  # tokens that a reply is to have once results were cut
_MENDABLE = ("unparsable", "unknown_tool", "invalid_arguments")
_STOPPING: dict[str, StopReason] = {"refused": "refused", "repeated": "repeated"}


class ToolLoop:
    """A conversation between a person, a model and tools. `conversation` is what was said so far; `run` goes on with it.

    `max_turns`, `max_tokens` (written by the model) and `max_tries` (replies in a row with nothing but bad calls) hold for each
    run. `select_tools` (`BestTools`, say) chooses, with every request, which of the toolbox's tools the model is to see.
    `when_full`: what to do when the conversation outgrows the model; "cut_oldest" cuts the oldest results, visibly, and reads
    the rest anew.

    `constrained` (a local engine's) holds every call to its tool's schema, by construction. `tool_choice` goes with it: "auto",
    "none", and for the reply to what the user says "required" or a tool's name; what follows results is the model's choice.
    """

    def __init__(
        self,
        engine: Engine,
        toolbox: Toolbox,
        dialect: str | Dialect | None = None,
        *,
        system: str = "",
        max_turns: int = 8,
        max_tokens: int = 2048,
        max_tries: int = 3,
        sampling: Sampling = GREEDY,
        constraint: Constraint | None = None,
        constrained: bool = False,
        tool_choice: str = "auto",
        select_tools: Selector | None = None,
        when_full: Literal["cut_oldest", "stop"] = "cut_oldest",
    ) -> None:
        self.engine = engine if dialect is None else engine.speaking(dialect)
        self.toolbox = toolbox
        self.max_turns, self.max_tokens, self.max_tries = max_turns, max_tokens, max_tries
        self.sampling = sampling
        self._must_call, self.constraint = _constraints(self.engine, constraint, constrained, tool_choice)
        self.select_tools, self.when_full = select_tools, when_full
        self.conversation = Conversation((Message("system", system),) if system else ())
        self._chat: Chat | None = None
        self._mark = Mark(0)  # where the chat stood when it was last at the end of `conversation`
        self._pending: Message | None = None  # a reply whose calls have no results yet
        self._retired = _Count(0, 0)

    def run(self, request: str | Conversation | None = None) -> Generator[Event, None, Conversation]:
        """Events as they happen, the last a `Stop`; returns the conversation.

        A text is said by the user; a conversation takes the place of the one so far; with None the model goes on where things
        stand. Whatever interrupts a run, the next one can go on from `conversation`.
        """
        steps, observations = self._steps(request), None
        try:
            while (step := _advance(steps, observations)) is not None:
                observations = self.toolbox.call_all(step.calls) if isinstance(step, _Act) else None
                if not isinstance(step, _Act):
                    yield step
        finally:
            steps.close()
        return self.conversation

    async def arun(self, request: str | Conversation | None = None) -> AsyncGenerator[Event, None]:
        """The same for an event loop: the model writes in a thread, async tools run on the loop."""
        steps, observations = self._steps(request), None
        try:
            while (step := await in_thread(_advance, steps, observations)) is not None:
                observations = await self.toolbox.acall_all(step.calls) if isinstance(step, _Act) else None
                if not isinstance(step, _Act):
                    yield step
        finally:
            steps.close()

    # ---- the steps of a run, the same for both ---------------------------------------------------------------------------

    def _steps(self, request: str | Conversation | None) -> _Steps:
        began, turns = time.perf_counter(), 0
        choices = self._take(request)
        before, tries = self._count(), 0
        try:
            if choices is not None:
                yield self._offered(choices)
            while turns < self.max_turns:
                turns += 1
                kinds = yield from self._turn(before.sampled + self.max_tokens)
                tries = tries + 1 if kinds.issubset(_MENDABLE) else 0
                if tries == self.max_tries:
                    raise _Halt("mending", f"{tries} times in a row the model's calls could not be used")
            raise _Halt("turns", f"{turns} replies were written, and none was an answer")
        except _Halt as reached:
            halt = reached
        except ContextFull as full:
            halt = _Halt("context", str(full))
        except EngineError as error:
            halt = _Halt("engine", str(error))
        finally:
            self._settle()
        took, seconds = self._count().since(before), time.perf_counter() - began
        yield Stop(halt.reason, halt.detail, self.conversation, turns, took.sampled, took.forwarded, seconds)

    def _turn(self, limit: int) -> Generator[Event | _Act, Any, set[str]]:
        """One reply and what comes of it: the kinds of its observations."""
        reply = yield from self._write(limit)
        message = self._message(reply)
        if not reply.calls and not reply.faults:
            self._keep(message)
            yield Answer(message.content)
            raise _Halt(_outcome(message.content))
        self._pending = message
        observations = (yield _Act(message.calls)) if message.calls else []
        observations = [*observations, *map(_unparsable, reply.faults)]
        self._now.observe(observations)
        self._keep(message, *(observation.to_message() for observation in observations))
        for observation, call in zip_longest(observations, message.calls):
            yield Observed(observation, call)
        for observation in observations:
            if reason := _STOPPING.get(observation.kind):
                raise _Halt(reason, f"{observation.name}: {observation.content}")
        return {observation.kind for observation in observations}

    def _write(self, limit: int) -> Generator[Event, Any, Reply]:
        """What the model writes, once it fits."""
        while True:
            try:
                return (yield from self._try_to_write(limit))
            except ContextFull as full:
                yield from self._make_room(full)

    def _try_to_write(self, limit: int) -> Generator[Event, Any, Reply]:
        """One reply. What a model says behind its calls, instead of waiting for their results, is taken back."""
        chat, stream, places = self._now, ReplyStream(self.engine.dialect.name), count()
        called: Reply | None = None  # as far as the end of the last call
        while True:
            left = limit - self._count().sampled
            if left <= 0:
                raise _Halt("tokens", f"{self.max_tokens} tokens were written")
            constraint = self._must_call if self.conversation.messages[-1].role == "user" else None
            for piece in chat.write(
                max_tokens=left, sampling=self.sampling, constraint=constraint or self.constraint, stop_at_call=True
            ):
                parsed = stream.feed(piece)
                if called and any(isinstance(one, TextPiece) and one.text.strip() for one in parsed):
                    chat.rollback(self._mark)
                    chat.add(self._message(called))
                    return called
                yield from self._told(parsed, places)
            if chat.ended == "context":
                raise ContextFull(len(chat.ids) + 1, len(chat.ids))
            if chat.ended == "end":
                yield from self._told(stream.close(), places)
                return stream.reply
            called = stream.reply if chat.ended == "call" else called

    def _told(self, parsed: Sequence[Parsed], places: Iterator[int]) -> Iterator[Event]:
        """What the parser found, as events. `places` counts the calls of this reply."""
        for one in parsed:
            match one:
                case TextPiece(text):
                    yield Text(text)
                case ThoughtPiece(text):
                    yield Thought(text)
                case CallDone(call):
                    yield Call(self._numbered(call, next(places)))
                case FaultFound(fault):
                    yield BadCall(fault)

    def _make_room(self, full: ContextFull) -> Iterator[Event]:
        """Cuts results until a reply fits. The model must read what is left anew."""
        room = min(ROOM, full.context // 4)
        while True:
            cut = cut_oldest(self.conversation) if self.when_full == "cut_oldest" else None
            if cut is None:
                raise full
            talk, place, gone = cut
            self._begin(talk)
            yield Shortened(place, gone)
            needed = len(self._now.ids) + room
            if needed <= full.context:
                return
            full = ContextFull(needed, full.context)

    def _message(self, reply: Reply) -> Message:
        """What is kept of a reply. Where none of its calls could be read, that is its very words."""
        if reply.faults and not reply.calls:
            return Message("assistant", reply.text.strip())
        calls = tuple(self._numbered(call, place) for place, call in enumerate(reply.calls))
        return Message("assistant", reply.content, reply.thought, calls)

    def _numbered(self, call: ToolCall, place: int) -> ToolCall:
        """A call has an id of its own, by which its result names it: nine letters and digits, which every family takes."""
        before = sum(len(message.calls) for message in self.conversation.messages)
        return call if call.id else replace(call, id=f"call{before + place + 1:05}")

    # ---- the conversation, and the chat that holds it --------------------------------------------------------------------

    @property
    def _now(self) -> Chat:
        assert self._chat is not None, "a run begins with a chat"
        return self._chat

    def _take(self, request: str | Conversation | None) -> Sequence[Choice] | None:
        """Brings conversation and chat to where the model is to reply. What was chosen of the tools, if there is a choice."""
        talk, chat = self.conversation, self._chat
        if chat is not None:
            chat.rollback(self._mark)
        if isinstance(request, Conversation):
            talk, chat = request, None
        elif request is not None:
            talk = talk.add(Message("user", request))
        if request is not None:
            self.toolbox.reset()  # who asks for the same again may have it again
        if not talk.messages or talk.messages[-1].role not in ("user", "tool"):
            raise ValueError("there is nothing for the model to reply to: give run() what the user says")
        tools = tuple(self.toolbox.tools)
        choices = None if self.select_tools is None else self.select_tools(talk, tools)
        if choices is not None:
            shown = {choice.name for choice in choices if choice.shown}
            tools = tuple(tool for tool in tools if tool["function"]["name"] in shown)
        if chat is None or tools != talk.tools:
            self._begin(replace(talk, tools=tools))
            return choices
        if request is not None:
            chat.say(talk.messages[-1].content)
        self.conversation, self._mark = talk, chat.mark()
        return choices

    def _offered(self, choices: Sequence[Choice]) -> Offered:
        shown = self.conversation.tools
        whole, part = self.engine.cost(self.toolbox.tools), self.engine.cost(shown)
        names = tuple(tool["function"]["name"] for tool in shown)
        saved = None if whole is None or part is None else whole - part
        return Offered(names, len(self.toolbox), saved, tuple(choices))

    def _begin(self, talk: Conversation) -> None:
        """A new chat that stands at the end of this conversation."""
        chat = self.engine.resume(talk)
        self._retired = self._count()
        self.conversation, self._chat, self._mark = talk, chat, chat.mark()

    def _keep(self, *messages: Message) -> None:
        self.conversation, self._mark, self._pending = self.conversation.add(*messages), self._now.mark(), None

    def _settle(self) -> None:
        """Chat and conversation in agreement, however the run ended. Calls without results get some that say so."""
        self._now.rollback(self._mark)
        if self._pending is None:
            return
        words = "Interrupted before there was a result; it may have run, or not."
        lost = (Observation(words, "failed", call.name, call.id) for call in self._pending.calls)
        messages = (self._pending, *(observation.to_message() for observation in lost))
        self._now.add(*messages)
        self._keep(*messages)

    def _count(self) -> _Count:
        """Tokens so far, in all chats."""
        if self._chat is None:
            return self._retired
        return _Count(self._retired.sampled + self._chat.sampled, self._retired.forwarded + self._chat.forwarded)


@dataclass(frozen=True, slots=True)
class _Act:
    """The wish to have calls run; their observations are sent back."""

    calls: tuple[ToolCall, ...]


@dataclass(frozen=True, slots=True)
class _Count:
    sampled: int
    forwarded: int

    def since(self, before: _Count) -> _Count:
        return _Count(self.sampled - before.sampled, self.forwarded - before.forwarded)


class _Halt(Exception):
    """The run has a reason to stop."""

    def __init__(self, reason: StopReason, detail: str = "") -> None:
        self.reason: StopReason = reason
        self.detail = detail


def _constraints(
    engine: Engine, given: Constraint | None, constrained: bool, tool_choice: str
) -> tuple[Constraint | None, Constraint | None]:
    """One for the reply to a user if that must call, and one for every other."""
    if not constrained and tool_choice != "auto":
        raise ValueError(f"tool_choice={tool_choice!r} holds for constrained calls only: say constrained=True, too")
    if not constrained:
        return None, given
    if given is not None:
        raise ValueError("constrained=True makes the constraint for calls; give either that or a constraint of your own")
    from fcutils.constrain import Calls

    if tool_choice in ("auto", "none"):
        return None, Calls(engine, tool_choice)
    return Calls(engine, tool_choice), Calls(engine)


_Steps = Generator[Event | _Act, list[Observation] | None, None]


def _advance(steps: _Steps, observations: list[Observation] | None) -> Event | _Act | None:
    try:
        return steps.send(observations)
    except StopIteration:
        return None


def _unparsable(fault: Fault) -> Observation:
    words = f"A call could not be read: {fault.reason}. Write it again, as one JSON object with a name and arguments."
    return Observation(words, "unparsable")


def _outcome(answer: str) -> StopReason:
    """Whether the last thing said is a question."""
    said = answer.rstrip(" \n\t*_\"'”’)»")
    return "asked" if said.endswith(("?", "？", "؟")) else "answered"
