"""Conversations in colours: what a dialect rendered (`pieces`) and what a tokenizer made of it (`tokens`).

Text with terminal colours, for `print`. Knows what the model must say, and which tokens are control tokens.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fcutils.dialects import Encoded, Piece

_GROUNDS = {"text": 42, "structure": 46, "name": 43, "value": 45}  # a terminal's green, cyan, yellow and magenta
_BLACK = "38;5;16"  # true black: what notebooks take for plain black is a grey, and hard to read on these
_WIDTH = 100  # characters a painted line


def pieces(rendered: Sequence[Piece]) -> str:
    """A rendered conversation: control tokens bold and underlined, what the model must say on a coloured ground."""
    return _painted((piece.text, piece.control, _GROUNDS[piece.part] if piece.learn else 0) for piece in rendered)


def tokens(encoded: Encoded, tokenizer: Any) -> str:
    """The same, token by token: a dot between two, ↵ for a line break; a character of several tokens stands with its last."""
    from fcutils.engines.drawing import TextStream

    controls = {id_ for token, id_ in tokenizer.get_added_vocab().items() if token.strip()}
    stream = TextStream(tokenizer)
    shown = []
    for id_, learn, part in zip(encoded.ids, encoded.learn, encoded.parts, strict=True):
        shown.append((stream.step(id_).replace("\n", "↵\n"), id_ in controls, _GROUNDS[part] if learn else 0))
    return _painted(shown, between="·")


def _painted(parts: Iterable[tuple[str, bool, int]], between: str = "") -> str:
    """Stretches of (text, whether a control token, ground) with their colours; lines that are too long are broken."""
    out: list[str] = []
    column = 0
    for text, control, ground in parts:
        codes = ";".join([*([_BLACK, str(ground)] if ground else []), *(["1", "4"] if control else [])])
        for number, line in enumerate(text.split("\n")):
            if number:
                out, column = [*out, "\n"], 0
            while line:
                if column >= _WIDTH or (column and column + len(line) > _WIDTH and len(line) < _WIDTH // 2):
                    out, column = [*out, "\n"], 0
                now, line = line[: _WIDTH - column], line[_WIDTH - column :]
                out.append(f"\x1b[{codes}m{now}\x1b[0m" if codes else now)
                column += len(now)
        if between and column:
            out, column = [*out, between], column + len(between)
    return "".join(out)
