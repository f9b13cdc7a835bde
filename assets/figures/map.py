"""The map of the course: `python assets/figures/map.py` draws map.svg."""

from __future__ import annotations

from drawing import Drawing, save

WIDE, HIGH = 214, 92

ROWS = (
    (
        "Understand",
        "blue",
        (
            ("00_start_here", "Start here", "set up, look round", "NTE"),
            ("01_function_calling_concepts", "Function calling", "from function to answer", "NTE"),
            ("02_prompt_based_calling_openhermes", "By prompt alone", "OpenHermes, sampling", "NT"),
            ("03_special_tokens", "Special tokens", "dialects, their cost", "NT"),
        ),
    ),
    (
        "Train",
        "green",
        (
            ("04_building_the_dataset", "The dataset", "rows, masks, leakage", "NT"),
            ("05_lora_gemma_2_2b_it", "LoRA", "Gemma 2, before and after", "NT"),
            ("06_qlora_hermes_3", "QLoRA", "an 8B model in 4 bits", "T"),
        ),
    ),
    (
        "Use",
        "orange",
        (
            ("07_the_inference_loop", "The loop", "safe, and one cache", "NTE"),
            ("08_measuring", "Measuring", "how good, how sure", "NTE"),
            ("09_guaranteed_calls", "Guaranteed calls", "grammars mask logits", "TE"),
            ("10_to_production", "To production", "servers, MCP, going live", "E"),
        ),
    ),
    (
        "Go deeper",
        "purple",
        (
            ("A1_a_model_from_nothing", "From nothing", "train a pocket model", "T"),
            ("A2_preferences_and_rewards", "Rewards", "DPO and GRPO", "T"),
        ),
    ),
)
READERS = (("N", "blue", "new to language models"), ("T", "green", "has used transformers"), ("E", "orange", "builds software"))
WORDS = (
    "Four rows of lessons. Understand: 00 to 03. Train: 04 to 06. Use: 07 to 10. Go deeper: A1 and A2. "
    "Letters say for whom a lesson is."
)


def draw() -> str:
    figure = Drawing(1080, 560, "The map of the course", WORDS)
    for row, (name, colour, lessons) in enumerate(ROWS):
        y = 24 + row * 118
        figure.text(24, y + 51, name, size=16, bold=True)
        for column, lesson in enumerate(lessons):
            x = 142 + column * (WIDE + 16)
            _lesson(figure, x, y, colour, *lesson)
            if column:
                figure.arrow((x - 15, y + HIGH / 2), (x - 2, y + HIGH / 2))
    _legend(figure, 500)
    return figure.svg()


def _lesson(figure: Drawing, x: float, y: float, colour: str, stem: str, title: str, about: str, readers: str) -> None:
    figure.box(x, y, WIDE, HIGH, colour)
    figure.text(x + 14, y + 27, f"{stem[:2]}  {title}", size=16, bold=True)
    figure.text(x + 14, y + 49, about, size=13.5, soft=True)
    for place, (letter, shade, _) in enumerate(one for one in READERS if one[0] in readers):
        figure.badge(x + 23 + place * 24, y + 72, letter, shade)


def _legend(figure: Drawing, y: float) -> None:
    figure.text(24, y + 29, "For whom", size=14, bold=True)
    x = 151
    for letter, colour, words in READERS:
        figure.badge(x, y + 24, letter, colour)
        figure.text(x + 16, y + 29, words, size=14)
        x += 40 + 8 * len(words)


if __name__ == "__main__":
    save(__file__, draw())
