"""The vocabulary goes to OpenAI's two shapes and back unharmed."""

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fcutils.messages import Conversation, Message, MessageError, Observation, ToolCall, conversation

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
    talk = conversation([Message("user", "hi"), Message("assistant", calls=(call,)), observation.to_message()], [TOOL])
    assert Conversation.from_dict(json.loads(json.dumps(talk.to_dict()))) == talk
    old = Conversation.from_dict(json.loads(json.dumps(talk.to_dict("function_call"))))
    assert [m.role for m in old.messages] == ["user", "assistant", "tool"]
    assert old.tools == talk.tools and old.messages[1].calls[0].arguments == {"x": 1}
    talk.save(tmp_path / "talk.json")
    assert Conversation.load(tmp_path / "talk.json") == talk


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


def test_everything_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        ToolCall("f").name = "g"
