"""Plots of what was measured.

Knows how to draw a report (`evaluate/`) and a run's log as a matplotlib Figure, which a notebook shows and
`figure.savefig(path)` keeps. It measures nothing itself. matplotlib is loaded when something is drawn.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from fcutils.evaluate import Report
    from fcutils.finetune.plan import Bill

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")  # Okabe and Ito's: told apart by everybody
_GREY = "#8a8a8a"
_MOST_TOOLS = 20  # in a heat map
_SMALL = 0.5  # GiB: what never takes more is drawn together


def bars(reports: Mapping[str, Report], scores: Sequence[str] = ()) -> Figure:
    """The scores of one or several reports as bars, each with its 95 % interval and its n. `scores`: these, in this order."""
    names = list(scores) or list(dict.fromkeys(name for report in reports.values() for name in report.scores))
    if not names:
        raise ValueError("these reports have no scores to draw")
    figure, axes = _figure(width=8.0, height=0.6 + 0.2 * len(names) * (len(reports) + 0.6))
    step = 0.8 / len(reports)
    for number, (label, report) in enumerate(reports.items()):
        places = [row + (number - (len(reports) - 1) / 2) * step for row in range(len(names))]
        _bars_of_one(axes, report, names, places, step, COLOURS[number % len(COLOURS)], label)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    _percent(axes, "x")
    if len(reports) > 1:
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.08), ncols=len(reports), frameon=False)
    return figure


def confusion(report: Report, most: int = _MOST_TOOLS) -> Figure:
    """Which tool was called where which one was wanted: a heat map of counts, the diagonal being right.

    The `most` tools with the most mistakes are shown; all others are one row and column, "(others)", whose own cell holds right
    calls and mistakes among themselves.
    """
    pairs = Counter(pair for outcome in report.outcomes for pair in outcome.tools)
    if not pairs:
        raise ValueError("no call was wanted or made in this report: there is nothing to confuse")
    names = _most_confused(pairs, most)
    place = {name: number for number, name in enumerate(names)}
    others = place.get("(others)")
    grid = [[0] * len(names) for _ in names]
    for (wanted, called), count in pairs.items():
        row, column = (place.get(name, others) for name in (wanted, called))
        assert row is not None and column is not None
        grid[row][column] += count
    size = max(3.5, 0.42 * len(names) + 1.8)
    figure, axes = _figure(width=size + 0.8, height=size)
    _heat(figure, axes, grid, names)
    return figure


def slopes(before: Report, after: Report, scores: Sequence[str] = (), labels: tuple[str, str] = ("before", "after")) -> Figure:
    """Every score of two reports on the same rows as a line from before to after; grey where chance explains it (p >= 0.05)."""
    from fcutils.evaluate import compare

    found = [one for one in compare(before, after) if not scores or one.name in scores]
    if not found:
        raise ValueError("the two reports have no score in common")
    figure, axes = _figure(width=6.0, height=5.0)
    ends: tuple[list[float], list[float]] = ([], [])
    for number, one in enumerate(found):
        colour = COLOURS[number % len(COLOURS)] if one.p < 0.05 else _GREY
        shares = (one.before.share, one.after.share)
        axes.plot((0, 1), shares, color=colour, marker="o", linewidth=2)
        for side, score in enumerate((one.before, one.after)):
            place = side + 0.012 * (number - (len(found) - 1) / 2)
            axes.plot((place, place), score.interval, color=colour, alpha=0.4, linewidth=2.5)
            ends[side].append(shares[side])
    for number, (left, right) in enumerate(zip(_apart(ends[0]), _apart(ends[1]), strict=True)):
        one = found[number]
        axes.annotate(f"{one.before.share:.0%}", (-0.04, left), ha="right", va="center", annotation_clip=False)
        text = f"{one.after.share:.0%}  {one.name}" + ("" if one.p < 0.05 else f"  (p = {one.p:.2g})")
        axes.annotate(text, (1.04, right), ha="left", va="center", annotation_clip=False)
    axes.set_xticks((0, 1), labels)
    axes.set_xlim(-0.2, 1.2)
    _percent(axes, "y")
    return figure


def training(log: Sequence[Mapping[str, Any]], score: str = "call") -> Figure:
    """A run of training: its loss, and one validation score over the minutes, a line for each part of the validation rows.

    `log`: the lines of the run's log. `score`: whose shares are drawn, wherever the run looked at them.
    """
    steps = [line for line in log if "loss" in line]
    if not steps:
        raise ValueError("this log has no line with a loss: the run has not begun")
    figure, axes = _figure(width=8.0, height=4.0)
    axes.plot([line["seconds"] / 60 for line in steps], [line["loss"] for line in steps], color=_GREY, label="loss (left)")
    axes.set_xlabel("minutes")
    axes.set_ylabel("loss")
    shares = axes.twinx()
    shares.spines["top"].set_visible(False)
    _percent(shares, "y")
    for number, part in enumerate(dict.fromkeys(part for line in steps for part in line.get("scores", {}))):
        looks = [line for line in steps if score in line.get("scores", {}).get(part, {})]
        points = [line["seconds"] / 60 for line in looks], [line["scores"][part][score] for line in looks]
        shares.plot(*points, color=COLOURS[number % len(COLOURS)], marker="o", markersize=3, label=f"{part}: {score}")
    figure.legend(loc="outside lower center", ncols=4, frameon=False)
    return figure


def memory(bills: Mapping[str, Bill]) -> Figure:
    """What each training takes, stacked, and as a line across the bar what its card holds."""
    figure, axes = _figure(width=8.0, height=4.0)
    floor = [0.0] * len(bills)
    for number, (part, sizes) in enumerate(_parts(list(bills.values())).items()):
        colour = COLOURS[number] if number < len(COLOURS) else _GREY
        axes.bar(range(len(bills)), sizes, 0.62, floor, color=colour, label=part, zorder=2)
        floor = [one + other for one, other in zip(floor, sizes, strict=True)]
    for place, one in enumerate(bills.values()):
        axes.plot((place - 0.42, place + 0.42), (one.room, one.room), color="black", linewidth=2, zorder=3)
        says = "fits" if one.fits else "does not fit"
        axes.annotate(says, (place, max(one.room, one.needed)), (0, 4), textcoords="offset points", ha="center", fontsize=8)
    axes.set_xticks(range(len(bills)), list(bills), fontsize=8)
    axes.set_ylabel("GiB")
    axes.grid(axis="y", color="#dddddd", linewidth=0.6, zorder=0)
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    return figure


def ablations(variants: Mapping[str, Mapping[str, Any]], scores: Sequence[str]) -> Figure:
    """What each change to a recipe does: a line a variant, with a dot and its interval for each score. The first is the mark.

    `variants`: as `benchmarks/ablations.py` writes them.
    """
    figure, axes = _figure(width=8.0, height=0.8 + 0.34 * len(variants))
    for number, score in enumerate(scores):
        colour, shift = COLOURS[number % len(COLOURS)], (number - (len(scores) - 1) / 2) * 0.24
        axes.axvline(next(iter(variants.values()))["scores"][score]["share"], color=colour, linewidth=0.7, linestyle=":")
        for place, one in enumerate(variants.values()):
            got = one["scores"][score]
            axes.plot((got["low"], got["high"]), (place + shift,) * 2, color=colour, alpha=0.45, zorder=2)
            axes.plot(got["share"], place + shift, "o", color=colour, markersize=4, label="" if place else score, zorder=3)
    axes.set_yticks(range(len(variants)), list(variants))
    axes.invert_yaxis()
    _percent(axes, "x")
    figure.legend(loc="outside lower center", ncols=len(scores), frameon=False)
    return figure


# ---- parts -------------------------------------------------------------------------------------------------------------


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    """A figure that nothing global holds on to: a notebook shows it once, as the value of a cell."""
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(width, height), layout="constrained")
    pyplot.close(figure)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _bars_of_one(
    axes: Axes, report: Report, names: Sequence[str], places: Sequence[float], step: float, colour: str, label: str
) -> None:
    drawn = [(place, report.scores[name]) for place, name in zip(places, names, strict=True) if name in report.scores]
    shares = [score.share for _, score in drawn]
    low = [score.share - score.interval[0] for _, score in drawn]
    high = [score.interval[1] - score.share for _, score in drawn]
    at = [place for place, _ in drawn]
    axes.barh(at, shares, height=step * 0.9, color=colour, label=label, zorder=2)
    axes.errorbar(shares, at, xerr=(low, high), fmt="none", ecolor="black", elinewidth=1, capsize=2, zorder=3)
    for place, score in drawn:
        axes.annotate(f"{score.share:.0%} of {score.n}", (1.02, place), va="center", fontsize=8, annotation_clip=False)


def _parts(bills: Sequence[Bill]) -> dict[str, list[float]]:
    """The lines of some bills, a size for each bill; small ones added up at the end."""
    names = dict.fromkeys(name for one in bills for name in one.lines)
    sizes = {name: [one.lines.get(name, 0.0) for one in bills] for name in names}
    small = [sizes.pop(name) for name in names if max(sizes[name]) < _SMALL]
    return sizes | ({"everything else": [sum(column) for column in zip(*small, strict=True)]} if small else {})


def _most_confused(pairs: Counter[tuple[str, str]], most: int) -> list[str]:
    """The names to show, those with the most mistakes first chosen, in the order of the alphabet; the rest is "(others)"."""
    weight: Counter[str] = Counter()
    for (wanted, called), count in pairs.items():
        for name in {wanted, called}:
            weight[name] += count * (1000 if wanted != called else 1)
    shown = sorted(name for name, _ in weight.most_common(most))
    return shown + (["(others)"] if len(weight) > len(shown) else [])


def _heat(figure: Figure, axes: Axes, grid: Sequence[Sequence[int]], names: Sequence[str]) -> None:
    image = axes.imshow(grid, cmap="Blues", vmin=0)
    darkest = max(map(max, grid))
    for row, counts in enumerate(grid):
        for column, count in enumerate(counts):
            if count:
                wrong = row != column
                colour = "#D55E00" if wrong else "white" if count > darkest / 2 else "black"
                axes.text(column, row, str(count), ha="center", va="center", color=colour, fontweight="bold" if wrong else None)
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right", rotation_mode="anchor", fontsize=8)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.set_xlabel("called")
    axes.set_ylabel("wanted")
    figure.colorbar(image, ax=axes, shrink=0.6, label="calls")


def _percent(axes: Axes, side: Any) -> None:
    from matplotlib.ticker import PercentFormatter

    axis = axes.xaxis if side == "x" else axes.yaxis
    (axes.set_xlim if side == "x" else axes.set_ylim)(0, 1)
    axis.set_major_formatter(PercentFormatter(1))
    axes.grid(axis=side, color="#dddddd", linewidth=0.6, zorder=0)


def _apart(heights: Sequence[float], gap: float = 0.045) -> list[float]:
    """Heights at which labels do not cover each other, as near to the true ones as that allows."""
    order = sorted(range(len(heights)), key=lambda number: heights[number])
    placed: dict[int, float] = {}
    floor = float("-inf")
    for number in order:
        placed[number] = floor = max(heights[number], floor + gap)
    excess = max(0.0, floor - 1.0)
    ceiling = float("inf")
    for number in reversed(order):
        placed[number] = ceiling = min(placed[number], ceiling - gap, 1.0) if excess else placed[number]
    return [placed[number] for number in range(len(heights))]
