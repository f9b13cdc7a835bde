"""Text from outside with the markers of a dialect taken out of it: `</tool_response>` becomes `\\u003c/tool_response>`.

In JSON that says the same as before; in plain text it can still be read. What a model might take for the marker is treated
alike: other case, white space inside, attributes, no closing bracket, wide and invisible characters (letters of other
alphabets that look alike are not). Knows no tokenizer: that text never becomes a control token, however it is spelt, is
`encoding.py`'s.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

SPACE = r"(?:\s|\\[nrt])*+"  # as JSON writes it, too; possessive, so that time stays linear
WIDE = {"<": "<＜﹤", "[": "[［﹇"}


def escape_marks(text: str, marks: tuple[str, ...]) -> str:
    """The text with the first character of every mark, or of what looks like one, written as a JSON escape."""
    begins, looks_like_one = _patterns(marks)
    if not begins.search(text):
        return text
    if text.isascii():
        return looks_like_one.sub(lambda match: _as_escape(match[0][0]) + match[0][1:], text)
    folded, places = _folded(text)
    out, done = [], 0
    for match in looks_like_one.finditer(folded):
        place = places[match.start()]
        out += [text[done:place], _as_escape(text[place])]
        done = place + 1
    return "".join([*out, text[done:]])


@lru_cache
def _patterns(marks: tuple[str, ...]) -> tuple[re.Pattern[str], re.Pattern[str]]:
    firsts = "".join(sorted({char for mark in marks for char in WIDE.get(mark[0], mark[0])}))
    begins = re.compile(f"[{re.escape(firsts)}]" if firsts else "(?!)")
    longest_first = sorted(set(marks), key=len, reverse=True)
    return begins, re.compile("|".join(map(_looks_like, longest_first)) or "(?!)", re.IGNORECASE)


def _looks_like(mark: str) -> str:
    """`</name>` as a pattern: white space anywhere around the name, and behind it whatever ends a name."""
    shape = re.fullmatch(r"(\W+)(\w.*?)\W*", mark)
    if not shape:
        return re.escape(mark)
    return SPACE.join([*map(re.escape, shape[1]), re.escape(shape[2])]) + r"(?=[\s>|\]/\\]|\Z)"


def _folded(text: str) -> tuple[str, list[int]]:
    """The text in its plainest characters, and where each of them stood."""
    plain = [_plain(char) for char in text]
    return "".join(plain), [place for place, chars in enumerate(plain) for _ in chars]


@lru_cache(maxsize=4096)
def _plain(char: str) -> str:
    if char.isascii():
        return char
    return "".join(c for c in unicodedata.normalize("NFKC", char) if unicodedata.category(c) not in ("Cf", "Mn", "Me"))


def _as_escape(char: str) -> str:
    return f"\\u{ord(char):04x}"
