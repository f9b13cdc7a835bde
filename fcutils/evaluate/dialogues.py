"""Whole dialogues over `usecases/`, scored by what became of the database and by what the user was told.

Which calls were made on the way does not matter: two ways to the same end are both right, and one wrong call more than is wrong
only if it changed something. The user's side is written beforehand (`data/dialogues.yaml`); the wanted end is what the calls
written beside it leave in a fresh database.

Dialogues are played side by side, one reply each at a time, so that an engine may write them as one batch. Over several sampled
runs the report says how often *all* of k runs succeed (pass^k), which is what somebody who relies on a model wants to know.
"""

from __future__ import annotations

import functools
import hashlib
import json
import operator
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml
from tqdm import tqdm

from fcutils import usecases
from fcutils.dialects import Dialect
from fcutils.engines.base import GREEDY, Constraint, Engine, Sampling, Written
from fcutils.evaluate.match import standard
from fcutils.evaluate.misses import Miss, Reason, show_calls
from fcutils.evaluate.replies import Replies
from fcutils.evaluate.report import Outcome, Report, clip
from fcutils.evaluate.rows import DataError
from fcutils.evaluate.wrong_value import whole_words
from fcutils.messages import Conversation, Message, Observation, ToolCall
from fcutils.parsing import parse_reply
from fcutils.toolbox import Toolbox
from fcutils.usecases.database import TODAY, Database, State, changes

DIALOGUES = Path(__file__).resolve().parents[2] / "data" / "dialogues.yaml"
MOST_REPLIES = 8  # to one turn of the user's
_KEYS = {"id", "usecases", "turns", "told", "never", "approve"}


@dataclass(frozen=True, slots=True)
class Turn:
    """What the user says, and the calls that a good assistant makes of it."""

    user: str
    calls: tuple[ToolCall, ...] = ()


@dataclass(frozen=True, slots=True)
class Dialogue:
    """One dialogue and its right end. `told`: of each group one text; `never`: none of these; `approve`: the person's reply."""

    id: str
    usecases: tuple[str, ...]
    turns: tuple[Turn, ...]
    told: tuple[tuple[str, ...], ...] = ()
    never: tuple[str, ...] = ()
    approve: bool = True

    def __post_init__(self) -> None:
        if any(isinstance(group, str) for group in self.told):
            raise ValueError(f"told holds groups, each of which holds the forms of one thing, and not text: {self.told!r}")

    def toolbox(self, database: Database) -> Toolbox:
        boxes = (usecases.load(name, database, on_approve=lambda call: self.approve) for name in self.usecases)
        return functools.reduce(operator.or_, boxes)


def read_dialogues(path: str | Path = DIALOGUES, limit: int | None = None) -> list[Dialogue]:
    """The dialogues of a YAML file; one DataError names all that are wrong."""
    try:
        entries = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise DataError(path, [(0, f"cannot be read: {error}")]) from None
    found: list[Dialogue] = []
    faults: list[tuple[int, str]] = []
    for number, entry in enumerate(entries if isinstance(entries, list) else [], 1):
        try:
            found.append(_dialogue(entry))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            faults.append((number, f"no {error}" if isinstance(error, KeyError) else str(error)))
    if faults or not found:
        raise DataError(path, faults or [(0, "there is no list of dialogues in it")])
    return found[:limit]


def run_dialogues(
    engine: Engine,
    dialogues: Sequence[Dialogue],
    dialect: str | Dialect | None = None,
    *,
    runs: int = 1,
    sampling: Sampling = GREEDY,
    max_tokens: int = 384,
    constraint: Constraint | None = None,
    replies: str | Path | None = None,
    data: str = "dialogues",
    progress: bool = True,
) -> Report:
    """Play every dialogue, `runs` times with a seed each, and score its end. Several runs need a temperature."""
    if runs > 1 and not sampling.temperature:
        raise ValueError("several greedy runs are one run several times: give sampling=Sampling(temperature=0.7)")
    engine = engine if dialect is None else engine.speaking(dialect)
    ends = _Ends.of(dialogues)
    outcomes: list[Outcome] = []
    written: list[Written] = []
    described: Mapping[str, Any] = {}
    for run in range(runs):
        drawn = sampling if runs == 1 else replace(sampling, seed=run)
        source = Replies(engine, max_tokens=max_tokens, sampling=drawn, constraint=constraint, path=replies)
        outcomes += _play_all(dialogues, ends, source, run, progress)
        written += [one for one in source.used.values() if one.error is None]
        described = {**source.described, "sampling": repr(sampling), "runs": runs}
    mark = hashlib.sha256(json.dumps([repr(dialogue) for dialogue in dialogues]).encode()).hexdigest()[:16]
    tokens, seconds = sum(one.tokens for one in written), sum(one.seconds for one in written)
    return Report(described, data, len(dialogues), mark, tuple(outcomes), len(written), tokens, seconds)


