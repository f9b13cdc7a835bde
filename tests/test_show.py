"""show.py: what the figures show is what the reports hold."""

from __future__ import annotations

import io
import itertools
from pathlib import Path
from typing import Any

import nbclient
import nbformat
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted import patient

from fcutils import show
from fcutils.evaluate import Outcome, Report
from fcutils.finetune import plan
from fcutils.show import plots


def report(calls: int, right: int, *, name: str = "m", tools: tuple[tuple[str, str], ...] = ()) -> Report:
    outcomes = [Outcome(f"{n}", n, "call", "", "", "", {"calls": True, "whole call": n < right}) for n in range(calls)]
    outcomes += [Outcome(f"t{n}", n, "call", "", "", "", {}, (), (pair,)) for n, pair in enumerate(tools)]
    return Report({"name": name}, "d", calls, "f", tuple(outcomes))


def texts(figure: Any) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts]


def test_bars_have_the_shares_the_intervals_and_the_counts() -> None:
    low, high = report(40, 10), report(40, 30)
    figure = show.bars({"before": low, "after": high})
    axes: Any = figure.axes[0]
    drawn = [bar.get_width() for container in axes.containers for bar in getattr(container, "patches", ())]
    assert sorted(drawn) == [0.25, 0.75, 1.0, 1.0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["calls", "whole call"]
    assert sorted(texts(figure)) == ["100% of 40", "100% of 40", "25% of 40", "75% of 40"]
    segments = [segment for line in axes.collections for segment in line.get_segments()]
    spans = {tuple(round(float(x), 6) for x in segment[:, 0]) for segment in segments}
    assert tuple(round(x, 6) for x in high.scores["whole call"].interval) in spans


def test_bars_of_chosen_scores_and_of_reports_that_lack_one() -> None:
    figure = show.bars({"a": report(4, 2), "b": report(0, 0, tools=(("x", "y"),))}, scores=["whole call"])
    assert texts(figure) == ["50% of 4"]
    with pytest.raises(ValueError, match="no scores"):
        show.bars({"b": report(0, 0)})


def test_the_heat_map_counts_wanted_against_called() -> None:
    pairs = (("book", "book"),) * 3 + (("book", "cancel"),) * 2 + (("cancel", "(no call)"),)
    figure = show.confusion(report(0, 0, tools=pairs))
    axes: Any = figure.axes[0]
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == ["(no call)", "book", "cancel"]
    grid = axes.images[0].get_array()
    assert grid is not None
    assert grid.tolist() == [[0, 0, 0], [0, 3, 2], [1, 0, 0]]
    wrong = {text.get_text() for text in axes.texts if text.get_color() == "#D55E00"}
    assert wrong == {"2", "1"}


@settings(patient, max_examples=15)
@given(
    st.lists(st.tuples(st.sampled_from("abcdefgh"), st.sampled_from("abcdefgh")), min_size=1, max_size=40), st.integers(1, 9)
)
def test_no_call_is_lost_in_the_heat_map(pairs: list[tuple[str, str]], most: int) -> None:
    grid = show.confusion(report(0, 0, tools=tuple(pairs)), most).axes[0].images[0].get_array()
    assert grid is not None and grid.sum() == len(pairs)
    assert len(grid) <= most + 1


def test_nothing_to_confuse_is_said() -> None:
    with pytest.raises(ValueError, match="nothing to confuse"):
        show.confusion(report(3, 1))


def test_slopes_go_from_before_to_after_and_are_grey_where_chance_explains_them() -> None:
    figure = show.slopes(report(40, 10), report(40, 30))
    axes: Any = figure.axes[0]
    lines = {(line.get_ydata()[0], line.get_ydata()[1]): line.get_color() for line in axes.lines if line.get_marker() == "o"}
    assert lines == {(1.0, 1.0): "#8a8a8a", (0.25, 0.75): show.COLOURS[1]}
    assert "75%  whole call" in texts(figure) and "100%  calls  (p = 1)" in texts(figure)
    with pytest.raises(ValueError, match="in common"):
        show.slopes(report(4, 1), report(4, 1), scores=["parallel"])


def test_ablations_have_a_line_each_and_a_mark_to_be_held_against() -> None:
    def scored(share: float) -> dict[str, dict[str, dict[str, float]]]:
        return {"scores": {name: {"share": share, "low": share - 0.1, "high": share + 0.1} for name in ("one", "two")}}

    figure = show.ablations({"as it comes": scored(0.5), "rank 2": scored(0.3)}, ("one", "two"))
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["as it comes", "rank 2"]
    dots = [line.get_xdata()[0] for line in axes.lines if line.get_marker() == "o"]
    assert dots == [0.5, 0.3, 0.5, 0.3]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["one", "two"]


def test_memory_is_stacked_to_what_is_needed_under_what_the_card_holds() -> None:
    bills = {name: plan("hermes3", 16, quantise=name == "4 bits") for name in ("16 bits", "4 bits")}
    figure = show.memory(bills)
    axes: Any = figure.axes[0]
    tops = [max(bar.get_y() + bar.get_height() for bar in axes.patches if int(bar.get_x() + 0.5) == place) for place in (0, 1)]
    assert tops == pytest.approx([one.needed for one in bills.values()])
    assert [line.get_ydata()[0] for line in axes.lines] == [one.room for one in bills.values()]
    assert texts(figure) == ["does not fit", "fits"]
    assert "everything else" in [text.get_text() for text in figure.legends[0].get_texts()]


@patient
@given(st.lists(st.floats(0, 1), max_size=14))
def test_labels_keep_their_order_and_do_not_cover_each_other(heights: list[float]) -> None:
    placed = plots._apart(heights)
    order = sorted(range(len(heights)), key=lambda n: heights[n])
    gaps = [placed[b] - placed[a] for a, b in itertools.pairwise(order)]
    assert all(gap >= 0.045 - 1e-9 for gap in gaps)
    assert all(height <= 1 + 1e-9 for height in placed)


def test_a_figure_can_be_kept(tmp_path: Path) -> None:
    kept = io.BytesIO()
    show.bars({"a": report(4, 2)}).savefig(kept, format="png")
    assert kept.getvalue().startswith(b"\x89PNG")
    show.slopes(report(4, 2), report(4, 3)).savefig(tmp_path / "s.svg")
    assert "<svg" in (tmp_path / "s.svg").read_text()


def test_a_notebook_shows_a_figure_once() -> None:
    source = """
from fcutils import show
from fcutils.evaluate import Outcome, Report
show.bars({"a": Report({"name": "m"}, "d", 1, "f", (Outcome("1", 1, "call", "", "", "", {"calls": True}),))})
"""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    nbclient.NotebookClient(notebook, kernel_name="python3").execute()
    (output,) = notebook.cells[0].outputs
    assert "image/png" in output.data
