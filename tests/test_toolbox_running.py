"""toolbox.py: where calls run, and in which order: side by side, alone, in a process of their own."""

from __future__ import annotations

import asyncio
import contextvars
import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from fcutils.messages import Observation, ToolCall
from fcutils.toolbox import Toolbox

AMPLE = 60.0  # seconds, for what is expected to end by itself on a busy machine

pytestmark = pytest.mark.filterwarnings("ignore::fcutils.schema.SchemaWarning")


def add(a: int, b: int = 1) -> int:
    return a + b


def box_of(*functions: Callable[..., Any], **options: Any) -> Toolbox:
    box = Toolbox(**options)
    for function in functions:
        box.add(function)
    return box


def calls(name: str, *values: Any) -> list[ToolCall]:
    return [ToolCall(name, {"a": value}, id=f"c{number}") for number, value in enumerate(values)]


# ---- side by side ----------------------------------------------------------------------------------------------


def test_calls_run_side_by_side_in_order() -> None:
    """Each call waits for the other two: they can only end together."""
    barrier = threading.Barrier(3, timeout=AMPLE)

    def meet(a: int) -> int:
        barrier.wait()
        return a

    async def ameet(a: int) -> int:
        await asyncio.to_thread(barrier.wait)
        return a

    box = box_of(meet, ameet)
    for name in ("meet", "ameet"):
        here = box.call_all(calls(name, 1, 2, 3))
        assert [(o.content, o.call_id) for o in here] == [(1, "c0"), (2, "c1"), (3, "c2")]
        there = asyncio.run(box.acall_all(calls(name, 4, 5, 6)))
        assert [(o.content, o.call_id) for o in there] == [(4, "c0"), (5, "c1"), (6, "c2")]


def test_workers_run_side_by_side(tmp_path: Path) -> None:
    def meet(mine: str, other: str) -> str:
        Path(mine).touch()
        while not Path(other).exists():
            time.sleep(0.005)
        return mine

    box = Toolbox()
    box.add(meet, timeout=AMPLE)
    a, b = str(tmp_path / "a"), str(tmp_path / "b")
    pair = [ToolCall("meet", {"mine": a, "other": b}), ToolCall("meet", {"mine": b, "other": a})]
    assert [observation.content for observation in box.call_all(pair)] == [a, b]


@pytest.mark.parametrize("how", ["call_all", "acall_all"])
def test_tools_that_change_the_world_run_alone(how: str) -> None:
    log: list[str] = []
    lock = threading.Lock()

    def note(word: str) -> None:
        with lock:
            log.append(word)

    def read(a: int) -> None:
        note(f"+read {a}")
        time.sleep(0.01)
        note(f"-read {a}")

    def write(a: int) -> None:
        note(f"+write {a}")
        time.sleep(0.01)
        note(f"-write {a}")

    box = box_of(read)
    box.add(write, approve=lambda call: True)
    order = [*calls("read", 1, 2), *calls("write", 3, 4), *calls("read", 5, 6)]
    observations = box.call_all(order) if how == "call_all" else asyncio.run(box.acall_all(order))
    assert all(observation.ok for observation in observations)
    assert {*log[:4]} == {"+read 1", "-read 1", "+read 2", "-read 2"}
    assert log[4:8] == ["+write 3", "-write 3", "+write 4", "-write 4"]
    assert {*log[8:]} == {"+read 5", "-read 5", "+read 6", "-read 6"}


def ledger() -> tuple[sqlite3.Connection, Callable[..., int]]:
    connection = sqlite3.connect(":memory:", check_same_thread=False)
    connection.execute("create table account (balance integer)")
    connection.execute("insert into account values (0)")
    connection.commit()

    def pay(a: int) -> int:
        """Read, wait, write: what goes wrong at once when two do it at the same time."""
        with connection:
            (balance,) = connection.execute("select balance from account").fetchone()
            time.sleep(0.001)
            connection.execute("update account set balance = ?", (balance + a,))
        return balance + a

    return connection, pay


