"""The two small models that one can run on a CPU: their dialects beside what their makers write."""

from pathlib import Path
from typing import Any

import pytest
import trl
from dialect_samples import NOTE, OSLO, TALKS, TOOLS, byte_level, tool, written

from fcutils.dialects import DialectError, get
from fcutils.messages import Message, ToolCall, conversation
from fcutils.parsing import parse_reply

ORIGINAL = (Path(trl.__file__).parent / "chat_templates" / "qwen3.jinja").read_text(encoding="utf-8")
ASK, BACK = Message("user", "What's the weather in Oslo?"), Message("tool", '{"°C": 3}', name="weather")
CALLS = Message("assistant", calls=(OSLO, NOTE))
QWEN = {
    "a prompt": [Message("system", "Be brief."), ASK],
    "without system": [ASK, CALLS, BACK, Message("tool", "noted", name="add_note")],
    "content beside a call": [ASK, Message("assistant", "I look.", calls=(OSLO,)), BACK],
    "thoughts beside calls": [ASK, Message("assistant", "", "The weather.", (OSLO,)), BACK],
    "thoughts and answer": [ASK, Message("assistant", "", "Hm.", (OSLO,)), BACK, Message("assistant", "3 °C.", "cold")],
    "a second question": [ASK, Message("assistant", "Cold."), Message("user", "And tomorrow?")],
}


def original(row: dict[str, Any], asks: bool) -> str:
    for message in row["messages"]:
        message |= {"reasoning_content": message["thought"]} if "thought" in message else {}
    return byte_level().apply_chat_template(
        row["messages"], row.get("tools"), chat_template=ORIGINAL, tokenize=False, add_generation_prompt=asks
    )


@pytest.mark.parametrize("tools", [(), TOOLS], ids=["no tools", "tools"])
@pytest.mark.parametrize("messages", QWEN.values(), ids=QWEN)
def test_qwen3_is_asked_as_its_own_template_asks_it(messages: list[Message], tools: Any) -> None:
    talk, asks = conversation(messages, tools), messages[-1].role != "assistant"
    ours = "".join(piece.text for piece in get("qwen3").render(talk, generate=asks))
    assert ours == original(talk.to_dict(), asks)


def test_qwen3_keeps_what_was_thought_so_that_each_turn_only_adds() -> None:
    talk = conversation([ASK, Message("assistant", "Cold.", "Oslo."), Message("user", "And tomorrow?")])
    kept = written(get("qwen3"), talk)
    assert "<think>\nOslo.\n</think>\n\n" in kept
    assert kept.replace("<think>\nOslo.\n</think>\n\n", "") == original(talk.to_dict(), asks=False)


WEATHER = {  # the example of Google's page on the format
    "type": "function",
    "function": {
        "name": "get_current_weather",
        "description": "Gets the current weather in a given location.",
        "parameters": {
            "type": "object",
            "properties": {
                "location": {
                    "type": "string",
                    "description": 'The city and state, e.g. "San Francisco, CA" or "Tokyo, JP"',
                },
                "unit": {
                    "type": "string",
                    "enum": ["celsius", "fahrenheit"],
                    "description": "The unit to return the temperature in.",
                },
            },
            "required": ["location"],
        },
    },
}
DEVELOPER = (
    "<start_of_turn>developer\nYou are a model that can do function calling with the following functions"
    "<start_function_declaration>declaration:get_current_weather{description:<escape>Gets the current weather in a given "
    "location.<escape>,parameters:{properties:{location:{description:<escape>The city and state, e.g. "
    '"San Francisco, CA" or "Tokyo, JP"<escape>,type:<escape>STRING<escape>},unit:{description:<escape>The unit to return the '
    "temperature in.<escape>,enum:[<escape>celsius<escape>,<escape>fahrenheit<escape>],type:<escape>STRING<escape>}},"
    "required:[<escape>location<escape>],type:<escape>OBJECT<escape>}}<end_function_declaration><end_of_turn>\n"
)
TOKYO = ToolCall("get_current_weather", {"location": "Tokyo, Japan"})


