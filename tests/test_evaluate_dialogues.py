"""evaluate/dialogues.py and data/dialogues.yaml: every dialogue can be got right, and what is wrong is seen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from scripted import Scripted, call, say

from fcutils import usecases
from fcutils.engines.base import Sampling
from fcutils.evaluate import DataError, Report, pass_hat
from fcutils.evaluate.dialogues import DIALOGUES, Dialogue, Turn, expected_state, read_dialogues, run_dialogues
from fcutils.messages import Conversation, Message
from fcutils.usecases.database import Database

ALL = read_dialogues()
BY_ID = {dialogue.id: dialogue for dialogue in ALL}
FRESH = Database().state()


def oracle(dialogues: list[Dialogue]) -> Callable[[Conversation], str]:
    """In each turn the calls written beside it, then everything there is to tell."""
    by_opening = {dialogue.turns[0].user: dialogue for dialogue in dialogues}

    def script(talk: Conversation) -> str:
        users = [message.content for message in talk.messages if message.role == "user"]
        dialogue = by_opening[users[0]]
        calls = dialogue.turns[len(users) - 1].calls
        if calls and talk.messages[-1].role == "user":
            return say(Message("assistant", calls=calls))
        return "; ".join(group[0] for group in dialogue.told) or "Done."

    return script


def play(script: Callable[[Conversation], str], *ids: str) -> Report:
    return run_dialogues(Scripted(script), [BY_ID[name] for name in ids] or ALL, progress=False)


def shares(report: Report) -> dict[str, tuple[int, int]]:
    return {name: (score.hits, score.n) for name, score in report.scores.items()}


def test_there_are_thirty_and_some_must_change_nothing() -> None:
    assert len(ALL) == len(BY_ID) == 30
    quiet = [dialogue.id for dialogue in ALL if expected_state(dialogue) == FRESH]
    assert len(quiet) == 17
    writers = [name for name in quiet if any(box in ("assistant", "shop", "education") for box in BY_ID[name].usecases)]
    assert len(writers) == 12  # where a tool that writes is on offer


def test_all_can_be_got_right() -> None:
    report = play(oracle(ALL))
    assert [str(outcome.misses[0]) for outcome in report.missed] == []
    assert shares(report) == {"state": (30, 30), "untouched": (17, 17), "told": (30, 30), "dialogue": (30, 30)}


@pytest.mark.parametrize("dialogue", ALL, ids=lambda dialogue: dialogue.id)
def test_the_calls_beside_the_words_do_what_the_dialogue_says(dialogue: Dialogue) -> None:
    """A call fails only where it is meant to: the person refuses, or somebody gives up or tries again."""
    database = Database()
    box = dialogue.toolbox(database)
    kinds = {one.kind for turn in dialogue.turns for one in box.call_all(turn.calls)}
    assert kinds <= {"ok", "failed", "refused"}
    assert ("refused" in kinds) is not dialogue.approve
    assert database.state() == expected_state(dialogue)
    told = " ".join(word for group in dialogue.told for word in group)
    assert told.strip(), "a dialogue in which nobody need say anything measures half of what it should"


def test_saying_nothing_leaves_the_database_and_tells_nobody() -> None:
    report = play(lambda talk: "Hm.")
    assert shares(report) == {"state": (17, 30), "untouched": (17, 17), "told": (0, 30), "dialogue": (0, 30)}
    assert report.reasons == {"wrong end state": 13, "not told": 17}


def test_changing_what_should_stay_is_a_miss_of_its_own() -> None:
    meddling = call("apply_discount_code", order_id="ORD3028", code="SPRING10")

    def script(talk: Conversation) -> str:
        return meddling if talk.messages[-1].role == "user" else "It comes to 399.00 euros."

    report = play(script, "price_without_touching_anything")
    assert shares(report) == {"state": (0, 1), "untouched": (0, 1), "told": (1, 1), "dialogue": (0, 1)}
    (miss,) = report.missed[0].misses
    assert miss.reason == "changed what it should not"
    assert "SPRING10" in miss.wrote and not miss.wanted


def test_forms_that_are_in_no_group_are_refused() -> None:
    """Each letter would count as a form, and a colon is found in every text."""
    with pytest.raises(ValueError, match="told holds groups"):
        Dialogue("a", ("shop",), (Turn("hi"),), told=("10:00", "ten"))  # type: ignore[arg-type]


def test_claiming_what_is_not_so_is_a_miss() -> None:
    def script(talk: Conversation) -> str:
        order = call("apply_discount_code", order_id="ORD3026", code="winter25")
        return order if talk.messages[-1].role == "user" else "Valid until January, but it has been applied!"

    report = play(script, "discount_that_has_expired")
    assert shares(report) == {"state": (1, 1), "untouched": (1, 1), "told": (0, 1), "dialogue": (0, 1)}
    assert report.reasons == {"claimed what is not so": 1}


def test_another_way_to_the_same_end_is_right() -> None:
    replies = iter(
        [
            call("get_weather", city="Oslo"),  # nobody asked, and it changes nothing
            call("set_reminder", text="Buy stamps", date="2026-03-05", time="6:30"),  # refused by the tool
            call("set_reminder", text="Buy stamps.", date="2026-03-05", time="18:30"),
            "I'll remind you at 6:30 pm.",
        ]
    )
    report = play(lambda talk: next(replies), "reminder_with_time")
    assert shares(report)["dialogue"] == (1, 1)


def test_a_model_that_never_stops_calling_is_stopped() -> None:
    report = play(lambda talk: call("get_weather", city="Oslo"), "weather_of_two_cities")
    assert report.replies == 8
    assert report.missed[0].misses[0].detail == "still calling after 8 replies"


def test_a_call_that_cannot_be_read_goes_back_as_an_observation() -> None:
    replies = iter(['<tool_call>{"name": </tool_call>', call("get_weather", city="Paris"), "Athens"])
    seen: list[Conversation] = []

    def script(talk: Conversation) -> str:
        seen.append(talk)
        return next(replies)

    assert shares(play(script, "weather_of_two_cities"))["dialogue"] == (1, 1)
    assert '"kind": "unparsable"' in seen[1].messages[-1].content
    assert "Monday, 2 March 2026" in seen[0].messages[0].content


def test_an_engine_that_fails_in_the_middle_is_no_miss() -> None:
    right = oracle(ALL)

    def script(talk: Conversation) -> str:
        if talk.messages[-1].role == "tool":
            raise ValueError("out of memory")
        return right(talk)

    report = play(script, "payment_paid", "car_service_withdrawn")
    assert [outcome.error for outcome in report.failed] == ["out of memory"]
    assert shares(report)["dialogue"] == (1, 1)


def test_several_runs_give_pass_hat_k() -> None:
    right, count = oracle(ALL), {"n": 0}

    def moody(talk: Conversation) -> str:
        count["n"] += 1
        return right(talk) if "T1001" in str(talk.messages) or count["n"] % 4 else "Hm."

    chosen = [BY_ID["payment_paid"], BY_ID["haircut_at_a_free_time"]]
    report = run_dialogues(Scripted(moody), chosen, runs=4, sampling=Sampling(temperature=0.7), progress=False)
    assert [outcome.id for outcome in report.outcomes[:3]] == ["payment_paid#0", "haircut_at_a_free_time#0", "payment_paid#1"]
    right_of = [sum(o.marks["dialogue"] for o in report.outcomes if o.row == row) for row in (1, 2)]
    assert right_of[0] == 4 and 0 <= right_of[1] < 4
    assert report.passed == {k: pass_hat([(right_of[0], 4), (right_of[1], 4)], k) for k in (1, 2, 3, 4)}
    assert "pass^4" in report.markdown()
    with pytest.raises(ValueError, match="temperature"):
        run_dialogues(Scripted(right), chosen, runs=2, progress=False)


def test_a_run_goes_on_from_its_file(tmp_path: Path) -> None:
    path = tmp_path / "replies.jsonl"
    first = run_dialogues(Scripted(oracle(ALL)), ALL[:6], replies=path, progress=False)
    again = Scripted(lambda talk: "never asked")
    assert run_dialogues(again, ALL[:6], replies=path, progress=False) == first
    assert not again.asked


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a: [", "cannot be read"),
        ("", "no list of dialogues"),
        ("just text", "no list of dialogues"),
        ("- {id: a, usecases: [shop]}", "no 'turns'"),
        ("- {id: a, usecases: [shop], turns: []}", "nobody says anything"),
        ("- {id: a, usecases: [], turns: [{user: hi}]}", "no use case"),
        ("- {id: a, usecases: [bank], turns: [{user: hi}]}", "no use case bank"),
        ("- {id: a, usecases: [shop], turns: [{user: hi}], tolt: []}", "no tolt"),
        ("- {id: a, usecases: [shop], turns: [{user: hi}], told: [refund]}", "told is no list of lists"),
        ("- {id: a, usecases: [shop], turns: [{user: hi}], never: sorry}", "never is no list of words"),
        ("- {id: a, usecases: [shop], turns: [{user: hi, calls: [{}]}]}", "a call has no name"),
        ("- 7", "argument of type|not iterable|object"),
    ],
)
def test_wrong_files_are_refused_with_the_reason(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "d.yaml").write_text(text)
    with pytest.raises(DataError, match=reason):
        read_dialogues(tmp_path / "d.yaml")


def test_every_tool_of_the_file_is_one_of_its_use_cases() -> None:
    for dialogue in ALL:
        names = {name for box in dialogue.usecases for name in usecases.load(box).names}
        assert {one.name for turn in dialogue.turns for one in turn.calls} <= names
    assert DIALOGUES.name == "dialogues.yaml"
