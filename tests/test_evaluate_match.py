"""evaluate/match.py: the published rules, one by one, and what must hold whatever the values are."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted import patient

from fcutils.evaluate.match import (
    LEFT_OUT,
    Want,
    acceptable_answers,
    example,
    matches,
    pair,
    rename,
    standard,
    types_of,
    value_matches,
    want,
)
from fcutils.messages import ToolCall

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


def fits(value: Any, acceptable: list[Any], kind: str | None = None) -> bool:
    return value_matches(value, acceptable_answers(acceptable), {"type": kind} if kind else {})


@pytest.mark.parametrize(
    ("value", "acceptable", "kind", "right"),
    [
        (5, [5], "integer", True),
        (5, [5.0], "number", True),  # an integer passes for a float,
        (5.0, [5], "number", True),
        (5.0, [5], "integer", False),  # and nothing else is converted
        ("5", [5], "integer", False),
        (5, ["5"], "string", False),
        (True, [1], "integer", False),
        (1, [True], "boolean", False),
        (1.0, [True], "number", False),
        (None, [None], "null", True),
        (None, [""], "string", False),
        (5, [5.0], None, True),
        (5.0, [5], None, False),
        (7, [5, 7, 9], "integer", True),
        ("x", [3, "x"], "integer", True),  # the type of an acceptable answer does, too
        (3, ["x"], "string", False),
        ("New York", ["new york"], "string", True),
        ("2026-03-05", ["2026/03/05"], "string", True),
        ("a.b, c_d*e^f-g", ["ABCDEFG"], "string", True),
        ("it's", ['it"s'], "string", True),
        ("it's", ["its"], "string", False),
        ("a;b", ["ab"], "string", False),
        ("a\tb\n", ["ab"], "string", True),
        ("", [""], "string", True),
        ([1, 2], [[1, 2]], "array", True),
        ([2, 1], [[1, 2]], "array", False),  # in order
        ([1], [[1, 2]], "array", False),
        ([1, 2, 3], [[1, 2]], "array", False),
        (["A b"], [["ab"]], "array", True),
        ([1], [[1.0]], "array", True),
        ([True], [[1]], "array", False),
        ("ab", [["a", "b"]], "array", False),
        ({"a": 1}, [{"a": [1, 2]}], "object", True),
        ({"a": 3}, [{"a": [1, 2]}], "object", False),
        ({}, [{"a": [1, ""]}], "object", True),
        ({}, [{"a": [1]}], "object", False),
        ({"b": 1}, [{"a": [1, ""]}], "object", False),
        ({"a": {"b": "X y"}}, [{"a": [{"b": ["xy"]}]}], "object", True),
        ([{"a": 1}, {"a": 2}], [[{"a": [1]}, {"a": [3, 2]}]], "array", True),
        ([1], [{"a": [1]}], "object", False),
        ({"a": [1]}, [{"a": [[1]]}], "object", True),
    ],
)
def test_a_value_is_right_or_wrong(value: Any, acceptable: list[Any], kind: str | None, right: bool) -> None:
    assert fits(value, acceptable, kind) is right


PARAMETERS = {
    "type": "object",
    "properties": {
        "city": {"type": "string"},
        "unit": {"type": "string", "default": "celsius"},
        "days": {"type": "integer"},
        "at": {"type": "object", "properties": {"time": {"type": "string"}, "zone": {"type": "string", "default": "UTC"}}},
    },
    "required": ["city"],
}


@pytest.mark.parametrize(
    ("gold", "said", "right"),
    [
        ({"city": "Oslo"}, {"city": "oslo"}, True),
        ({"city": "Oslo"}, {"city": "Oslo", "unit": "celsius"}, True),  # a default may be said,
        ({"city": "Oslo", "unit": "celsius"}, {"city": "Oslo"}, True),  # or left out
        ({"city": "Oslo", "unit": "kelvin"}, {"city": "Oslo"}, False),
        ({"city": "Oslo"}, {"city": "Oslo", "unit": "kelvin"}, False),
        ({"city": "Oslo"}, {"city": "Oslo", "days": 3}, False),
        ({"city": "Oslo", "days": 3}, {"city": "Oslo"}, False),  # gold gives it, and no default says the same
        ({"city": "Oslo"}, {}, False),
        ({"city": "Oslo"}, {"city": "Oslo", "town": "Oslo"}, False),
        ({"city": "Oslo", "at": {"time": "9:00"}}, {"city": "Oslo", "at": {"time": "900", "zone": "utc"}}, False),  # `:` counts
        ({"city": "Oslo", "at": {"time": "9.00"}}, {"city": "Oslo", "at": {"time": "900", "zone": "utc"}}, True),
        ({"city": "Oslo", "at": {"time": "900", "zone": "UTC"}}, {"city": "Oslo", "at": {"time": "900"}}, True),
        ({"city": ""}, {"city": ""}, True),
        ({"city": ""}, {}, False),  # in gold, an empty string is one
    ],
)
def test_a_gold_call_wants_its_values_and_allows_defaults(gold: Any, said: Any, right: bool) -> None:
    assert matches(ToolCall("w", said), want(ToolCall("w", gold), PARAMETERS)) is right


def test_acceptable_answers_stand_over_gold_where_they_name_a_parameter() -> None:
    wanted = want(ToolCall("w", {"city": "Oslo", "days": 3}), PARAMETERS, {"days": [3, 4, ""]})
    assert matches(ToolCall("w", {"city": "Oslo", "days": 4}), wanted)
    assert matches(ToolCall("w", {"city": "Oslo"}), wanted)
    assert not matches(ToolCall("w", {"city": "Bergen"}), wanted)
    assert not matches(ToolCall("v", {"city": "Oslo"}), wanted)


def test_a_boolean_is_not_the_integer_of_a_default() -> None:
    schema = {"properties": {"loud": {"type": "boolean", "default": True}}}
    assert matches(ToolCall("w", {"loud": True}), want(ToolCall("w"), schema))
    assert not matches(ToolCall("w", {"loud": 1}), want(ToolCall("w"), schema))


def test_types_come_out_of_unions() -> None:
    assert types_of({"anyOf": [{"type": "integer"}, {"type": "null"}]}) == ["integer", "null"]
    assert types_of({"type": ["string", "null"]}) == ["string", "null"]
    assert types_of({"enum": ["a"]}) == []
    optional = {"anyOf": [{"type": "object", "properties": {"n": {"type": "integer"}}}, {"type": "null"}]}
    assert value_matches({"n": 1}, [{"n": [1]}], optional)
    assert not value_matches({"n": 1.0}, [{"n": [1]}], optional)


def test_pairing_finds_the_pairing_that_a_greedy_one_misses() -> None:
    calls = [ToolCall("w", {"x": 1}), ToolCall("w", {"x": 2})]
    either, only_one = Want("w", {"x": [1, 2]}), Want("w", {"x": [1]})
    assert pair(calls, [either, only_one]) == {0: 1, 1: 0}  # greedy gives call 0 to the first want, and nothing to the second


@patient
@given(st.lists(st.lists(st.integers(0, 4), max_size=4), max_size=4), st.integers(0, 5))
def test_pairing_is_as_large_as_any(accepts: list[list[int]], count: int) -> None:
    calls = [ToolCall("w", {"x": number}) for number in range(count)]
    wants = [Want("w", {"x": accept}) for accept in accepts]
    found = pair(calls, wants)
    assert len(set(found.values())) == len(found)
    assert all(matches(calls[number], wants[wanted]) for wanted, number in found.items())
    assert len(found) == largest(wants, calls)


def largest(wants: list[Want], calls: list[ToolCall]) -> int:
    """By trying everything: leave the first want without a call, or give it each that fits."""
    if not wants:
        return 0
    given = (1 + largest(wants[1:], [c for c in calls if c is not call]) for call in calls if matches(call, wants[0]))
    return max([largest(wants[1:], calls), *given])


@patient
@given(st.dictionaries(st.text(max_size=4), JSON, max_size=4))
def test_every_call_matches_itself_and_the_example_of_what_it_wants(arguments: dict[str, Any]) -> None:
    call = ToolCall("w", arguments)
    assert matches(call, want(call, {}))
    assert matches(example(want(call, {})), want(call, {}))


@patient
@given(JSON, JSON)
def test_any_two_values_can_be_compared(one: Any, other: Any) -> None:
    assert isinstance(fits(one, [other]), bool)
    assert value_matches(one, [LEFT_OUT], {}) is False


@patient
@given(st.text())
def test_the_standard_form_is_its_own(text: str) -> None:
    assert standard(standard(text)) == standard(text)


def test_dots_may_be_written_as_underscores_where_that_is_no_other_tool() -> None:
    calls = [ToolCall("mail_send", {"a": 1}, "7"), ToolCall("mail.send"), ToolCall("x_y")]
    assert [call.name for call in rename(calls, ["mail.send", "x.y", "x_y"])] == ["mail.send", "mail.send", "x_y"]
    assert [call.name for call in rename([ToolCall("a_b_c")], ["a.b_c", "a_b.c"])] == ["a_b_c"]
    assert rename(calls, ["mail.send"])[0] == ToolCall("mail.send", {"a": 1}, "7")
