"""A real trace: `python assets/figures/trace.py` asks the pocket model the question of the demo, and draws what happened.

Nothing here is written by hand but the words beside the cards. Drawn again whenever the weights change.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from drawing import Drawing, save

from fcutils.demo import MODEL, QUESTION, loop
from fcutils.evaluate.open_engine import open_engine
from fcutils.loop import Answer, Call, Observed
from fcutils.show import traces

WIDE, LINE = 80, 21  # characters of a card's line, and its height
Card = tuple[str, str, str, list[str]]  # who, what about it, colour, lines


def asked() -> Iterator[Card]:
    yield "you", "ask", "plain", [QUESTION]
    engine, _ = open_engine(MODEL)
    for event in loop(engine).run(QUESTION):
        match event:
            case Call():
                yield "the model", "writes a call, and is stopped there", "orange", _wrapped(traces.written(event.call))
            case Observed():
                yield "the toolbox", "checks it, runs it, gives the result back", "green", _wrapped(event.observation.text)
            case Answer():
                yield "the model", "writes on, from the result", "orange", _wrapped(event.text)


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, WIDE)


def draw() -> str:
    cards = list(asked())
    if [card[0] for card in cards] != ["you", "the model", "the toolbox", "the model"]:
        raise SystemExit("no call, result and answer came of it: nothing is drawn")
    words = " ".join(f"{who} {what}: {' '.join(lines)}" for who, what, _, lines in cards)
    heights = [46 + LINE * len(lines) for *_, lines in cards]
    figure = Drawing(960, 24 + sum(heights) + 26 * len(cards), "One question, one call, one answer", words)
    top = 24.0
    for number, ((who, what, colour, lines), height) in enumerate(zip(cards, heights, strict=True)):
        figure.box(24, top, 912, height, colour)
        figure.text(44, top + 27, who, size=15, bold=True)
        figure.text(150, top + 27, what, size=14, soft=True)
        figure.lines(44, top + 53, lines, step=LINE, size=15, mono=True)
        if number + 1 < len(cards):
            figure.arrow((480, top + height + 2), (480, top + height + 23))
        top += height + 26
    return figure.svg()


if __name__ == "__main__":
    save(__file__, draw())
