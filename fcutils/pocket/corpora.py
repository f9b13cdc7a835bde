"""The corpora by name: what each pocket model reads, and how one looks at it while it trains."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from fcutils.pocket import corpus, documents, drill, prose, validate
from fcutils.universe import Corner, Recipe, Universe, corner
from fcutils.universe.splits import Part

READS = {"pocket-hermes": "calls", "pocket-gemma": "documents", "pocket-gemma-it": "prose"}
LOOK_ROWS = 60
PARTS: tuple[Part, ...] = ("phrasings", "tools", "domains")


@dataclass(frozen=True, slots=True)
class Corpus:
    """Examples without end, of a corner of the universe; rows of another corner, and what a model is worth on them."""

    examples: Callable[[Corner, Any, int, Recipe, int], Iterator[corpus.Example]]  # where, tokenizer, seed, recipe, longest
    rows: Callable[[Corner, Any, int], Any]  # where, tokenizer, count
    validate: Callable[[Any, Any, Any], dict[str, float]]  # model, rows, device


CORPORA = {
    "calls": Corpus(corpus.examples, validate.rows, validate.validate),
    "prose": Corpus(prose.examples, validate.prose_rows, validate.validate),
    "documents": Corpus(documents.examples, validate.texts, validate.text_loss),
}
DRILLS = {"calls": drill.drills, "prose": drill.in_prose}  # of the corpora in which something is chosen


def looker(universe: Universe, tokenizer: Any, name: str) -> Callable[[Any], dict[str, dict[str, float]]]:
    """Validation scores, a table a part: unseen phrasings, unseen tools, unseen domains."""
    found = CORPORA[name]
    data = {part: found.rows(corner(universe, "validation", part), tokenizer, LOOK_ROWS) for part in PARTS}

    def look(model: Any) -> dict[str, dict[str, float]]:
        device = next(model.parameters()).device
        return {part: found.validate(model, rows, device) for part, rows in data.items()}

    return look
