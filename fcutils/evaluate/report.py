"""What came out: shares with their intervals, reasons with their counts, and whether two reports really differ.

Knows counts and how to write them as JSON and Markdown. Does not know how a reply was judged (`misses.py`).

An interval says how far the share may be off because the rows are few; the turns of one row are taken for independent, which
flatters rows with many turns a little. Of several p-values the one counts that was asked for beforehand.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from fcutils.evaluate.misses import REASONS, Miss

SCORES: Mapping[str, str] = {  # in the order of the table: the name of a mark, and what earns it
    "parses": "every call in the reply can be read, if there is one",
    "calls": "calls where a call is due",
    "holds back": "no call where no tool can help",
    "right tool": "all tools right, where a call is due",
    "right arguments": "all arguments right, where the tools are",
    "whole call": "everything right, where a call is due",
    "parallel": "every call right, where several are due at once",
    "asks": "a question and no call, where something is missing",
    "answers": "words and no call, after a tool's result",
    "sequence": "every step right, on the model's own calls",
    "state": "the database ends as it should",
    "untouched": "nothing changed where nothing should",
    "told": "the user was told what there was to say",
    "dialogue": "state and words right",
}
_Z = 1.959963984540054  # 95 %, two-sided
_TEXT = 4_000  # characters of a reply that are kept in a report


class ReportError(ValueError):
    """A report that cannot be read, or two that cannot be compared: says why."""


@dataclass(frozen=True, slots=True)
class Score:
    """So many of so many, and between which shares the truth probably lies."""

    hits: int
    n: int

    @property
    def share(self) -> float:
        return self.hits / self.n if self.n else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        return wilson(self.hits, self.n)

    def __str__(self) -> str:
        if not self.n:
            return "–"
        low, high = self.interval
        return f"{self.share:.1%} [{low:.1%}, {high:.1%}]"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one turn, sequence or dialogue: what was asked, wanted and written, and what it earned."""

    id: str
    row: int
    kind: str
    asked: str
    wanted: str
    wrote: str
    marks: Mapping[str, bool] = field(default_factory=dict)
    misses: tuple[Miss, ...] = ()
    tools: tuple[tuple[str, str], ...] = ()  # wanted, called
    error: str = ""  # the engine failed: no miss, and no score either
    group: str = ""

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Outcome:
        misses = tuple(Miss(**miss) for miss in data["misses"])
        return cls(**{**data, "misses": misses, "tools": tuple((wanted, called) for wanted, called in data["tools"])})


