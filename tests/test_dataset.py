"""Rows in files: every fault with its line, nothing filled in on the way through `datasets`, OpenAI's rules."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types import chat

from fcutils.dataset import (
    DATA,
    RowError,
    argument_faults,
    describe,
    export_openai,
    openai_faults,
    read_rows,
    row_faults,
    split,
    with_ids,
    write_rows,
)
from fcutils.messages import Conversation, Message, ToolCall, conversation, dumps


def tool(name: str, required: tuple[str, ...] = (), **properties: Any) -> dict[str, Any]:
    schema = {"type": "object", "properties": properties, "required": list(required)}
    return {"type": "function", "function": {"name": name, "description": "", "parameters": schema}}


LAMP = tool("lamp.set", ("room",), room={"type": "string"}, level={"type": "integer", "minimum": 0})
CLOCK = tool("clock", zone={"type": "string", "enum": ["UTC", "local"]})


def lamp(level: Any = 3, **more: Any) -> ToolCall:
    return ToolCall("lamp.set", {"room": "hall", "level": level, **more})


def talk(*calls: ToolCall, tools: Any = (LAMP, CLOCK), results: bool = True) -> Conversation:
    """A request, these calls with their results, an answer."""
    found = [Message("tool", "{}", name=call.name) for call in calls] if results else []
    said = [
        Message("user", "Light, please."),
        *([Message("assistant", thought="The hall.", calls=calls)] if calls else []),
        *found,
    ]
    return conversation([*said, Message("assistant", "Done.")] if results else said, tools)


def line(row: Conversation) -> str:
    return dumps(row.to_dict())


def faults(tmp_path: Any, *lines: str | bytes) -> list[tuple[int, str]]:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"\n".join(one.encode() if isinstance(one, str) else one for one in lines))
    found: list[Any] = []
    try:
        read_rows(path)
    except RowError as error:
        found = error.faults
    assert all(fault.path == str(path) for fault in found)
    return [(fault.line, fault.reason) for fault in found]


# -- reading -----------------------------------------------------------------------------------------------------------


def test_rows_come_back_as_they_were_written(tmp_path):
    rows = [with_ids(talk(lamp(), ToolCall("clock")).add(Message("user", "Zoë \u2028 \x85 \n 灯"))), with_ids(talk(lamp(0)))]
    assert write_rows(rows, tmp_path / "rows.jsonl") == 2
    assert read_rows(tmp_path / "rows.jsonl") == rows


GOOD = line(with_ids(talk(lamp())))
BAD_LINES = {
    "cut off": (GOOD[:-20], "not a JSON object (cut off?)"),
    "cut off inside a letter": ('{"messages": [{"role": "user", "content": "Zoë'.encode()[:-1], "not UTF-8 (cut off?)"),
    "two rows on a line": (GOOD + GOOD, "not a JSON object"),
    "a list": ("[1]", "a row is a JSON object, not a list"),
    "a number": ("3", "a row is a JSON object, not a int"),
    "no messages": ('{"text": "hi"}', "a conversation needs a list of 'messages'"),
    "messages are text": ('{"messages": "hi"}', "message 0"),
    "an unknown role": ('{"messages": [{"role": "narrator", "content": "hi"}]}', "message 0: unknown role 'narrator'"),
    "empty": ('{"messages": []}', "no messages"),
    "nested too deeply": ("[" * 200_000, "nested too deeply"),
    "NaN": ('{"messages": [{"role": "user", "content": "a"}], "meta": {"x": NaN}}', "NaN is no JSON number"),
    "NaN among arguments": (GOOD.replace('\\"level\\": 3', '\\"level\\": NaN'), "lamp.set: cannot be checked"),
    "meta is a list": ('{"messages": [{"role": "user", "content": "a"}], "meta": [1]}', "'meta' must be an object, not a list"),
    "arguments are no JSON": (GOOD.replace('\\"level\\": 3', '\\"level\\": three'), "message 1: arguments are not JSON"),
    "tools are a number": ('{"messages": [{"role": "user", "content": "a"}], "tools": 5}', "not iterable"),
    "a tool is a text": ('{"messages": [{"role": "user", "content": "a"}], "tools": ["lamp"]}', "tool 0: it must be an object"),
    "a byte order mark": ("\ufeff" + GOOD, "BOM"),
}


@pytest.mark.parametrize("case", BAD_LINES)
def test_a_line_that_is_no_row_is_reported_with_its_number(case, tmp_path):
    bad, reason = BAD_LINES[case]
    found = faults(tmp_path, GOOD, "", bad, GOOD)
    assert [number for number, _ in found] == [3]
    assert reason in found[0][1]


@given(st.integers(1, len(GOOD.encode()) - 1))
def test_a_row_cut_anywhere_is_reported(tmp_path_factory, length):
    assert [number for number, _ in faults(tmp_path_factory.mktemp("cut"), GOOD, GOOD.encode()[:length])] == [2]


def test_all_faults_are_told_ten_of_them_in_the_message(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text("{\n" * 13, encoding="utf-8")
    with pytest.raises(RowError, match=r"rows\.jsonl:1: not a JSON object[\s\S]*and 3 more") as caught:
        read_rows(path)
    assert [fault.line for fault in caught.value.faults] == list(range(1, 14))


def test_without_check_only_what_is_no_row_is_an_error(tmp_path):
    path = tmp_path / "rows.jsonl"
    write_rows([talk(lamp("bright"))], path)
    assert len(read_rows(path, check=False)) == 1
    with pytest.raises(RowError, match="'bright' is not of type 'integer'"):
        read_rows(path)


# -- what is wrong inside a row ----------------------------------------------------------------------------------------

CALLS = {
    "a text for a number": (lamp("3"), "message 1: lamp.set: level: '3' is not of type 'integer'"),
    "out of range": (lamp(-1), "level: -1 is less than the minimum of 0"),
    "true for a number": (lamp(True), "level: True is not of type 'integer'"),
    "an unknown argument": (lamp(colour="red"), "unknown argument 'colour'"),
    "a missing argument": (ToolCall("lamp.set"), "'room' is a required property"),
    "outside the enum": (ToolCall("clock", {"zone": "Mars"}), "zone: 'Mars' is not one of ['UTC', 'local']"),
    "null for a text": (ToolCall("clock", {"zone": None}), "zone: None is not"),
    "no such tool": (ToolCall("lamp_set", {"room": "hall"}), "message 1: no tool named 'lamp_set' on offer"),
}


@pytest.mark.parametrize("case", CALLS)
def test_a_call_that_does_not_fit_is_a_fault(case):
    call, reason = CALLS[case]
    found = list(row_faults(talk(call)))
    assert found and any(reason in fault for fault in found)


def test_calls_that_fit_are_none():
    assert list(row_faults(talk(lamp(), ToolCall("clock"), ToolCall("clock", {"zone": "UTC"})))) == []
    assert list(row_faults(talk(lamp(), results=False))) == []  # a row may end with its calls


def test_results_must_answer_calls():
    row = talk(lamp(), ToolCall("clock"))
    without = replace(row, messages=row.messages[:2] + row.messages[3:])
    assert list(row_faults(without)) == ["message 3: 1 call(s) before it have no result"]
    extra = row.add(Message("tool", "{}"))
    assert list(row_faults(extra)) == ["message 5: a result that answers no call before it"]
    other = replace(row, messages=(*row.messages[:3], Message("tool", "{}", name="radio")))
    assert list(row_faults(other)) == ["message 3: a result of radio that answers no call before it"]


SCHEMAS: dict[str, Any] = {
    "a type that JSON lacks": {"type": "dict", "properties": {}},
    "a type inside": {"type": "object", "properties": {"room": {"type": "str"}}},
    "a list": ["room"],
    "properties are a list": {"type": "object", "properties": ["room"]},
}


@pytest.mark.parametrize("case", SCHEMAS)
def test_a_schema_that_is_none_is_a_fault_of_the_tool_and_stops_nothing(case):
    broken = {"type": "function", "function": {"name": "lamp.set", "parameters": SCHEMAS[case]}}
    found = list(row_faults(talk(lamp(), ToolCall("clock", {"zone": "Mars"}), tools=(broken, CLOCK))))
    assert "tool 0: lamp.set: its parameters are no JSON Schema" in found[0]
    assert "outside" not in found[0] and "clock: zone" in found[1] and len(found) == 2


def test_two_tools_of_one_name_are_a_fault():
    assert list(row_faults(talk(lamp(), tools=(LAMP, LAMP)))) == ["tool 1: a second one named 'lamp.set'"]


@pytest.mark.parametrize("schema", [{"$ref": "#/$defs/gone"}, {"$ref": "#/properties/x"}, {"pattern": "("}])
def test_a_schema_that_leads_nowhere_or_in_circles_is_a_fault(schema):
    found = argument_faults({"x": "a"}, {"type": "object", "properties": {"x": schema}})
    assert len(found) == 1 and ("cannot be checked" in found[0] or "JSON Schema" in found[0])


def test_a_schema_fetches_nothing(tmp_path):
    (tmp_path / "text.json").write_text('{"type": "string"}', encoding="utf-8")
    elsewhere = {"$ref": (tmp_path / "text.json").as_uri()}
    (found,) = argument_faults({"x": "a"}, {"type": "object", "properties": {"x": elsewhere}})
    assert "cannot be checked" in found


def test_a_schema_may_say_that_more_keys_are_welcome():
    schema: dict[str, Any] = {"type": "object", "properties": {"x": {"type": "integer"}}}
    assert argument_faults({"x": 1, "y": 2}, schema) == ["unknown argument 'y'"]
    assert argument_faults({"x": 1, "y": 2}, {**schema, "additionalProperties": {"type": "integer"}}) == []
    assert argument_faults({"x": 1, "y": "2"}, {**schema, "additionalProperties": {"type": "integer"}}) != []
    assert argument_faults({"x": 1, "y": 2}, {**schema, "additionalProperties": False}) != []


# -- ids ---------------------------------------------------------------------------------------------------------------


def ids(row: Conversation) -> list[str | None]:
    return [message.call_id for message in row.messages if message.role == "tool"]


def test_ids_are_numbered_through_the_row_and_results_follow():
    row = with_ids(conversation(talk(lamp(1), lamp(2)).messages + talk(lamp(3)).messages, [LAMP]))
    assert [call.id for message in row.messages for call in message.calls] == ["call_0", "call_1", "call_2"]
    assert ids(row) == ["call_0", "call_1", "call_2"]
    assert with_ids(row) == row


def test_results_in_another_order_keep_their_calls():
    by_name = conversation(
        [
            Message("assistant", calls=(lamp(), ToolCall("clock"))),
            Message("tool", "12:00", name="clock"),
            Message("tool", "on"),
        ],
        [LAMP, CLOCK],
    )
    assert ids(with_ids(by_name)) == ["call_1", "call_0"] and with_ids(by_name).messages[2].name == "lamp.set"
    first, second = replace(lamp(1), id="a"), replace(lamp(1), id="b")
    by_id = conversation(
        [Message("assistant", calls=(first, second)), Message("tool", "B", call_id="b"), Message("tool", "A", call_id="a")],
        [LAMP],
    )
    assert ids(with_ids(by_id)) == ["call_1", "call_0"] and list(row_faults(by_id)) == []


def test_a_result_of_nothing_is_left_alone():
    row = conversation([Message("user", "hi"), Message("tool", "{}", call_id="x")])
    assert with_ids(row) == row


# -- through `datasets` ------------------------------------------------------------------------------------------------


@pytest.fixture
def load_json(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    from datasets import load_dataset

    return lambda path: load_dataset("json", data_files=str(path), split="train", cache_dir=str(tmp_path / "cache"))


def unfilled(value: Any) -> Any:
    """A row without the nulls of keys that only other rows have, but for what is inside tools and meta."""
    row = {key: inner for key, inner in value.items() if inner is not None}
    row["messages"] = [{key: inner for key, inner in message.items() if inner is not None} for message in row["messages"]]
    return row


def test_load_dataset_fills_no_nulls_into_arguments_or_schemas(tmp_path, load_json):
    rows = [with_ids(row) for row in (talk(lamp(level=None)), talk(ToolCall("clock", {"zone": "UTC"}), tools=(CLOCK,)), talk())]
    write_rows(rows, tmp_path / "rows.jsonl")
    assert [unfilled(row) for row in load_json(tmp_path / "rows.jsonl")] == [row.to_dict() for row in rows]


def test_the_course_s_own_rows_come_through_datasets_unchanged(tmp_path, load_json):
    text = (DATA / "validation.jsonl").read_text(encoding="utf-8").splitlines()[:60]
    (tmp_path / "rows.jsonl").write_text("\n".join(text), encoding="utf-8")
    assert [unfilled(row) for row in load_json(tmp_path / "rows.jsonl")] == [json.loads(one) for one in text]


# -- writing and exporting ---------------------------------------------------------------------------------------------


def test_the_older_form_leaves_out_rows_with_parallel_calls_and_counts_the_others(tmp_path):
    rows = [talk(lamp()), talk(lamp(), ToolCall("clock")), talk(lamp(1))]
    assert write_rows(rows, tmp_path / "old.jsonl", "function_call") == 2
    first = json.loads((tmp_path / "old.jsonl").read_text(encoding="utf-8").splitlines()[0])
    assert first.keys() == {"messages", "functions"} and first["functions"][0] == LAMP["function"]
    assert first["messages"][1]["function_call"] == {"name": "lamp.set", "arguments": '{"room": "hall", "level": 3}'}
    assert first["messages"][2] == {"role": "function", "name": "lamp.set", "content": "{}"}
    assert read_rows(tmp_path / "old.jsonl") == [rows[0], rows[2]]


def test_a_row_that_cannot_be_written_leaves_the_file_as_it_was(tmp_path):
    path = tmp_path / "rows.jsonl"
    write_rows([talk(lamp())], path)
    before = path.read_bytes()
    with pytest.raises(ValueError, match="JSON compliant"):
        write_rows([talk(lamp(1)), talk(lamp(float("nan")))], path)
    assert path.read_bytes() == before


PARAMS: dict[str, Any] = {
    "system": chat.ChatCompletionSystemMessageParam,
    "user": chat.ChatCompletionUserMessageParam,
    "assistant": chat.ChatCompletionAssistantMessageParam,
    "tool": chat.ChatCompletionToolMessageParam,
}


def test_the_export_holds_only_what_openai_s_own_types_know(tmp_path):
    row = replace(talk(lamp(), ToolCall("clock")), meta={"id": "x"})
    row = replace(row, messages=(Message("system", "Be brief."), *row.messages))
    assert export_openai([row] * 10, tmp_path / "out.jsonl") == 10
    lines = (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 10
    out = json.loads(lines[0])
    assert out.keys() == {"messages", "tools"}
    for message in out["messages"]:
        param = PARAMS[message["role"]]
        assert param.__required_keys__ <= message.keys() <= param.__annotations__.keys()
    call = out["messages"][2]["tool_calls"][0]
    assert call == {
        "id": "call_0",
        "type": "function",
        "function": {"name": "lamp_set", "arguments": '{"room": "hall", "level": 3}'},
    }
    assert out["tools"][0]["function"]["name"] == "lamp_set" and out["messages"][3]["tool_call_id"] == "call_0"
    assert "thought" not in lines[0]


UNFIT = {
    "ends with the user": (talk(lamp()).add(Message("user", "And?")), "the last message must be the assistant's"),
    "a name with a blank": (talk(tools=(tool("set lamp"),)), "the name 'set lamp' is not allowed"),
    "a long name": (talk(tools=(tool("x" * 65),)), "64 at most"),
    "names that become the same": (talk(lamp(), tools=(LAMP, tool("lamp_set"))), "2 tools are named 'lamp_set'"),
    "too many tools": (talk(tools=tuple(tool(f"t{n}") for n in range(129))), "129 tools; OpenAI takes 128 at most"),
    "an empty answer": (talk().add(Message("assistant")), "message 2: neither text nor calls"),
    "no result": (
        talk(lamp(), results=False).add(Message("assistant", "Done.")),
        "message 2: calls before it are not answered",
    ),
    "a result of nothing": (talk().add(Message("tool", "{}"), Message("assistant", "x")), "message 2: answers no call"),
    "a tool nobody offers": (talk(lamp(), tools=(CLOCK,)), "message 1: calls 'lamp_set', which is not on offer"),
}


@pytest.mark.parametrize("case", UNFIT)
def test_a_row_that_openai_would_refuse_is_named_and_nothing_is_written(case, tmp_path):
    row, reason = UNFIT[case]
    good = [talk(lamp())] * 10
    with pytest.raises(RowError) as caught:
        export_openai([*good, row, *good, row], tmp_path / "out.jsonl")
    assert [fault.line for fault in caught.value.faults if reason in fault.reason] == [11, 22], caught.value
    assert not (tmp_path / "out.jsonl").exists()


def test_openai_wants_ten_examples(tmp_path):
    with pytest.raises(RowError, match="9 examples; OpenAI asks for 10 at least"):
        export_openai([talk(lamp())] * 9, tmp_path / "out.jsonl")


def test_a_row_may_end_with_calls_and_an_unknown_role_is_told():
    assert list(openai_faults(with_ids(talk(ToolCall("clock"), tools=(CLOCK,), results=False)).to_dict())) == []
    assert "message 0: unknown role 'narrator'" in list(openai_faults({"messages": [{"role": "narrator"}]}))


# -- split and describe ------------------------------------------------------------------------------------------------


@given(st.integers(0, 60), st.lists(st.integers(0, 9), min_size=1, max_size=5).filter(any), st.integers(0, 3))
def test_split_loses_and_doubles_nothing(count, parts, seed):
    rows = [conversation([Message("user", str(number))]) for number in range(count)]
    shares = [part / sum(parts) for part in parts]
    found = split(rows, shares, seed)
    assert Counter(m.messages[0].content for part in found for m in part) == Counter(str(number) for number in range(count))
    assert [abs(len(part) - share * count) <= 1 for part, share in zip(found, shares, strict=True)] == [True] * len(parts)
    assert found == split(rows, shares, seed)


def test_split_shuffles_by_its_seed():
    rows = [conversation([Message("user", str(number))]) for number in range(50)]
    assert split(rows, [0.5, 0.5], 1) != split(rows, [0.5, 0.5], 2)
    assert split(rows, [0.5, 0.5], 1)[0] != rows[:25]


@pytest.mark.parametrize("shares", [[], [0.5], [0.5, 0.6], [1.5, -0.5], [float("nan")], [float("inf"), 0]])
def test_shares_that_are_none_are_refused(shares):
    with pytest.raises(ValueError, match="sum to 1"):
        split([], shares)


def test_describe_counts():
    rows = [talk(lamp(), ToolCall("clock")), replace(talk(), tools=(), meta={"kinds": ["parallel", "off_topic"]})]
    assert describe(rows) == {
        "rows": 2,
        "messages": 7,
        "calls": 2,
        "calls_a_row": 1,
        "tools_a_row": {"mean": 1, "min": 0, "max": 2},
        "characters_a_row": {"median": 21, "max": 23},
        "distinct_tools": 2,
        "kinds": {"off_topic": 1, "parallel": 1},
    }
    with pytest.raises(ValueError, match="no rows"):
        describe([])
