"""evaluate/report.py: figures against published and hand-made ones, reports there and back, differences between two."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted import patient

from fcutils.evaluate.misses import Miss
from fcutils.evaluate.report import (
    SCORES,
    Outcome,
    Report,
    ReportError,
    Score,
    clip,
    compare,
    differences,
    mcnemar,
    pass_hat,
    side_by_side,
    wilson,
)

SHARES = st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


def outcome(number: int, kind: str = "call", error: str = "", reason: str = "", **marks: bool) -> Outcome:
    misses = (Miss(reason),) if reason else ()  # type: ignore[arg-type]
    named = {name.replace("_", " "): value for name, value in marks.items()}
    return Outcome(f"{number}.1", number, kind, "asked | this", "wanted", "wrote", named, misses, (("a", "b"),), error)


def report(*outcomes: Outcome, fingerprint: str = "f", name: str = "m") -> Report:
    return Report({"name": name}, "rows.jsonl", len(outcomes), fingerprint, outcomes, len(outcomes), 40, 2.5)


# ---- figures -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    [  # Newcombe, Statistics in Medicine 17 (1998), table I, score method without continuity correction
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_the_interval_is_the_published_one(hits: int, n: int, low: float, high: float) -> None:
    assert wilson(hits, n) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))


@patient
@given(SHARES)
def test_the_interval_holds_the_share_and_is_symmetric(share: tuple[int, int]) -> None:
    hits, n = share
    low, high = wilson(hits, n)
    assert 0 <= low <= hits / n <= high <= 1
    assert high > low
    assert wilson(n - hits, n) == (pytest.approx(1 - high), pytest.approx(1 - low))


def test_without_rows_nothing_is_known() -> None:
    assert wilson(0, 0) == (0.0, 1.0)
    assert math.isnan(Score(0, 0).share)
    assert str(Score(0, 0)) == "–"
    assert str(Score(81, 263)) == "30.8% [25.5%, 36.6%]"


@pytest.mark.parametrize(
    ("gained", "lost", "p"),
    [(0, 0, 1.0), (1, 0, 1.0), (5, 0, 0.0625), (6, 0, 0.03125), (10, 2, 0.03857421875), (3, 3, 1.0), (8, 2, 0.109375)],
)
def test_mcnemar_is_the_exact_binomial_test(gained: int, lost: int, p: float) -> None:
    assert mcnemar(gained, lost) == p == mcnemar(lost, gained)


@patient
@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_counts_every_way_of_being_as_one_sided(gained: int, lost: int) -> None:
    n = gained + lost
    at_least = [k for k in range(n + 1) if abs(2 * k - n) >= abs(gained - lost)]
    assert mcnemar(gained, lost) == pytest.approx(float(sum(Fraction(math.comb(n, k), 2**n) for k in at_least)))


def test_mcnemar_of_many_rows_neither_overflows_nor_vanishes() -> None:
    assert mcnemar(2500, 2500) == 1.0
    assert 0 < mcnemar(700, 300) < 1e-30


def test_pass_hat_is_unbiased_and_falls_with_k() -> None:
    runs = [(4, 4), (2, 4), (0, 4)]
    assert pass_hat(runs, 1) == pytest.approx(0.5)
    assert pass_hat(runs, 2) == pytest.approx((1 + 1 / 6 + 0) / 3)
    assert pass_hat(runs, 4) == pytest.approx(1 / 3)
    assert math.isnan(pass_hat(runs, 5))


# ---- reports -----------------------------------------------------------------------------------------------------------


MIXED = report(
    outcome(1, parses=True, whole_call=True, right_tool=True),
    outcome(2, reason="wrong tool", parses=True, whole_call=False, right_tool=False),
    outcome(3, kind="nothing", parses=True, holds_back=True),
    outcome(4, error="out of memory"),
    outcome(4, kind="sequence", reason="wrong tool", sequence=False),
)


def test_scores_and_reasons_are_counted_and_failures_stand_apart() -> None:
    assert MIXED.scores == {
        "parses": Score(3, 3),
        "holds back": Score(1, 1),
        "right tool": Score(1, 2),
        "whole call": Score(1, 2),
        "sequence": Score(0, 1),
    }
    assert list(MIXED.scores) == [name for name in SCORES if name in MIXED.scores]
    assert MIXED.reasons == {"wrong tool": 1}  # the sequence repeats what its step lacks
    assert [one.row for one in MIXED.failed] == [4]


def test_a_report_comes_back_from_its_file(tmp_path: Path) -> None:
    MIXED.save(tmp_path / "r.json")
    assert Report.load(tmp_path / "r.json") == MIXED


@patient
@given(st.text())
def test_any_text_survives_the_file(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.mktemp("report") / "r.json"
    one = report(Outcome("1.1", 1, "call", text, text, text, {"parses": True}, (Miss("no call", text, text),)))
    one.save(path)
    assert Report.load(path) == one
    assert all(line.count("|") >= 2 for line in one.markdown(examples=1).splitlines() if line.startswith("|"))


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", '{"outcomes": [{}]}', '{"outcomes": 3}'])
def test_what_is_no_report_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "r.json").write_text(text)
    with pytest.raises(ReportError, match="is not a report"):
        Report.load(tmp_path / "r.json")
    with pytest.raises(ReportError, match="cannot be read"):
        Report.load(tmp_path / "none.json")


def test_the_markdown_says_it_all_in_tables() -> None:
    text = MIXED.markdown(examples=5)
    assert "| whole call | 50.0% [9.5%, 90.5%] of 2 |" in text
    assert "40 tokens (8.0 a reply), 2.5 s (0.50 s a reply)" in text
    assert "failed on 1 of the rows" in text and "out of memory" in text
    assert "| wrong tool | 1 |  |" in text
    assert "asked \\| this" in text
    assert "wrote \\<tool_call>" in report(
        Outcome("1.1", 1, "call", "", "", "wrote <tool_call>", {}, (Miss("no call"),))
    ).markdown(1)


def test_groups_are_scored_apart() -> None:
    both = report(*(Outcome(f"{n}", n, "call", "", "", "", {"whole call": n > 1}, group="ab"[n % 2]) for n in range(4)))
    assert both.groups == {"a": {"whole call": Score(1, 2)}, "b": {"whole call": Score(1, 2)}}
    assert "| a | 50.0% [9.5%, 90.5%] of 2 |" in both.markdown()


def test_a_reply_is_kept_to_a_length() -> None:
    assert clip("x" * 4000) == "x" * 4000
    assert clip("x" * 1_000_000).endswith("… (1000000 characters)")


# ---- two reports -------------------------------------------------------------------------------------------------------


def pairs(*both: tuple[bool, bool]) -> tuple[Report, Report]:
    before, after = ([outcome(n, whole_call=one[side]) for n, one in enumerate(both)] for side in (0, 1))
    return report(*before, name="before"), report(*after[::-1], name="after")


def test_only_rows_that_changed_are_evidence() -> None:
    (found,) = compare(*pairs(*[(True, True)] * 50, *[(False, False)] * 30, *[(False, True)] * 10, *[(True, False)] * 2))
    assert (found.name, found.n, found.gained, found.lost) == ("whole call", 92, 10, 2)
    assert (found.before, found.after) == (Score(52, 92), Score(60, 92))
    assert found.p == 0.03857421875


def test_a_report_does_not_differ_from_itself() -> None:
    assert all((one.gained, one.lost, one.p) == (0, 0, 1.0) for one in compare(MIXED, MIXED))


def test_a_score_is_compared_where_both_reports_have_it() -> None:
    before = report(outcome(1, right_arguments=True), outcome(2, right_tool=False), outcome(3, error="x"))
    after = report(outcome(1, right_arguments=False), outcome(2, right_arguments=True), outcome(3, right_arguments=True))
    (found,) = compare(before, after)
    assert (found.n, found.gained, found.lost) == (1, 0, 1)


def test_reports_on_different_rows_are_not_compared() -> None:
    with pytest.raises(ReportError, match="different rows"):
        compare(report(outcome(1)), report(outcome(1), fingerprint="g"))


def test_the_tables_of_the_last_lessons() -> None:
    before, after = pairs((True, True), (False, True), (False, False))
    table = differences(before, after)
    assert "| whole call | 3 | 33.3% | 66.7% | +33.3 points | 1 | 0 | 1 |" in table
    together = side_by_side({"prompted": before, "fine-tuned": after})
    assert together.splitlines()[0] == "|  | prompted | fine-tuned | what earns it |"
    assert "| whole call | 33.3% [6.1%, 79.2%] of 3 | 66.7% [20.8%, 93.9%] of 3 |" in together


def test_what_the_misses_have_in_common_is_counted() -> None:
    details = ["copied", "copied", "unit", ""]
    misses = [(Miss("wrong value", detail), Miss("wrong type", "int")) for detail in details]
    found = report(*(Outcome(str(n), n, "call", "", "", "", {}, one) for n, one in enumerate(misses)))
    assert "| wrong value | 4 | copied 2, unit 1 |" in found.markdown()
