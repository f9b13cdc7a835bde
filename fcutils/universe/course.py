"""The course's dataset: which rows stand in which file of data/, made from the universe by one command.

`python -m fcutils.universe write` makes them again, byte for byte. The test sets are frozen: a test holds their hashes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from fcutils.dataset import DATA, with_ids, write_rows
from fcutils.messages import Conversation
from fcutils.universe.splits import Corner, Part, Universe, corner
from fcutils.universe.writer import MIX, Recipe, conversations

OWN = {"own": 1.0}
RIGHT = {kind: share for kind, share in MIX.items() if kind != "mending"}  # a row cannot say that a call is not to be learnt
SEED = 2026


@dataclass(frozen=True, slots=True)
class File:
    """One file of the dataset."""

    file: str
    rows: int
    split: str
    part: Part
    recipe: Recipe


def _one(**mix: float) -> Recipe:
    return Recipe(mix=mix, modes=OWN, requests=(1, 1), follow=False)


FILES = (
    File(
        "train.jsonl", 4000, "train", "all", Recipe(mix=RIGHT, modes={"own": 0.8, "styled": 0.2}, requests=(1, 2), tools=(1, 8))
    ),
    File("validation.jsonl", 400, "validation", "all", Recipe(mix=RIGHT, modes=OWN, requests=(1, 1), follow=False)),
    File("test_unseen_phrasings.jsonl", 200, "test", "phrasings", _one(single=1)),
    File("test_unseen_tools.jsonl", 200, "test", "tools", _one(single=1)),
    File("test_unseen_domains.jsonl", 200, "test", "domains", _one(single=1)),
    File("test_parallel.jsonl", 200, "test", "all", _one(parallel=1)),
    File("test_sequences.jsonl", 200, "test", "all", _one(sequence=1)),
    File("test_nothing_to_call.jsonl", 200, "test", "all", _one(nothing=1)),
    File("test_missing_information.jsonl", 200, "test", "all", _one(missing=1)),
)


def rows(universe: Universe, wanted: File) -> Iterator[Conversation]:
    """The rows of one file; no two with the same first request."""
    where: Corner = corner(universe, wanted.split, wanted.part)
    seen: set[str] = set()
    for talk in islice(conversations(where, SEED, wanted.recipe), wanted.rows * 20):
        request = next(message.content for message in talk.messages if message.role == "user")
        if request in seen:
            continue
        seen.add(request)
        yield with_ids(replace(talk, meta={"id": f"{wanted.file.removesuffix('.jsonl')}-{len(seen)}", **talk.meta}))
        if len(seen) == wanted.rows:
            return
    raise ValueError(f"{wanted.file}: only {len(seen)} different requests of {wanted.rows} could be made")


def write(universe: Universe, folder: Path = DATA) -> dict[str, int]:
    """All files; gives back how many rows each has."""
    return {wanted.file: write_rows(rows(universe, wanted), folder / wanted.file) for wanted in FILES}
