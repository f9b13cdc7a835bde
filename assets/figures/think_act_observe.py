"""Think -> Act -> Observe: `python assets/figures/think_act_observe.py` draws think_act_observe.svg."""

from __future__ import annotations

from drawing import Drawing, save

WORDS = (
    "A request goes to Think, where the model writes a thought. Act: the model writes a call, and stops. Observe: the program "
    "runs the tool and puts the result into the prompt. From there back to Think. "
    "When no call is needed, Think leads to the answer."
)
WIDE, HIGH = 226, 118


def draw() -> str:
    figure = Drawing(960, 430, "Think, act, observe", WORDS)
    _station(figure, 30, 60, "plain", "request", "the person writes", "status of T1001?")
    _station(figure, 367, 60, "orange", "think", "the model writes", "<think>…</think>")
    _station(figure, 704, 60, "orange", "answer", "the model writes", "T1001 is Paid.")
    _station(figure, 534, 284, "orange", "act", "the model writes, and stops", "<tool_call>…")
    _station(figure, 200, 284, "green", "observe", "the program runs the tool", "<tool_response>…")
    figure.arrow((30 + WIDE + 3, 60 + HIGH / 2), (364, 60 + HIGH / 2))
    figure.arrow((367 + WIDE + 3, 60 + HIGH / 2), (701, 60 + HIGH / 2))
    figure.text(648, 106, "no tool needed", size=13, soft=True, anchor="middle")
    figure.arrow((520, 60 + HIGH + 3), (647, 281))
    figure.text(606, 226, "a tool is needed", size=13.5, soft=True)
    figure.arrow((531, 284 + HIGH / 2), (200 + WIDE + 3, 284 + HIGH / 2))
    figure.text(480, 332, "the call", size=13.5, soft=True, anchor="middle")
    figure.arrow((313, 281), (440, 60 + HIGH + 3))
    figure.text(354, 226, "the result", size=13.5, soft=True, anchor="end")
    figure.text(
        30, 34, "Orange: sampled by the model. Green: done by your program, and given to the model to read.", size=14, soft=True
    )
    return figure.svg()


def _station(figure: Drawing, x: float, y: float, colour: str, name: str, who: str, shown: str) -> None:
    figure.box(x, y, WIDE, HIGH, colour)
    figure.text(x + 16, y + 32, name, size=18, bold=True)
    figure.text(x + 16, y + 57, who, size=14, soft=True)
    figure.text(x + 16, y + 91, shown, size=14, mono=True)


if __name__ == "__main__":
    save(__file__, draw())