def expected_state(dialogue: Dialogue) -> State:
    """How the database ends when the calls are made that are written beside the user's words."""
    database = Database()
    try:
        box = dialogue.toolbox(database)
        for turn in dialogue.turns:
            box.call_all(turn.calls)
        return database.state()
    finally:
        database.close()


# ---- playing -----------------------------------------------------------------------------------------------------------


@dataclass
class _Play:
    """One dialogue as it goes."""

    dialogue: Dialogue
    database: Database = field(default_factory=Database)
    turn: int = 0
    replies: int = 0  # to this turn
    said: list[str] = field(default_factory=list)
    called: list[ToolCall] = field(default_factory=list)
    trouble: str = ""  # why it did not come to an end
    error: str = ""

    def __post_init__(self) -> None:
        self.tools = self.dialogue.toolbox(self.database)
        today = f"Today is {TODAY:%A}, {TODAY.day} {TODAY:%B %Y}."
        first = Message("user", self.dialogue.turns[0].user)
        self.talk = Conversation((Message("system", today), first), tuple(self.tools.tools))

    @property
    def over(self) -> bool:
        return bool(self.trouble or self.error) or self.turn == len(self.dialogue.turns)

    def take(self, written: Written, dialect: str) -> None:
        """One more reply: run its calls, or let the user speak."""
        if written.error is not None:
            self.error = written.error
            return
        reply = parse_reply(written.text, dialect, self.talk.tools)
        self.said += [reply.content] if reply.content else []
        self.called += reply.calls
        self.talk = self.talk.add(Message("assistant", reply.content, reply.thought, reply.calls))
        self.replies += 1
        if reply.calls or reply.faults:
            observed = self.tools.call_all(reply.calls[:50])
            observed += [Observation(f"A call could not be read: {fault.reason}", "unparsable") for fault in reply.faults[:3]]
            self.talk = self.talk.add(*(one.to_message() for one in observed))
            self.trouble = f"still calling after {MOST_REPLIES} replies" if self.replies == MOST_REPLIES else ""
            return
        self.turn, self.replies = self.turn + 1, 0
        if not self.over:
            self.talk = self.talk.add(Message("user", self.dialogue.turns[self.turn].user))


def _play_all(dialogues: Sequence[Dialogue], ends: _Ends, source: Replies, run: int, progress: bool) -> list[Outcome]:
    plays = [_Play(dialogue) for dialogue in dialogues]
    outcomes: dict[int, Outcome] = {}
    with tqdm(total=len(plays), desc=f"{source.engine.name}, run {run + 1}", file=sys.stdout, disable=not progress) as bar:
        while going := [number for number, play in enumerate(plays) if number not in outcomes]:
            written = source.ask([plays[number].talk for number in going])
            for number, one in zip(going, written, strict=True):
                plays[number].take(one, source.engine.dialect.name)
                if plays[number].over:
                    outcomes[number] = _score(plays[number], ends, number, run)
                    right = sum(outcome.marks.get("dialogue", False) for outcome in outcomes.values())
                    bar.set_postfix_str(f"right {right}/{len(outcomes)}", refresh=False)
                    bar.update()
    return [outcomes[number] for number in range(len(plays))]


# ---- scoring -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Ends:
    """The database before anything happens, and how it should be after each dialogue."""

    before: State
    right: tuple[State, ...]

    @classmethod
    def of(cls, dialogues: Sequence[Dialogue]) -> _Ends:
        return cls(expected_state(Dialogue("", ("search",), ())), tuple(map(expected_state, dialogues)))


