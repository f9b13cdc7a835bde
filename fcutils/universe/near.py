"""Sentences that are nearly the same: what must not stand on both sides of a split.

A test sentence too near to a training sentence is left out of the tests (never the other way round: a model that has
been trained stays honest). `python -m fcutils.universe near` writes the list, data/universe/left_out.txt.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from difflib import SequenceMatcher

from fcutils.universe.files import HOLE
from fcutils.universe.splits import Corner, Universe, corner
from fcutils.universe.values import SPLITS

NEAR = 0.9  # of SequenceMatcher's ratio, values apart
SHARED = 0.55  # of the words: cheaper, and looked at first


def bare(text: str) -> str:
    """The sentence without its values, case and punctuation at the ends."""
    return HOLE.sub("_", text).lower().strip(" .!?")


def _words(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"[a-z']+", bare(text).replace("_", " ")))


def near(text: str, other: str) -> bool:
    one, two = bare(text), bare(other)
    matcher = SequenceMatcher(None, one, two, autojunk=False)
    return matcher.real_quick_ratio() > NEAR and matcher.quick_ratio() > NEAR and matcher.ratio() > NEAR


def near_pairs(mine: Iterable[str], theirs: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Pairs, one from each side, that are nearly the same."""
    index: dict[str, list[tuple[str, frozenset[str]]]] = {}
    for text in set(theirs):
        words = _words(text)
        for word in words:
            index.setdefault(word, []).append((text, words))
    for text in set(mine):
        words = _words(text)
        seen: set[str] = set()
        # Sentences that share most words share the rarest words, too.
        for word in sorted(words, key=lambda w: len(index.get(w, ())))[: max(2, len(words) // 2)]:
            for other, others in index.get(word, ()):
                if other in seen or len(words & others) < SHARED * len(words | others):
                    continue
                seen.add(other)
                if near(text, other):
                    yield text, other


def sentences(where: Corner) -> list[str]:
    """Every sentence that this corner may say."""
    said = [p.text for t in where.everything for p in (*t.phrasings, *t.vague)]
    said += [p.text for chains in where.chains.values() for _, says in chains for p in says]
    return [*said, *(text for texts in where.beyond.values() for text in texts), *where.talk["off_topic"]]


def left_out(universe: Universe) -> list[str]:
    """The sentences of the tests, and of validation, that are too near to another split's."""
    everything = replace(universe, left_out=frozenset())
    train, validation, test = (sentences(corner(everything, split)) for split in SPLITS)
    found = {text for text, _ in near_pairs(validation, train)}
    found |= {text for text, _ in near_pairs(test, [*train, *validation])}
    return sorted(found)
