"""evaluate/run.py and replies.py: runs with scripted engines, their figures worked out by hand; killed runs; failing rows."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from scripted import ROWS, Scripted, call, gold, says, user

from fcutils.engines.base import Sampling, Written
from fcutils.evaluate import DataError, RepliesError, Report, compare, evaluate
from fcutils.evaluate.replies import Replies
from fcutils.messages import Conversation, Message

TESTS = Path(__file__).parent


def run(engine: Scripted, **options: Any) -> Report:
    return evaluate(engine, ROWS, progress=False, **options)


def counts(report: Report) -> dict[str, tuple[int, int]]:
    return {name: (score.hits, score.n) for name, score in report.scores.items()}


def last_user(talk: Conversation) -> str:
    return next(message.content for message in reversed(talk.messages) if message.role == "user")


# ---- figures, worked out by hand -----------------------------------------------------------------------------------


@pytest.mark.parametrize("dialect", ["hermes", "gemma", "openhermes"])
def test_always_right(dialect: str) -> None:
    report = run(Scripted(gold(ROWS, dialect), dialect=dialect))
    assert counts(report) == {
        "parses": (12, 12),
        "calls": (6, 6),
        "holds back": (1, 1),
        "right tool": (6, 6),
        "right arguments": (6, 6),
        "whole call": (6, 6),
        "parallel": (1, 1),
        "asks": (1, 1),
        "answers": (4, 4),
        "sequence": (1, 1),
    }
    assert not report.reasons and not report.failed
    assert report.replies == 12  # the sequence's own steps are the ones that were asked for already


def test_never_calls() -> None:
    report = run(Scripted(lambda talk: "I would rather not."))
    assert counts(report) == {
        "parses": (12, 12),
        "calls": (0, 6),
        "holds back": (1, 1),
        "right tool": (0, 6),
        "whole call": (0, 6),
        "parallel": (0, 1),
        "asks": (0, 1),
        "answers": (4, 4),
        "sequence": (0, 1),
    }
    assert report.reasons == {"no call": 6, "did not ask": 1}


def test_always_calls_the_same() -> None:
    report = run(Scripted(lambda talk: call("weather.now", city="Oslo")))
    assert counts(report) == {
        "parses": (12, 12),
        "calls": (6, 6),
        "holds back": (0, 1),
        "right tool": (2, 6),  # Oslo and Bern; of Paris and Lima one call is too few
        "right arguments": (1, 2),
        "whole call": (1, 6),
        "parallel": (0, 1),
        "asks": (0, 1),
        "answers": (0, 4),
        "sequence": (0, 1),
    }
    assert report.reasons == {
        "call where none was due": 6,
        "wrong number of calls": 1,
        "wrong tool": 3,
        "wrong value": 1,
    }


def test_silence() -> None:
    report = run(Scripted(lambda talk: ""))
    assert report.reasons == {"no call": 6, "did not ask": 1, "no answer": 4}
    assert counts(report)["holds back"] == (1, 1)


def test_garbage() -> None:
    report = run(Scripted(lambda talk: "<tool_call>{" * 900))
    assert {name: hits for name, (hits, _) in counts(report).items() if hits} == {}
    assert report.reasons == {"unparsable": 12}


def test_a_megabyte_of_garbage_is_one_miss() -> None:
    report = evaluate(Scripted(lambda talk: "<tool_call>{" * 90_000), ROWS[1:2], progress=False)
    assert report.reasons == {"unparsable": 1}
    assert len(str(report.to_dict())) < 60_000


def test_a_sequence_goes_on_with_the_models_own_words_and_golds_results() -> None:
    right = gold(ROWS)

    def script(talk: Conversation) -> str:
        if last_user(talk).startswith("Fly") and len(talk.messages) == 1:
            return "Let me see.\n" + call("find_flight", to="BONN")
        return right(talk) if "Let me see." not in str(talk.messages) else call("book_flight", number="lh7", seats=1)

    engine = Scripted(script)
    report = run(engine)
    own = engine.asked[-1]  # the last step: words to say, but the model calls again
    assert [message.content for message in own.messages if message.role == "assistant"] == ["Let me see.", ""]
    assert [message.content for message in own.messages if message.role == "tool"] == ['["LH7"]', '"ok"']
    assert counts(report)["sequence"] == (0, 1)
    assert counts(report)["whole call"] == (6, 6)
    (whole,) = [outcome for outcome in report.outcomes if outcome.kind == "sequence"]
    assert whole.misses[0].reason == "call where none was due"


def test_a_sequence_ends_where_it_goes_wrong() -> None:
    right = gold(ROWS)
    engine = Scripted(lambda talk: call("book_flight", number="LH7") if len(talk.messages) == 1 else right(talk))
    report = run(engine)
    assert counts(report)["sequence"] == (0, 1)
    assert report.reasons["wrong order"] == 1
    assert len(engine.asked) == 12


# ---- engines that fail, or break their word ----------------------------------------------------------------------------


def failing(right: Callable[[Conversation], str]) -> Callable[[Conversation], str]:
    def script(talk: Conversation) -> str:
        if "Bern" in last_user(talk):
            raise ValueError("out of memory")
        return right(talk)

    return script


def test_a_row_on_which_the_engine_fails_is_no_miss_and_no_score() -> None:
    report = run(Scripted(failing(gold(ROWS))))
    assert {outcome.row for outcome in report.failed} == {7}
    assert [outcome.error for outcome in report.failed] == ["out of memory", "out of memory"]
    assert counts(report)["whole call"] == (5, 5)
    assert not report.missed
    assert report.replies == 10


class Raising(Scripted):
    """Raises out of `reply_many` where it should report a failed row."""

    def reply_many(self, talks: Sequence[Conversation], **options: Any) -> list[Written]:
        if any("Bern" in last_user(talk) for talk in talks):
            raise MemoryError("no more memory")
        return super().reply_many(talks, **options)


def test_an_engine_that_raises_fails_on_the_rows_that_make_it_raise() -> None:
    report = run(Raising(gold(ROWS)))
    assert {outcome.row for outcome in report.failed} == {7}
    assert report.failed[0].error == "MemoryError: no more memory"
    assert counts(report)["whole call"] == (5, 5)


def test_an_engine_that_loses_replies_is_refused() -> None:
    class Losing(Scripted):
        def reply_many(self, talks: Sequence[Conversation], **options: Any) -> list[Written]:
            return super().reply_many(talks, **options)[1:]

    with pytest.raises(RepliesError, match="asked for 12 replies, reply_many gave 11"):
        run(Losing(gold(ROWS)))


def test_wrong_rows_are_named_before_anything_is_asked() -> None:
    engine = Scripted(gold(ROWS))
    with pytest.raises(DataError) as caught:
        evaluate(engine, [ROWS[0], Conversation((user("a"), says("b"), says("c")))], progress=False)
    assert caught.value.faults[0][0] == 2
    assert not engine.asked
    with pytest.raises(DataError, match="no row"):
        evaluate(engine, [], progress=False)


def test_the_bar_shows_a_running_score(capsys: pytest.CaptureFixture[str]) -> None:
    evaluate(Scripted(gold(ROWS), name="always-right"), ROWS)
    shown = capsys.readouterr().out
    assert "always-right" in shown and "whole call 6/6, holds back 1/1" in shown


# ---- going on ------------------------------------------------------------------------------------------------------


def test_nothing_is_asked_twice(tmp_path: Path) -> None:
    path = tmp_path / "replies.jsonl"
    first = run(Scripted(gold(ROWS)), replies=path)
    again = Scripted(lambda talk: "never asked")
    assert run(again, replies=path) == first
    assert not again.asked
    assert len(path.read_text().splitlines()) == 12


def test_failed_rows_are_tried_again(tmp_path: Path) -> None:
    path = tmp_path / "replies.jsonl"
    run(Scripted(failing(gold(ROWS))), replies=path)
    engine = Scripted(gold(ROWS))
    assert not run(engine, replies=path).failed
    assert {last_user(talk) for talk in engine.asked} == {"Weather in Bern?"}


def test_other_engines_and_settings_share_a_file_and_no_replies(tmp_path: Path) -> None:
    path = tmp_path / "replies.jsonl"
    run(Scripted(gold(ROWS)), replies=path)
    others = [
        ({"name": "other"}, {}),
        ({}, {"max_tokens": 9}),
        ({}, {"sampling": Sampling(temperature=0.5, seed=1)}),
        ({}, {"constraint": object()}),
        ({"dialect": "gemma"}, {}),
    ]
    for made, options in others:
        engine = Scripted(gold(ROWS, made.get("dialect", "hermes")), **made)
        run(engine, replies=path, **options)
        assert len(engine.asked) == 12


def test_a_torn_line_and_foreign_lines_are_no_replies(tmp_path: Path) -> None:
    path = tmp_path / "replies.jsonl"
    whole = run(Scripted(gold(ROWS)), replies=path)
    lines = path.read_text().splitlines()
    path.write_text("\n".join(["not json", "[]", '{"engine": 3}', *lines[:5], lines[5][: len(lines[5]) // 2]]))
    engine = Scripted(gold(ROWS))
    assert run(engine, replies=path) == whole
    assert len(engine.asked) == 7
    assert run(Scripted(lambda talk: "never"), replies=path) == whole


def test_a_file_that_cannot_be_written_is_said_at_once(tmp_path: Path) -> None:
    engine = Scripted(gold(ROWS))
    with pytest.raises(RepliesError, match="cannot be"):
        run(engine, replies=tmp_path)
    assert not engine.asked


def test_strange_text_comes_back_from_the_file_as_it_was(tmp_path: Path) -> None:
    text = "\u2028 \ud800 \x00 \n \U0001f600 ü"
    source = Replies(Scripted(lambda talk: text), max_tokens=1, path=tmp_path / "r.jsonl")
    source.ask([ROWS[0]])
    known = Replies(Scripted(lambda talk: "?"), max_tokens=1, path=tmp_path / "r.jsonl").ask([ROWS[0]])
    assert known[0].text == text


def test_words_that_spell_turns_are_not_the_turns_themselves() -> None:
    turns = Conversation((Message("user", "a"), Message("assistant", "b"), Message("user", "c")))
    spelt = "a<|im_end|>\n<|im_start|>assistant\nb<|im_end|>\n<|im_start|>user\nc"
    source = Replies(Scripted(lambda talk: f"{len(talk.messages)}"), max_tokens=5)
    assert [one.text for one in source.ask([turns, Conversation((Message("user", spelt),))])] == ["3", "1"]


SLOW = """
    import sys, time
    from scripted import ROWS, Scripted, gold
    from fcutils.evaluate import evaluate

    right, seconds = gold(ROWS), float(sys.argv[2])

    def script(talk):
        time.sleep(seconds)
        return right(talk)

    report = evaluate(Scripted(script), ROWS, replies=sys.argv[1] + "/replies.jsonl", progress=False)
    report.save(sys.argv[1] + "/report.json")
