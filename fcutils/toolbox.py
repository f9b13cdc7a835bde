"""The toolbox: register functions and Pydantic models, and run what a model asked for, safely. The only place a tool is run.

It decides whether a call may run (known, valid, approved, not the same again and again), where (here, side by side, alone, or
in a process that can be killed), and writes it down. What one tool does with one call is `tool.py`; the process is `worker.py`.
"""

from __future__ import annotations

import asyncio
import contextvars
import copy
import inspect
import itertools
import json
import math
import threading
import time
import uuid
import warnings
from collections.abc import Awaitable, Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar, overload

import cloudpickle
from pydantic import BaseModel

from fcutils import worker
from fcutils.complaint import no_such
from fcutils.journal import Journal
from fcutils.lane import Lane, LaneError
from fcutils.messages import Observation, ToolCall
from fcutils.schema import Schema, tool_schema
from fcutils.tool import Outcome, Tool, describe, in_thread, wait

Function = TypeVar("Function", bound=Callable[..., Any])
Approver = Callable[[ToolCall], bool | str | Awaitable[bool | str]]

MAX_OUTPUT = 8_000  # characters
_SHORTEST_OUTPUT = 200
_SIDE_BY_SIDE = 32  # threads


class ToolboxError(ValueError):
    """A tool that cannot be registered as asked: says which one, and what to change."""


