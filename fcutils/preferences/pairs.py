"""Pairs of refusals: a request that no tool on offer meets, a polite reply and a blunt one. Knows no model.

Reads data/preferences/refusals.yaml. Everybody's tools are those of a use case.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import yaml

from fcutils import usecases
from fcutils.dataset import DATA
from fcutils.messages import Conversation, Message, Reply

PREFERENCES = DATA / "preferences"
Split = Literal["train", "held_out"]

COURTEOUS = ("sorry", "afraid", "glad", "happy to", "wish", "love to", "thank", "unfortunately")


@dataclass(frozen=True, slots=True)
class Pair:
    """One request, and two ways of refusing it."""

    prompt: Conversation
    polite: str
    blunt: str


def pairs(split: Split) -> list[Pair]:
    told = yaml.safe_load((PREFERENCES / "refusals.yaml").read_text(encoding="utf-8"))
    return [
        Pair(Conversation((Message("user", request),), tools_of(usecase)), polite, blunt)
        for usecase, splits in told.items()
        for request, polite, blunt in splits[split]
    ]


@lru_cache
def tools_of(usecase: str) -> tuple[Any, ...]:
    return tuple(usecases.load(usecase).tools)


def is_polite(reply: Reply) -> bool:
    """Whether a reply refuses with courtesy, by its words: it calls nothing, and one of `COURTEOUS` stands in what it says.

    A count of words, no judge of manners: it tells the authored replies of both kinds apart without a mistake.
    """
    said = reply.content.lower()
    return not reply.calls and not reply.faults and any(word in said for word in COURTEOUS)
