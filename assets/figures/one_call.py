"""One call's way, in six steps: `python assets/figures/one_call.py` draws one_call.svg."""

from __future__ import annotations

from drawing import Drawing, save

STEPS = (
    ("1  definition", "you", "blue", ("def retrieve_payment_", "status(transaction_id)")),
    ("2  schema", "fcutils.schema", "green", ('{"name": "retrieve_…",', ' "parameters": {…}}')),
    ("3  prompt", "fcutils.dialects", "green", ("You can call … {…}", "status of T1001?")),
    ("4  call", "the model", "orange", ("<tool_call>", '{"name": …, "T1001"}')),
    ("5  execution", "fcutils.toolbox", "green", ("Paid", "(your code ran)")),
    ("6  answer", "the model", "orange", ("Your transaction", "T1001 is Paid.")),
)
WORDS = (
    "Definition, written by you, becomes a schema, which becomes part of the prompt. The model writes a call as text. The "
    "toolbox runs the function. The result goes back into the prompt, and the model writes the answer."
)
WIDE, HIGH = 268, 128


def draw() -> str:
    figure = Drawing(960, 446, "One call's way in six steps", WORDS)
    for number, (name, who, colour, shown) in enumerate(STEPS):
        x, y = _corner(number)
        figure.box(x, y, WIDE, HIGH, colour)
        figure.text(x + 16, y + 30, name, size=17, bold=True)
        figure.text(x + 16, y + 53, f"by {who}", size=14, soft=True)
        figure.lines(x + 16, y + 85, shown, step=21, size=13.5, mono=True)
    _arrows(figure)
    figure.lines(
        24,
        392,
        (
            "The model writes text in steps 4 and 6, and nothing else. It sees the schema, never the function; it asks,",
            "and your program decides. After step 5 the result joins the prompt, and the model writes on: an answer or a call.",
        ),
        step=21,
        size=14.5,
        soft=True,
    )
    return figure.svg()


def _corner(number: int) -> tuple[float, float]:
    """Left to right in the first row, and on in the second."""
    return 24 + (number % 3) * (WIDE + 54), 24 + (number // 3) * (HIGH + 70)


def _arrows(figure: Drawing) -> None:
    for number in (0, 1, 3, 4):
        x, y = _corner(number)
        figure.arrow((x + WIDE + 3, y + HIGH / 2), (x + WIDE + 51, y + HIGH / 2))
    (right, top), (left, bottom) = _corner(2), _corner(3)
    middle = top + HIGH + 35
    figure.arrow(
        (right + WIDE / 2, top + HIGH + 2), (right + WIDE / 2, middle), (left + WIDE / 2, middle), (left + WIDE / 2, bottom - 3)
    )


if __name__ == "__main__":
    save(__file__, draw())
