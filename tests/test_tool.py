"""tool.py: arguments in, outcome out, whatever the tool does."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import decimal
import enum
import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel
from typing_extensions import TypedDict

from fcutils.messages import dumps
from fcutils.tool import Outcome, Tool


class Colour(enum.Enum):
    RED = "red"


class Place(BaseModel):
    name: str
    height: float = 0.0


class Row(TypedDict):
    id: int


@dataclasses.dataclass
class Point:
    x: int


def run(function: Any, max_output: int = 1000, **arguments: Any) -> Outcome:
    tool = Tool(function, {}, max_output)
    read = tool.read(arguments)
    return read if isinstance(read, Outcome) else tool.run(read[1])


# ---- arguments -------------------------------------------------------------------------------------------------


def test_arguments_arrive_as_what_the_hints_say() -> None:
    def tool(
        place: Place,
        day: datetime.date,
        colour: Colour,
        id: uuid.UUID,
        ratio: float,
        cost: decimal.Decimal,
        tags: set[str],
        pair: tuple[int, str],
        json: int = 5,
    ) -> list[str]:
        return [type(value).__name__ for value in (place, day, colour, id, ratio, cost, tags, pair, json)]

    outcome = run(
        tool,
        place={"name": "a"},
        day="2026-01-31",
        colour="red",
        id=str(uuid.uuid4()),
        ratio=2,
        cost="1.50",
        tags=["a", "a"],
        pair=[1, "a"],
    )
    assert outcome.content == ["Place", "date", "Colour", "UUID", "float", "Decimal", "set", "tuple", "int"]


def test_arguments_by_position_where_the_function_wants_it() -> None:
    def tool(a: int, b: int = 2, /, c: int = 3, *, d: int = 4) -> list[int]:
        return [a, b, c, d]

    assert run(tool, a=1, d=9).content == [1, 2, 3, 9]
    assert run(tool, a=1, b=5, c=6).content == [1, 5, 6, 4]


def test_a_default_is_not_shared_between_calls() -> None:
    def tool(words: list[str] = []) -> list[str]:  # noqa: B006
        words.append("x")
        return words

    assert run(tool).content == run(tool).content == ["x"]


@pytest.mark.parametrize(
    "arguments",
    [
        {"n": True},
        {"n": "3"},
        {"n": 3.0},
        {"n": None},
        {"n": [3]},
        {},
        {"n": 3, "m": 4},
        {"n": float("nan")},
        {"n": 10**5000},
        {"n": {1, 2}},
        {"n": 3, 4: 5},
        {"n": "\ud800"},
    ],
)
def test_what_is_no_integer_is_refused(arguments: dict[Any, Any]) -> None:
    def tool(n: int) -> int:
        raise AssertionError("it must not run")

    tool_ = Tool(tool, {}, 1000)
    outcome = tool_.read(arguments)
    assert isinstance(outcome, Outcome)
    assert outcome.kind == "invalid_arguments"
    dumps(outcome.content).encode()


def test_floats_are_finite() -> None:
    def tool(x: float) -> float:
        return x

    assert run(tool, x=1e308).content == 1e308
    assert run(tool, x=int("9" * 400)).kind == "invalid_arguments"
    assert run(tool, x=True).kind == "invalid_arguments"


def test_circular_and_bottomless_arguments() -> None:
    def tool(x: Any) -> None: ...

    circle: dict[str, Any] = {}
    circle["x"] = circle
    assert run(tool, x=circle).kind == "invalid_arguments"
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    assert run(tool, x=deep).kind == "invalid_arguments"


def test_a_validator_that_breaks_or_exits() -> None:
    class Odd(BaseModel):
        x: int

        def model_post_init(self, context: Any) -> None:
            raise SystemExit(3) if self.x else KeyError("no")

    assert run(Odd, x=0).kind == "invalid_arguments"
    assert run(Odd, x=1).kind == "invalid_arguments"


# ---- what a tool does ------------------------------------------------------------------------------------------


class Nasty(Exception):
    def __str__(self) -> str:
        raise RuntimeError


class Unheard(BaseException):
    pass


def recurse(n: int = 0) -> int:
    return recurse(n + 1)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ValueError("no such order"), "ValueError: no such order"),
        (KeyError("k"), "KeyError: 'k'"),
        (ValueError("half \ud800"), "ValueError: half ?"),
        (SystemExit(0), "The tool tried to end the program."),
        (Nasty(), "Nasty"),
        (Unheard("x"), "Unheard: x"),
        (GeneratorExit(), "GeneratorExit"),
        (asyncio.CancelledError(), "CancelledError"),
        (MemoryError(), "MemoryError"),
        (ExceptionGroup("two", [ValueError("a"), TypeError("b")]), "ExceptionGroup: two (2 sub-exceptions)"),
    ],
)
def test_whatever_is_raised_becomes_an_outcome(error: BaseException, words: str) -> None:
    def tool() -> None:
        raise error

    assert run(tool) == Outcome(words, "failed")


def test_recursion_ends() -> None:
    assert run(recurse).kind == "failed"


def test_a_long_error_is_cut() -> None:
    def tool() -> None:
        raise ValueError("x" * 1_000_000)

    assert len(run(tool).content) == 1000


def test_ctrl_c_gets_through() -> None:
    def tool() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tool)


def test_async_tools_here_and_inside_a_running_loop() -> None:
    async def tool(n: int) -> int:
        await asyncio.sleep(0)
        return n + 1

    async def notebook() -> Outcome:
        return run(tool, n=1)

    assert run(tool, n=1).content == 2
    assert asyncio.run(notebook()).content == 2


# ---- results ---------------------------------------------------------------------------------------------------


def returning(value: Any, declared: Any = None) -> Outcome:
    def tool() -> Any:
        return value

    if declared is not None:
        tool.__annotations__["return"] = declared
    return run(tool)


@pytest.mark.parametrize(
    ("value", "declared", "content"),
    [
        (1, int, 1),
        (1, float, 1.0),
        ({"id": 1}, Row, {"id": 1}),
        (Place(name="a"), Place, {"name": "a", "height": 0.0}),
        ({"name": "a"}, Place, {"name": "a", "height": 0.0}),
        ([Place(name="a")], list[Place], [{"name": "a", "height": 0.0}]),
        (("a", "b"), list[str], ["a", "b"]),
        (datetime.date(2026, 1, 31), datetime.date, "2026-01-31"),
        ("2026-01-31", datetime.date, "2026-01-31"),
        (Colour.RED, Colour, "red"),
        (Point(1), Point, {"x": 1}),
        (None, type(None), None),
        ({1: (2, 3)}, None, {"1": [2, 3]}),
        ({"a": datetime.datetime(2026, 1, 1), "b": [Point(1)]}, None, {"a": "2026-01-01T00:00:00", "b": [{"x": 1}]}),
        ("plain", None, "plain"),
        (b"bytes", None, "bytes"),
    ],
)
def test_results_become_json_of_the_declared_structure(value: Any, declared: Any, content: Any) -> None:
    assert returning(value, declared) == Outcome(content)


@pytest.mark.parametrize(
    ("value", "declared", "words"),
    [
        ("3", int, 'The tool\'s result is "3"; it should be a valid integer.'),
        (True, int, "The tool's result is true; it should be a valid integer."),
        (None, str, "The tool's result is null; it should be a valid string."),
        ({"id": "x"}, Row, "'id' in the tool's result is \"x\"; it should be a valid integer."),
        ({}, Row, "'id' in the tool's result is missing."),
        ([{"id": 1}, {}], list[Row], "'[1].id' in the tool's result is missing."),
    ],
)
def test_a_result_that_is_not_what_is_declared(value: Any, declared: Any, words: str) -> None:
    assert returning(value, declared) == Outcome(words, "bad_result")


def circle() -> Any:
    value: dict[str, Any] = {}
    value["self"] = value
    return value


def depth() -> Any:
    value: Any = []
    for _ in range(100_000):
        value = [value]
    return value


def forever() -> Iterator[int]:
    while True:
        yield 1


async def never() -> Any:
    yield 1


@pytest.mark.parametrize(
    "value",
    [
        object(),
        circle(),
        depth(),
        forever(),
        never(),
        float("nan"),
        [float("inf")],
        "\ud800",
        {"\udfff": 1},
        b"\xff",
        10**5000,
        lambda: 1,
        Exception("x"),
        range(3),
        {"a": {object()}},
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_result_that_json_cannot_hold(value: Any) -> None:
    outcome = returning(value)
    assert outcome.kind == "bad_result"
    dumps(outcome.content).encode()


def test_long_results_are_cut_with_a_mark() -> None:
    text = returning("é" * 5000)
    assert text.truncated
    assert len(text.content) == 1000
    assert text.content.endswith("… [cut: 5,000 characters, of which this is the beginning]")
    rows = returning([{"id": n} for n in range(1000)], list[Row])
    assert rows.truncated
    assert rows.content.startswith('[{"id": 0}, {"id": 1}')
    assert len(rows.content) == 1000
    assert not returning("x" * 1000).truncated


def test_a_model_is_its_own_result() -> None:
    assert run(Place, name="a").content == {"name": "a", "height": 0.0}


# ---- anything at all -------------------------------------------------------------------------------------------

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()) | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner) | st.tuples(inner, inner),
    max_leaves=8,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(ANYTHING, ANYTHING, st.sampled_from([None, int, str, list[Row], Place, dict[str, float], bool]))
def test_there_is_always_an_outcome_that_json_can_hold(given_: Any, result: Any, declared: Any) -> None:
    def tool(x: Any) -> Any:
        return result

    if declared is not None:
        tool.__annotations__["return"] = declared
    outcome = run(tool, x=given_)
    assert json.loads(dumps(outcome.content).encode()) == outcome.content
    assert outcome.kind in ("ok", "invalid_arguments", "bad_result")


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(ANYTHING)
def test_an_integer_is_an_integer(value: Any) -> None:
    def tool(n: int) -> int:
        return n

    outcome = run(tool, n=value)
    assert (outcome.kind == "ok") == (type(value) is int and abs(value) < 10**4000)
