"""What a call through the toolbox costs: over a bare Python call, beside its peers, in a process that can be killed, in bulk.

    python benchmarks/toolbox.py

Prints the ratios and writes `benchmarks/results/toolbox.json`. Made for a machine that is shared: work in this process is
measured in its own CPU time, and where another process, a disk or a clock has a part in it, by the clock on the wall. The goals
are held against the best of many short rounds: what others take of the machine can only add.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple

import psutil
from keeping import keep  # a script's folder is on its path
from langchain_core.tools import StructuredTool
from pydantic import BaseModel, Field, validate_call

from fcutils.messages import ToolCall
from fcutils.toolbox import Toolbox
from fcutils.worker import MOST_WORKERS

GOALS = {"a call, in µs over a bare one": 100.0, "a call in a warm process, in µs over a bare one": 3000.0}


class Passenger(BaseModel):
    """Who travels."""

    name: str = Field(description="the full name")
    age: int = Field(ge=0, description="in years")


def book(
    city: str, day: str, passengers: list[Passenger], by: Literal["air", "rail"] = "rail", budget: float = 100.0
) -> dict[str, Any]:
    """Book a journey.

    Args:
        city: Where to.
        day: When.
        passengers: Who travels.
        by: How.
        budget: At most how much.
    """
    return {"city": city, "day": day, "count": len(passengers), "by": by, "budget": budget}


ARGUMENTS: dict[str, Any] = {
    "city": "Oslo",
    "day": "2026-01-31",
    "passengers": [{"name": "Ada", "age": 36}, {"name": "Grace", "age": 85}],
    "budget": 250,
}


class Cost(NamedTuple):
    """Microseconds for one piece of work: in the best of many short rounds, and in the middle one."""

    best: float
    median: float
    clock: Literal["CPU", "wall"]


def cost(work: Callable[[], Any], count: int, rounds: int = 60, clock: Literal["CPU", "wall"] = "CPU") -> Cost:
    now = time.process_time if clock == "CPU" else time.perf_counter
    work()
    times = []
    for _ in range(rounds):
        began = now()
        for _ in range(count):
            work()
        times.append((now() - began) / count * 1e6)
    return Cost(round(min(times), 2), round(statistics.median(times), 2), clock)


def toolbox(journal: Path | None = None, timeout: float | None = None) -> Toolbox:
    box = Toolbox(max_repeats=sys.maxsize, journal=journal)
    box.add(book, timeout=timeout)
    return box


def one_call() -> dict[str, Cost]:
    """One call, each way."""
    call = ToolCall("book", ARGUMENTS)
    here, apart = toolbox(), toolbox(timeout=60)
    passengers = [Passenger(**row) for row in ARGUMENTS["passengers"]]
    checked, peer = validate_call(book), StructuredTool.from_function(book)
    assert here.call(call).content == apart.call(call).content
    with tempfile.TemporaryDirectory() as folder:
        recorded = toolbox(journal=Path(folder) / "journal.jsonl")
        journalled = cost(lambda: recorded.call(call), 1, 300, "wall")
    return {
        "bare": cost(lambda: book("Oslo", "2026-01-31", passengers, budget=250), 5_000),
        "pydantic validate_call": cost(lambda: checked(**ARGUMENTS), 200),
        "toolbox": cost(lambda: here.call(call), 50),
        "langchain-core StructuredTool": cost(lambda: peer.invoke(ARGUMENTS), 10),
        "toolbox, refused arguments": cost(lambda: here.call(ToolCall("book", {**ARGUMENTS, "by": "sea"})), 50),
        "toolbox with a journal (fsync)": journalled,
        "toolbox, warm process": cost(lambda: apart.call(call), 1, 500, "wall"),
        "toolbox, cold process": cost(cold(), 1, 5, "wall"),
    }


def cold() -> Callable[[], Any]:
    """A call whose process has to be started, as the one before it left a thread behind."""

    def leave() -> None:
        """Leave a thread behind."""
        threading.Thread(target=time.sleep, args=(60,)).start()

    box = Toolbox(max_repeats=sys.maxsize)
    box.add(leave, timeout=60)
    return lambda: box.call(ToolCall("leave"))


def many_calls() -> dict[str, float]:
    """A thousand calls in one reply, in seconds on the wall, the best of three: side by side and one after another."""

    def fetch(number: int) -> int:
        """Wait as for a network.

        Args:
            number: anything
        """
        time.sleep(0.005)
        return number

    box = Toolbox(max_repeats=sys.maxsize)
    box.add(fetch)
    box.add(fetch, name="fetch_apart", timeout=60)
    box.add(book)
    different = [ToolCall("book", {**ARGUMENTS, "budget": number}) for number in range(1_000)]
    waiting = [ToolCall("fetch", {"number": number}) for number in range(1_000)]
    apart = [ToolCall("fetch_apart", {"number": number}) for number in range(1_000)]
    box.call_all(apart[: 4 * MOST_WORKERS])  # warm
    ways: dict[str, Callable[[], Any]] = {
        "quick tool, one after another": lambda: [box.call(call) for call in different],
        "quick tool, side by side": lambda: box.call_all(different),
        "5 ms tool, one after another": lambda: [box.call(call) for call in waiting],
        "5 ms tool, side by side": lambda: box.call_all(waiting),
        f"5 ms tool, side by side in {MOST_WORKERS} warm processes": lambda: box.call_all(apart),
    }
    seconds = {}
    for name, work in ways.items():
        rounds = []
        for _ in range(3):
            began = time.perf_counter()
            assert all(observation.ok for observation in work())
            rounds.append(time.perf_counter() - began)
        seconds[name] = round(min(rounds), 3)
    return seconds


def main() -> None:
    warnings.simplefilter("ignore")
    load = f"{psutil.getloadavg()[0]:.1f} processes at the start"
    one, many = one_call(), many_calls()
    bare = one["bare"].best
    reached = {
        "a call, in µs over a bare one": round(one["toolbox"].best - bare, 2),
        "a call in a warm process, in µs over a bare one": round(one["toolbox, warm process"].best - bare, 2),
    }
    result = {
        "load": load,
        "one call, in µs": {name: figures._asdict() for name, figures in one.items()},
        "1,000 calls in one reply, in s": many,
        "goals": {name: {"goal": goal, "reached": reached[name]} for name, goal in GOALS.items()},
    }
    keep(result, "pydantic", "cloudpickle", "langchain-core")
    print("   best round  middle round   best over the toolbox's")
    for name, (best, median, clock) in one.items():
        print(f"{best:10,.1f} µs {median:10,.1f} µs {best / one['toolbox'].best:12.2f} ×  {name} ({clock})")
    for name, seconds in many.items():
        print(f"{seconds:12.3f} s   1,000 calls: {name}")
    for name, goal in GOALS.items():
        print(f"{name}: {reached[name]:,.1f} (goal: under {goal:,.0f})")


if __name__ == "__main__":
    main()
