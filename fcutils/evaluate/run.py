"""A model evaluated on rows: ask, judge, count. Everything is checked before the first reply is asked for.

Knows the order of things; the parts are `rows.py` (what is asked), `replies.py` (asking once), `misses.py` (judging) and
`report.py` (counting).
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tqdm import tqdm

from fcutils.dialects import Dialect
from fcutils.engines.base import GREEDY, Constraint, Engine, Sampling, Written
from fcutils.evaluate.match import pair
from fcutils.evaluate.misses import judge, show_calls
from fcutils.evaluate.replies import Replies
from fcutils.evaluate.report import Outcome, Report, clip
from fcutils.evaluate.rows import Ask, DataError, Steps, asks_of, fingerprint, steps_of
from fcutils.messages import Conversation, Message, MessageError, Reply
from fcutils.parsing import parse_reply


def evaluate(
    engine: Engine,
    rows: Sequence[Conversation],
    dialect: str | Dialect | None = None,
    *,
    max_tokens: int = 384,
    sampling: Sampling = GREEDY,
    constraint: Constraint | None = None,
    replies: str | Path | None = None,
    data: str = "rows",
    progress: bool = True,
) -> Report:
    """What a model does with these rows. `dialect` is the engine's own where none is named.

    Every assistant turn is asked for on gold's history; a request of several steps also on the model's own calls, with gold's
    results wherever a call is the wanted one. `replies` names a file of JSON lines from which a run that was killed goes on.
    Rows on which the engine fails are in the report's `failed`, and in no score.
    """
    engine = engine if dialect is None else engine.speaking(dialect)
    asks, steps = _prepare(rows)
    source = Replies(engine, max_tokens=max_tokens, sampling=sampling, constraint=constraint, path=replies)
    outcomes: list[Outcome | None] = [None] * len(asks)
    with _Bar(len(asks), engine.name, progress) as bar:

        def came(place: int, written: Written) -> None:
            outcomes[place] = outcome = _outcome(asks[place], written, engine)
            bar.show(outcome)

        source.ask([ask.prompt for ask in asks], came)
        whole = [*filter(None, outcomes), *_walk_all(steps, source, bar)]
    used = [written for written in source.used.values() if written.error is None]
    tokens, seconds = sum(one.tokens for one in used), sum(one.seconds for one in used)
    return Report(source.described, data, len(rows), fingerprint(rows), tuple(whole), len(used), tokens, seconds)


def _prepare(rows: Sequence[Conversation]) -> tuple[list[Ask], list[Steps]]:
    asks: list[Ask] = []
    steps: list[Steps] = []
    faults: list[tuple[int, str]] = []
    for number, row in enumerate(rows, 1):
        try:
            mine = asks_of(row, number)
            asks += mine
            steps += steps_of(row, mine)
        except (MessageError, KeyError, TypeError, AttributeError) as error:
            faults.append((number, str(error)))
    if faults or not rows:
        raise DataError("rows", faults or [(0, "there is no row")])
    return asks, steps


def _outcome(ask: Ask, written: Written, engine: Engine) -> Outcome:
    asked = next((m.content for m in reversed(ask.prompt.messages) if m.role == "user"), "")
    wanted = show_calls(ask.gold.calls) or ask.gold.content
    shown = Outcome(ask.id, ask.row, ask.kind, asked, wanted, clip(written.text), group=ask.group)
    if written.error is not None:
        return replace(shown, error=written.error)
    verdict = judge(ask, _read(written, ask, engine))
    return replace(shown, marks=dict(verdict.marks), misses=verdict.misses, tools=verdict.tools)


def _read(written: Written, ask: Ask, engine: Engine) -> Reply:
    return parse_reply(written.text, engine.dialect.name, ask.prompt.tools)


# ---- sequences -----------------------------------------------------------------------------------------------------


class _Walk:
    """One request of several steps, on the model's own calls."""

    def __init__(self, steps: Steps) -> None:
        self.steps = steps
        self.at = 0
        self.ask = steps.asks[0]
        self.outcome: Outcome | None = None

    def take(self, written: Written, engine: Engine) -> None:
        """One more reply: on to the next step, or the end."""
        now, last = _outcome(self.ask, written, engine), self.at + 1 == len(self.steps.asks)
        right = not now.misses and not now.error
        if last or not right:
            marks = {} if now.error else {"sequence": right}
            self.outcome = replace(now, id=self.steps.id, kind="sequence", marks=marks, tools=(), group="")
            return
        reply = _read(written, self.ask, engine)
        talk = self.ask.prompt.add(*_as_gold(self.ask, reply, self.steps.results[self.at]))
        self.at += 1
        self.ask = replace(self.steps.asks[self.at], prompt=talk)


def _walk_all(steps: Sequence[Steps], source: Replies, bar: _Bar) -> list[Outcome]:
    """All sequences side by side, a step at a time. A step with gold's history has been asked for already."""
    walks = [_Walk(one) for one in steps]
    while going := [walk for walk in walks if walk.outcome is None]:
        bar.expect(len(going))
        replies = source.ask([walk.ask.prompt for walk in going], lambda place, written: bar.tick())
        for walk, written in zip(going, replies, strict=True):
            walk.take(written, source.engine)
    return [walk.outcome for walk in walks if walk.outcome]


def _as_gold(ask: Ask, reply: Reply, results: Sequence[Message]) -> list[Message]:
    """The model's turn with gold's ids, and gold's results in the order of the model's calls."""
    calls = judge(ask, reply).calls
    by_call = {number: wanted for wanted, number in pair(calls, ask.wants).items()}
    order = [by_call[number] for number in range(len(calls))]
    named = tuple(replace(call, id=ask.gold.calls[wanted].id) for call, wanted in zip(calls, order, strict=True))
    turn = Message("assistant", reply.content, reply.thought, named)
    return [turn, *(results[wanted] for wanted in order)]


# ---- progress ------------------------------------------------------------------------------------------------------


class _Bar:
    """A progress bar with the running score."""

    def __init__(self, total: int, name: str, wanted: bool) -> None:
        self._bar = tqdm(total=total, desc=name, unit="reply", file=sys.stdout, disable=not wanted)
        self._counts: Counter[tuple[str, bool]] = Counter()

    def show(self, outcome: Outcome) -> None:
        for name in ("whole call", "holds back"):
            if name in outcome.marks:
                self._counts[name, outcome.marks[name]] += 1
        shown = []
        for name in ("whole call", "holds back"):
            right, wrong = self._counts[name, True], self._counts[name, False]
            shown += [f"{name} {right}/{right + wrong}"] if right + wrong else []
        self._bar.set_postfix_str(", ".join(shown), refresh=False)
        self.tick()

    def expect(self, more: int) -> None:
        """The steps of sequences, which are not known beforehand."""
        self._bar.total = (self._bar.total or 0) + more

    def tick(self) -> None:
        self._bar.update()

    def __enter__(self) -> _Bar:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()