@pytest.mark.parametrize("how", ["all at once", "from threads", "on a loop"])
def test_tools_on_one_connection_are_safe(how: str) -> None:
    connection, pay = ledger()
    box = box_of(pay, parallel=False)
    order = calls("pay", *range(1, 31))
    if how == "all at once":
        observations = box.call_all(order)
    elif how == "from threads":
        with ThreadPoolExecutor(8) as threads:
            observations = list(threads.map(box.call, order))
    else:

        async def gather() -> list[Observation]:
            return await asyncio.gather(*map(box.acall, order))

        observations = asyncio.run(gather())
    assert all(observation.ok for observation in observations)
    assert connection.execute("select balance from account").fetchone() == (sum(range(1, 31)),)
    connection.close()


def test_a_tool_that_calls_another_of_its_toolbox() -> None:
    box = box_of(add, parallel=False)

    def twice(a: int) -> list[Any]:
        return [o.content for o in box.call_all(calls("add", a, a))]

    async def later(a: int) -> Any:
        return (await box.acall(ToolCall("twice", {"a": a}))).content

    box.add(twice)
    box.add(later)
    assert box.call(ToolCall("twice", {"a": 1})).content == [2, 2]
    assert box.call(ToolCall("later", {"a": 2})).content == [3, 3]
    assert asyncio.run(box.acall(ToolCall("later", {"a": 3}))).content == [4, 4]


@pytest.mark.parametrize("careful", ["left", "right"])
def test_tools_of_merged_toolboxes_run_alone_among_each_other(careful: str) -> None:
    connection, pay = ledger()
    left, right = Toolbox(parallel=careful != "left"), Toolbox(parallel=careful != "right")
    if careful == "right":
        left.add(pay, name="pay_left", approve=lambda call: True)
    else:
        left.add(pay, name="pay_left")
    right.add(pay, name="pay_right")
    box = left | right
    order = [call for pair in zip(calls("pay_left", *range(20)), calls("pay_right", *range(20)), strict=True) for call in pair]
    with ThreadPoolExecutor(8) as threads:
        assert all(observation.ok for observation in threads.map(box.call, order))
    assert connection.execute("select balance from account").fetchone() == (2 * sum(range(20)),)
    connection.close()


def test_a_call_that_would_wait_for_its_own_event_loop_says_so() -> None:
    """As in a notebook, whose cells run on a loop: waiting there for a task of that loop would never end."""
    gate = asyncio.Event()

    async def wait(a: int) -> int:
        await gate.wait()
        return a

    box = box_of(wait, parallel=False)

    async def both() -> tuple[Observation, ...]:
        task = asyncio.create_task(box.acall(calls("wait", 1)[0]))
        await asyncio.sleep(0)
        refused = box.call(calls("wait", 2)[0])
        gate.set()
        return refused, await task, box.call(calls("wait", 3)[0])

    refused, first, last = asyncio.run(both())
    assert refused.kind == "failed" and "acall" in refused.text
    assert (first.content, last.content) == (1, 3)


def test_a_call_that_is_cancelled_while_it_waits_leaves_nothing_locked() -> None:
    gate = threading.Event()

    def wait(a: int) -> int:
        gate.wait(AMPLE)
        return a

    box = box_of(wait, parallel=False)

    async def cancel() -> list[Any]:
        first, second = (asyncio.create_task(box.acall(call)) for call in calls("wait", 1, 2))
        await asyncio.sleep(0.02)
        second.cancel()
        await asyncio.gather(second, return_exceptions=True)
        gate.set()
        return [await first, await box.acall(calls("wait", 3)[0])]

    assert [observation.content for observation in asyncio.run(cancel())] == [1, 3]


