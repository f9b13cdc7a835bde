"""evaluate/misses.py and wrong_value.py: every reason by name, and never a miss without one."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted import ROWS, asks, call, patient, row, say, says, tool, user

from fcutils.evaluate.match import want
from fcutils.evaluate.misses import NO_CALL, REASONS, Verdict, judge
from fcutils.evaluate.rows import Ask, asks_of
from fcutils.evaluate.wrong_value import Said, why_wrong
from fcutils.messages import Conversation, Message, ToolCall
from fcutils.parsing import parse_reply

WEATHER, SEATS, PARALLEL, SEQUENCE, NOTHING, MISSING = (asks_of(gold, n)[0] for n, gold in enumerate(ROWS[:6], 1))
ANSWER, STEP = asks_of(ROWS[0], 1)[1], asks_of(ROWS[3], 4)[1]


def verdict(ask: Ask, text: str) -> Verdict:
    return judge(ask, parse_reply(text, "hermes", ask.prompt.tools))


def reasons(ask: Ask, text: str) -> list[tuple[str, str]]:
    return [(miss.reason, miss.detail) for miss in verdict(ask, text).misses]


def two(one: str, other: str) -> str:
    return f"{one}\n{other}"


PARIS, LIMA = call("weather.now", city="Paris"), call("weather.now", city="Lima")


@pytest.mark.parametrize(
    ("ask", "text", "expected"),
    [
        (WEATHER, call("weather.now", city="oslo", unit="celsius"), []),
        (WEATHER, "It is cold.", [("no call", "")]),
        (WEATHER, "", [("no call", "")]),
        (WEATHER, call("weather_now", city="Oslo"), []),  # its only dotted name, with an underscore
        (WEATHER, call("weather.noww", city="Oslo"), [("unknown tool", "nearest: weather.now")]),
        (WEATHER, call("sing"), [("unknown tool", "")]),
        (WEATHER, call("find_flight", to="Oslo"), [("wrong tool", "")]),
        (WEATHER, call("weather.now"), [("missing argument", "")]),
        (WEATHER, call("weather.now", city="Oslo", days=3), [("invented argument", "not in the schema")]),
        (WEATHER, call("weather.now", city=3), [("wrong type", "int")]),
        (WEATHER, call("weather.now", city="Osla"), [("wrong value", "copied")]),
        (WEATHER, call("weather.now", city="Oslo", unit="kelvin"), [("wrong value", "choice")]),
        (WEATHER, call("weather.now", town=1), [("missing argument", ""), ("invented argument", "not in the schema")]),
        (WEATHER, two(call("weather.now", city="Oslo"), call("sing")), [("wrong number of calls", "2 for 1")]),
        (SEATS, call("find_flight", to="Rome", seats="2"), [("wrong type", "str")]),
        (SEATS, call("find_flight", to="Rome", seats=2.0), [("wrong type", "float")]),
        (SEATS, call("find_flight", to="Rome", seats=True), [("wrong type", "bool")]),
        (SEATS, call("find_flight", to="Rome"), [("missing argument", "")]),
        (SEATS, call("find_flight", to="Pisa", seats=2), [("wrong value", "invented")]),
        (SEQUENCE, call("find_flight", to="Bonn", seats=1), [("invented argument", "not asked for")]),
        (SEQUENCE, call("book_flight", number="LH7"), [("wrong order", "")]),
        (SEQUENCE, call("book_flight", number="LH8"), [("wrong tool", "")]),
        (STEP, call("find_flight", to="Bonn"), [("wrong order", "")]),
        (STEP, call("book_flight", number="LH7", seats=1), []),
        (PARALLEL, two(LIMA, PARIS), []),
        (PARALLEL, PARIS, [("wrong number of calls", "1 for 2")]),
        (PARALLEL, two(PARIS, PARIS), [("wrong value", "copied")]),
        (PARALLEL, two(PARIS, call("weather.now", city="Peru")), [("wrong value", "invented")]),
        (PARALLEL, two(LIMA, call("sing", city="Paris")), [("unknown tool", "")]),
        (NOTHING, "I cannot.", []),
        (NOTHING, "", []),
        (NOTHING, PARIS, [("call where none was due", "")]),
        (MISSING, "In which city?", []),
        (MISSING, "Please provide a city.", []),
        (MISSING, "It is cold.", [("did not ask", "")]),
        (MISSING, "Where? " + PARIS, [("call where none was due", "")]),
        (ANSWER, "3 degrees", []),
        (ANSWER, "", [("no answer", "")]),
        (ANSWER, PARIS, [("call where none was due", "")]),
    ],
)
def test_every_reason(ask: Ask, text: str, expected: list[tuple[str, str]]) -> None:
    assert reasons(ask, text) == expected


@pytest.mark.parametrize("ask", [WEATHER, PARALLEL, NOTHING, MISSING, ANSWER])
def test_what_cannot_be_read_is_a_miss_with_the_parsers_fault(ask: Ask) -> None:
    found = verdict(ask, '<tool_call>\n{"name": "weather.now", "arguments": {"city": \n</tool_call>')
    assert found.misses[0].reason == "unparsable"
    assert found.misses[0].detail.startswith("truncated") or ": " in found.misses[0].detail
    assert not found.marks["parses"]
    assert not any(found.marks[name] for name in ("whole call", "holds back", "asks", "answers") if name in found.marks)


def test_a_right_call_beside_one_that_cannot_be_read_is_not_right() -> None:
    found = verdict(WEATHER, call("weather.now", city="Oslo") + '\n<tool_call>{"name": </tool_call>')
    assert (found.marks["calls"], found.marks["whole call"]) == (True, False)
    assert found.misses[0].reason == "unparsable"


def test_marks_apply_only_where_they_mean_something() -> None:
    assert verdict(WEATHER, PARIS).marks == {
        "parses": True,
        "calls": True,
        "right tool": True,
        "right arguments": False,
        "whole call": False,
    }
    assert "right arguments" not in verdict(WEATHER, call("sing")).marks
    assert verdict(PARALLEL, two(PARIS, LIMA)).marks["parallel"]
    assert verdict(NOTHING, "No.").marks == {"parses": True, "holds back": True}
    assert verdict(MISSING, "Where?").marks == {"parses": True, "asks": True}
    assert verdict(ANSWER, "3").marks == {"parses": True, "answers": True}


def test_tools_wanted_and_called_stand_side_by_side() -> None:
    assert verdict(PARALLEL, two(LIMA, call("find_flight", to="x"))).tools == (
        ("weather.now", "weather.now"),
        ("weather.now", "find_flight"),
    )
    assert verdict(PARALLEL, LIMA).tools == (("weather.now", "weather.now"), ("weather.now", NO_CALL))
    assert verdict(NOTHING, PARIS).tools == ((NO_CALL, "weather.now"),)


def test_a_miss_shows_both_sides() -> None:
    miss = verdict(WEATHER, PARIS).misses[0]
    assert (miss.where, miss.wanted, miss.wrote) == ("weather.now.city", '"Oslo"', '"Paris"')
    assert str(miss) == 'wrong value (invented) at weather.now.city: wanted "Oslo", got "Paris"'


def nested(gold: dict[str, Any]) -> Ask:
    inner = {"type": "object", "properties": {"zip": {"type": "string"}, "floor": {"type": "integer"}}, "required": ["zip"]}
    box = tool("send", ["to"], to=inner)
    return asks_of(Conversation((user("Send it to AB1."), asks(("send", {"to": gold}))), (box,)), 1)[0]


@pytest.mark.parametrize(
    ("said", "expected", "where"),
    [
        ({"zip": "AB2"}, ("wrong value", "copied"), "send.to.zip"),
        ({"zip": 7}, ("wrong type", "int"), "send.to.zip"),
        ({}, ("missing argument", ""), "send.to.zip"),
        ({"zip": "AB1", "floor": 3}, ("invented argument", "not asked for"), "send.to.floor"),
        ("AB1", ("wrong type", "str"), "send.to"),
    ],
)
def test_inside_an_object_the_place_is_named(said: Any, expected: tuple[str, str], where: str) -> None:
    miss = verdict(nested({"zip": "AB1"}), call("send", to=said)).misses[0]
    assert ((miss.reason, miss.detail), miss.where) == (expected, where)


CALLS = st.lists(
    st.builds(
        ToolCall,
        st.sampled_from(["weather.now", "find_flight", "book_flight", "sing"]),
        st.dictionaries(
            st.sampled_from(["city", "unit", "to", "seats", "number"]),
            st.sampled_from(["Oslo", "Paris", "Lima", "celsius", 1, 2, 2.0, True, None, [], {}, {"a": 1}]),
            max_size=3,
        ),
    ),
    max_size=4,
)


@patient
@given(CALLS, st.sampled_from([WEATHER, SEATS, PARALLEL, SEQUENCE, STEP]))
def test_a_call_is_right_or_has_a_reason_never_both(calls: list[ToolCall], ask: Ask) -> None:
    found = verdict(ask, say(Message("assistant", calls=tuple(calls))))
    assert found.marks["whole call"] is not bool(found.misses)
    assert [REASONS.index(miss.reason) for miss in found.misses] == sorted(REASONS.index(m.reason) for m in found.misses)
    assert sum(wanted != NO_CALL for wanted, _ in found.tools) == len(ask.wants)


@patient
@given(st.text(), st.sampled_from([WEATHER, PARALLEL, NOTHING, MISSING, ANSWER]))
def test_any_text_can_be_judged(text: str, ask: Ask) -> None:
    assert all(miss.reason in REASONS for miss in verdict(ask, text).misses)


@pytest.mark.parametrize(
    "garbage",
    [
        "<tool_call>" * 90_000,
        "{" * 1_000_000,
        '<tool_call>{"name": "' + "x" * 1_000_000,
        call("y" * 500_000, **{"z" * 500_000: "w" * 100}),
        call("weather.now", city="Oslo" * 250_000),
        "\n".join([call("weather.now", city="Oslo")] * 10_000),
        f'<tool_call>{{"name": "find_flight", "arguments": {{"to": "Rome", "seats": {"9" * 5000}}}}}</tool_call>',
        f'<tool_call>{{"name": "find_flight", "arguments": {{"to": "Rome", "seats": {"9" * 4000}}}}}</tool_call>',
        '<tool_call>{"name": "find_flight", "arguments": {"to": "Rome", "seats": 1e999}}</tool_call>',
    ],
)
def test_a_megabyte_of_garbage_is_a_miss_that_is_shown_short(garbage: str) -> None:
    found = verdict(SEATS, garbage)
    assert found.misses
    assert sum(len(str(miss)) for miss in found.misses) < 60_000


# ---- why a value is wrong ----------------------------------------------------------------------------------------------


TEXT = "Move 20 boxes from Lisbon airport to Oslo on 14 March 2026 at 6:30 pm, 5 percent in an hour and a half. Code QX-17."


@pytest.mark.parametrize(
    ("wanted", "said", "why"),
    [
        (90, 1.5, "unit"),
        (5, 0.05, "unit"),
        (20, 5, "copied"),  # both were said
        (20, 21, "invented"),
        (2000, 2, "unit"),
        (100, 37.78, "unit"),
        ("5 km", "5 mi", "unit"),
        ("2026-03-14", "14 March 2026", "format"),
        ("2026-03-14", "March 14, 2026", "format"),
        ("18:30", "6:30 pm", "format"),
        ("2026-03-14T18:30", "2026-03-14 18:30", "format"),
        ("2026-03-14", "2026-03-15", "invented"),
        ("LIS", "Lisbon airport", "format"),
        ("LIS", "Lisbon", "format"),
        ("Oslo", "Osla", "copied"),
        ("Oslo", "Lisbon airport", "copied"),
        ("QX-17", "QX-71", "copied"),
        ("Oslo", "Reykjavik", "invented"),
        ("Oslo", "", "invented"),
        ("café", "cafe", "format"),
        ([1, 2], [1, 3], "invented"),
        (["Oslo"], ["Osla"], "copied"),
        (7, 10**400, "invented"),
        (7, float("inf"), "invented"),
    ],
)
def test_why_a_value_is_wrong(wanted: Any, said: Any, why: str) -> None:
    accept = want(ToolCall("w", {"x": wanted}), {}).accept["x"]
    assert why_wrong(said, accept, {}, Said.of(TEXT)) == why


def test_a_wrong_choice_is_one_of_the_choices_there_are() -> None:
    assert why_wrong(True, [False], {"type": "boolean"}, Said.of("")) == "choice"
    assert why_wrong("red", ["blue"], {"enum": ["red", "blue"]}, Said.of("a red one")) == "choice"


def test_rows_may_end_with_what_the_model_should_say() -> None:
    only = row(user("Sing!"), says("No."), kinds=["nothing"])
    assert [ask.kind for ask in asks_of(only, 1)] == ["nothing"]
