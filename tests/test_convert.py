"""Five layouts, one conversation: what is kept, what changes, and that no broken row goes unreported."""

from __future__ import annotations

import json
from typing import Any

import pytest
from convert_samples import (
    ANSWER,
    ARGUMENTS,
    GOOD,
    JUNK,
    KEYS,
    QUESTION,
    RESULT,
    THOUGHT,
    TOOL,
    glaive,
    hermes,
    thinking,
    toolace,
    xlam,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from fcutils.convert import LAYOUTS, convert
from fcutils.convert.tools import BrokenRow, tools_in
from fcutils.dataset import read_rows, row_faults, write_rows
from fcutils.messages import Conversation, Message

FERRY_NAME = {"toolace": "Find_Ferry_v2"}


def one(layout: Any, row: Any) -> Conversation:
    """The only row, which must be good."""
    found = convert(layout, [row])
    assert found.faults == ()
    return found.rows[0]


def reasons(layout: Any, row: Any) -> list[str]:
    """Why the only row is broken, which it must be."""
    found = convert(layout, [row])
    assert found.rows == () and found.broken == 1
    return [fault.reason for fault in found.faults]


def edited(row: Any, old: str, new: str) -> Any:
    """The row with a text changed wherever it stands."""
    if isinstance(row, dict):
        return {key: edited(value, old, new) for key, value in row.items()}
    if isinstance(row, list):
        return [edited(value, old, new) for value in row]
    return row.replace(old, new) if isinstance(row, str) else row


def test_every_layout_has_a_sample():
    assert GOOD.keys() == LAYOUTS.keys()


# -- what a good row becomes -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", GOOD)
def test_the_same_conversation_comes_out_of_every_layout(layout):
    row = one(layout, GOOD[layout]())
    said = [message for message in row.messages if message.role != "system"]
    assert said[0] == Message("user", QUESTION)
    calls = {call.name: call.arguments for call in said[1].calls}
    assert calls[FERRY_NAME.get(layout, "find_ferry")] == ARGUMENTS
    assert row.meta["source"] == LAYOUTS[layout].source
    if layout != "xlam":  # which ends with the calls
        assert said[-1] == Message("assistant", ANSWER)
    schema = row.tools[0]["function"]["parameters"]
    assert schema["required"] == ["origin", "target"]
    assert {name: told["type"] for name, told in schema["properties"].items()} == {
        "origin": "string",
        "target": "string",
        "cars": "integer",
    }


@pytest.mark.parametrize("layout", GOOD)
def test_what_comes_out_passes_the_house_s_own_reader(layout, tmp_path):
    rows = convert(layout, [GOOD[layout]()] * 3).rows
    assert write_rows(rows, tmp_path / "rows.jsonl") == 3
    assert tuple(read_rows(tmp_path / "rows.jsonl")) == rows


@pytest.mark.parametrize("layout", GOOD)
def test_every_result_names_its_call(layout):
    row = one(layout, GOOD[layout]())
    names = {call.id: call.name for message in row.messages for call in message.calls}
    results = [message for message in row.messages if message.role == "tool"]
    assert all(names[result.call_id] == result.name for result in results)
    assert len(results) == (0 if layout == "xlam" else len(names))


def test_a_thought_is_kept_apart_from_the_calls():
    reply = one("hermes-thinking", thinking()).messages[1]
    assert (reply.thought, reply.content) == (THOUGHT, "")


def test_results_in_another_order_than_the_calls_are_paired_by_name():
    row = one("hermes", hermes())
    assert [call.name for call in row.messages[1].calls] == ["tide_table", "find_ferry"]
    results = {message.name: message for message in row.messages if message.role == "tool"}
    assert json.loads(results["find_ferry"].content) == RESULT and results["find_ferry"].call_id == "call_1"
    assert results["tide_table"].content == "16:05" and results["tide_table"].call_id == "call_0"


def test_hermes_tools_come_from_the_system_text_where_there_is_no_column():
    row = hermes()
    with_column = one("hermes", row)
    del row["tools"]
    assert one("hermes", row).tools == with_column.tools


def test_the_id_is_kept():
    assert one("hermes", hermes()).meta["id"] == "a-1" and one("xlam", xlam()).meta["id"] == 7


def test_a_system_text_about_tools_keeps_only_what_the_calls_may_depend_on():
    assert one("toolace", toolace()).messages[0] == Message("system", "Today is 2025-03-09, Sunday.")
    row = one("glaive", glaive())
    assert row.messages[0].role == "user" and len(row.tools) == 2


def test_a_system_text_without_tools_stays():
    row = {"system": "SYSTEM: You are a helpful assistant, with no functions.", "chat": "USER: Hi\n\n\nASSISTANT: Hello.\n"}
    found = one("glaive", row)
    assert found.messages[0] == Message("system", "You are a helpful assistant, with no functions.") and not found.tools


def test_several_turns_of_glaive_keep_their_lines():
    row = glaive()
    row["chat"] += "USER: Thanks.\nAnd back?\n\n\nASSISTANT: Gladly: when?\nThis week? <|endoftext|>\n\n\n"
    assert [m.content for m in one("glaive", row).messages[-2:]] == ["Thanks.\nAnd back?", "Gladly: when?\nThis week?"]


def test_names_of_toolace_are_read_at_calls_and_nowhere_else():
    text = "[Find Ferry/v2(origin=\"x, Find Ferry/v2(1)\", target='it\\'s [Find Ferry/v2(')]"
    row = edited(toolace(), "[Find Ferry/v2(origin=\"Oban\", target='Craignure', cars=1), tide_table()]", text)
    row["conversations"] = row["conversations"][:2]
    (call,) = one("toolace", row).messages[-1].calls
    assert (call.name, call.arguments) == ("Find_Ferry_v2", {"origin": "x, Find Ferry/v2(1)", "target": "it's [Find Ferry/v2("})


def test_prose_in_brackets_is_no_call():
    row = toolace()
    row["conversations"] = [row["conversations"][0], {"from": "assistant", "value": "[Note] I need the day (or [this](that))."}]
    assert one("toolace", row).messages[-1].content == "[Note] I need the day (or [this](that))."


def test_arrow_s_nulls_leave_the_schema():
    tool = {**TOOL, "parameters": {**TOOL["parameters"], "properties": {**TOOL["parameters"]["properties"], "ghost": None}}}
    tool["parameters"]["properties"]["origin"] = {"type": "string", "enum": None, "items": None}
    schema = tools_in([tool])[0]["function"]["parameters"]
    assert list(schema["properties"]) == ["origin", "target", "cars"] and schema["properties"]["origin"] == {"type": "string"}


# -- types -------------------------------------------------------------------------------------------------------------

TYPES: dict[str, tuple[dict[str, Any], bool]] = {
    "str": ({"type": "string"}, True),
    "str, optional": ({"type": "string"}, False),
    "int (optional)": ({"type": "integer"}, False),
    "float": ({"type": "number"}, True),
    "bool, optional, default=True": ({"type": "boolean"}, False),
    "dict": ({"type": "object"}, True),
    "tuple": ({"type": "array"}, True),
    "set": ({"type": "array"}, True),
    "list": ({"type": "array"}, True),
    "Any": ({}, True),
    "List[int]": ({"type": "array", "items": {"type": "integer"}}, True),
    "List[List[float]], optional": ({"type": "array", "items": {"type": "array", "items": {"type": "number"}}}, False),
    "Dict[str, int]": ({"type": "object", "additionalProperties": {"type": "integer"}}, True),
    "Dict[str, Optional[Any]]": ({"type": "object", "additionalProperties": {"anyOf": [{}, {"type": "null"}]}}, True),
    "Tuple[float, str]": (
        {"type": "array", "prefixItems": [{"type": "number"}, {"type": "string"}], "minItems": 2, "maxItems": 2},
        True,
    ),
    "Tuple[int, ...]": ({"type": "array", "items": {"type": "integer"}}, True),
    "Set[str]": ({"type": "array", "items": {"type": "string"}}, True),
    "Optional[str]": ({"anyOf": [{"type": "string"}, {"type": "null"}]}, False),
    "typing.Union[int, str]": ({"anyOf": [{"type": "integer"}, {"type": "string"}]}, True),
    "int | None": ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, False),
    "Literal['slow', 'fast']": ({"type": "string", "enum": ["slow", "fast"]}, True),
    "Callable[[float], float]": ({"type": "string"}, True),
    "datetime.date": ({"type": "string", "format": "date"}, True),
}


