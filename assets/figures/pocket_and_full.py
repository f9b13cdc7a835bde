"""How pocket and full models relate: `python assets/figures/pocket_and_full.py` draws pocket_and_full.svg."""

from __future__ import annotations

from drawing import Drawing, save

WORDS = (
    "One and the same cell, load('gemma'), leads to one of two models. By default to a pocket twin, which lies in the "
    "repository and runs on a laptop's processor. With FC_MODELS=full to the full model, which is downloaded and wants a GPU. "
    "After it the same cells run with either."
)


def draw() -> str:
    figure = Drawing(960, 330, "Pocket and full models", WORDS)
    figure.box(24, 112, 190, 90)
    figure.text(119, 148, 'load("gemma")', size=15, mono=True, anchor="middle")
    figure.text(119, 176, "a cell of a lesson", size=14, soft=True, anchor="middle")
    _model(
        figure,
        24,
        "blue",
        "pocket twin",
        (
            "trained from nothing in this repository, kept in it",
            "laptop's processor, offline, minutes",
            "for learning how everything works",
        ),
    )
    _model(
        figure,
        176,
        "orange",
        "full model",
        (
            "google/gemma-2-2b-it and its like, downloaded",
            "GPU with 16 GB or more (Colab's T4)",
            "for results that you can use",
        ),
    )
    figure.box(766, 112, 170, 90)
    figure.text(851, 148, "the same cells", size=15, bold=True, anchor="middle")
    figure.text(851, 176, "unchanged", size=14, soft=True, anchor="middle")
    figure.arrow((217, 140), (297, 92))
    figure.arrow((217, 174), (297, 222))
    figure.text(252, 92, "default", size=13, soft=True, anchor="middle")
    figure.text(226, 240, "FC_MODELS", size=12.5, mono=True, soft=True, anchor="middle")
    figure.text(226, 257, "=full", size=12.5, mono=True, soft=True, anchor="middle")
    figure.arrow((683, 92), (763, 140))
    figure.arrow((683, 222), (763, 174))
    return figure.svg()


def _model(figure: Drawing, y: float, colour: str, name: str, lines: tuple[str, ...]) -> None:
    figure.box(300, y, 380, 128, colour)
    figure.text(318, y + 32, name, size=17, bold=True)
    figure.lines(318, y + 62, lines, step=22, size=14)


if __name__ == "__main__":
    save(__file__, draw())