"""


def start(folder: Path, seconds: float) -> subprocess.Popen[bytes]:
    folder.mkdir(exist_ok=True)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), str(TESTS.parent)])}
    return subprocess.Popen([sys.executable, "-c", textwrap.dedent(SLOW), str(folder), str(seconds)], env=environment)


def test_a_killed_run_goes_on_and_ends_with_the_same_report(tmp_path: Path) -> None:
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    process = start(killed, 0.2)
    try:
        replies = killed / "replies.jsonl"
        while not replies.exists() or replies.read_bytes().count(b"\n") < 3:
            assert process.poll() is None, "it ended before it could be killed"
            time.sleep(0.01)
    finally:
        process.send_signal(getattr(signal, "SIGKILL", signal.SIGTERM))
        process.wait()
    had = replies.read_bytes().count(b"\n")
    assert 3 <= had < 12 and not (killed / "report.json").exists()
    assert start(killed, 0.0).wait() == start(whole, 0.0).wait() == 0
    assert replies.read_bytes().count(b"\n") == 12
    assert (killed / "report.json").read_bytes() == (whole / "report.json").read_bytes()


# ---- two runs ------------------------------------------------------------------------------------------------------


def test_two_runs_are_compared_row_by_row() -> None:
    right = gold(ROWS)
    before = run(Scripted(lambda talk: "No." if "Oslo" in last_user(talk) else right(talk), name="before"))
    after = run(Scripted(right, name="after"))
    by_name = {one.name: one for one in compare(before, after)}
    assert (by_name["whole call"].gained, by_name["whole call"].lost, by_name["whole call"].p) == (1, 0, 1.0)
    assert by_name["parses"].gained == by_name["answers"].gained == 0
    assert by_name["right arguments"].n == 5  # of Oslo nobody knows what the arguments would have been


def test_a_report_of_a_run_is_plain_json(tmp_path: Path) -> None:
    report = run(Scripted(gold(ROWS)))
    report.save(tmp_path / "r.json")
    data = json.loads((tmp_path / "r.json").read_text())
    assert data["scores"]["whole call"]["n"] == 6
    assert data["engine"]["dialect"] == "hermes"
    assert Report.load(tmp_path / "r.json").scores == report.scores
