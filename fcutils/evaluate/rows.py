"""What is asked of a model: rows of gold conversations, checked before anything runs, and the turns in them that are scored.

A row is a conversation in OpenAI's form (`messages`, `tools`, `meta`). Every assistant turn in it is one ask: the model gets
what stands before it, as gold has it, and must do what gold does there. A request that takes several calls one after another
is, beside that, one sequence, which the model must get through on its own calls. This file knows what is wanted; it does not
judge (`misses.py`).

Of `meta` two things count, and both may be absent: `kinds`, one a request, which tell a request that no tool can serve
("nothing") from one that lacks something ("missing"); and `acceptable`, one entry a call (or null): for each parameter the list
of values that will do, `""` among them if it may be left out.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from fcutils.evaluate.match import Want, matches, want
from fcutils.messages import Conversation, Message, MessageError, dumps

Kind = Literal["call", "nothing", "missing", "answer"]  # must call; must not; must ask; must say what came of it

_QUESTION = "?？؟"
_REQUESTS = ("let me know", "tell me", "please provide", "please give", "please specify", "i need to know")


class DataError(ValueError):
    """Rows that cannot be scored: each with its line and the reason."""

    def __init__(self, path: str | Path, faults: Sequence[tuple[int, str]]) -> None:
        self.faults = tuple(faults)
        lines = [f"  line {number}: {reason}" for number, reason in faults[:20]]
        lines += [f"  and {len(faults) - 20} more"] if len(faults) > 20 else []
        super().__init__("\n".join([f"{path}: {len(faults)} of its rows cannot be scored", *lines]))


@dataclass(frozen=True, slots=True)
class Ask:
    """One turn that the model has to write: after `prompt`, what `wants` says, or what its kind says where there is no call."""

    id: str
    row: int
    kind: Kind
    prompt: Conversation
    gold: Message
    wants: tuple[Want, ...] = ()
    elsewhere: tuple[Want, ...] = ()  # what the other turns of the same request want
    group: str = ""  # `category` of the row's meta: scores are shown for each

    @property
    def names(self) -> list[str]:
        return [tool["function"]["name"] for tool in self.prompt.tools]


@dataclass(frozen=True, slots=True)
class Steps:
    """A request that takes several turns with calls. `results[i]` is what gold's calls of turn i gave."""

    id: str
    row: int
    asks: tuple[Ask, ...]
    results: tuple[tuple[Message, ...], ...]


def read_rows(path: str | Path, limit: int | None = None) -> list[Conversation]:
    """The rows of a JSONL file, the first `limit` of them. One DataError names every row that cannot be scored."""
    rows: list[Conversation] = []
    faults: list[tuple[int, str]] = []
    try:
        lines = Path(path).read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(path, [(0, f"the file cannot be read: {error}")]) from None
    for number, line in islice(((n, text) for n, text in enumerate(lines, 1) if text.strip()), limit):
        try:
            row = Conversation.from_dict(json.loads(line))
            asks_of(row, number)
            rows.append(row)
        except (json.JSONDecodeError, RecursionError) as error:
            faults.append((number, f"not JSON: {error}"))
        except (MessageError, AttributeError, KeyError, TypeError, ValueError) as error:
            faults.append((number, str(error) if isinstance(error, MessageError) else f"not a row: {error!r}"))
    if not rows and not faults:
        faults.append((0, "there is no row in it"))
    if faults:
        raise DataError(path, faults)
    return rows


def first_exchange(row: Conversation) -> Conversation:
    """A row that ends with its first reply, so that one thing alone is asked."""
    end = [message.role for message in row.messages].index("assistant") + 1
    return replace(row, messages=row.messages[:end])


def asks_of(row: Conversation, number: int) -> list[Ask]:
    """The turns of a row that are scored. MessageError where gold itself is wrong."""
    _check_order(row.messages)
    wants = _wants(row)
    kinds = iter(_kinds(row))
    asks = []
    for start, end in _requests(row.messages):
        turns = [at for at in range(start, end) if row.messages[at].role == "assistant"]
        for at in turns:
            gold = row.messages[at]
            kind: Kind = "call" if gold.calls else "answer" if row.messages[at - 1].role == "tool" else next(kinds)
            elsewhere = tuple(other for turn in turns if turn != at for other in wants[turn])
            prompt = Conversation(row.messages[:at], row.tools)
            asks.append(Ask(f"{number}.{at}", number, kind, prompt, gold, wants[at], elsewhere, row.meta.get("category", "")))
    if not asks:
        raise MessageError("no assistant's message: there is nothing to compare a reply with")
    return asks


