"""How good the model is while it trains, in seconds: one forward pass, no sampling.

Greedy decoding writes the right reply exactly when, with the right beginning before it, every next token is the most
likely one. So the share of calls, or of sentences that stand for calls, whose every token is right needs no generation. (Other
spellings of a right one count as wrong here: a lower bound.)
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import islice
from random import Random
from typing import Any

from fcutils.dialects import Encoded, encode, get
from fcutils.pocket import documents, prose
from fcutils.pocket.corpus import Example, refused_replies, reply_spans
from fcutils.universe import Corner, Recipe
from fcutils.universe.writer import conversation

ONE = Recipe(modes={"own": 1.0}, requests=(1, 1), follow=False)
OPENING = 2  # tokens by which a call, or "I would", is known
LONGEST = 1024  # of a document


@dataclass(frozen=True, slots=True)
class Turn:
    """One reply of the model in a row: where it stands, whether it calls, and which of its tokens are names and values."""

    kind: str
    start: int
    end: int
    calls: bool
    names: tuple[int, ...] = ()
    values: tuple[int, ...] = ()


Row = tuple[list[int], list[Turn]]


def rows(where: Corner, tokenizer: Any, count: int, dialect: str = "hermes", recipe: Recipe = ONE) -> list[Row]:
    """The first `count` conversations of this corner, in one dialect, with their replies marked."""
    out: list[Row] = []
    number = 0
    while len(out) < count:
        rng = Random(f"validate/{number}")
        number += 1
        talk = conversation(where, rng, recipe)
        if talk is not None:
            encoded = encode(get(dialect).render(talk), tokenizer)
            out.append((encoded.ids, turns(encoded, talk.meta["kinds"][0], refused_replies(talk))))
    return out


def prose_rows(where: Corner, tokenizer: Any, count: int) -> list[Row]:
    """The same in plain words; a name counts where it is asked for."""
    found = []
    for talk, dialect, _ in islice(prose.talks(where, "validate", ONE), count):
        encoded = encode(dialect.render(talk), tokenizer)
        found.append((encoded.ids, turns(encoded, talk.meta["kinds"][0])))
    return found


def texts(where: Corner, tokenizer: Any, count: int) -> list[Example]:
    return list(islice(documents.examples(where, tokenizer, 0, ONE, LONGEST), count))


def turns(encoded: Encoded, kind: str, refused: Collection[int] = ()) -> list[Turn]:
    """The replies, without those that are not to be learnt."""
    found = []
    for number, (start, end) in enumerate(reply_spans(encoded)):
        places = {part: tuple(i for i in range(start, end) if encoded.parts[i] == part) for part in ("name", "value")}
        if number not in refused:
            found.append(Turn(kind, start, end, any(places.values()), places["name"], places["value"]))
    return found


def validate(model: Any, data: Sequence[Row], device: Any) -> dict[str, float]:
    """Shares. Where a call is due: `call`, every token right, also for each kind; `names` and `values`, those right; `opens`.
    Where none is: `quiet`, for each kind. `tokens`: of all replies.
    """
    tally: dict[str, list[float]] = {}
    openings = (ids[turn.start : turn.start + OPENING] for ids, marked in data for turn in marked if turn.calls)
    opening = next(openings, None)
    for ids, marked in data:
        best = _best(model, ids, device)
        for turn in marked:
            right = {i: best[i - 1] == ids[i] for i in range(turn.start, turn.end)}
            if turn.calls:
                for name, places in {
                    "call": right,
                    f"call_{turn.kind}": right,
                    "names": turn.names,
                    "values": turn.values,
                }.items():
                    if places:
                        tally.setdefault(name, []).append(all(right[i] for i in places))
                tally.setdefault("opens", []).append(right[turn.start])
            elif turn == marked[0]:
                tally.setdefault(f"quiet_{turn.kind}", []).append(not _opens(best, ids, turn.start, opening))
            tally.setdefault("tokens", []).append(sum(right.values()) / len(right))
    return {name: round(sum(values) / len(values), 4) for name, values in sorted(tally.items())}


def _opens(best: Sequence[int], ids: Sequence[int], start: int, opening: Sequence[int] | None) -> bool:
    """Whether the model would begin as a call begins, though it should not."""
    for at, token in enumerate(opening or (), start=start):
        if best[at - 1] != token:
            return False
        if ids[at] != token:
            return True
    return bool(opening)


def text_loss(model: Any, data: Sequence[Example], device: Any) -> dict[str, float]:
    """Of running text: nats a token, and the share of tokens that were the most likely one."""
    import torch

    losses, hits, count = 0.0, 0, 0
    with torch.no_grad():
        for example in data:
            ids = torch.tensor([example.ids], device=device)
            logits = model(input_ids=ids, use_cache=False).logits[0, :-1].float()
            losses += torch.nn.functional.cross_entropy(logits, ids[0, 1:], reduction="sum").item()
            hits += int((logits.argmax(-1) == ids[0, 1:]).sum())
            count += len(example.ids) - 1
    return {"loss": round(losses / count, 4), "tokens": round(hits / count, 4)}


def _best(model: Any, ids: Sequence[int], device: Any) -> list[int]:
    import torch

    with torch.no_grad():
        found: list[int] = model(input_ids=torch.tensor([ids], device=device), use_cache=False).logits[0].argmax(-1).tolist()
    return found
