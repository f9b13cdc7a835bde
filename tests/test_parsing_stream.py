"""`ReplyStream`: what each piece tells, and when."""

from __future__ import annotations

import pytest

from fcutils.messages import ToolCall
from fcutils.parsing import CallBegins, CallDone, CallPiece, Event, FaultFound, ReplyStream, TextPiece, ThoughtPiece

CALL = '{"name": "f", "arguments": {"a": "x y"}}'


def tell(*pieces: str, **options: object) -> list[list[Event]]:
    stream = ReplyStream(**options)  # type: ignore[arg-type]
    return [list(stream.feed(piece)) for piece in pieces] + [list(stream.close())]


def test_text_is_handed_on_at_once() -> None:
    assert tell("Hel", "lo ", "you") == [[TextPiece("Hel")], [TextPiece("lo ")], [TextPiece("you")], []]


def test_only_what_may_be_a_marker_is_held_back() -> None:
    assert tell("a <to", "ols are") == [[TextPiece("a ")], [TextPiece("<tools are")], []]
    assert tell("a <tool", "s", "> b", "</tools>c") == [
        [TextPiece("a ")],
        [],
        [TextPiece("<tools> b")],
        [TextPiece("</tools>c")],
        [],
    ]
    assert tell("x < 5 `", "``") == [[TextPiece("x < 5 ")], [], [TextPiece("```")]]


def test_a_call_is_done_with_its_last_brace() -> None:
    events = tell("Hm.<tool_call>" + CALL[:10], CALL[10:-1], "}", "</tool_call>Bye")
    assert events == [
        [TextPiece("Hm."), CallBegins(3), CallPiece("<tool_call>" + CALL[:10])],
        [CallPiece(CALL[10:-1])],
        [CallPiece("}"), CallDone(ToolCall("f", {"a": "x y"}))],
        [TextPiece("Bye")],
        [],
    ]


def test_calls_of_a_list_are_done_one_by_one() -> None:
    events = tell("[TOOL_CALLS] [" + CALL, ", " + CALL, "]</s>")
    assert [sum(isinstance(event, CallDone) for event in told) for told in events] == [1, 1, 0, 0]


def test_a_call_without_a_marker_is_told_when_it_is_sure() -> None:
    assert tell(CALL[:-1], "}") == [[], [CallBegins(0), CallPiece(CALL), CallDone(ToolCall("f", {"a": "x y"}))], []]
    assert tell('{"a": ', "1}", " b") == [[], [TextPiece('{"a": 1}')], [TextPiece(" b")], []]


def test_a_fault_is_told_when_its_block_ends_and_the_next_call_is_read() -> None:
    events = tell('<tool_call>{"name": oops', "}</tool_call><tool_call>" + CALL)
    assert [type(event) for event in events[0]] == [CallBegins, CallPiece]
    assert [type(event) for event in events[1]] == [CallPiece, FaultFound, CallBegins, CallPiece, CallDone]


def test_a_quote_that_does_not_close_is_noticed_in_the_next_call() -> None:
    bad = '<tool_call>{"name": "f", "arguments": {"a": "x}}</tool_call>'
    events = tell(bad, "<tool_call>" + CALL[:7], CALL[7:])
    assert [type(event) for event in events[1]][-1] is CallPiece
    assert any(isinstance(event, FaultFound) for event in events[1])
    assert CallDone(ToolCall("f", {"a": "x y"})) in events[2]


def test_thoughts_come_as_thoughts() -> None:
    assert tell("<thi", "nk>So", " what</th", "ink>Hi") == [
        [],
        [ThoughtPiece("So")],
        [ThoughtPiece(" what")],
        [TextPiece("Hi")],
        [],
    ]


def test_the_end_decides_what_was_open() -> None:
    assert tell("a <tool_c") == [[TextPiece("a ")], [TextPiece("<tool_c")]]
    [[*_], [fault]] = tell("<tool_call>" + CALL[:-3])
    assert isinstance(fault, FaultFound) and fault.fault.kind == "truncated"


def test_every_call_that_begins_is_done_or_a_fault() -> None:
    for text in ("<tool_call>", "<tool_call>no", "<tool_call></tool_call>", "[TOOL_CALLS][]", "<tool_call>{}", CALL * 3):
        events = [event for told in tell(*text) for event in told]
        begun = sum(isinstance(event, CallBegins) for event in events)
        assert begun == sum(isinstance(event, CallDone | FaultFound) for event in events) > 0


def test_the_pieces_of_a_call_are_its_text() -> None:
    text = f"<tool_call>\n{CALL}"
    events = [event for told in tell(*text) for event in told]
    assert "".join(event.text for event in events if isinstance(event, CallPiece)) == text


def test_the_reply_grows_and_is_whole_at_the_end() -> None:
    stream = ReplyStream()
    stream.feed("Hi <tool_call>" + CALL)
    assert (stream.reply.content, len(stream.reply.calls)) == ("Hi", 1)
    stream.feed(" and <tool_call>{")
    assert stream.reply.faults == ()
    stream.close()
    assert [fault.kind for fault in stream.reply.faults] == ["truncated"]
    assert stream.reply.text == "Hi <tool_call>" + CALL + " and <tool_call>{"


def test_a_closed_stream_takes_no_more() -> None:
    stream = ReplyStream()
    stream.feed("x")
    stream.close()
    assert stream.close() == []
    with pytest.raises(RuntimeError, match="closed; make a new ReplyStream"):
        stream.feed("y")


def test_empty_pieces_change_nothing() -> None:
    assert tell("", "a", "") == [[], [TextPiece("a")], [], []]
