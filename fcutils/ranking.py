"""Which texts answer a query best: BM25 over folded words, or over words and the pieces of them.

Knows words, also those that are joined in names (`setSpeed`, `find_flight`). Does not know what the texts are: pages, products,
courses, or descriptions of tools.
"""

from __future__ import annotations

import functools
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence

_K1, _B = 1.5, 0.75  # how soon repeating a word stops helping, and how much a long text is held back
_PIECE = 4  # letters
_WORD = re.compile(r"[^\W_]+")
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_SAYS_NOTHING = re.compile(
    "a|about|an|and|any|are|as|at|be|but|by|can|could|did|do|does|for|from|get|give|had|has|have|how|i|if|in|is|it|its|me|my|of|on|"
    "or|our|out|please|should|some|tell|that|the|their|them|there|these|they|this|to|us|want|was|we|were|what|when|where|which|"
    "who|why|will|with|would|you|your"
)


def rank(query: str, texts: Sequence[str], apart: Callable[[str], Sequence[str]] | None = None) -> list[tuple[int, float]]:
    """The texts that share a word with the query, best first: their places in the list, and their scores.

    `apart`: how a text is taken apart; `words` unless told otherwise.
    """
    apart = apart or words
    wanted = set(apart(query))
    counted = [Counter(apart(text)) for text in texts]
    mean = sum(map(Counter.total, counted)) / max(len(counted), 1) or 1.0
    weights = {word: _weight(sum(word in count for count in counted), len(counted)) for word in wanted}
    scores = [
        sum(
            weights[word] * count[word] * (_K1 + 1) / (count[word] + _K1 * (1 - _B + _B * count.total() / mean))
            for word in wanted
        )
        for count in counted
    ]
    return sorted(((place, score) for place, score in enumerate(scores) if score > 0), key=lambda found: -found[1])


def fold(text: str) -> str:
    """Without case, accents, and blanks at the ends: `" São Paulo"` is `"sao paulo"`. Look-alikes stay what they are."""
    split = unicodedata.normalize("NFD", text.strip().casefold())
    return "".join(letter for letter in split if not unicodedata.combining(letter))


@functools.lru_cache(4096)
def words(text: str) -> tuple[str, ...]:
    """The words of a text that say something, folded, without the s of a plural; `setSpeed` is itself, and two words."""
    found = (part for word in _WORD.findall(text) for part in dict.fromkeys([word, *_HUMP.split(word)]))
    return tuple(_singular(word) for word in map(fold, found) if not _SAYS_NOTHING.fullmatch(word))


@functools.lru_cache(4096)
def pieces(text: str) -> tuple[str, ...]:
    """Words, and every four letters in a row of them: what is spelt or bent differently still shares some."""
    framed = [f"^{word}$" for word in words(text)]
    runs = (word[at : at + _PIECE] for word in framed for at in range(len(word) - _PIECE + 1))
    return (*framed, *runs)


def _singular(word: str) -> str:
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


def _weight(having: int, among: int) -> float:
    """What a word is worth: the fewer texts have it, the more."""
    return math.log(1 + (among - having + 0.5) / (having + 0.5))
