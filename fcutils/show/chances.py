"""Probabilities of tokens: how sure a model is of each token of a reply, and what it would write next.

Draws what it is given; the model is asked elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fcutils.show.plots import COLOURS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from fcutils.dialects import Encoded

_PART_COLOURS = {"text": COLOURS[2], "structure": COLOURS[4], "name": COLOURS[1], "value": COLOURS[3]}
_GREY = "#8a8a8a"


def expected(encoded: Encoded, chances: Sequence[float], tokenizer: Any) -> Figure:
    """What the model must say in a rendered conversation, token by token: each one's probability, coloured by its part.

    `chances`: one for every token of `encoded`; those of tokens that are given are not drawn.
    """
    if len(chances) != len(encoded.ids):
        raise ValueError(f"{len(chances)} chances for {len(encoded.ids)} tokens: give one for each")
    said = [place for place, learn in enumerate(encoded.learn) if learn]
    figure, (axes,) = _panels(1, width=max(5.0, 0.24 * len(said) + 1.5), height=3.2)
    for part, colour in _PART_COLOURS.items():
        mine = [number for number, place in enumerate(said) if encoded.parts[place] == part]
        if mine:
            axes.bar(mine, [chances[said[number]] for number in mine], color=colour, label=part, zorder=2)
    labels = [_label(tokenizer, encoded.ids[place]) for place in said]
    axes.set_xticks(range(len(said)), labels, rotation=90, family="monospace", fontsize=8)
    axes.margins(x=0.01)
    _to_one(axes, "y")
    figure.legend(loc="outside upper center", ncols=4, frameon=False)
    return figure


def next_tokens(panels: Mapping[str, Sequence[float]], tokenizer: Any, most: int = 10) -> Figure:
    """Distributions over the next token side by side: the `most` likely tokens of the first one, in its order, in all of them.

    What the first one allows and another has cut off is marked as out. A row at the end sums up all other tokens.
    """
    shares = {title: [float(share) for share in panel] for title, panel in panels.items()}
    first = next(iter(shares.values()), [])
    if not first or any(len(panel) != len(first) for panel in shares.values()):
        raise ValueError("next_tokens draws one or more distributions over the same vocabulary")
    best = sorted(range(len(first)), key=lambda token: -first[token])[:most]
    labels = [*(_label(tokenizer, token) for token in best), "(all others)"]
    figure, plots = _panels(len(shares), width=3.1 * len(shares) + 0.8, height=0.24 * len(labels) + 0.7)
    for axes, (title, panel) in zip(plots, shares.items(), strict=True):
        values = [panel[token] for token in best]
        out = [share == 0 < first[token] for token, share in zip(best, values, strict=True)]
        _draw(axes, [*values, max(0.0, sum(panel) - sum(values))], [*out, False])
        axes.set_title(title, fontsize=10)
    plots[0].set_yticks(range(len(labels)), labels, family="monospace", fontsize=8)
    plots[0].invert_yaxis()
    return figure


def _draw(axes: Any, values: Sequence[float], out: Sequence[bool]) -> None:
    """One distribution as bars, the last of which stands for all other tokens."""
    drawn = axes.barh(range(len(values)), values, color=[*[COLOURS[0]] * (len(values) - 1), _GREY], zorder=2)
    labels = ["out" if gone else f"{value:.1%}" for value, gone in zip(values, out, strict=True)]
    axes.bar_label(drawn, labels, padding=3, fontsize=8)
    _to_one(axes, "x")
    axes.set_xlim(0, 1.2)


def _panels(count: int, width: float, height: float) -> tuple[Figure, list[Any]]:
    """A figure that nothing global holds on to: a notebook shows it once, as the value of a cell."""
    from matplotlib import pyplot

    figure, grid = pyplot.subplots(1, count, figsize=(width, height), layout="constrained", sharey=True, squeeze=False)
    pyplot.close(figure)
    for axes in grid[0]:
        axes.spines[["top", "right"]].set_visible(False)
    return figure, list(grid[0])


def _to_one(axes: Any, side: str) -> None:
    from matplotlib.ticker import PercentFormatter

    (axes.xaxis if side == "x" else axes.yaxis).set_major_formatter(PercentFormatter(1))
    (axes.set_xticks if side == "x" else axes.set_yticks)((0, 0.5, 1))
    axes.grid(axis=side, color="#dddddd", linewidth=0.6, zorder=0)


def _label(tokenizer: Any, token: int) -> str:
    """The token's text in letters that every font has; `$` would begin a formula."""
    text = tokenizer.decode([token], skip_special_tokens=False, clean_up_tokenization_spaces=False)
    if not text.strip(" "):
        return "(space)" if text else "(no text)"
    return text.encode("unicode_escape").decode("ascii").replace("$", r"\$")
