"""Parsing against everything that hypothesis can think of: nothing raises, nothing is invented, no split changes anything."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from parsing_samples import DIALECTS, NO_ESCAPES, WRITERS, calls, cuts, split, texts, values

from fcutils.messages import Reply, ToolCall
from fcutils.parsing import (
    CallDone,
    Event,
    FaultFound,
    ReplyStream,
    TextPiece,
    ThoughtPiece,
    extract_function_calls,
    parse_reply,
)


def same(left: object, right: object) -> bool:
    """Equal, and of the same types: 1, 1.0 and True are three things."""
    return repr(left) == repr(right)


def plain(found: list[ToolCall]) -> list[tuple[str, object]]:
    return [(call.name, call.arguments) for call in found]


def streamed(pieces: list[str], **options: object) -> tuple[Reply, list[Event]]:
    stream = ReplyStream(**options)  # type: ignore[arg-type]
    events = [event for piece in pieces for event in stream.feed(piece)]
    events += stream.close()
    return stream.reply, events


@pytest.mark.parametrize("writer", [name for name in WRITERS if name not in NO_ESCAPES])
@given(calls=calls, places=cuts)
@settings(max_examples=40, deadline=None)
def test_what_is_written_is_read_named_found_out_and_in_pieces(writer: str, calls: list[ToolCall], places: list[int]) -> None:
    dialect, write = WRITERS[writer]
    text = write(calls)
    for named in (dialect, None):
        reply = parse_reply(text, named)
        assert same(plain(list(reply.calls)), plain(calls)), text
        assert reply.faults == ()
        assert streamed(split(text, places), dialect=named)[0] == reply


@given(
    name=st.sampled_from(["f", "get.it"]),
    keys=st.lists(st.from_regex(r"[a-z_]{1,6}", fullmatch=True), unique=True),
    data=st.data(),
)
@settings(max_examples=60, deadline=None)
def test_functiongemma_says_every_string_without_its_quote(name: str, keys: list[str], data: st.DataObject) -> None:
    safe = st.text(max_size=12) | st.sampled_from(['"', "\\", "<end_function_call>", "}", "<escap"])
    value = st.recursive(safe | st.integers() | st.booleans(), lambda inner: st.lists(inner, max_size=3), max_leaves=4)
    call = ToolCall(name, {key: data.draw(value) for key in keys})
    assert same(plain(extract_function_calls(WRITERS["functiongemma"][1]([call]))), plain([call]))


@given(text=texts, places=cuts, dialect=st.sampled_from([None, *DIALECTS]), tools=st.sampled_from([None, ["f"]]))
@settings(max_examples=600, deadline=None)
@example('{"name": "f", "arguments": {"a": 1', [9], None, None)
@example("<tool_call>{'a': \"<tool_call>{\"</tool_call>", [3, 30], None, ["f"])
def test_no_text_raises_and_no_split_changes_anything(
    text: str, places: list[int], dialect: str | None, tools: list[str] | None
) -> None:
    whole = parse_reply(text, dialect, tools)
    reply, events = streamed(split(text, places), dialect=dialect, tools=tools)
    assert reply == whole
    assert same(reply.calls, whole.calls)
    assert streamed(list(text), dialect=dialect, tools=tools)[0] == whole
    assert [event.call for event in events if isinstance(event, CallDone)] == list(whole.calls)
    assert [event.fault for event in events if isinstance(event, FaultFound)] == list(whole.faults)
    assert "".join(event.text for event in events if isinstance(event, TextPiece)).strip() == whole.content
    assert bool("".join(event.text for event in events if isinstance(event, ThoughtPiece)).strip()) == bool(whole.thought)


@given(text=texts, dialect=st.sampled_from([None, *DIALECTS]))
@settings(max_examples=300, deadline=None)
def test_whatever_comes_out_can_be_used(text: str, dialect: str | None) -> None:
    reply = parse_reply(text, dialect)
    assert reply.text == text
    for call in reply.calls:
        assert isinstance(call.name, str) and call.name.strip()
        assert isinstance(call.arguments, dict)
        json.dumps(call.to_dict(), ensure_ascii=False, allow_nan=False).encode()
    last = 0
    for fault in reply.faults:
        assert fault.kind and fault.reason
        assert last <= fault.start <= fault.end <= len(text)
        last = fault.start


@given(call=calls, end=st.integers(0, 10_000), writer=st.sampled_from(sorted(WRITERS)))
@settings(max_examples=300, deadline=None)
def test_cut_text_invents_no_call(call: list[ToolCall], end: int, writer: str) -> None:
    dialect, write = WRITERS[writer]
    if writer in NO_ESCAPES:
        call = [ToolCall(c.name, {k: v for k, v in c.arguments.items() if isinstance(v, int)}) for c in call]
    text = write(call)
    for named in (dialect, None):
        found = extract_function_calls(text[: end % (len(text) + 1)], named)
        assert same(plain(found), plain(call[: len(found)]))


@given(values)
@settings(max_examples=100, deadline=None)
def test_python_literals_are_read_as_their_values(value: object) -> None:
    text = f"<tool_call>{ {'name': 'f', 'arguments': {'a': value}}!r}</tool_call>"
    assert same(extract_function_calls(text), [ToolCall("f", {"a": value})])