def test_a_call_that_is_cancelled_while_it_runs_keeps_its_place() -> None:
    """A thread cannot be stopped: until it is done, no other may have the connection."""
    began, gate, log = threading.Event(), threading.Event(), list[str]()

    def write(a: int) -> None:
        log.append(f"+{a}")
        began.set()
        gate.wait(AMPLE)
        log.append(f"-{a}")

    box = box_of(write, parallel=False)

    async def cancel() -> None:
        first, second = (asyncio.create_task(box.acall(call)) for call in calls("write", 1, 2))
        await asyncio.to_thread(began.wait, AMPLE)
        for _ in range(3):  # a time limit of anyio's cancels again and again
            first.cancel()
            await asyncio.sleep(0.01)
        gate.set()
        with pytest.raises(asyncio.CancelledError):
            await first
        await second

    asyncio.run(cancel())
    assert log == ["+1", "-1", "+2", "-2"]


def test_the_callers_context_is_the_tools() -> None:
    user: contextvars.ContextVar[str] = contextvars.ContextVar("user")

    def who(a: int) -> str:
        return user.get()

    user.set("Ada")
    assert [o.content for o in box_of(who).call_all(calls("who", 1, 2))] == ["Ada", "Ada"]


def test_cancelling_gets_through_an_async_tool() -> None:
    async def sleep(a: int) -> None:
        await asyncio.sleep(600)

    async def cancel() -> None:
        task = asyncio.create_task(box_of(sleep).acall(calls("sleep", 1)[0]))
        await asyncio.sleep(0.01)
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cancel())


# ---- in a process of its own -----------------------------------------------------------------------------------


def test_each_end_has_its_kind() -> None:
    box = Toolbox()
    ends: dict[str, Callable[[], Any]] = {
        "ok": lambda: {"n": 1},
        "timed_out": lambda: time.sleep(600),
        "crashed": lambda: os._exit(0),
        "failed": lambda: sys.exit(3),
        "bad_result": lambda: object(),
    }
    for kind, function in ends.items():
        box.add(function, name=kind, timeout=0.5 if kind == "timed_out" else AMPLE)
    for observation in box.call_all([ToolCall(kind) for kind in ends]):
        assert observation.kind == observation.name
    assert box.call(ToolCall("ok", {"x": 1})).kind == "invalid_arguments"


def test_an_async_tool_with_a_limit() -> None:
    async def later(a: int) -> int:
        await asyncio.sleep(0)
        return a + 1

    box = Toolbox()
    box.add(later, timeout=AMPLE)
    assert box.call(calls("later", 1)[0]).content == 2
    assert asyncio.run(box.acall(calls("later", 2)[0])).content == 3


def test_what_can_no_longer_be_sent_is_a_failure() -> None:
    held: list[Any] = []

    def count(a: int) -> int:
        return len(held) + a

    box = Toolbox()
    box.add(count, timeout=AMPLE)
    assert box.call(calls("count", 1)[0]).content == 1
    held.append(threading.Lock())
    observation = box.call(calls("count", 2)[0])
    assert observation.kind == "failed"
    assert "did not reach its process" in observation.content


SCRIPT = """
from __future__ import annotations
import enum
from pydantic import BaseModel
from fcutils.messages import ToolCall
from fcutils.toolbox import Toolbox

class Size(enum.Enum):
    SMALL = "small"

class Parcel(BaseModel):
    size: Size
    inner: list[Parcel] = []

RATE = 3
box = Toolbox()

@box.tool(timeout=60)
def post(parcel: Parcel, by: Size = Size.SMALL) -> Parcel:
    '''Post a parcel.

    Args:
        parcel: what
        by: how
    '''
    print("on its way")
    return Parcel(size=parcel.size, inner=[parcel] * RATE)

print(box.call(ToolCall("post", {"parcel": {"size": "small"}})).text)
print(box.call(ToolCall("post", {"parcel": {"size": "huge"}})).kind)
"""


def test_functions_and_classes_of_a_notebook_travel() -> None:
    """A script read from standard input is like a notebook's cells: no file, no module, no main guard."""
    done = subprocess.run([sys.executable, "-"], input=SCRIPT.encode(), capture_output=True, timeout=AMPLE)
    small = '{"size": "small", "inner": []}'
    assert done.stdout.decode().split("\n")[:2] == [
        f'{{"size": "small", "inner": [{small}, {small}, {small}]}}',
        "invalid_arguments",
    ]
    assert done.stderr == b""