@dataclass(frozen=True)
class Report:
    """All outcomes of one engine on one set of rows; everything else is counted from them."""

    engine: Mapping[str, Any]
    data: str
    rows: int
    fingerprint: str  # of the rows
    outcomes: tuple[Outcome, ...]
    replies: int = 0
    tokens: int = 0
    seconds: float = 0.0

    @cached_property
    def scores(self) -> dict[str, Score]:
        """Every score that applies to at least one outcome, in the table's order."""
        return _count(self.outcomes)

    @cached_property
    def groups(self) -> dict[str, dict[str, Score]]:
        """The scores of each group of rows, where the rows have groups."""
        names = sorted({outcome.group for outcome in self.outcomes} - {""})
        return {name: _count([outcome for outcome in self.outcomes if outcome.group == name]) for name in names}

    @cached_property
    def reasons(self) -> Counter[str]:
        """How many outcomes were missed for which main reason, in order of weight. Sequences repeat what their steps lack."""
        found = Counter(o.misses[0].reason for o in self.outcomes if o.misses and o.kind != "sequence")
        return Counter({reason: found[reason] for reason in REASONS if found[reason]})

    @cached_property
    def failed(self) -> tuple[Outcome, ...]:
        return tuple(outcome for outcome in self.outcomes if outcome.error)

    @cached_property
    def missed(self) -> tuple[Outcome, ...]:
        return tuple(outcome for outcome in self.outcomes if outcome.misses)

    @cached_property
    def passed(self) -> dict[int, float]:
        """pass^k for every k up to the number of runs: how often k runs of a dialogue all succeed."""
        runs: dict[int, list[bool]] = {}
        for outcome in self.outcomes:
            if "dialogue" in outcome.marks:
                runs.setdefault(outcome.row, []).append(outcome.marks["dialogue"])
        counted = [(sum(marks), len(marks)) for marks in runs.values()]
        return {k: pass_hat(counted, k) for k in range(1, max((n for _, n in counted), default=0) + 1)}

    @property
    def name(self) -> str:
        return str(self.engine.get("name", "model"))

    def to_dict(self) -> dict[str, Any]:
        scores = {}
        for name, score in self.scores.items():
            low, high = score.interval
            scores[name] = {"hits": score.hits, "n": score.n, "share": score.share, "low": low, "high": high}
        head = {"engine": dict(self.engine), "data": self.data, "rows": self.rows, "fingerprint": self.fingerprint}
        cost = {"replies": self.replies, "tokens": self.tokens, "seconds": round(self.seconds, 3)}
        counts = {"scores": scores, "reasons": dict(self.reasons), "failed": len(self.failed)}
        return {**head, **cost, **counts, "outcomes": [asdict(outcome) for outcome in self.outcomes]}

    def save(self, path: str | Path) -> None:
        text = json.dumps(self.to_dict(), ensure_ascii=False, indent=1)
        Path(path).write_text(text + "\n", encoding="utf-8", errors="backslashreplace")

    @classmethod
    def load(cls, path: str | Path) -> Report:
        try:
            data = json.loads(Path(path).read_text(encoding="utf-8"))
            outcomes = tuple(map(Outcome.from_dict, data["outcomes"]))
            kept = ("engine", "data", "rows", "fingerprint", "replies", "tokens", "seconds")
            return cls(**{name: data[name] for name in kept}, outcomes=outcomes)
        except OSError as error:
            raise ReportError(f"{path} cannot be read: {error}") from None
        except (ValueError, KeyError, TypeError) as error:
            raise ReportError(
                f"{path} is not a report: {error!r}. `python -m fcutils evaluate --out {path}` writes one"
            ) from None

    def markdown(self, examples: int = 0) -> str:
        """The table of scores, the counted reasons, and so many misses with both sides side by side."""
        lines = [f"**{self.name}** on {self.data}: {self.rows} rows, {self.replies} replies", "", side_by_side({"score": self})]
        lines += ["", self._cost()]
        if len(self.passed) > 1:
            lines += ["", ", ".join(f"pass^{k} {share:.1%}" for k, share in self.passed.items())]
        if self.groups:
            lines += ["", "| rows | whole call, or holding back |", "|---|---|"]
            both = {group: scores.get("whole call") or scores.get("holds back") for group, scores in self.groups.items()}
            lines += [_row(group, f"{score} of {score.n}") for group, score in both.items() if score]
        if self.failed:
            count = len({outcome.row for outcome in self.failed})
            lines += ["", f"**The engine failed on {count} of the rows**; no score counts them: {self.failed[0].error[:300]}"]
        if self.reasons:
            lines += ["", "| missed for | turns | of these |", "|---|---|---|"]
            lines += [_row(name, str(count), self._details(name)) for name, count in self.reasons.items()]
        if examples and self.missed:
            lines += ["", "| asked | wanted | wrote | missed for |", "|---|---|---|---|"]
            lines += [_row(o.asked, o.wanted, o.wrote, str(o.misses[0])) for o in self.missed[:examples]]
        return "\n".join(lines)

    def _details(self, reason: str) -> str:
        """The commonest details of a reason: why a value was wrong, the parser's fault, the type that was given."""
        mains = (outcome.misses[0] for outcome in self.missed if outcome.kind != "sequence")
        found = Counter(miss.detail.partition(":")[0] for miss in mains if miss.reason == reason and miss.detail)
        return ", ".join(f"{detail} {count}" for detail, count in found.most_common(5))

    def _cost(self) -> str:
        tokens, seconds = self.tokens / max(self.replies, 1), self.seconds / max(self.replies, 1)
        return f"{self.tokens} tokens ({tokens:.1f} a reply), {self.seconds:.1f} s ({seconds:.2f} s a reply)"


@dataclass(frozen=True, slots=True)
class Difference:
    """One score of two reports on the same rows. Only where they disagree is there evidence for a difference."""

    name: str
    n: int  # outcomes that have this mark in both
    before: Score
    after: Score
    gained: int  # wrong before, right after
    lost: int  # right before, wrong after

    @property
    def p(self) -> float:
        return mcnemar(self.gained, self.lost)


