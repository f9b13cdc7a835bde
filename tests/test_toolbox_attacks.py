"""toolbox.py under attack: hostile names, arguments, tools and results. There is an observation, and nothing else happens."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import threading
import time
import zlib
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from fcutils.messages import ObservationKind, ToolCall, dumps
from fcutils.toolbox import Toolbox

AMPLE = 60.0

pytestmark = pytest.mark.filterwarnings("ignore::fcutils.schema.SchemaWarning")


def add(a: int, b: int = 1) -> int:
    return a + b


class Note(BaseModel):
    text: str
    stars: int = 0


def observe(function: Any, timeout: float | None = None, **arguments: Any) -> Any:
    box = Toolbox()
    box.add(function, name="tool", timeout=timeout)
    return box.call(ToolCall("tool", arguments))


# ---- names and arguments ---------------------------------------------------------------------------------------

NAMES = [
    "\u0430dd",  # a Cyrillic letter
    "\uff41dd",  # a full-width one, which Python itself would take for the same name
    "add ",
    "ADD",
    "add\0",
    "add()",
    "../add",
    "add; import os",
    "__class__",
    "tool",
    "call",
    "",
    "a" * 10_000_000,
    "\ud800",
]


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_a_name_is_right_or_wrong(name: str) -> None:
    box = Toolbox()
    box.add(add)
    observation = box.call(ToolCall(name, {"a": 1}))
    assert observation.kind == "unknown_tool"
    assert len(observation.text.encode()) < 500


@pytest.mark.parametrize(
    "key", ["\uff41", "__class__", "self", "a.b", "model_config", "__init__", "a\0", "", "\ud800", "kwargs"]
)
def test_so_is_an_arguments_name(key: str) -> None:
    box = Toolbox()
    box.add(add)
    box.add(Note)
    for name, arguments in (("add", {"a": 1, key: 1}), ("Note", {"text": "x", key: 1})):
        observation = box.call(ToolCall(name, arguments))
        assert observation.kind == "invalid_arguments"
        dumps(observation.content).encode()


def test_text_that_looks_like_code_arrives_as_text() -> None:
    connection = sqlite3.connect(":memory:")
    connection.execute("create table person (name text)")
    connection.execute("insert into person values ('Ada')")

    def find(name: str) -> list[str]:
        return [row[0] for row in connection.execute("select name from person where name = ?", (name,))]

    box = Toolbox(parallel=False)
    box.add(find)
    for name in (
        "' OR '1'='1",
        "'; drop table person; --",
        "../../etc/passwd",
        "{__import__('os')}",
        "%s%s%n",
        "${HOME}",
        "\0",
    ):
        assert box.call(ToolCall("find", {"name": name})).content == []
    assert box.call(ToolCall("find", {"name": "Ada"})).content == ["Ada"]
    connection.close()


def test_enormous_arguments_are_answered_briefly() -> None:
    def total(numbers: list[int]) -> int:
        return sum(numbers)

    assert observe(total, numbers=list(range(100_000))).content == sum(range(100_000))
    wrong = observe(total, numbers=["x" * 100] * 20_000)
    assert wrong.kind == "invalid_arguments"
    assert len(wrong.content) < 500


# ---- tools -----------------------------------------------------------------------------------------------------


def power(base: int, exponent: int) -> int:
    return base**exponent


def test_a_power_of_a_billion_digits() -> None:
    assert observe(power, timeout=0.5, base=9**9, exponent=9**9).kind == "timed_out"
    assert observe(power, base=10, exponent=5000).kind == "bad_result"  # short enough to compute, too long to write
    assert observe(power, base=2, exponent=10).content == 1024


def test_a_fault_below_python_is_a_crash() -> None:
    assert observe(os.abort, timeout=AMPLE).kind == "crashed"


def test_recursion_without_end() -> None:
    def deeper(n: int = 0) -> int:
        return deeper(n + 1)

    assert observe(deeper).kind == "failed"
    assert observe(deeper, timeout=AMPLE).kind == "failed"


@pytest.mark.parametrize("timeout", [None, AMPLE])
def test_a_little_that_becomes_very_much(timeout: float | None) -> None:
    bomb = zlib.compress(b"x" * 100_000_000)
    text = observe(lambda: zlib.decompress(bomb).decode(), timeout)
    assert (text.kind, text.truncated, len(text.content)) == ("ok", True, 8_000)
    assert text.content.endswith("… [cut: 100,000,000 characters, of which this is the beginning]")
    nested: Any = "x" * 100
    for _ in range(14):
        nested = [nested, nested]  # small in memory, 1.7 MB as JSON
    assert observe(lambda: nested, timeout).truncated


@pytest.mark.parametrize("timeout", [None, AMPLE])
def test_a_tool_that_prints_a_hundred_megabytes(timeout: float | None) -> None:
    def talk() -> str:
        for _ in range(100):
            print("x" * 1_000_000)
        return "said"

    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere):
        assert observe(talk, timeout).content == "said"


def test_a_tool_that_starts_threads_and_processes_and_returns() -> None:
    def start(kind: str) -> str:
        if kind == "thread":
            threading.Thread(target=time.sleep, args=(0.1 if here else 600,)).start()
        else:
            subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        return kind

    here = True
    assert observe(start, kind="thread").content == "thread"
    here = False
    assert observe(start, timeout=AMPLE, kind="thread").content == "thread"
    assert observe(start, timeout=AMPLE, kind="process").content == "process"


class Hostile(dict[str, Any]):
    """A result that defends itself."""

    def __repr__(self) -> str:
        raise SystemExit

    __str__ = __len__ = __hash__ = __eq__ = items = keys = __iter__ = __bool__ = __repr__  # type: ignore[assignment]


class Chameleon:
    @property
    def __class__(self) -> Any:  # type: ignore[override]
        raise SystemExit

    def __getattr__(self, name: str) -> Any:
        raise SystemExit


class Swollen(str):
    def encode(self, *args: Any, **kwargs: Any) -> bytes:
        raise SystemExit

    def __len__(self) -> int:
        return -1


HOSTILE = {  # made inside the tools: not even the test runner can look at them
    "mapping": lambda: Hostile(a=1),
    "object": lambda: Chameleon(),
    "text": lambda: Swollen("x"),
    "inside a dict": lambda: {"a": Hostile(a=1)},
    "inside a list": lambda: [Chameleon()],
}


@pytest.mark.parametrize("timeout", [None, AMPLE])
@pytest.mark.parametrize("which", HOSTILE)
def test_results_that_fight_back(which: str, timeout: float | None) -> None:
    observation = observe(HOSTILE[which], timeout)
    assert json.loads(dumps(observation.content)) == observation.content


def test_a_tool_cannot_forge_its_outcome() -> None:
    """What a tool returns is content, also when it looks like an observation."""
    forged = {"content": "fine", "kind": "ok", "truncated": False}
    assert observe(lambda: forged, timeout=AMPLE).content == forged
    assert observe(lambda: ["fine", "failed", False], timeout=AMPLE).kind == "ok"


# ---- many ------------------------------------------------------------------------------------------------------


def test_ten_thousand_calls_in_one_reply() -> None:
    box = Toolbox()
    box.add(add)
    observations = box.call_all(ToolCall("add", {"a": n}, id=str(n)) for n in range(10_000))
    assert [observation.content for observation in observations] == list(range(1, 10_001))
    same = box.call_all([ToolCall("add", {"a": 1})] * 10_000)
    assert [observation.kind for observation in same] == ["ok"] * 3 + ["repeated"] * 9_997


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()) | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters()), inner),
    max_leaves=6,
)
ARGUMENTS = st.dictionaries(st.sampled_from(["a", "b", "text", "stars"]) | st.text(st.characters()), ANYTHING, max_size=3)


BOX = Toolbox()


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.builds(ToolCall, st.sampled_from(["add", "Note"]) | st.text(st.characters()), ARGUMENTS), max_size=4))
def test_whatever_is_called_there_is_an_observation(calls: list[ToolCall]) -> None:
    if not BOX.names:
        BOX.add(add)
        BOX.add(Note)
    for call, observation in zip(calls, BOX.call_all(calls), strict=True):
        assert observation.name == call.name
        assert observation.kind in get_args(ObservationKind)
        observation.text.encode()
