"""`python -m fcutils.pocket score pocket-hermes`: the table of what a finished model can do, on the frozen test sets, greedy.

Knows which sets, formats and requests make the table, and what is wanted of each; asking and judging are `evaluate/`'s. Beside
the two formats of the catalogue the model is asked in one that it was never shown (`formats.HELD_OUT`). What the Gemma models
say is prose, and is `prose_score.py`'s.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from fcutils.dialects import Dialect, DialectError, get
from fcutils.engines.base import GREEDY, Chat, Constraint, Engine, Sampling, Tools, Written
from fcutils.engines.local import LocalEngine
from fcutils.evaluate import Outcome, Score, evaluate
from fcutils.messages import Conversation, Message
from fcutils.parsing import parse_reply
from fcutils.pocket import prose_score
from fcutils.pocket.corpora import READS
from fcutils.pocket.formats import HELD_OUT, Shown
from fcutils.pocket.measures import MAX_TOKENS, MUST_CALL, SETS, Measure, open_model, rows_of
from fcutils.usecases import recommend

FORMATS = ("hermes", "openhermes")
HELD_OUT_SET = "unseen_tools"
REQUESTS = {
    "Tell me a joke": "Joke",
    "Song for inspiration.": "SongRecommendation",
    "Recommend me a book on Crime Thriller.": "BookRecommendation",
}
APART = 3.0  # points, at most, between the formats
ALL_CALLS = Measure("whole call, all sets with calls", "whole call", MUST_CALL)
TABLE = (
    Measure("unseen phrasings", "whole call", SETS[:1], 0.90),
    Measure("unseen tools", "whole call", SETS[1:2], 0.85),
    Measure("unseen domains", "whole call", SETS[2:3], 0.75),
    Measure("parallel", "parallel", SETS[3:4], 0.75),
    Measure("sequences", "sequence", SETS[4:5], 0.70),
    Measure("nothing to call: holds back", "holds back", SETS[5:6], 0.85),
    Measure("must call: calls", "calls", MUST_CALL, 0.95),
    Measure("missing information: asks", "asks", SETS[6:7], 0.75),
    ALL_CALLS,
    Measure("valid JSON, of replies with a call", "valid", SETS, 0.99),
    Measure("joke, song and book are valid models", "valid request", ("requests",), 1.0),
)

Marks = Mapping[str, Mapping[str, Score]]  # by set, by mark


def score(name: str, folder: Path, limit: int | None = None, progress: bool = True) -> dict[str, Any]:
    """Ask the model of this folder everything; the table, and the finer scores under it."""
    calls = READS[name] == "calls"
    engine = open_model(folder, FORMATS[0] if calls else prose_score.DIALECT)
    marks = _call_marks(engine, limit, progress) if calls else {"prose": prose_score.marks(engine, limit)}
    lines = [_line(measure, marks) for measure in (TABLE if calls else prose_score.TABLE)]
    return {
        "model": name,
        "command": " ".join(["python -m fcutils.pocket", *sys.argv[1:]]),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "rows_a_set": limit or "all",
        "table": lines,
        "sets": {name: {one: _shown(found) for one, found in sets.items()} for name, sets in marks.items()},
    }


def _call_marks(engine: LocalEngine, limit: int | None, progress: bool) -> dict[str, Marks]:
    """Every set in both formats, the three requests, and one set in the format that was never shown."""
    found: dict[str, Marks] = {}
    for name in FORMATS:
        spoken = engine.speaking(name)
        sets = {one: _marks(spoken, one, limit, progress) for one in SETS}
        found[name] = {**sets, "requests": {"valid request": requests(spoken)}}
    unseen = ShownEngine(engine, HELD_OUT)
    return {**found, "held out": {HELD_OUT_SET: _marks(unseen, HELD_OUT_SET, limit, progress)}}


def table(found: Mapping[str, Any]) -> str:
    """The scores as Markdown: each share with its 95 % interval and n."""
    columns = list(dict.fromkeys(name for line in found["table"] for name in line["scores"]))
    out = [f"| | wanted | {' | '.join(columns)} |", "|---|---|" + "---|" * len(columns)]
    for line in found["table"]:
        cells = [_cell(line["scores"][name]) if name in line["scores"] else "-" for name in columns]
        wanted = "-" if line["wanted"] is None else f"{line['wanted']:.0%}"
        out.append(f"| {line['name']} | {wanted} | {' | '.join(cells)} |")
    both = next((line["scores"] for line in found["table"] if line["name"] == ALL_CALLS.name), None)
    if both:
        one, other = (both[name]["share"] for name in FORMATS)
        out += ["", f"The two formats are {100 * abs(one - other):.1f} points apart; at most {APART:g} are wanted."]
    return "\n".join(out)


def requests(engine: Engine) -> Score:
    """How many of the three requests are answered with one call that makes the right, valid Pydantic model."""
    box = recommend.toolbox()
    talks = [Conversation((Message("user", text),), tuple(box.tools)) for text in REQUESTS]
    hits = 0
    for written, tool in zip(engine.reply_many(talks, max_tokens=MAX_TOKENS), REQUESTS.values(), strict=True):
        calls = parse_reply(written.text, engine.dialect.name, box.tools).calls
        hits += [call.name for call in calls] == [tool] and box.call(calls[0]).ok
    return Score(hits, len(REQUESTS))


class ShownEngine(Engine):
    """A model asked in a format that exists in its prompt alone; its calls are handed on in `hermes`, which can be read."""

    def __init__(self, engine: LocalEngine, shown: Shown) -> None:
        self.dialect = get("hermes")
        self.name = f"{engine.name} ({shown.call_open})"
        self._inner, self._shown = engine.speaking(shown), shown

    def reply_many(
        self,
        talks: Sequence[Conversation],
        *,
        max_tokens: int = 512,
        sampling: Sampling = GREEDY,
        constraint: Constraint | None = None,
        on_reply: Callable[[int, Written], None] | None = None,
    ) -> list[Written]:
        def came(at: int, written: Written) -> None:
            if on_reply is not None:
                on_reply(at, self._read(written))

        found = self._inner.reply_many(talks, max_tokens=max_tokens, sampling=sampling, constraint=constraint, on_reply=came)
        return [self._read(written) for written in found]

    def chat(self, tools: Tools = (), system: str = "") -> Chat:
        return self._inner.chat(tools, system)

    def speaking(self, dialect: str | Dialect) -> Self:
        raise DialectError(f"{self.name} is asked in its own format; take the engine that it was made of for another")

    def _read(self, written: Written) -> Written:
        return replace(written, text=as_hermes(written.text, self._shown))


def as_hermes(text: str, shown: Shown) -> str:
    """A reply in a made-up format with the marks and keys of `hermes`; what is not exactly in the format stays as it is."""
    head, *blocks = text.split(shown.call_open)
    out = [head]
    for block in blocks:
        name, arguments = f'{{"{shown.name_key}": ', f', "{shown.arguments_key}": {{'
        block = block.replace(name, '{"name": ', 1).replace(arguments, ', "arguments": {', 1)
        out.append("<tool_call>" + block.replace(shown.call_close, "</tool_call>"))
    return "".join(out)


def _marks(engine: Engine, one: str, limit: int | None, progress: bool) -> dict[str, Score]:
    """The scores of one set, and beside them `valid`: replies that hold a call which can be read, of those that hold one."""
    report = evaluate(engine, rows_of(one, limit), max_tokens=MAX_TOKENS, data=one, progress=progress)
    if report.failed:
        raise RuntimeError(f"{engine.name} failed on {len(report.failed)} rows of {one}: {report.failed[0].error[:200]}")
    return {**report.scores, "valid": _valid(report.outcomes, engine.dialect.call_open)}


def _valid(outcomes: Iterable[Outcome], opening: str) -> Score:
    tried = [outcome for outcome in outcomes if opening in outcome.wrote and outcome.kind != "sequence"]
    return Score(sum(outcome.marks.get("parses", False) for outcome in tried), len(tried))


def _line(measure: Measure, marks: Mapping[str, Marks]) -> dict[str, Any]:
    scores = {}
    for name, sets in marks.items():
        found = [sets[one][measure.mark] for one in measure.sets if measure.mark in sets.get(one, {})]
        total = Score(sum(score.hits for score in found), sum(score.n for score in found))
        if total.n and all(one in sets for one in measure.sets):
            scores[name] = _as_dict(total)
    return {"name": measure.name, "wanted": measure.wanted, "scores": scores}


def _shown(found: Mapping[str, Score]) -> dict[str, Any]:
    return {name: _as_dict(score) for name, score in found.items() if score.n}


def _as_dict(score: Score) -> dict[str, Any]:
    low, high = score.interval
    return {"hits": score.hits, "n": score.n, "share": round(score.share, 4), "low": round(low, 4), "high": round(high, 4)}


def _cell(score: Mapping[str, Any]) -> str:
    return f"{score['share']:.1%} [{score['low']:.1%}, {score['high']:.1%}] of {score['n']}"
