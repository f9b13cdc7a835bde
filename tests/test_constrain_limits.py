"""constrain/: what ends a call, what no grammar can say, and held calls in chats, in batches and in the loop."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import tiny
from constrain_samples import ENGINES, HOT, SHORT, Once, begun, book, box, engine, label, nothing, talks, valid
from dialect_samples import fast
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from fcutils.constrain import Calls, Caps, ConstraintWarning
from fcutils.constrain.schemas import narrow
from fcutils.engines.base import EngineError
from fcutils.engines.local import LocalEngine
from fcutils.loop import Answer, Observed, Stop, ToolLoop
from fcutils.parsing import parse_reply

every_engine = pytest.mark.parametrize("who", ENGINES)


# ---- caps, and what no grammar can say ---------------------------------------------------------------------------------


def sizes(value: Any, depth: int = 0) -> Iterator[tuple[str, int]]:
    """Every length, count and depth in a value."""
    yield "depth", depth
    if isinstance(value, str):
        yield "string", len(value)
    elif isinstance(value, list | dict):
        yield "items", len(value)
        for inner in value.values() if isinstance(value, dict) else value:
            yield from sizes(inner, depth + 1)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield "digits", len(f"{abs(value):.0f}")


def endless(words: str, values: list[int], much: dict[str, Any], number: float, whole: int) -> str:
    """No limit anywhere."""
    return words


def test_caps_end_what_the_schema_leaves_open() -> None:
    asked, toolbox = engine("llama", "hermes"), box(endless)
    rows = asked.reply_many(
        talks(toolbox, 12), max_tokens=1500, sampling=HOT, constraint=Once(asked, "required", Caps(7, 3, 2, 4, 2))
    )
    found: dict[str, int] = {}
    for row in rows:
        (call,) = parse_reply(row.text, "hermes").calls
        assert valid(call, toolbox)
        for what, size in sizes({key: value for key, value in call.arguments.items() if key != "much"}):
            found[what] = max(found.get(what, 0), size)
        assert all(size <= 4 for what, size in sizes(call.arguments["much"]) if what == "depth")
    assert found["string"] <= 7 and found["items"] <= 4 and found["digits"] <= 4
    assert found["string"] >= 6 and found["digits"] >= 3, "the caps are what ended them"


def test_a_schemas_own_lower_limits_stay_and_caps_are_sane() -> None:
    own = {
        "properties": {
            "x": {"type": "string", "maxLength": 3},
            "y": {"type": "array", "minItems": 4, "items": {"type": "null"}},
        }
    }
    said = narrow(own, Caps(items=2)).schema["properties"]
    assert said["x"]["maxLength"] == 3
    assert (said["y"]["minItems"], said["y"]["maxItems"]) == (4, 4)
    with pytest.raises(ValueError, match="at least 1"):
        Caps(items=0)


def secret(code: str, times: int) -> str:
    """Takes a code."""
    return code


def test_what_no_grammar_can_say_is_named_and_the_rest_is_held() -> None:
    asked, toolbox = engine("llama", "hermes"), box(secret)
    tools = toolbox.tools
    tools[0]["function"]["parameters"]["properties"]["code"]["pattern"] = "(?=a)."
    tools[0]["function"]["parameters"]["properties"]["times"]["not"] = {"const": 3}
    calls = Calls(asked, "required", SHORT)
    with pytest.warns(ConstraintWarning, match="secret.code: pattern"):
        assert calls.gaps(tools) == ("secret.code: pattern (?=a).", "secret.times: not")
    chat = asked.chat(tools)
    chat.say("hello")
    text = "".join(chat.write(max_tokens=300, sampling=HOT, constraint=calls, stop_at_call=True))
    assert valid(parse_reply(text, "hermes").calls[0], toolbox), "held to all the rest"


def test_a_schema_without_any_end_falls_back_to_its_keys() -> None:
    endless_type = {"type": "object", "properties": {"again": {"$ref": "#/$defs/T"}}, "required": ["again"]}
    said = narrow({"properties": {"x": {"$ref": "#/$defs/T"}}, "required": ["x"], "$defs": {"T": endless_type}}, SHORT)
    assert said.gaps == ("all types (no value ends within the caps)",)
    assert set(said.schema["properties"]) == {"x"} and not said.schema["additionalProperties"]


@pytest.mark.parametrize(
    ("schema", "held", "gaps"),
    [
        ({"anyOf": [{"type": "string", "pattern": "(?!a)."}, {"type": "integer"}]}, "integer", ()),
        ({"type": ["integer", "null"], "minimum": 3}, "anyOf", ()),
        ({"type": "string", "format": "binary"}, "string", ()),
        ({"type": "string", "format": "file-path"}, "string", ("x: format file-path",)),
        ({"type": "array", "uniqueItems": True}, "array", ("x: uniqueItems",)),
        ({"allOf": [{"type": "boolean"}]}, "boolean", ()),
        ({"$ref": "elsewhere.json"}, "$ref", ("x: $ref elsewhere.json",)),
        ({"enum": [1, "a", None, {"b": [2]}]}, "enum", ()),
    ],
)
def test_parts_of_a_schema(schema: dict[str, Any], held: str, gaps: tuple[str, ...]) -> None:
    said = narrow({"properties": {"x": schema}}, SHORT)
    part = said.schema["properties"]["x"]
    assert said.gaps == gaps
    assert held in (part.get("type"), *part)


# ---- in the engines, and in the loop -----------------------------------------------------------------------------------


@every_engine
def test_a_reply_in_pieces_and_after_a_rollback_is_the_same_reply(who: str) -> None:
    asked, toolbox = ENGINES[who](), box(book, nothing)
    calls = Once(asked, "required", SHORT)
    chat = begun(asked, toolbox)
    mark = chat.mark()
    whole = "".join(chat.write(max_tokens=400, constraint=calls))
    assert chat.ended == "end"
    chat.rollback(mark)
    pieces = ""
    while chat.ended != "end" or not pieces:
        pieces += "".join(chat.write(max_tokens=7, constraint=calls))
    assert pieces == whole
    assert all(valid(call, toolbox) for call in parse_reply(whole, asked.dialect.name).calls)
    chat.say("And again")
    again = parse_reply("".join(chat.write(max_tokens=400, constraint=calls)), asked.dialect.name)
    assert again.calls and not again.faults


@pytest.mark.parametrize("who", ["hermes, bytes, tags spelt", "gemma, SentencePiece", "mistral, SentencePiece"])
def test_a_batch_writes_what_each_row_would_alone(who: str) -> None:
    asked, toolbox = ENGINES[who](), box(book, label)
    calls = Calls(asked, "required", SHORT)
    rows = asked.reply_many(talks(toolbox, 5), max_tokens=60, constraint=calls)
    alone = ["".join(asked.resume(talk).write(max_tokens=60, constraint=calls)) for talk in talks(toolbox, 5)]
    assert [row.text for row in rows] == alone


def test_a_grammar_that_the_tokenizer_cannot_spell_is_an_error() -> None:
    words = {char: place for place, char in enumerate("abcd <>_/\n")}
    made = Tokenizer(models.BPE(words, []))
    made.decoder = decoders.ByteLevel()  # pyright: ignore[reportAttributeAccessIssue]
    made.pre_tokenizer = pre_tokenizers.Split(" ", "isolated")  # pyright: ignore[reportAttributeAccessIssue]
    kept = fast(made)
    asked = LocalEngine(tiny.model("llama", len(kept)), kept, "hermes")
    with pytest.raises(EngineError, match="grammar"):
        list(begun(asked, box(nothing), "a").write(max_tokens=20, constraint=Calls(asked, "required")))


def test_the_loop_calls_when_it_must_and_answers_when_it_may() -> None:
    asked, toolbox = engine("llama", "hermes"), box(nothing)
    loop = ToolLoop(asked, toolbox, constrained=True, tool_choice="required", max_turns=2, max_tokens=200, sampling=HOT)
    events = list(loop.run("Do it"))
    assert [event.observation.ok for event in events if isinstance(event, Observed)][:1] == [True]
    assert isinstance(events[-1], Stop) and events[-1].reason not in ("mending", "engine")
    quiet = ToolLoop(asked, toolbox, constrained=True, tool_choice="none", max_tokens=40, sampling=HOT)
    assert not [event for event in quiet.run("Do it") if isinstance(event, Observed)]
    assert not [event for event in events if isinstance(event, Answer) and "<tool_call>" in event.text]


def test_the_loop_refuses_options_that_contradict_each_other() -> None:
    asked, toolbox = engine("llama", "hermes"), box(nothing)
    with pytest.raises(ValueError, match="constrained=True"):
        ToolLoop(asked, toolbox, tool_choice="required")
    with pytest.raises(ValueError, match="of your own"):
        ToolLoop(asked, toolbox, constrained=True, constraint=Calls(asked))
