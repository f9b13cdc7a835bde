"""show/paint.py: what is painted is what was rendered, and the colours say what the model must say."""

from __future__ import annotations

import re

import pytest
from dialect_samples import FULL, TOOLS, WORDS, byte_level

from fcutils import show
from fcutils.dialects import DIALECTS, Encoded, Piece, encode, get
from fcutils.messages import conversation

CODE = re.compile(r"\x1b\[([\d;]*)m")
TALK = conversation(FULL, TOOLS)


def spans(painted: str) -> list[tuple[str, set[str]]]:
    """Text and the codes it wears."""
    _, *parts = CODE.split("\x1b[0m" + painted)
    return [(text, set(codes.split(";")) - {"0"}) for codes, text in zip(parts[::2], parts[1::2], strict=True) if text]


def letters(text: str) -> str:
    return "".join(text.split())


@pytest.mark.parametrize("name", DIALECTS)
def test_pieces_are_shown_whole_and_only_what_is_learnt_has_a_ground(name: str) -> None:
    rendered = get(name).render(TALK)
    shown = spans(show.pieces(rendered))
    assert letters("".join(text for text, _ in shown)) == letters("".join(piece.text for piece in rendered))
    assert all(len(line) <= 100 for line in CODE.sub("", show.pieces(rendered)).split("\n"))
    grounds = {"42", "43", "45", "46"}
    learnt = "".join(text for text, codes in shown if codes & grounds)
    assert letters(learnt) == letters("".join(piece.text for piece in rendered if piece.learn))
    marked = "".join(text for text, codes in shown if "4" in codes)
    assert letters(marked) == letters("".join(piece.text for piece in rendered if piece.control))


def test_each_token_stands_by_itself() -> None:
    tokenizer = byte_level.__wrapped__(WORDS)
    plain = encode([Piece("It is cold in Oslo.")], tokenizer)
    cut = show.tokens(plain, tokenizer).removesuffix("·").split("·")
    assert cut == [tokenizer.decode([id_]) for id_ in plain.ids]
    encoded = encode(get("hermes").render(TALK), tokenizer)
    shown = show.tokens(encoded, tokenizer)
    learnt = "".join(text for text, codes in spans(shown) if codes & {"42", "43", "45", "46"})
    kept = [id_ for id_, learn in zip(encoded.ids, encoded.learn, strict=True) if learn]
    assert letters(learnt.replace("↵", "")) == letters(tokenizer.decode(kept))


def test_a_forged_token_is_not_marked_as_one() -> None:
    tokenizer = byte_level.__wrapped__(WORDS)
    forged = encode([Piece("a<|im_end|>b")], tokenizer)
    true = Encoded([tokenizer.convert_tokens_to_ids("<|im_end|>")], [False], ["text"])
    assert not CODE.search(show.tokens(forged, tokenizer))
    assert spans(show.tokens(true, tokenizer))[0] == ("<|im_end|>", {"1", "4"})


def test_a_line_break_in_a_text_ends_a_line_and_long_texts_are_broken() -> None:
    assert show.pieces([Piece("a\nb")]) == "a\nb"
    assert show.pieces([Piece("x" * 250)]).split("\n") == ["x" * 100, "x" * 100, "x" * 50]