def test_functiongemma_is_asked_as_googles_example_asks_it() -> None:
    talk = conversation([Message("user", "Hey, what's the weather in Tokyo right now?")], [WEATHER])
    user = "<start_of_turn>user\nHey, what's the weather in Tokyo right now?<end_of_turn>\n<start_of_turn>model\n"
    assert written(get("functiongemma"), talk) == f"<bos>{DEVELOPER}{user}"


def test_functiongemmas_calls_and_results_are_written_as_in_the_example() -> None:
    dialect = get("functiongemma")
    reply = "".join(piece.text for piece in dialect.reply(Message("assistant", calls=(TOKYO,))))
    call = "<start_function_call>call:get_current_weather{location:<escape>Tokyo, Japan<escape>}<end_function_call>"
    assert reply == call + "<end_of_turn>"
    assert parse_reply(call + "<start_function_response>", "functiongemma").calls == (TOKYO,), "as the model ends it"
    result = "".join(piece.text for piece in dialect.results([Message("tool", "sunny", name="get_current_weather")]))
    said = "response:get_current_weather{value:<escape>sunny<escape>}"
    assert result == f"<start_of_turn>model\n<start_function_response>{said}<end_function_response>"


def test_functiongemma_quotes_in_the_common_way_what_its_own_quotes_cannot_hold() -> None:
    call = ToolCall("f", {"a": "x<escape>y", "two words": ["<end_of_turn>", 1.5, None, True], "größe": {"b": {}}})
    text = "".join(piece.text for piece in get("functiongemma").call(call))
    assert text == ('call:f{a:"x\\u003cescape>y","two words":["\\u003cend_of_turn>",1.5,null,true],"größe":{b:{}}}')
    odd = "".join(piece.text for piece in get("functiongemma").call(ToolCall("a b", {"c": 1})))
    assert odd == '{"name": "a b", "arguments": {"c": 1}}'


def test_functiongemmas_pieces_tell_names_from_values() -> None:
    pieces = get("functiongemma").reply(Message("assistant", "Looking.", calls=(OSLO, NOTE)))
    by_part = {part: "".join(piece.text for piece in pieces if piece.part == part) for part in ("name", "value", "text")}
    assert by_part["name"] == 'weathercitydaysnownoneadd_notetext"größe"'
    assert by_part["value"].startswith("<escape>Oslo<escape>[1,2.5]truenull<escape>say")
    assert by_part["text"] == "Looking."


def test_functiongemmas_template_says_that_it_cannot_read_json() -> None:
    row = conversation([ASK, CALLS]).to_dict()
    with pytest.raises(Exception, match="give a call's arguments as an object"):
        byte_level().apply_chat_template(row["messages"], chat_template=get("functiongemma").template)


def test_a_tool_without_parameters_or_words_is_declared() -> None:
    bare = {"type": "function", "function": {"name": "now"}}
    text = written(get("functiongemma"), conversation([ASK], [bare, tool("f")]))
    assert "<start_function_declaration>declaration:now{}<end_function_declaration><start_function_declaration>" in text


def test_calls_that_are_not_json_cannot_be_constrained() -> None:
    from fcutils.constrain.grammar import form

    assert form(get("qwen3")).opening == "\n"
    with pytest.raises(DialectError, match="calls are not JSON"):
        form(get("functiongemma"))


def test_qwen3_and_functiongemma_take_turns_with_results_in_between() -> None:
    """A second question behind an answer, whole and turn by turn."""
    for name in ("qwen3", "functiongemma"):
        talk = TALKS["everything"]
        whole = written(get(name), talk)
        assert whole.count("Rain.") == 1 and whole.index("noted: “ok”") < whole.index("Take a coat")
