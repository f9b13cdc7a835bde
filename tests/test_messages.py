"""The vocabulary goes to OpenAI's two shapes and back unharmed."""

import dataclasses
import json
import pickle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fcutils.dialects import DIALECTS
from fcutils.messages import Conversation, Fault, Message, MessageError, Observation, Reply, ToolCall, conversation

TOOL = {"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object", "properties": {}}}}
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
calls = st.builds(ToolCall, st.text(min_size=1), st.dictionaries(st.text(), json_values, max_size=4), st.text(min_size=1))


@given(st.lists(calls, max_size=3), st.text(), st.text())
def test_an_assistants_message_survives_the_new_form(some, content, thought):
    message = Message("assistant", content, thought, tuple(some))
    assert Message.from_openai(json.loads(json.dumps(message.to_openai()))) == message


@given(calls, st.text())
def test_one_call_survives_the_older_form(call, content):
    message = Message("assistant", content, calls=(dataclasses.replace(call, id=None),))
    assert Message.from_openai(json.loads(json.dumps(message.to_openai("function_call")))) == message


def test_the_older_form_refuses_what_it_cannot_hold():
    two = Message("assistant", calls=(ToolCall("f"), ToolCall("g")))
    with pytest.raises(MessageError, match="one call a message"):
        two.to_openai("function_call")


def test_a_conversation_survives_both_forms_and_the_disk(tmp_path):
    call = ToolCall("f", {"x": 1}, "call_1")
    observation = Observation({"y": [1, None]}, name="f", call_id="call_1")
    turns = [Message("user", "hi", name="Ada"), Message("assistant", calls=(call,)), observation.to_message()]
    talk = conversation(turns, [TOOL])
    assert Conversation.from_dict(json.loads(json.dumps(talk.to_dict()))) == talk
    old = Conversation.from_dict(json.loads(json.dumps(talk.to_dict("function_call"))))
    assert [(m.role, m.name) for m in old.messages] == [("user", "Ada"), ("assistant", None), ("tool", "f")]
    assert old.tools == talk.tools and old.messages[1].calls[0].arguments == {"x": 1}
    talk.save(tmp_path / "talk.json")
    assert Conversation.load(tmp_path / "talk.json") == talk


def test_calls_without_ids_are_told_apart_and_linked_to_their_results():
    two = Message("assistant", calls=(ToolCall("f", {"x": 1}), ToolCall("f", {"x": 1}), ToolCall("g", id="mine")))
    results = [Message("tool", "a", name="f"), Message("tool", "b", name="f"), Message("tool", "c", call_id="mine")]
    asked, *answers, again, last = conversation([two, *results, two, results[0]]).to_dict()["messages"]
    ids = [call["id"] for call in asked["tool_calls"]]
    assert len(set(ids)) == 3 and ids[2] == "mine"
    assert [answer["tool_call_id"] for answer in answers] == ids
    assert again == asked and last["tool_call_id"] == ids[0]


def test_results_in_another_order_than_their_calls_name_the_right_ones():
    calls = (ToolCall("first"), ToolCall("second", id="own"))
    talk = Conversation(
        (Message("assistant", calls=calls), Message("tool", "2", name="second"), Message("tool", "1", name="first"))
    )
    asked, two, one = talk.to_dict()["messages"]
    assert [call["id"] for call in asked["tool_calls"]] == [one["tool_call_id"], two["tool_call_id"]]
    assert two["tool_call_id"] == "own"
    pieces = DIALECTS["mistral"].render(Conversation((Message("user", "hi"), *talk.messages)))
    text = "".join(piece.text for piece in pieces)
    assert text.index('"content": "2", "call_id": "000000own"') < text.index('"content": "1", "call_id": "call00001"')


def test_an_error_tells_its_kind_to_the_model():
    assert json.loads(Observation("no such city", "failed").text) == {"error": "no such city", "kind": "failed"}


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"messages": [{"role": "human", "content": "hi"}]}, "message 0: unknown role 'human'"),
        ({"messages": [{"role": "assistant", "tool_calls": [{"function": {"name": 3}}]}]}, "'name' that is text"),
        ({"messages": [{"role": "assistant", "function_call": {"name": "f", "arguments": "{"}}]}, "not JSON"),
        ({"messages": [{"role": "assistant", "function_call": {"name": "f", "arguments": [1]}}]}, "must be an object"),
        ({"messages": [{"role": "user", "tool_calls": [{"name": "f"}]}]}, "only an assistant"),
        ({"turns": []}, "needs a list of 'messages'"),
    ],
)
def test_a_wrong_row_says_where_and_why(row, says):
    with pytest.raises(MessageError, match=says):
        Conversation.from_dict(row)


def test_what_is_found_in_text_and_what_came_of_it_are_json_too():
    reply = Reply("c", "t", (ToolCall("f", {"x": [1, None]}, "1"),), (Fault("malformed", "why", 0, 3),), "text")
    seen = Observation({"y": 1.5}, "ok", "f", "1", 0.1, True)
    for thing in (reply, seen):
        assert pickle.loads(pickle.dumps(thing)) == thing
    back = json.loads(json.dumps(dataclasses.asdict(reply)))
    assert (
        Reply(
            back["content"],
            back["thought"],
            tuple(ToolCall(**call) for call in back["calls"]),
            tuple(Fault(**fault) for fault in back["faults"]),
            back["text"],
        )
        == reply
    )
    assert Observation(**json.loads(json.dumps(dataclasses.asdict(seen)))) == seen


@pytest.mark.parametrize(
    ("thing", "field"),
    [
        (ToolCall("f"), "name"),
        (Reply(), "content"),
        (Fault("k", "r", 0, 1), "kind"),
        (Observation(1), "content"),
        (Message("user"), "content"),
        (Conversation(), "messages"),
    ],
)
def test_everything_is_frozen(thing, field):
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(thing, field, "g")


@pytest.mark.parametrize("wrong", ["[1]", "5", '{"messages": [], "tools": 5}', "[" * 100_000, b"\xff"])
def test_a_file_that_is_no_conversation_is_one_line(tmp_path: Path, wrong: str | bytes) -> None:
    file = tmp_path / "talk.json"
    file.write_bytes(wrong if isinstance(wrong, bytes) else wrong.encode())
    with pytest.raises(MessageError, match=r"talk\.json"):
        Conversation.load(file)
