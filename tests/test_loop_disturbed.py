"""The loop disturbed: a conversation that outgrows the model, interruptions, tools side by side and on an event loop.

Whatever happens, every token is forwarded once and the conversation can be continued.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from typing import Any

import pytest
import tiny
from loop_samples import BERGEN, OSLO, in_agreement, loop, of, says, stop_of

from fcutils.loop import (
    Event,
    Observed,
    Shortened,
    Text,
)
from fcutils.messages import ToolCall
from fcutils.toolbox import Toolbox

# ---- a conversation that outgrows the model ----------------------------------------------------------------------------


def big_toolbox(characters: int) -> Toolbox:
    box = Toolbox()

    @box.tool
    def read(page: int) -> str:
        """Read a page.

        Args:
            page: Which
        """
        return f"page {page}: " + "lorem ipsum " * (characters // 12)

    return box


def test_the_oldest_results_are_cut_visibly_and_the_run_goes_on() -> None:
    engine = tiny.engine("llama", context=2000)
    pages = [says(ToolCall("read", {"page": page})) for page in range(6)]
    talk = loop(*pages, says(content="Read."), engine=engine, box=big_toolbox(1000), max_turns=20)
    events = list(talk.run("Read all"))
    assert stop_of(events).reason == "answered"
    cuts = of(Shortened, events)
    assert [cut.message for cut in cuts] == [2 * number + 2 for number in range(len(cuts))]
    assert cuts
    assert all(cut.characters > 900 for cut in cuts)
    results = [message.content for message in talk.conversation.messages if message.role == "tool"]
    assert [text.startswith("[") and "cut here to make room" in text for text in results] == [n < len(cuts) for n in range(6)]
    assert in_agreement(talk)
    assert len(talk._now.ids) <= 2000


def test_the_newest_result_is_cut_by_halves() -> None:
    talk = loop(
        says(ToolCall("read", {"page": 1})),
        says(content="Read."),
        engine=tiny.engine("llama", context=1000),
        box=big_toolbox(7000),
    )
    events = list(talk.run("Read"))
    assert stop_of(events).reason == "answered"
    assert len(of(Shortened, events)) > 1
    text = talk.conversation.messages[2].content
    assert text.startswith("page 1: lorem")
    assert text.count("cut here to make room") == 1
    assert in_agreement(talk)


def test_with_nothing_to_cut_or_when_told_so_it_stops_and_says_by_how_much() -> None:
    engine = tiny.engine("llama", context=700)
    stop = stop_of(list(loop(engine=engine).run("word " * 900)))
    assert stop.reason == "context"
    assert "too many" in stop.detail
    talk = loop(says(ToolCall("read", {"page": 1})), engine=engine, box=big_toolbox(3000), when_full="stop")
    events = list(talk.run("Read"))
    assert stop_of(events).reason == "context"
    assert not of(Shortened, events)
    assert in_agreement(talk)


# ---- interruptions -----------------------------------------------------------------------------------------------------


def test_interrupted_while_the_model_writes() -> None:
    engine = tiny.engine("llama")
    replies = [says(OSLO), says(content="It is cold in Oslo today.")]
    talk = loop(*replies, engine=engine)
    with pytest.raises(KeyboardInterrupt):
        for event in talk.run("Oslo?"):
            if isinstance(event, Text):
                raise KeyboardInterrupt
    talk.constraint = tiny.Script(engine, replies[1])
    assert stop_of(list(talk.run())).reason == "answered"
    assert [message.role for message in talk.conversation.messages] == ["user", "assistant", "tool", "assistant"]
    assert in_agreement(talk)


def test_interrupted_while_a_tool_runs() -> None:
    box = Toolbox()

    @box.tool
    def wait(seconds: int) -> str:
        """Wait.

        Args:
            seconds: How long
        """
        raise KeyboardInterrupt

    talk = loop(says(ToolCall("wait", {"seconds": 1})), says(content="Sorry."), box=box)
    with pytest.raises(KeyboardInterrupt):
        list(talk.run("Wait"))
    assert [message.role for message in talk.conversation.messages] == ["user", "assistant", "tool"]
    assert "Interrupted" in talk.conversation.messages[-1].content
    assert stop_of(list(talk.run())).reason == "answered"
    assert in_agreement(talk)


def test_a_run_that_is_dropped_in_the_middle_does_not_disturb_the_next() -> None:
    talk = loop(says(content="One two three four."), says(content="Five."))
    events = talk.run("hi")
    next(events)
    events.close()
    assert stop_of(list(talk.run("again"))).reason == "answered"
    assert [message.content for message in talk.conversation.messages] == ["hi", "again", "Five."]
    assert in_agreement(talk)


# ---- side by side, and on an event loop --------------------------------------------------------------------------------


def test_parallel_calls_run_side_by_side() -> None:
    box = Toolbox()
    both = threading.Barrier(2, timeout=20)  # passes only if two are there at once

    @box.tool
    def meet(who: str) -> str:
        """Meet somebody.

        Args:
            who: Whom
        """
        both.wait()
        return who

    calls = [ToolCall("meet", {"who": who}) for who in "ab"]
    events = list(loop(says(*calls), says(content="Met."), box=box).run("Meet"))
    assert [event.observation.content for event in of(Observed, events)] == ["a", "b"]


def test_the_async_twin_tells_the_same() -> None:
    replies = [says(OSLO, BERGEN, content="I look."), says(content="Cold in both.")]
    plain = list(loop(*replies).run("Both?"))

    async def run() -> list[Event]:
        return [event async for event in loop(*replies).arun("Both?")]

    def told(events: list[Event]) -> list[Any]:
        return [(type(e), getattr(e, "text", ""), getattr(e, "call", None), getattr(e, "reason", "")) for e in events]

    assert told(asyncio.run(run())) == told(plain)


def test_async_tools_run_on_the_event_loop_while_others_work() -> None:
    box = Toolbox()

    @box.tool
    async def rest(name: str) -> str:
        """Rest.

        Args:
            name: Whose
        """
        await both.wait()
        return name

    async def run() -> list[Event]:
        nonlocal both
        both = asyncio.Barrier(2)
        talk = loop(says(*(ToolCall("rest", {"name": name}) for name in "ab")), says(content="Done."), box=box)
        return [event async for event in talk.arun("Rest")]

    both: Any = None
    assert [event.observation.content for event in of(Observed, asyncio.run(run()))] == ["a", "b"]


def test_a_cancelled_async_run_leaves_a_conversation_that_goes_on() -> None:
    engine = tiny.engine("llama")
    talk = loop(says(content="word " * 400), engine=engine, max_tokens=2000)

    async def run() -> None:
        async for event in talk.arun("Talk"):
            if isinstance(event, Text):
                first.set()

    async def cancel() -> None:
        nonlocal first
        first = asyncio.Event()
        task = asyncio.create_task(run())
        await first.wait()
        task.cancel()
        await asyncio.sleep(0)
        task.cancel()  # by somebody impatient, while the step in the thread is waited for
        with pytest.raises(asyncio.CancelledError):
            await task

    first: Any = None
    asyncio.run(cancel())
    talk.constraint = tiny.Script(engine, says(content="Short."))
    assert stop_of(list(talk.run())).reason == "answered"
    assert in_agreement(talk)


# ---- every token once, whatever happens ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("family", "dialect"), [("llama", "hermes"), ("mistral", "mistral"), ("gemma2", "gemma")])
def test_ten_turns_with_tools_forward_every_token_once(family: str, dialect: str) -> None:
    box = Toolbox()

    @box.tool
    def read(page: int) -> str:
        """Read a page.

        Args:
            page: Which
        """
        return f"page {page}: " + "It is cold in Oslo. " * 3 * page

    pages = [says(ToolCall("read", {"page": page}, f"00000000{page}")) for page in range(9)]
    spoken = tiny.engine(family, dialect, context=8_000)
    talk = loop(*pages, says(content="Read."), engine=spoken, box=box, max_turns=10)
    stop = stop_of(list(talk.run("Read all")))
    length = len(talk._now.ids)
    assert (stop.reason, stop.turns) == ("answered", 10)
    assert length - stop.turns - 1 <= stop.forwarded <= length
    assert in_agreement(talk)
    assert length > 20 * tiny.WINDOW


def test_a_real_signal_in_the_middle_of_the_model_leaves_a_conversation_that_goes_on() -> None:
    spoken = tiny.engine("gemma2")
    replies = [says(ToolCall("weather", {"city": "Oslo"})), says(content="It is cold in Oslo today.")]
    talk = loop(*replies, engine=spoken)
    left = [12]

    def interrupt(*_: Any) -> None:
        left[0] -= 1
        if left[0] == 0:
            signal.raise_signal(signal.SIGINT)

    hook = spoken.model.model.layers[2].register_forward_pre_hook(interrupt)
    with pytest.raises(KeyboardInterrupt):
        list(talk.run("Oslo?"))
    hook.remove()
    done = sum(message.role == "assistant" for message in talk.conversation.messages)
    talk.constraint = tiny.Script(spoken, *replies[done:])
    assert stop_of(list(talk.run())).reason == "answered"
    assert in_agreement(talk)
