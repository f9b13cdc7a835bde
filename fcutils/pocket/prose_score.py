"""What the Gemma models can do, which answer in plain words: the right tool named, every value said, and no call written.

The frozen test sets are asked as `prose.py` asks, with an instruction to name the tool and the value of each parameter. A reply
is read for names and values, since its wording may differ from the authored one. Only the first reply of a row is asked for.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from fcutils.engines.base import Engine
from fcutils.evaluate import Score, first_exchange
from fcutils.evaluate.rows import asks_something
from fcutils.messages import Conversation, Message
from fcutils.parsing import parse_reply
from fcutils.pocket.measures import MAX_TOKENS, MUST_CALL, SETS, Measure, rows_of
from fcutils.pocket.prose import DETAILED, OPENING, Prose, settings

USES = r"use {}(?: with (?!what that gives)|[.,;](?:\s|$))"  # what comes later is not used yet
DIALECT = Prose(DETAILED[0])
TABLE = (
    *(Measure(f"{one.replace('_', ' ')}: right tools, all values", "whole", (one,)) for one in MUST_CALL),
    Measure("right tools, where tools are due", "tools", MUST_CALL),
    Measure("all values, where tools are due", "values", MUST_CALL),
    Measure("nothing to call: declines", "declines", SETS[5:6]),
    Measure("missing information: asks", "asks", SETS[6:7]),
    Measure("no call is written", "plain", SETS, 1.0),
)


def marks(engine: Engine, limit: int | None = None) -> dict[str, dict[str, Score]]:
    """The scores of every set, by mark."""
    return {one: _marks_of(engine, one, rows_of(one, limit)) for one in SETS}


def _marks_of(engine: Engine, one: str, rows: Sequence[Conversation]) -> dict[str, Score]:
    rows = [first_exchange(row) for row in rows]
    replies = engine.reply_many([replace(row, messages=row.messages[:-1]) for row in rows], max_tokens=MAX_TOKENS)
    earned: dict[str, list[bool]] = {}
    for row, reply in zip(rows, replies, strict=True):
        if reply.error:
            raise RuntimeError(f"{engine.name} failed on a row of {one}: {reply.error[:200]}")
        for name, right in judge(one, row, row.messages[-1], reply.text).items():
            earned.setdefault(name, []).append(right)
    return {name: Score(sum(rights), len(rights)) for name, rights in earned.items()}


def judge(one: str, row: Conversation, gold: Message, text: str) -> dict[str, bool]:
    """What a reply earns: `tools` and `values` and both where calls are due; else whether it declines, or asks."""
    found = {"plain": not parse_reply(text).calls}
    would = OPENING.strip() in text
    if gold.calls:
        offered = {tool["function"]["name"] for tool in row.tools}
        named = {name for name in offered if re.search(USES.format(re.escape(name)), text)}
        tools = named == {call.name for call in gold.calls}
        values = all(said in text for call in gold.calls for said in settings(call))
        return {**found, "tools": tools, "values": values, "whole": tools and values}
    if one == "missing_information":
        return {**found, "asks": asks_something(text) and not would}
    return {**found, "declines": bool(text.strip()) and not would}