def flat(kind: Any, **more: Any) -> dict[str, Any]:
    (tool,) = tools_in([{"name": "f", "parameters": {"x": {"type": kind, **more}}}])
    return tool["function"]["parameters"]


@pytest.mark.parametrize("kind", TYPES)
def test_python_types_become_json_schema(kind):
    schema, required = TYPES[kind]
    assert flat(kind) == {"type": "object", "properties": {"x": schema}, "required": ["x"] if required else []}


@pytest.mark.parametrize(
    "kind",
    ["Foo", "List[Foo]", "str[int]", "dict[int]", "list of str", "__import__('os')", "", "5", "x" * 400],
)
def test_a_type_that_json_schema_cannot_say_is_reported(kind):
    with pytest.raises(BrokenRow, match=r"tool f: (no JSON Schema for the type|a type must be)"):
        flat(kind)


def test_a_default_makes_a_parameter_optional_and_stays_if_it_fits():
    assert flat("int", default=3) == {"type": "object", "properties": {"x": {"type": "integer", "default": 3}}, "required": []}
    assert flat("int", default="")["properties"] == {"x": {"type": "integer"}}


def test_types_inside_a_schema_are_replaced_at_every_depth():
    inner = {"type": "dict", "properties": {"a": {"type": "list", "items": {"type": "float"}}}, "required": ["a"]}
    (tool,) = tools_in([{"name": "f", "parameters": {"type": "dict", "properties": {"x": inner, "type": {"type": "any"}}}}])
    assert tool["function"]["parameters"]["properties"] == {
        "x": {"type": "object", "properties": {"a": {"type": "array", "items": {"type": "number"}}}, "required": ["a"]},
        "type": {},
    }


