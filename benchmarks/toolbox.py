"""What a call through the toolbox costs: over a bare Python call, beside its peers, in a process that can be killed, in bulk.

    python benchmarks/toolbox.py

Prints the ratios and writes `benchmarks/results/toolbox.json`. Each figure is the median of several rounds.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from langchain_core.tools import StructuredTool
from pydantic import BaseModel, Field, validate_call

from fcutils.messages import ToolCall
from fcutils.toolbox import Toolbox
from fcutils.worker import MOST_WORKERS

RESULTS = Path(__file__).parent / "results" / "toolbox.json"
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


def median_us(work: Callable[[], Any], count: int, rounds: int = 7) -> float:
    """Microseconds for one piece of work: the median round's mean."""
    work()
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        for _ in range(count):
            work()
        times.append((time.perf_counter() - began) / count * 1e6)
    return round(statistics.median(times), 2)


def toolbox(journal: Path | None = None, timeout: float | None = None) -> Toolbox:
    box = Toolbox(max_repeats=sys.maxsize, journal=journal)
    box.add(book, timeout=timeout)
    return box


def one_call() -> dict[str, float]:
    """One call, each way."""
    call = ToolCall("book", ARGUMENTS)
    here, apart = toolbox(), toolbox(timeout=60)
    passengers = [Passenger(**row) for row in ARGUMENTS["passengers"]]
    checked, peer = validate_call(book), StructuredTool.from_function(book)
    began = time.perf_counter()
    assert apart.call(call).ok
    cold = (time.perf_counter() - began) * 1e6
    assert here.call(call).content == apart.call(call).content
    with tempfile.TemporaryDirectory() as folder:
        recorded = toolbox(journal=Path(folder) / "journal.jsonl")
        journalled = median_us(lambda: recorded.call(call), 20)
    return {
        "bare": median_us(lambda: book("Oslo", "2026-01-31", passengers, budget=250), 10_000),
        "pydantic validate_call": median_us(lambda: checked(**ARGUMENTS), 2_000),
        "toolbox": median_us(lambda: here.call(call), 2_000),
        "langchain-core StructuredTool": median_us(lambda: peer.invoke(ARGUMENTS), 200),
        "toolbox, refused arguments": median_us(lambda: here.call(ToolCall("book", {**ARGUMENTS, "by": "sea"})), 1_000),
        "toolbox with a journal (fsync)": journalled,
        "toolbox, warm process": median_us(lambda: apart.call(call), 200),
        "toolbox, cold process": round(cold, 2),
    }


def many_calls() -> dict[str, float]:
    """A thousand calls in one reply, in seconds: side by side and one after another."""

    def fetch(number: int) -> int:
        """Wait as for a network.

        Args:
            number: anything
        """
        time.sleep(0.005)
        return number

    box = Toolbox()
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
        began = time.perf_counter()
        assert all(observation.ok for observation in work())
        seconds[name] = round(time.perf_counter() - began, 3)
    return seconds


def main() -> None:
    warnings.simplefilter("ignore")
    one, many = one_call(), many_calls()
    reached = {
        "a call, in µs over a bare one": round(one["toolbox"] - one["bare"], 2),
        "a call in a warm process, in µs over a bare one": round(one["toolbox, warm process"] - one["bare"], 2),
    }
    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores (shared), Python {platform.python_version()}"
    result = {
        "command": "python benchmarks/toolbox.py",
        "date": datetime.now(UTC).date().isoformat(),
        "machine": machine,
        "versions": {name: version(name) for name in ("pydantic", "cloudpickle", "langchain-core")},
        "one call, in µs": one,
        "1,000 calls in one reply, in s": many,
        "goals": {name: {"goal": goal, "reached": reached[name]} for name, goal in GOALS.items()},
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    for name, microseconds in one.items():
        print(f"{microseconds:12,.1f} µs  {microseconds / one['toolbox']:8.2f} × toolbox  {name}")
    for name, seconds in many.items():
        print(f"{seconds:12.3f} s   1,000 calls: {name}")
    for name, goal in GOALS.items():
        print(f"{name}: {reached[name]:,.1f} (goal: under {goal:,.0f})")


if __name__ == "__main__":
    main()