def compare(before: Report, after: Report) -> list[Difference]:
    """Each score of two reports on the same rows, turn by turn, with an exact McNemar test.

    Pairs are the outcomes that have the mark in both reports: "right arguments" has it only where the tool was right.
    """
    if before.fingerprint != after.fingerprint:
        raise ReportError(
            f"the reports are on different rows ({before.data}, {before.rows} rows; {after.data}, {after.rows} rows): "
            "evaluate both models on the same file, with the same --limit"
        )
    first = {outcome.id: outcome.marks for outcome in before.outcomes}
    found = []
    for name in SCORES:
        pairs = [(first[o.id][name], o.marks[name]) for o in after.outcomes if name in o.marks and name in first.get(o.id, {})]
        if pairs:
            one, other = Score(sum(a for a, _ in pairs), len(pairs)), Score(sum(b for _, b in pairs), len(pairs))
            found.append(Difference(name, len(pairs), one, other, pairs.count((False, True)), pairs.count((True, False))))
    return found


def differences(before: Report, after: Report) -> str:
    """`compare` as a Markdown table."""
    heads = ("score", "n", "before", "after", "difference", "gained", "lost", "p (McNemar, exact)")
    lines = [_row(*heads), "|---" * len(heads) + "|"]
    for one in compare(before, after):
        change = f"{(one.after.share - one.before.share) * 100:+.1f} points"
        shares = (f"{one.before.share:.1%}", f"{one.after.share:.1%}", change)
        lines.append(_row(one.name, str(one.n), *shares, str(one.gained), str(one.lost), f"{one.p:.2g}"))
    return "\n".join(lines)


def side_by_side(reports: Mapping[str, Report]) -> str:
    """The scores of several reports as one Markdown table; each share with n and its 95 % interval."""
    lines = [_row("", *reports, "what earns it"), "|---" * (len(reports) + 2) + "|"]
    for name, why in SCORES.items():
        scores = [report.scores.get(name, Score(0, 0)) for report in reports.values()]
        if any(score.n for score in scores):
            lines.append(_row(name, *(f"{score} of {score.n}" if score.n else "–" for score in scores), why))
    return "\n".join(lines)


def wilson(hits: int, n: int) -> tuple[float, float]:
    """The 95 % score interval of a share (Wilson 1927): it never leaves 0 to 1, and is not empty at either end."""
    if not n:
        return 0.0, 1.0
    share, z2 = hits / n, _Z * _Z
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = _Z * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    return (0.0 if hits == 0 else middle - half), (1.0 if hits == n else middle + half)


def mcnemar(gained: int, lost: int) -> float:
    """How often chance alone would be as one-sided as this: exact, two-sided, from the pairs that changed."""
    n = gained + lost
    tail = sum(math.comb(n, k) for k in range(min(gained, lost) + 1))
    return min(1.0, 2 * tail / 2**n)


def pass_hat(successes: Sequence[tuple[int, int]], k: int) -> float:
    """pass^k: how often k runs in a row would all succeed, without bias from (successes, runs) of each task."""
    shares = [math.comb(right, k) / math.comb(runs, k) for right, runs in successes if runs >= k]
    return sum(shares) / len(shares) if shares else math.nan


def _count(outcomes: Sequence[Outcome]) -> dict[str, Score]:
    marks = [outcome.marks for outcome in outcomes]
    counted = {name: Score(sum(m[name] for m in marks if name in m), sum(name in m for m in marks)) for name in SCORES}
    return {name: score for name, score in counted.items() if score.n}


def clip(text: str) -> str:
    """A reply as a report keeps it."""
    return text if len(text) <= _TEXT else f"{text[:_TEXT]}… ({len(text)} characters)"


def _row(*cells: str) -> str:
    return "| " + " | ".join(_cell(cell) for cell in cells) + " |"


def _cell(text: str) -> str:
    text = " ".join(text.split()).replace("|", "\\|").replace("<", "\\<")  # a page takes a bare tag for HTML, and hides it
    return text if len(text) <= 200 else text[:200] + "…"
