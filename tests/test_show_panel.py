"""show/chat_panel.py: what its handlers do, without a browser."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import tiny

from fcutils.loop import ToolLoop
from fcutils.messages import Message, ToolCall
from fcutils.show import panel
from fcutils.show.chat_panel import Panel
from fcutils.toolbox import Toolbox

PAY = ToolCall("pay", {"amount": 5})


def made(*replies: str | Message, box: Toolbox | None = None) -> tuple[Panel, list[int]]:
    box, paid = Toolbox() if box is None else box, list[int]()

    @box.tool(approve=True)
    def pay(amount: int) -> str:
        """Pay a bill.

        Args:
            amount: How much
        """
        paid.append(amount)
        return "<b>paid</b>"

    engine = tiny.engine("llama")
    return panel(ToolLoop(engine, box, constraint=tiny.Script(engine, *replies))), paid


async def say(room: Panel, text: str) -> None:
    room.request.value = text
    room.send_button.click()


async def asked(room: Panel) -> None:
    while room.approval.layout.display == "none":
        await asyncio.sleep(0.01)


def test_it_talks_asks_and_shows() -> None:
    async def play() -> None:
        await say(room, "Pay 5")
        assert room.request.value == "" and room.busy
        await asked(room)
        assert room.send_button.disabled and not room.stop_button.disabled
        assert "pay(amount=5)" in room.question.value and paid == []
        room.yes.click()
        assert room.task
        await room.task

    room, paid = made(Message("assistant", "I pay.", calls=(PAY,)), "Paid <5>.")
    asyncio.run(play())
    assert paid == [5]
    assert not room.busy and not room.send_button.disabled and room.approval.layout.display == "none"
    assert "Pay 5" in room.talk.value and "Paid &lt;5&gt;." in room.talk.value and "pay(" not in room.talk.value
    for seen in ("Pay 5", "I pay.", "pay(amount=5)", "&lt;b&gt;paid&lt;/b&gt;", "Paid &lt;5&gt;.", "answered: 2 replies"):
        assert room.trace.value.count(seen) == 1


def test_no_is_no_and_the_reason_to_stop_is_said() -> None:
    async def play() -> None:
        await say(room, "Pay 5")
        await asked(room)
        room.no.click()
        room.yes.click()  # too late
        assert room.task
        await room.task

    room, paid = made(Message("assistant", calls=(PAY,)))
    asyncio.run(play())
    assert paid == [] and "refused" in room.talk.value


def test_stop_leaves_a_conversation_that_goes_on() -> None:
    async def play() -> None:
        await say(room, "Pay 5")
        await asked(room)
        room.stop_button.click()
        assert room.task
        await room.task
        assert paid == [] and "Stopped here" in room.talk.value and not room.busy
        await say(room, "And now?")
        await room.task

    room, paid = made(Message("assistant", calls=(PAY,)), "Nothing was paid.")
    asyncio.run(play())
    assert [message.role for message in room.loop.conversation.messages] == ["user", "assistant", "tool", "user", "assistant"]
    assert room.talk.value.count("<b>") == 4 and "Nothing was paid." in room.talk.value
    assert "And now?" in room.trace.value and "Pay 5" in room.trace.value


def test_enter_sends_and_one_run_at_a_time() -> None:
    async def play() -> None:
        room.request.value = "hi"
        room.request._handle_custom_msg({"event": "submit"}, [])
        task = room.task
        await say(room, "again")
        assert room.task is task and room.request.value == "again", "what was typed meanwhile stays"
        assert task
        await task

    room, _ = made("Hello.")
    asyncio.run(play())
    assert [message.content for message in room.loop.conversation.messages] == ["hi", "Hello."]


def test_what_goes_wrong_is_shown() -> None:
    async def play() -> None:
        await say(room, "hi")
        assert room.task
        await room.task

    room, _ = made()  # the script is empty
    asyncio.run(play())
    assert "the script has no reply left" in room.talk.value and not room.busy


def test_a_toolbox_with_somebody_to_ask_keeps_them() -> None:
    def never(call: Any) -> bool:
        return False

    room, _ = made(box=Toolbox(on_approve=never))
    assert room.loop.toolbox.on_approve is never


def test_a_call_from_elsewhere_is_refused_and_does_not_wait_for_a_button() -> None:
    room, paid = made()
    seen: list[Any] = []
    thread = threading.Thread(target=lambda: seen.append(room.loop.toolbox.call(PAY)), daemon=True)
    thread.start()
    thread.join(30)
    assert [one.kind for one in seen] == ["refused"] and paid == []


def test_a_notebook_shows_the_widgets() -> None:
    room, _ = made()
    assert "application/vnd.jupyter.widget-view+json" in room._repr_mimebundle_()
