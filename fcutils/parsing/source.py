"""Text that is still arriving: a place in it, and the way back to a place that was marked.

Knows pieces, offsets and literal markers; it does not know what any marker means. Readers are generators: where the text
runs out they wait in `Source.more` until another piece has come, so that each is written as if it saw the whole text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterable
from typing import TypeVar

T = TypeVar("T")
Wait = Generator[None, None, T]


class Source:
    """The text from `base` on. A reader moves `pos`; what lies before it is let go with the next piece, but for a mark."""

    __slots__ = ("_kept", "_kept_base", "_reread", "base", "ended", "pos", "text")

    def __init__(self, text: str = "", *, ended: bool = False) -> None:
        self.text, self.pos, self.base, self.ended = text, 0, 0, ended
        self._kept: list[str] = []  # what has left `text` since the mark
        self._kept_base = 0
        self._reread = 0

    @property
    def offset(self) -> int:
        """Where the reader stands in the whole text."""
        return self.base + self.pos

    def add(self, piece: str) -> None:
        if self.pos:
            self._kept.append(self.text[: self.pos])
            self.text = self.text[self.pos :]
            self.base += self.pos
            self.pos = 0
        self.text += piece

    def more(self) -> Wait[bool]:
        """Waits for another piece. False: there is none, the text has ended."""
        if self.ended:
            return False
        yield
        return True

    def mark(self) -> None:
        """From `base` on the text is kept, for `since` and `rewind`; what was kept before is let go."""
        self._kept, self._kept_base = [], self.base

    def since(self, offset: int) -> str:
        """What was read from a place after the mark."""
        if offset >= self.base:
            return self.text[offset - self.base : self.pos]
        return ("".join(self._kept) + self.text[: self.pos])[offset - self._kept_base :]

    def rewind(self, offset: int) -> bool:
        """Back to a place after the mark. False: text was read again too often, and time must stay linear in the text."""
        self._reread += self.offset - offset
        if self._reread > 2 * self.offset + 10_000:
            return False
        if offset < self.base:
            self.text = "".join(self._kept) + self.text
            self.base, self._kept = self._kept_base, []
        self.pos = offset - self.base
        return True


class Finder:
    """Finds the first of some literal markers, and knows when the text so far may end in the beginning of one."""

    def __init__(self, markers: Iterable[str]) -> None:
        longest_first = sorted(markers, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first)) or "(?!)")
        self._beginnings = {marker[:length] for marker in longest_first for length in range(1, len(marker))}
        self._reach = max(map(len, longest_first), default=0)

    def find(self, source: Source) -> tuple[int, str]:
        """Where the next marker stands in `source.text`, and which; without one: up to where none can begin, and ''."""
        text, pos = source.text, source.pos
        found = self._pattern.search(text, pos)
        if found and (source.ended or found.start() + self._reach <= len(text)):
            return found.start(), found.group()
        free = len(text) if source.ended else self._free(text, pos)
        return (found.start(), found.group()) if found and found.start() < free else (free, "")

    def seek(self, source: Source, passed: Callable[[str], None]) -> Wait[str]:
        """Goes behind the next marker and returns it, or '' at the end; hands on the text that it passes."""
        while True:
            at, marker = self.find(source)
            if at > source.pos:
                passed(source.text[source.pos : at])
            source.pos = at + len(marker)
            if marker or not (yield from source.more()):
                return marker

    def at(self, source: Source) -> str:
        """The marker that stands right here, or ''."""
        found = self._pattern.match(source.text, source.pos)
        return found.group() if found else ""

    def may_begin(self, source: Source) -> bool:
        """Whether all the text that is left is the beginning of a marker, whose rest may still come."""
        left = len(source.text) - source.pos
        return not source.ended and left < self._reach and source.text[source.pos :] in self._beginnings

    def first(self, text: str) -> int:
        """Where the first marker of a text that is all there begins; -1 without one."""
        found = self._pattern.search(text)
        return found.start() if found else -1

    def _free(self, text: str, pos: int) -> int:
        for start in range(max(pos, len(text) - self._reach + 1), len(text)):
            if text[start:] in self._beginnings:
                return start
        return len(text)
