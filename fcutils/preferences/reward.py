"""The reward of an executed call: what a model wrote is parsed, checked and run, and paid by what came of it.

Nothing that a reply says about itself is read: not its thought, not a result that it makes up, not praise. The call is run by
a `Toolbox` over a fresh database of the use cases, and the observation and the state of the database are held against those of
the right call. Knows no trainer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Literal

import yaml

from fcutils import usecases
from fcutils.messages import Conversation, Message, Observation, ToolCall
from fcutils.parsing import parse_reply
from fcutils.preferences.pairs import PREFERENCES, Split, tools_of
from fcutils.toolbox import Toolbox
from fcutils.usecases.database import Database, State

Outcome = Literal["none", "harm", "read", "valid", "ran", "done"]

# Steps on the way to what was asked for, so that a group of replies differs also where none is right. No step is worth half of
# the end, and a call that does harm is worth no more than none: neither calling at random nor talking pays.
REWARDS: Mapping[Outcome, float] = MappingProxyType(
    {
        "none": 0.0,  # no call, several (a second one is a second guess), one that cannot be read, or no end
        "harm": 0.0,  # the database is not as it should be: something was changed that nobody asked for
        "read": 0.1,  # one call in the dialect's form: what has to be learnt first
        "valid": 0.2,  # a tool on offer, arguments that fit its schema; the tool refused them
        "ran": 0.4,  # the tool gave a result, another than was asked for
        "done": 1.0,  # the result and the database are those of the right call
    }
)


@dataclass(frozen=True, slots=True)
class Task:
    """A request, and what there is once it is done: the observation, and the rows of the database."""

    usecase: str
    request: str
    call: ToolCall
    result: Observation
    state: State

    @property
    def prompt(self) -> Conversation:
        return Conversation((Message("user", self.request),), tools_of(self.usecase))


Reward = Callable[[str | None, Task, str], float]  # of what was written (None: without an end), for this task, in this dialect


def tasks(split: Split) -> list[Task]:
    """The tasks of data/preferences/tasks.yaml: every sentence with every set of values."""
    told = yaml.safe_load((PREFERENCES / "tasks.yaml").read_text(encoding="utf-8"))
    found = []
    for usecase, kinds in told.items():
        for kind in kinds:
            for values in kind["values"][split]:
                call = ToolCall(kind["call"], {name: _fill(text, values) for name, text in kind["arguments"].items()})
                result, state = run(usecase, call)
                found += [Task(usecase, sentence.format(**values), call, result, state) for sentence in kind[split]]
    return found


def judge(text: str | None, task: Task, dialect: str) -> Outcome:
    """What a reply is worth, by name. `text` is what the model wrote before it ended its turn; None where it never did."""
    if text is None:
        return "none"
    reply = parse_reply(text, dialect, task.prompt.tools)
    if len(reply.calls) != 1 or reply.faults:
        return "none"
    result, state = run(task.usecase, reply.calls[0])
    if not result.ok:
        return "read" if result.kind in ("unknown_tool", "invalid_arguments") else "valid"
    if state not in (task.state, _untouched()):
        return "harm"
    return "done" if result.content == task.result.content and state == task.state else "ran"


def pay(text: str | None, task: Task, dialect: str) -> float:
    """The reward of an executed call."""
    return REWARDS[judge(text, task, dialect)]


def run(usecase: str, call: ToolCall) -> tuple[Observation, State]:
    """The call alone, over the seeds; everything is approved, because the database is thrown away."""
    database, tools = _workshop(usecase)
    database.reset()
    tools.reset()
    return tools.call(call), database.state()


@lru_cache
def _workshop(usecase: str) -> tuple[Database, Toolbox]:
    database = Database()
    return database, usecases.load(usecase, database, on_approve=lambda call: True)


@lru_cache
def _untouched() -> State:
    return Database().state()


def _fill(text: Any, values: Mapping[str, Any]) -> Any:
    """A value of a task; one that is nothing but a place keeps the value's type."""
    alone = next((value for name, value in values.items() if text == f"{{{name}}}"), None)
    return text.format(**values) if alone is None else alone


def written(ids: Sequence[int], tokenizer: Any, stop_ids: frozenset[int]) -> str | None:
    """The text that a model sampled, up to where its turn ended; None where it did not end."""
    end = next((place for place, id_ in enumerate(ids) if id_ in stop_ids), None)
    if end is None:
        return None
    return tokenizer.backend_tokenizer.decode(list(ids[:end]), skip_special_tokens=False)
