"""How good the model is while it trains, in seconds: one forward pass, no sampling.

Greedy decoding writes the right reply exactly when, with the right beginning before it, every next token is the most
likely one. So the share
of calls whose every token is right needs no generation. (Other spellings of a right call count as wrong here: a lower bound.)
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any

from fcutils.dialects import Encoded, encode, get
from fcutils.universe import Corner, Recipe
from fcutils.universe.writer import conversation

ONE = Recipe(modes={"own": 1.0}, requests=(1, 1), follow=False)


@dataclass(frozen=True, slots=True)
class Turn:
    """One reply of the model in a row: where it stands, and whether it calls."""

    kind: str
    start: int
    end: int
    calls: bool


def rows(
    where: Corner, tokenizer: Any, count: int, dialect: str = "hermes", recipe: Recipe = ONE
) -> list[tuple[list[int], list[Turn]]]:
    """The first `count` conversations of this corner, in one dialect, with their replies marked."""
    out: list[tuple[list[int], list[Turn]]] = []
    number = 0
    while len(out) < count:
        rng = Random(f"validate/{number}")
        number += 1
        talk = conversation(where, rng, recipe)
        if talk is not None:
            encoded = encode(get(dialect).render(talk), tokenizer)
            out.append((encoded.ids, turns(encoded, talk.meta["kinds"][0])))
    return out


def turns(encoded: Encoded, kind: str) -> list[Turn]:
    found, start = [], None
    for i, learn in enumerate([*encoded.learn, False]):
        if learn and start is None:
            start = i
        elif not learn and start is not None:
            found.append(Turn(kind, start, i, "name" in encoded.parts[start:i]))
            start = None
    return found


def validate(model: Any, data: list[tuple[list[int], list[Turn]]], device: Any) -> dict[str, float]:
    """Shares: `tool` and `call` right where a call is due, `calls` right a kind, `quiet` where none is due,
    `right_first` token classes.
    """
    import torch

    tally: dict[str, list[bool]] = {}
    opening = None
    with torch.no_grad():
        for ids, marked in data:
            logits = model(input_ids=torch.tensor([ids], device=device), use_cache=False).logits[0]
            best = logits.argmax(-1).tolist()
            for turn in marked:
                right = [best[i - 1] == ids[i] for i in range(turn.start, turn.end)]
                if turn.calls:
                    opening = ids[turn.start]
                    tally.setdefault("call", []).append(all(right))
                    tally.setdefault(f"call_{turn.kind}", []).append(all(right))
                    tally.setdefault("opens", []).append(right[0])
                elif turn == marked[0]:
                    tally.setdefault(f"quiet_{turn.kind}", []).append(best[turn.start - 1] != opening if opening else True)
                tally.setdefault("tokens", []).append(sum(right) / len(right))
    return {name: round(sum(values) / len(values), 4) for name, values in sorted(tally.items())}