class Toolbox:
    """Tools by name. `call` always gives an observation, whatever the call says and whatever the tool does; but one that hangs
    or takes its process down with it can only be stopped and survived if it has a `timeout`.

    A tool that changes the world is registered with `approve`: True asks `on_approve`, a callable is asked itself. It is given
    the call; only the answer True lets it run, and a text says why not. Such tools run alone: what stands before them in a list
    of calls is finished, and what comes after has not begun. With `parallel=False` that holds for every tool of this toolbox,
    as it must where all share one connection.

    The same call more than `max_repeats` times in a row is not run again. `journal` names a file of JSON lines that gets one
    line when a call is asked for, before anything is done about it, and one when it has ended.
    """

    def __init__(
        self,
        *,
        on_approve: Approver | None = None,
        journal: str | Path | None = None,
        max_repeats: int = 3,
        parallel: bool = True,
    ) -> None:
        self.on_approve = on_approve
        self._journal = None if journal is None else Journal(journal)
        self._guard = _Guard(max_repeats)
        self._parallel = parallel
        self._lane = Lane()
        self._entries: dict[str, _Entry] = {}

    @overload
    def tool(self, function: Function, /) -> Function: ...
    @overload
    def tool(
        self,
        /,
        *,
        name: str | None = None,
        timeout: float | None = None,
        approve: bool | Approver = False,
        max_output: int = MAX_OUTPUT,
    ) -> Callable[[Function], Function]: ...
    def tool(self, function: Function | None = None, /, **options: Any) -> Function | Callable[[Function], Function]:
        """`add` as a decorator, with or without options."""
        if function is not None:
            return self.add(function)
        return lambda function: self.add(function, **options)

    def add(
        self,
        function: Function,
        *,
        name: str | None = None,
        timeout: float | None = None,
        approve: bool | Approver = False,
        max_output: int = MAX_OUTPUT,
    ) -> Function:
        """Register a function or a Pydantic model, and give it back.

        With a `timeout` in seconds the tool runs in a process of its own, which gets a copy of the function as it is when it is
        called (of an imported one: as its file is then), prints to nowhere, and is killed with all that it started when time is
        up.
        """
        schema = tool_schema(function, name=name)
        name = str(schema["function"]["name"])
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise ToolboxError(f"tool {name}: a generator gives its values one by one; return a list")
        if timeout is not None and not (0 < timeout < math.inf):
            raise ToolboxError(f"tool {name}: timeout is in seconds and above zero, not {timeout!r}")
        tool = Tool(function, schema["function"]["parameters"]["properties"], max_output)
        if timeout is not None:
            _check_portable(name, tool)
        self._enter(schema, tool, approve, timeout, timeout is None and inspect.iscoroutinefunction(function))
        return function

    def _enter(
        self, schema: Schema, tool: Tool, approve: bool | Approver, timeout: float | None = None, on_loop: bool = False
    ) -> None:
        """Register what reads and runs the calls of a tool; also one that is no function (`mcp.py`)."""
        name = str(schema["function"]["name"])
        if name in self._entries:
            raise ToolboxError(f"there is a tool {name!r} already; give this one another name with name=")
        if tool.max_output < _SHORTEST_OUTPUT:
            raise ToolboxError(f"tool {name}: max_output is at least {_SHORTEST_OUTPUT} characters, not {tool.max_output!r}")
        lane = self._lane if approve is not False or not self._parallel else None
        self._entries[name] = _Entry(tool, schema, timeout, approve, lane, on_loop)

    @property
    def tools(self) -> list[Schema]:
        """The tools in OpenAI's form, in the order in which they were registered."""
        return copy.deepcopy([entry.schema for entry in self._entries.values()])

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __or__(self, other: Toolbox) -> Toolbox:
        """All tools in one, with the left one's settings, and the right one's journal where it has none.

        The right one's own approver, if it has one, is still the one who is asked about its tools.
        """
        both = [name for name in self._entries if name in other._entries]
        if both:
            raise ToolboxError(f"both toolboxes have {', '.join(both)}; register one of them under another name")
        merged = Toolbox(on_approve=self.on_approve, max_repeats=self._guard.most, parallel=self._parallel)
        merged._journal, merged._lane = self._journal or other._journal, self._lane
        theirs = {name: merged._adopted(entry, other) for name, entry in other._entries.items()}
        merged._entries = {**self._entries, **theirs}
        return merged

    def _adopted(self, entry: _Entry, other: Toolbox) -> _Entry:
        """A tool of another toolbox: its own approver is asked, in this one's lane it waits."""
        approve = other.on_approve if entry.approve is True and other.on_approve is not None else entry.approve
        return replace(entry, approve=approve, lane=self._lane if entry.lane or not self._parallel else None)

    def reset(self) -> None:
        """Forget which call was the last: for a new conversation."""
        self._guard.reset()

    def call(self, call: ToolCall) -> Observation:
        """Run one call."""
        return self._run(self._admit(call))

    async def acall(self, call: ToolCall) -> Observation:
        """Run one call without holding up the event loop: on it if the tool is async without a limit, else in a thread."""
        return await self._arun(self._admit(call))

    def call_all(self, calls: Iterable[ToolCall]) -> list[Observation]:
        """Run calls side by side, in threads; those that must run alone do. The observations come in the order of the calls."""
        observations: list[Observation] = []
        for alone, group in itertools.groupby([self._admit(call) for call in calls], key=_runs_alone):
            jobs = list(group)
            observations += map(self._run, jobs) if alone or len(jobs) == 1 else self._side_by_side(jobs)
        return observations

    async def acall_all(self, calls: Iterable[ToolCall]) -> list[Observation]:
        """The same on the event loop."""
        observations: list[Observation] = []
        for alone, group in itertools.groupby([self._admit(call) for call in calls], key=_runs_alone):
            if alone:
                observations += [await self._arun(job) for job in group]
            else:
                observations += await asyncio.gather(*map(self._arun, group))
        return observations

    def _side_by_side(self, jobs: list[_Job]) -> list[Observation]:
        threads = ThreadPoolExecutor(min(len(jobs), _SIDE_BY_SIDE))
        try:
            futures = [threads.submit(contextvars.copy_context().run, self._run, job) for job in jobs]
            return [future.result() for future in futures]
        finally:  # on Ctrl-C: leave at once, and let what runs run out
            threads.shutdown(wait=False, cancel_futures=True)

    # ---- one call, step by step ------------------------------------------------------------------------------------

    def _admit(self, call: ToolCall) -> _Job:
        """Whether a call may run, in the order in which calls came; written down before anything happens."""
        key = uuid.uuid4().hex if self._journal else ""
        entry = self._entries.get(call.name) if isinstance(call.name, str) else None
        arguments = dict(call.arguments) if isinstance(call.arguments, Mapping) else call.arguments  # JSON knows no other
        try:
            self._note("call", key, name=call.name, arguments=arguments, id=call.id)
        except OSError as error:
            return _Job(call, key, Outcome(f"Not run, for want of a journal: {error}", "failed"))
        if self._guard.repeated(call.name, arguments):
            words = f"The same call more than {self._guard.most} times in a row: use what it gave, or do something else."
            return _Job(call, key, Outcome(words, "repeated"))
        if entry is None:
            return _Job(call, key, Outcome(no_such("tool", str(call.name), self.names), "unknown_tool"))
        read = entry.tool.read(arguments)
        return _Job(call, key, read if isinstance(read, Outcome) else _Ready(entry, *read))

    def _run(self, job: _Job) -> Observation:
        if isinstance(job.state, Outcome):
            return self._observe(job, job.state)
        entry = job.state.entry
        try:
            with entry.lane.alone() if entry.lane else nullcontext():
                refusal = self._refusal(job.call, entry.approve)
                return self._observe(job, refusal) if refusal else self._timed(job, job.state)
        except LaneError as error:
            return self._observe(job, Outcome(str(error), "failed"))

    async def _arun(self, job: _Job) -> Observation:
        if isinstance(job.state, Outcome):
            return self._observe(job, job.state)
        entry = job.state.entry
        async with entry.lane.alone_on_loop() if entry.lane else nullcontext():
            refusal = await self._arefusal(job.call, entry.approve)
            if refusal:
                return self._observe(job, refusal)
            if not entry.on_loop:
                return await in_thread(self._timed, job, job.state)
            began = time.perf_counter()
            return self._observe(job, await entry.tool.arun(job.state.instance), time.perf_counter() - began)

    def _timed(self, job: _Job, ready: _Ready) -> Observation:
        began = time.perf_counter()
        return self._observe(job, ready.entry.execute(ready.text, ready.instance), time.perf_counter() - began)

    def _refusal(self, call: ToolCall, approve: bool | Approver) -> Outcome | None:
        try:
            answer = self._ask(call, approve)
            return _verdict(wait(answer) if inspect.isawaitable(answer) else answer)
        except Exception as error:
            return _verdict(describe(error))

    async def _arefusal(self, call: ToolCall, approve: bool | Approver) -> Outcome | None:
        try:
            answer = self._ask(call, approve)
            return _verdict(await answer if inspect.isawaitable(answer) else answer)
        except Exception as error:
            return _verdict(describe(error))

    def _ask(self, call: ToolCall, approve: bool | Approver) -> Any:
        if approve is False:
            return True
        approver = self.on_approve if approve is True else approve
        return "there is nobody to ask" if approver is None else approver(call)

    def _observe(self, job: _Job, outcome: Outcome, seconds: float = 0.0) -> Observation:
        try:
            self._note("observation", job.key, kind=outcome.kind, content=outcome.content, seconds=round(seconds, 6))
        except OSError as error:
            warnings.warn(f"the journal has no line for what came of {job.call.name}: {error}", stacklevel=2)
        return Observation(outcome.content, outcome.kind, job.call.name, job.call.id, seconds, outcome.truncated)

    def _note(self, event: str, key: str, **what: Any) -> None:
        if self._journal is not None:
            self._journal.write({"event": event, "key": key, "time": datetime.now(UTC).isoformat(), **what})


