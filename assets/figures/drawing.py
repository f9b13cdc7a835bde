"""Boxes, arrows and words as SVG, legible in light and dark.

A figure brings its own background, and switches background and ink together when the reader's setting is dark, so that it
can be read on any page. Text and numbers are placed by hand; nothing here knows what a figure is about.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from xml.sax.saxutils import escape

Point = tuple[float, float]

# class: (light, dark)
_FILLS = {
    "panel": ("#ffffff", "#161b22"),
    "ink": ("#1f2328", "#e6edf3"),
    "soft": ("#59636e", "#a3acb6"),
    "plain": ("#f6f8fa", "#21262d"),
    "blue": ("#ddeefb", "#12304d"),
    "green": ("#dcf3e3", "#12351f"),
    "orange": ("#fdeccf", "#43300d"),
    "purple": ("#efe6fb", "#33214d"),
}
_STROKES = {
    "panel": ("#d0d7de", "#3d444d"),
    "plain": ("#8c959f", "#8b949e"),
    "blue": ("#0b6bb5", "#58a6ff"),
    "green": ("#1a7f37", "#3fb950"),
    "orange": ("#a85d00", "#e3a33c"),
    "purple": ("#7c45c4", "#bc8cff"),
}
_LINE = ("#59636e", "#a3acb6")
_SANS = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"
_MONO = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace"


class Drawing:
    """A figure in the making. `title` and `words` are what a screen reader says."""

    def __init__(self, width: int, height: int, title: str, words: str) -> None:
        self.width, self.height = width, height
        self._parts: list[str] = []
        self._head = f"<title>{escape(title)}</title>\n<desc>{escape(words)}</desc>"

    def box(self, x: float, y: float, width: float, height: float, colour: str = "plain", *, dashed: bool = False) -> None:
        dashes = ' stroke-dasharray="6 5"' if dashed else ""
        place = f'x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}"'
        self._parts.append(f'<rect class="{colour}" {place} rx="10" stroke-width="1.6"{dashes}/>')

    def text(
        self,
        x: float,
        y: float,
        words: str,
        *,
        size: float = 14,
        bold: bool = False,
        mono: bool = False,
        soft: bool = False,
        anchor: str = "start",
    ) -> None:
        kind = ("soft" if soft else "ink") + (" mono" if mono else "") + (" bold" if bold else "")
        self._parts.append(
            f'<text class="{kind}" x="{x:g}" y="{y:g}" font-size="{size:g}" text-anchor="{anchor}">{escape(words)}</text>'
        )

    def lines(self, x: float, y: float, lines: Sequence[str], *, step: float = 18, **how: bool | float | str) -> None:
        """Several lines of text, one under the other."""
        for number, words in enumerate(lines):
            self.text(x, y + number * step, words, **how)  # pyright: ignore[reportArgumentType]

    def arrow(self, *points: Point) -> None:
        """A line through the points, with a head at its end."""
        path = " L".join(f"{x:g} {y:g}" for x, y in points)
        self._parts.append(f'<path class="line" d="M{path}" marker-end="url(#head)"/>')

    def badge(self, x: float, y: float, letter: str, colour: str) -> None:
        """A letter in a small circle."""
        self._parts.append(f'<circle class="{colour}" cx="{x:g}" cy="{y:g}" r="9" stroke-width="1.4"/>')
        self.text(x, y + 4, letter, size=11, bold=True, anchor="middle")

    def svg(self) -> str:
        size = f'viewBox="0 0 {self.width} {self.height}" width="{self.width}" height="{self.height}"'
        panel = f'<rect class="panel" x="1" y="1" width="{self.width - 2}" height="{self.height - 2}" rx="14"/>'
        head = (
            '<defs><marker id="head" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="8" markerHeight="8" '
            'orient="auto-start-reverse"><path class="tip" d="M0 0 L10 5 L0 10 z"/></marker></defs>'
        )
        parts = "\n".join([self._head, _style(), head, panel, *self._parts])
        return f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">\n{parts}\n</svg>\n'


def save(script: str, svg: str) -> None:
    """Write a figure beside the script that draws it."""
    Path(script).with_suffix(".svg").write_text(svg, encoding="utf-8", newline="\n")


def _style() -> str:
    fixed = (
        f"text {{ font-family: {_SANS}; }}\n.mono {{ font-family: {_MONO}; }}\n.bold {{ font-weight: 600; }}\n"
        ".line { fill: none; stroke-width: 1.8; }"
    )
    dark = "@media (prefers-color-scheme: dark) {\n" + _colours(1) + "\n}"
    return f"<style>\n{fixed}\n{_colours(0)}\n{dark}\n</style>"


def _colours(mode: int) -> str:
    rules = [f".{name} {{ fill: {shades[mode]}; }}" for name, shades in _FILLS.items()]
    rules += [f".{name} {{ stroke: {shades[mode]}; }}" for name, shades in _STROKES.items()]
    return "\n".join([*rules, f".line {{ stroke: {_LINE[mode]}; }}", f".tip {{ fill: {_LINE[mode]}; }}"])