def _score(play: _Play, ends: _Ends, number: int, run: int) -> Outcome:
    dialogue, state = play.dialogue, play.database.state()
    play.database.close()
    asked = " / ".join(turn.user for turn in dialogue.turns)
    wanted = show_calls([call for turn in dialogue.turns for call in turn.calls])
    wrote = clip(" / ".join([*play.said, *([show_calls(play.called)] if play.called else [])]))
    outcome = Outcome(f"{dialogue.id}#{run}", number + 1, "dialogue", asked, wanted, wrote, error=play.error)
    if play.error:
        return outcome
    before, right = ends.before, ends.right[number]
    misses = [*_state_misses(before, right, state), *_words_misses(dialogue, play)]
    reasons = {miss.reason for miss in misses}
    marks = {"state": not reasons & {"changed what it should not", "wrong end state"}}
    if _loose(right) == _loose(before):
        marks["untouched"] = marks["state"]
    if dialogue.told or dialogue.never:
        marks["told"] = not reasons & {"not told", "claimed what is not so"}
    marks["dialogue"] = not misses
    return replace(outcome, marks=marks, misses=tuple(misses))


def _state_misses(before: State, right: State, state: State) -> Iterator[Miss]:
    if _loose(state) != _loose(right):
        reason: Reason = "changed what it should not" if _loose(right) == _loose(before) else "wrong end state"
        wanted, wrote = ("; ".join(map(str, changes(before, after)))[:600] for after in (right, state))
        yield Miss(reason, wanted=wanted, wrote=wrote)


def _words_misses(dialogue: Dialogue, play: _Play) -> Iterator[Miss]:
    said = " ".join(map(whole_words, play.said))
    if play.trouble:
        yield Miss("not told", play.trouble)
    for words in dialogue.never:
        if whole_words(words) in said:
            yield Miss("claimed what is not so", wrote=words)
    for group in dialogue.told:
        if not any(whole_words(words) in said for words in group):
            yield Miss("not told", wanted=" or ".join(group), wrote=said[:300])


def _loose(state: State) -> dict[str, list[str]]:
    """A state with its texts as the AST match compares them."""
    return {
        table: sorted(json.dumps([standard(v) if isinstance(v, str) else v for v in row.values()]) for row in rows)
        for table, rows in state.items()
    }


# ---- reading -----------------------------------------------------------------------------------------------------------


def _dialogue(entry: Mapping[str, Any]) -> Dialogue:
    unknown = set(entry) - _KEYS
    if unknown:
        raise ValueError(f"there is no {', '.join(sorted(unknown))}: a dialogue has {', '.join(sorted(_KEYS))}")
    wrong = [name for name in entry["usecases"] if name not in usecases.NAMES]
    if wrong or not entry["usecases"]:
        raise ValueError(f"there is no use case {', '.join(wrong)}: there are {', '.join(usecases.NAMES)}")
    for name, inner in (("told", list), ("never", str)):
        if not isinstance(entry.get(name, []), list) or not all(isinstance(one, inner) for one in entry.get(name, [])):
            raise ValueError(f"{name} is no list of {'lists of forms' if inner is list else 'words'}: {entry[name]!r}")
    dialogue = Dialogue(
        id=str(entry["id"]),
        usecases=tuple(entry["usecases"]),
        turns=tuple(_turn(turn) for turn in entry["turns"]),
        told=tuple(tuple(map(str, group)) for group in entry.get("told", ())),
        never=tuple(map(str, entry.get("never", ()))),
        approve=entry.get("approve", True),
    )
    if not dialogue.turns:
        raise ValueError("nobody says anything: turns is empty")
    return dialogue


def _turn(entry: Mapping[str, Any]) -> Turn:
    if not all(entry.get("calls", ())):
        raise ValueError("a call has no name")
    calls = (next(iter(call.items())) for call in entry.get("calls", ()))
    return Turn(str(entry["user"]), tuple(ToolCall(name, dict(arguments)) for name, arguments in calls))