def steps_of(row: Conversation, asks: Sequence[Ask]) -> list[Steps]:
    """The requests of a row that take several turns with calls one after another."""
    found = []
    for start, end in _requests(row.messages):
        mine = tuple(ask for ask in asks if start <= len(ask.prompt.messages) < end)
        if sum(ask.kind == "call" for ask in mine) > 1:
            results = tuple(tuple(_results_after(row.messages, len(ask.prompt.messages))) for ask in mine)
            found.append(Steps(f"{mine[0].row}.{start}+", mine[0].row, mine, results))
    return found


def asks_something(text: str) -> bool:
    """Whether a text asks: it has a question mark, or says so in words ("let me know", "please provide")."""
    low = text.lower()
    return any(mark in text for mark in _QUESTION) or any(words in low for words in _REQUESTS)


def fingerprint(rows: Sequence[Conversation]) -> str:
    """The same for the same rows in the same order."""
    digest = hashlib.sha256()
    for row in rows:
        digest.update(json.dumps(row.to_dict(), sort_keys=True).encode() + b"\n")
    return digest.hexdigest()[:16]


# ---- gold --------------------------------------------------------------------------------------------------------------


def _requests(messages: Sequence[Message]) -> Iterator[tuple[int, int]]:
    """From each user's message to the next: where it begins and ends."""
    starts = [at for at, message in enumerate(messages) if message.role == "user"]
    yield from zip(starts, [*starts[1:], len(messages)], strict=True)


def _results_after(messages: Sequence[Message], at: int) -> Iterator[Message]:
    for message in messages[at + 1 :]:
        if message.role != "tool":
            return
        yield message


def _check_order(messages: Sequence[Message]) -> None:
    before = "system"
    for at, message in enumerate(messages):
        if message.role == "assistant" and before not in ("user", "tool"):
            raise MessageError(f"message {at}: an assistant's turn follows a user's or a result, not one of the {before}")
        if message.role == "tool" and not (before == "tool" or (before == "assistant" and messages[at - 1].calls)):
            raise MessageError(f"message {at}: a tool's result without a call before it")
        if message.role == "assistant" and message.calls:
            results = len(list(_results_after(messages, at)))
            if results not in (0, len(message.calls)) or (not results and at < len(messages) - 1):
                raise MessageError(f"message {at}: {len(message.calls)} calls, {results} results")
        before = message.role


def _wants(row: Conversation) -> dict[int, tuple[Want, ...]]:
    """What each assistant's message wants, by its place; gold must be right by its own lights."""
    schemas = {tool["function"]["name"]: tool["function"].get("parameters") or {} for tool in row.tools}
    calls = [(at, call) for at, message in enumerate(row.messages) for call in message.calls]
    acceptable: Any = row.meta.get("acceptable", [None] * len(calls))
    if not isinstance(acceptable, list) or len(acceptable) != len(calls):
        raise MessageError(f"meta.acceptable must be a list with one entry for each of the {len(calls)} calls")
    wants: dict[int, tuple[Want, ...]] = {at: () for at, message in enumerate(row.messages) if message.role == "assistant"}
    for (at, call), answers in zip(calls, acceptable, strict=True):
        if call.name not in schemas:
            raise MessageError(f"message {at}: gold calls {call.name!r}, which is not among the tools")
        if answers is not None and not (isinstance(answers, dict) and all(isinstance(a, list) for a in answers.values())):
            raise MessageError(f"message {at}: the acceptable answers of {call.name!r} must be a list for each parameter")
        wanted = want(call, schemas[call.name], answers)
        missing = [name for name in schemas[call.name].get("required", ()) if name not in wanted.accept]
        unknown = [name for name in wanted.accept if name not in schemas[call.name].get("properties", {})]
        if missing or unknown or not matches(call, wanted):
            why = f"lacks {missing[0]!r}" if missing else f"has {unknown[0]!r}, which its schema has not" if unknown else ""
            words = why or f"is not acceptable by meta.acceptable: {dumps(answers)[:200]}"
            raise MessageError(f"message {at}: gold's call of {call.name!r} {words}")
        wants[at] += (wanted,)
    return wants


def _kinds(row: Conversation) -> list[Kind]:
    """What the requests want to which gold answers without any call, in order."""
    turns = [m for before, m in zip(row.messages, row.messages[1:], strict=False) if before.role == "user" and not m.calls]
    turns = [turn for turn in turns if turn.role == "assistant"]
    noted = row.meta.get("kinds")
    if noted is None:
        return ["missing" if asks_something(turn.content) else "nothing" for turn in turns]
    kinds: list[Kind] = [kind for kind in noted if kind in ("nothing", "missing")]
    if len(kinds) != len(turns):
        raise MessageError(
            f"meta.kinds has {len(kinds)} requests without a call ({', '.join(noted)}), the messages have {len(turns)}"
        )
    return kinds
