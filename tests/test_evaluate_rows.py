"""evaluate/rows.py: what is asked of a model, and which rows are refused before anything runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from scripted import ROWS, TOOLS, asks, result, row, says, user

from fcutils.evaluate.rows import DataError, asks_of, asks_something, fingerprint, read_rows, steps_of
from fcutils.messages import Conversation, Message, MessageError

DATA = Path(__file__).parents[1] / "data"
CALL = asks(("weather.now", {"city": "Oslo"}))


def write(path: Path, *rows: Any) -> Path:
    lines = [one if isinstance(one, str) else json.dumps(one.to_dict()) for one in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_every_assistant_turn_is_asked_for_on_golds_history() -> None:
    found = asks_of(ROWS[3], 4)
    assert [(ask.id, ask.kind, len(ask.prompt.messages)) for ask in found] == [
        ("4.1", "call", 1),
        ("4.3", "call", 3),
        ("4.5", "answer", 5),
    ]
    assert found[0].prompt.tools == TOOLS
    assert [want.name for want in found[0].elsewhere] == ["book_flight"]
    assert not found[1].prompt.meta  # nothing of gold leaks into what the model sees


def test_a_conversation_of_several_requests_is_taken_apart() -> None:
    talk = row(
        Message("system", "Be brief."),
        *ROWS[5].messages,  # something is missing ...
        user("In Oslo."),  # ... is said ...
        *ROWS[0].messages[1:],
        *ROWS[4].messages,
        *ROWS[3].messages,
        kinds=["missing", "nothing", "sequence"],
    )
    found = asks_of(talk, 1)
    assert [ask.kind for ask in found] == ["missing", "call", "answer", "nothing", "call", "call", "answer"]
    (steps,) = steps_of(talk, found)
    assert [ask.kind for ask in steps.asks] == ["call", "call", "answer"]
    assert [len(results) for results in steps.results] == [1, 1, 0]


def test_without_kinds_a_gold_question_is_what_must_be_asked() -> None:
    bare = [Conversation(one.messages, one.tools) for one in (ROWS[4], ROWS[5])]
    assert [asks_of(one, 1)[0].kind for one in bare] == ["nothing", "missing"]


@pytest.mark.parametrize(
    ("text", "question"),
    [("Where?", True), ("Please provide the city.", True), ("Let me know the day!", True), ("¿Dónde?", True), ("No.", False)],
)
def test_what_is_a_question(text: str, question: bool) -> None:
    assert asks_something(text) is question


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ('{"messages": [], "meta": {"n": ' + "9" * 5000 + "}}", "not a row"),
        ("[]", "not a row"),
        ('{"messages": 3}', "list of 'messages'"),
        (row(user("Hi"), kinds=[]), "no assistant's message"),
        (row(says("Hi"), kinds=[]), "not one of the system"),
        (row(user("Hi"), says("a"), says("b"), kinds=[]), "message 2: an assistant's turn follows a user's or a result"),
        (row(user("Hi"), result(1), says("b"), kinds=[]), "message 1: a tool's result without a call"),
        (
            row(user("Hi"), says("No"), kinds=["single"]),
            "meta.kinds has 0 requests without a call (single), the messages have 1",
        ),
        (row(user("Hi"), CALL, says("b"), kinds=["single"]), "1 calls, 0 results"),
        (row(user("Hi"), CALL, result(1), result(2), says("b"), kinds=["single"]), "1 calls, 2 results"),
        (row(user("Hi"), CALL, user("Go on"), says("b"), kinds=["single"]), "1 calls, 0 results"),
        (row(user("Hi"), asks(("sing", {})), kinds=["single"]), "gold calls 'sing', which is not among the tools"),
        (row(user("Hi"), asks(("weather.now", {})), kinds=["single"]), "'weather.now' lacks 'city'"),
        (row(user("Hi"), asks(("weather.now", {"city": "O", "x": 1})), kinds=["single"]), "has 'x', which its schema has not"),
        (row(user("Hi"), asks(("weather.now", {"city": 3})), kinds=["single"], acceptable=[{"city": ["3"]}]), "not acceptable"),
        (row(user("Hi"), CALL, kinds=["single"], acceptable=[]), "one entry for each of the 1 calls"),
        (row(user("Hi"), CALL, kinds=["single"], acceptable=[{"city": "Oslo"}]), "must be a list for each parameter"),
    ],
)
def test_a_wrong_row_is_named_with_its_line_and_the_reason(tmp_path: Path, wrong: Any, reason: str) -> None:
    path = write(tmp_path / "rows.jsonl", ROWS[0], wrong, ROWS[1])
    with pytest.raises(DataError) as caught:
        read_rows(path)
    ((line, why),) = caught.value.faults
    assert line == 2
    assert reason in why


def test_all_wrong_rows_are_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        read_rows(write(tmp_path / "rows.jsonl", *["{"] * 30))
    assert [line for line, _ in caught.value.faults] == list(range(1, 31))
    assert "and 10 more" in str(caught.value)


def test_a_file_that_is_no_file_or_holds_nothing(tmp_path: Path) -> None:
    for path in (tmp_path / "none.jsonl", tmp_path, write(tmp_path / "empty.jsonl")):
        with pytest.raises(DataError):
            read_rows(path)
    (tmp_path / "bytes.jsonl").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="cannot be read"):
        read_rows(tmp_path / "bytes.jsonl")


def test_the_limit_is_the_first_rows(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.jsonl", *ROWS, "{")
    assert [one.messages for one in read_rows(path, limit=2)] == [one.messages for one in ROWS[:2]]


def test_gold_calls_with_wrong_results_in_the_middle_are_refused() -> None:
    with pytest.raises(MessageError, match="2 calls, 1 results"):
        asks_of(row(ROWS[2].messages[0], ROWS[2].messages[1], result(1), says("x"), kinds=["parallel"]), 1)


def test_the_fingerprint_is_of_rows_and_order() -> None:
    assert fingerprint(ROWS) == fingerprint([Conversation.from_dict(one.to_dict()) for one in ROWS])
    assert len({fingerprint(ROWS), fingerprint(ROWS[:-1]), fingerprint(ROWS[::-1])}) == 3


@pytest.mark.parametrize("path", sorted(DATA.glob("test_*.jsonl")), ids=lambda path: path.stem)
def test_the_courses_own_test_sets_can_be_scored(path: Path) -> None:
    rows = read_rows(path)
    kinds = {ask.kind for number, one in enumerate(rows, 1) for ask in asks_of(one, number)}
    expected = {"test_nothing_to_call": {"nothing"}, "test_missing_information": {"missing"}}
    assert len(rows) == 200
    assert kinds == expected.get(path.stem, {"call", "answer"})