@dataclass(frozen=True, slots=True)
class _Entry:
    """A tool and the rules under which it runs."""

    tool: Tool
    schema: Schema
    timeout: float | None
    approve: bool | Approver
    lane: Lane | None  # those that share one run one after another
    on_loop: bool

    def execute(self, text: str, instance: BaseModel) -> Outcome:
        """Run the tool here, or with a time limit in a process that can be killed."""
        if self.timeout is None:
            return self.tool.run(instance)
        try:
            return Outcome(*json.loads(worker.run(cloudpickle.dumps(self.tool), text.encode(), self.timeout)))
        except worker.WorkerError as error:
            return Outcome(str(error), error.kind)
        except Exception as error:
            return Outcome(f"The tool did not reach its process: {describe(error)}", "failed")


@dataclass(frozen=True, slots=True)
class _Ready:
    """What it takes to run a call: the tool, and the arguments as JSON and as checked."""

    entry: _Entry
    text: str
    instance: BaseModel


@dataclass(frozen=True, slots=True)
class _Job:
    """A call on its way: it can run, or its outcome is known already."""

    call: ToolCall
    key: str
    state: _Ready | Outcome


class _Guard:
    """Against a model that makes the same call again and again."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._lock = threading.Lock()
        self.reset()

    def reset(self) -> None:
        self._last: object = None
        self._times = 0

    def repeated(self, name: str, arguments: Any) -> bool:
        """Count a call, and say whether it is one too many."""
        try:
            this: object = (name, json.dumps(arguments, sort_keys=True))
        except (TypeError, ValueError, RecursionError):
            this = object()  # not JSON, and like no other
        with self._lock:
            self._times = self._times + 1 if this == self._last else 1
            self._last = this
            return self._times > self.most


def _runs_alone(job: _Job) -> bool:
    return isinstance(job.state, _Ready) and job.state.entry.lane is not None


def _verdict(answer: Any) -> Outcome | None:
    """Nothing but True is a yes."""
    if answer is True:
        return None
    return Outcome(f"Not approved: {answer}." if isinstance(answer, str) else "Not approved.", "refused")


def _check_portable(name: str, tool: Tool) -> None:
    try:
        cloudpickle.dumps(tool)
    except Exception as error:
        words = f"tool {name}: with a timeout it runs in a process of its own, and cannot be sent there ({describe(error)})"
        raise ToolboxError(f"{words}; make what it needs inside the function") from None
