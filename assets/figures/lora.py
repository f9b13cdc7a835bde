"""What LoRA adds to a weight matrix: `python assets/figures/lora.py` draws lora.svg."""

from __future__ import annotations

from drawing import Drawing, save

WORDS = (
    "A vector x goes two ways. Above, through the frozen matrix W, out by in numbers. Below, through two thin ones that are "
    "trained: A leads down to r numbers, B leads up again, and the result is multiplied by alpha over r. Both ways are added. "
    "B begins at zero, so that at first nothing is changed."
)


def draw() -> str:
    figure = Drawing(960, 340, "LoRA", WORDS)
    figure.box(30, 140, 60, 60)
    figure.text(60, 176, "x", size=18, mono=True, anchor="middle")
    figure.box(200, 34, 420, 112)
    figure.text(410, 84, "W", size=22, bold=True, anchor="middle")
    figure.text(410, 112, "frozen: out × in numbers", size=14, soft=True, anchor="middle")
    figure.box(200, 206, 130, 60, "blue")
    figure.text(265, 243, "A", size=20, bold=True, anchor="middle")
    figure.text(265, 292, "r × in: down to r numbers", size=13.5, soft=True, anchor="middle")
    figure.box(400, 206, 60, 60, "plain", dashed=True)
    figure.text(430, 243, "r", size=18, mono=True, anchor="middle")
    figure.box(530, 206, 130, 60, "orange")
    figure.text(595, 243, "B", size=20, bold=True, anchor="middle")
    figure.text(595, 292, "out × r: up again, zero at first", size=13.5, soft=True, anchor="middle")
    figure.text(742, 243, "× α / r", size=17, mono=True, anchor="middle")
    figure.box(800, 140, 130, 60, "green")
    figure.text(865, 176, "W x + …", size=16, mono=True, anchor="middle")
    figure.arrow((92, 160), (145, 160), (145, 90), (197, 90))
    figure.arrow((92, 182), (145, 182), (145, 236), (197, 236))
    figure.arrow((333, 236), (397, 236))
    figure.arrow((463, 236), (527, 236))
    figure.arrow((663, 236), (702, 236))
    figure.arrow((623, 90), (865, 90), (865, 137))
    figure.arrow((784, 236), (865, 236), (865, 203))
    figure.text(480, 322, "trained: the two coloured matrices alone", size=14, soft=True, anchor="middle")
    return figure.svg()


if __name__ == "__main__":
    save(__file__, draw())
