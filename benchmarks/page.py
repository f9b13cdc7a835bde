"""The page of results and its plots, made from `results/*.json`.

    python benchmarks/page.py       writes benchmarks/README.md and results/*.svg

Measures nothing. What stands where in a result is `reading.py`'s. A test says when the page is no longer what this writes.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from reading import FOLDER, Finding, Result, figure, results

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PAGE = Path(__file__).with_name("README.md")
OURS, OTHERS = "#0072b2", "#8a8a8a"
SHADES = {"#1f2328": "#e6edf3", "#ffffff": "#161b22"}  # ink and panel, in light and in dark
INK, PANEL = SHADES


def main() -> None:
    found = results()
    for result in found:
        if result.findings:
            (FOLDER / f"{result.name}.svg").write_text(plot(result.findings), encoding="utf-8", newline="\n")
    PAGE.write_text(page(found), encoding="utf-8", newline="\n")
    print(f"benchmarks/README.md: {len(found)} results")


# ---- the page ------------------------------------------------------------------------------------------------------------


def page(found: Sequence[Result]) -> str:
    parts = [
        "# Measurements",
        "Written by `python benchmarks/page.py` from `results/*.json`; each of those was written by the command that it names. "
        "`make bench` measures again all that trains nothing; `make bench-full` the others, too, but for preferences, "
        "which have a command of their own. A ratio above 1 means: better than the peer, so many times.",
    ]
    for result in found:
        parts += [f"## {result.name.replace('_', ' ')}", f"`{result.command}`, {result.date}, {result.machine}"]
        if result.findings:
            parts.append("\n".join(_rows(result)))
            parts.append(f"![{_told(result)}](results/{result.name}.svg)")
        if result.goals:
            lines = [f"| {name} | {goal} | {reached} |" for name, (goal, reached) in result.goals.items()]
            parts.append("\n".join(["| goal | wanted | reached |", "|---|---|---|", *lines]))
    return "\n\n".join(parts) + "\n"


def _rows(result: Result) -> Iterator[str]:
    yield "| what | here | peer | ratio | wanted | what bounds it |"
    yield "|---|---|---|---|---|---|"
    for one in result.findings:
        yield f"| {one.what} | {one.here} | {one.beside} | {one.times} | {one.wanted or '-'} | {one.limit} |"


def _told(result: Result) -> str:
    return "Bars. " + "; ".join(f"{one.what}: {_values(one)}" for one in result.findings)


def _values(one: Finding) -> str:
    return ", ".join(f"{name} {figure(value)} {one.unit}" for name, value in one.values.items())


# ---- plots -----------------------------------------------------------------------------------------------------------------


def plot(findings: Sequence[Finding]) -> str:
    """A row of bars for each finding, as SVG with a background of its own, which follows the reader's setting with its ink."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "fixed", "font.size": 10, "text.color": INK}):
        heights = [0.9 + 0.35 * len(one.values) for one in findings]
        drawing = Figure(figsize=(8, sum(heights)), layout="constrained")
        rows = drawing.subplots(len(findings), 1, height_ratios=heights, squeeze=False)
        for axes, one in zip(rows[:, 0], findings, strict=True):
            _bars(axes, one)
        out = io.StringIO()
        drawing.savefig(out, format="svg", facecolor=PANEL, metadata={"Date": None, "Creator": None})
    rules = " ".join(f'[style*="fill: {light}"] {{ fill: {dark} !important; }}' for light, dark in SHADES.items())
    dark = f"@media (prefers-color-scheme: dark) {{ {rules} }}"
    return out.getvalue().replace("</defs>", f"<style>{dark}</style></defs>", 1)


def _bars(axes: Axes, one: Finding) -> None:
    names, values = list(one.values), list(one.values.values())
    bars = axes.barh(names, values, color=[OURS, *[OTHERS] * (len(values) - 1)], height=0.7)
    axes.bar_label(bars, [f" {figure(value)}" for value in values], padding=2)
    axes.invert_yaxis()
    axes.set_title(f"{one.what} ({one.unit}; {'less' if one.less else 'more'} is better)", loc="left", fontsize=10)
    axes.margins(x=0.15)
    if one.unit == "%":
        axes.set_xlim(0, 115)  # a share is read by its length
    axes.set_facecolor(PANEL)
    axes.tick_params(bottom=False, labelbottom=False, left=False, labelcolor=INK)
    axes.spines[:].set_visible(False)


if __name__ == "__main__":
    main()