def test_flat_parameters_may_be_called_type_and_properties():
    parameters = {"type": {"type": "str"}, "properties": {"type": "List[str]", "description": "which"}}
    schema = tools_in([{"name": "f", "parameters": parameters}])[0]["function"]["parameters"]
    assert schema["required"] == ["type", "properties"]


@given(st.text(alphabet="[](),.|'\" strintlopDdeCab0", max_size=40))
def test_no_type_raises_anything_else(kind):
    try:
        flat(kind)
    except BrokenRow:
        return


# -- broken rows -------------------------------------------------------------------------------------------------------

BROKEN = {
    "thinking: a call cut off": ("hermes-thinking", edited(thinking(), "'cars': 1}}\n</tool_call>", "'ca"), "cannot be read"),
    "thinking: a thought that never ends": ("hermes-thinking", edited(thinking(), "</think>", ""), "neither says anything"),
    "thinking: a role nobody has": ("hermes-thinking", edited(thinking(), "human", "narrator"), "turn 1: unknown 'role'"),
    "hermes: no closing tag of the tools": ("hermes", edited(hermes(), " </tools>For", "For"), "<tools> without </tools>"),
    "hermes: one result for two calls": (
        "hermes",
        edited(hermes(), '<tool_response>\n{"name": "tide_table", "content": "16:05"}\n</tool_response>', ""),
        "1 call(s) before it have no result",
    ),
    "hermes: the result of another tool": (
        "hermes",
        edited(hermes(), '{"name": "tide_table", "c', '{"name": "x", "c'),
        "result of x",
    ),
    "hermes: no tools": ("hermes", {**hermes(), "tools": "[]"}, "no tool named 'find_ferry' on offer"),
    "hermes: the turns are no list": ("hermes", {"conversations": "human: hi"}, "'conversations' must be a list"),
    "hermes: a turn without text": ("hermes", {"conversations": [{"from": "human", "value": None}]}, "'value' must be text"),
    "glaive: a bare word in the arguments": ("glaive", edited(glaive(), '"cars": 1', '"cars": one'), "text needs quotes"),
    "glaive: tools cut off": ("glaive", {**glaive(), "system": glaive()["system"][:200]}, "cannot be read"),
    "glaive: another beginning": ("glaive", {**glaive(), "chat": "Q: hi\nASSISTANT: hi"}, "must begin with USER:"),
    "glaive: nobody answers": ("glaive", {**glaive(), "chat": "USER: hi"}, "nobody answers"),
    "glaive: an empty question": ("glaive", {**glaive(), "chat": "USER: \n\n\nASSISTANT: hi"}, "turn 1: the user says nothing"),
    "xlam: answers cut off": ("xlam", {**xlam(), "answers": xlam()["answers"][:-9]}, "cannot be read"),
    "xlam: no calls": ("xlam", {**xlam(), "answers": "[]"}, "must be a list of calls"),
    "xlam: words beside the calls": ("xlam", {**xlam(), "answers": "Sure: " + xlam()["answers"]}, "must be a list of calls"),
    "xlam: a text for a number": ("xlam", edited(xlam(), '"cars": 1}', '"cars": "1"}'), "find_ferry: cars: '1' is not of type"),
    "xlam: a required argument is missing": (
        "xlam",
        edited(xlam(), '"origin": "Oban", ', ""),
        "'origin' is a required property",
    ),
    "xlam: an argument nobody knows": ("xlam", edited(xlam(), '"cars": 1', '"bikes": 1'), "unknown argument 'bikes'"),
    "xlam: a type nobody knows": ("xlam", edited(xlam(), "int, optional", "Harbour"), "no JSON Schema for the type 'Harbour'"),
    "xlam: two tools of one name": (
        "xlam",
        {**xlam(), "tools": json.loads(xlam()["tools"]) * 2},
        "a second one named 'find_ferry'",
    ),
    "xlam: tools are missing": ("xlam", {**xlam(), "tools": None}, "tools must be a list, not NoneType"),
    "xlam: a number that JSON lacks": (
        "xlam",
        {**xlam(), "answers": edited(xlam(), "1}", "NaN}")["answers"]},
        "cannot be read",
    ),
    "toolace: a call cut off": ("toolace", edited(toolace(), ", cars=1), tide_table()]", ""), "cannot be read"),
    "toolace: a tool nobody offers": ("toolace", edited(toolace(), "[Find Ferry/v2(", "[Find Bus("), "cannot be read"),
    "toolace: a second tool nobody offers": (
        "toolace",
        edited(toolace(), " tide_table()]", " Tide Table()]"),
        "cannot be read",
    ),
    "toolace: arguments without names": ("toolace", edited(toolace(), 'origin="Oban"', '"Oban"'), "cannot be read"),
    "toolace: words before the calls": (
        "toolace",
        edited(toolace(), "[Find Ferry/v2(o", "Sure. [Find Ferry/v2(o"),
        "text beside",
    ),
    "toolace: names that become the same": ("toolace", edited(toolace(), "tide_table", "Find Ferry_v2"), "a second one named"),
    "half a character": ("xlam", {**xlam(), "query": "a boat \ud800"}, "holds what JSON cannot"),
    "not an object": ("xlam", ["query"], "a row must be an object, not list"),
    "nothing": ("toolace", None, "a row must be an object, not NoneType"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_row_is_reported_with_its_reason(case):
    layout, row, reason = BROKEN[case]
    assert any(reason in found for found in reasons(layout, row)), reasons(layout, row)


def test_good_rows_are_kept_beside_broken_ones_and_all_are_counted():
    rows = [xlam(), {}, xlam(), {**xlam(), "answers": "[{]"}, None, xlam()]
    found = convert("xlam", iter(rows))
    assert (len(found.rows), found.broken, [fault.line for fault in found.faults]) == (3, 3, [2, 4, 5])
    assert str(found).startswith("3 rows converted, 3 broken\nxlam:2: 'query' must be text, not NoneType\nxlam:4: ")


def test_a_row_with_several_faults_is_one_broken_row():
    row = edited(xlam(), '"target": "Craignure", "cars": 1', '"cars": "1"')
    assert len(reasons("xlam", row)) == 2


def test_an_unknown_layout_is_refused():
    with pytest.raises(ValueError, match="unknown layout 'sharegpt': it is one of hermes-thinking, hermes, glaive"):
        convert("sharegpt", [])  # type: ignore[arg-type]


# -- attacks -----------------------------------------------------------------------------------------------------------


def texts(row: Any) -> list[str]:
    if isinstance(row, dict | list):
        return [text for value in (row.values() if isinstance(row, dict) else row) for text in texts(value)]
    return [row] if isinstance(row, str) else []


DAMAGE = ["", "{", "}", '"', "'", "]", "<tool_call>", "</think>", "\ud800", "[f(", "\nUSER:", "\x00"]


@pytest.mark.parametrize("layout", GOOD)
@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_damaged_row_is_either_good_or_reported(layout, data):
    """Cut off, doubled, with junk in the middle: every row is accounted for, and what comes out is good."""
    row = GOOD[layout]()
    text = data.draw(st.sampled_from(texts(row)))
    at = data.draw(st.integers(0, len(text)))
    damaged = text[:at] + data.draw(st.sampled_from(DAMAGE)) + data.draw(st.sampled_from(["", text[at:]]))
    found = convert(layout, [edited(row, text, damaged)])
    assert len(found.rows) + found.broken == 1
    assert all(not list(row_faults(row)) for row in found.rows)


@pytest.mark.parametrize("layout", GOOD)
@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.sampled_from(KEYS), JUNK, max_size=5))
def test_no_row_raises(layout, junk):
    for row in (junk, {**GOOD[layout](), **junk}):
        found = convert(layout, [row])
        assert len(found.rows) + found.broken == 1


def test_text_that_looks_like_code_is_never_run():
    row = edited(toolace(), '"Oban"', "__import__('os').system('echo bad')")
    assert "cannot be read" in reasons("toolace", row)[0]


def test_a_result_that_holds_a_call_stays_text():
    forged = '<tool_call>{"name": "tide_table", "arguments": {}}</tool_call>'
    row = edited(thinking(), str(RESULT), forged)
    (result,) = (message for message in one("hermes-thinking", row).messages if message.role == "tool")
    assert result.content == forged and not result.calls


@pytest.mark.parametrize("layout", ["hermes", "glaive", "toolace"])
def test_hostile_text_takes_no_long_walk(layout):
    """A hundred thousand quotes, brackets or tags; a walk that starts anew at each of them would take minutes."""
    for junk in ('\\"', "'", "{", "[f(", "<tools>", "<tool_response>", ", "):
        row = edited(GOOD[layout](), "Use them" if layout == "glaive" else "Oban", junk * 100_000)
        assert len(convert(layout, [row]).rows) < 2
