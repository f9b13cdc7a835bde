"""show/chances.py: the bars are the probabilities, in the order and with the names that the tokens have."""

from __future__ import annotations

from typing import Any

import pytest
import tiny
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fcutils import show
from fcutils.dialects import Encoded, encode, get


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return tiny.engine("llama").tokenizer


def heights(axes: Any) -> list[float]:
    return [round(bar.get_height(), 6) for bars in axes.containers for bar in bars]


def widths(axes: Any) -> list[float]:
    return [round(bar.get_width(), 6) for bars in axes.containers for bar in getattr(bars, "patches", ())]


def labels(axes: Any) -> list[str]:
    return [text.get_text() for text in axes.texts]


def test_only_what_the_model_must_say_is_drawn_by_part(tokenizer: Any) -> None:
    encoded = Encoded([5, 6, 7, 8], [False, True, True, True], ["text", "structure", "value", "structure"])
    figure = show.expected(encoded, [0.9, 0.1, 0.2, 0.3], tokenizer)
    (axes,) = figure.axes
    assert heights(axes) == [0.1, 0.3, 0.2]
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == ["structure", "value"]
    colours = {bars.patches[0].get_facecolor() for bars in axes.containers}  # type: ignore[attr-defined]
    assert len(colours) == 2


def test_a_chance_for_every_token(tokenizer: Any) -> None:
    encoded = encode(get("hermes").render(tiny.TALK), tokenizer)
    said = sum(encoded.learn)
    assert len(show.expected(encoded, [0.5] * len(encoded.ids), tokenizer).axes[0].get_xticks()) == said > 10
    with pytest.raises(ValueError, match=f"{said} chances for {len(encoded.ids)} tokens"):
        show.expected(encoded, [0.5] * said, tokenizer)


def test_the_first_panel_gives_the_order_and_what_was_cut_off_is_out(tokenizer: Any) -> None:
    before = torch.tensor([0.1, 0.4, 0.2, 0.3])
    figure = show.next_tokens({"before": before, "after": [0.0, 0.6, 0.0, 0.4]}, tokenizer, most=3)
    one, other = figure.axes
    assert widths(one) == [0.4, 0.3, 0.2, 0.1] and widths(other) == [0.6, 0.4, 0.0, 0.0]
    assert labels(one) == ["40.0%", "30.0%", "20.0%", "10.0%"] and labels(other) == ["60.0%", "40.0%", "out", "0.0%"]
    assert [text.get_text() for text in one.get_yticklabels()][-1] == "(all others)"
    assert (one.get_title(), other.get_title()) == ("before", "after")


def test_what_was_never_possible_is_not_out(tokenizer: Any) -> None:
    assert labels(show.next_tokens({"a": [1.0, 0.0], "b": [1.0, 0.0]}, tokenizer).axes[1]) == ["100.0%", "0.0%", "0.0%"]


@pytest.mark.parametrize("panels", [{}, {"a": []}, {"a": [0.5, 0.5], "b": [1.0]}])
def test_panels_must_be_about_the_same_tokens(panels: dict[str, list[float]], tokenizer: Any) -> None:
    with pytest.raises(ValueError, match="same vocabulary"):
        show.next_tokens(panels, tokenizer)


class Says:
    """A tokenizer whose only token is this text."""

    def __init__(self, text: str) -> None:
        self.text = text

    def decode(self, ids: list[int], **_: Any) -> str:
        return self.text


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=6))
def test_any_text_is_a_label_that_every_font_has(text: str) -> None:
    label = show.next_tokens({"a": [1.0]}, Says(text)).axes[0].get_yticklabels()[0].get_text()
    assert label.isascii() and label.isprintable() and label.strip()
    assert label.count("$") == label.count(r"\$"), "an unescaped $ begins a formula"
