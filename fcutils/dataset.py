"""Rows: conversations in JSONL files. Build them from the universe, read and check them, describe them, split them,
export them.

A row is OpenAI's `messages` and `tools` (assistant messages may carry a `thought`), and `meta`: where it comes from.
This file does not know other people's layouts (`convert/`), nor how conversations are written (`universe/`).
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from random import Random
from statistics import mean, median
from typing import Any, Literal

from fcutils.messages import ROLES, Conversation, Message, ToolCall, answered, dumps
from fcutils.schema import NAME

Style = Literal["tool_calls", "function_call"]
DATA = Path(__file__).resolve().parents[1] / "data"


@dataclass(frozen=True, slots=True)
class RowFault:
    """What is wrong with one row: file, line, and why."""

    path: str
    line: int
    reason: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.reason}"


class RowError(ValueError):
    """Rows that cannot be used; holds every fault."""

    def __init__(self, faults: Sequence[RowFault]) -> None:
        self.faults = list(faults)
        more = f"\n... and {len(faults) - 10} more" if len(faults) > 10 else ""
        super().__init__("\n".join(map(str, faults[:10])) + more)


def read_rows(path: str | Path, *, check: bool = True) -> list[Conversation]:
    """Every row of a JSONL file. A line that is not a row, or a call that does not fit its tool, is an error that
    names the line.
    """
    rows, faults = [], []
    for line, found in _lines(Path(path)):
        if isinstance(found, RowFault):
            faults.append(found)
            continue
        faults += [RowFault(str(path), line, reason) for reason in row_faults(found)] if check else []
        rows.append(found)
    if faults:
        raise RowError(faults)
    return rows


def _lines(path: Path) -> Iterator[tuple[int, Conversation | RowFault]]:
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                found = _row(line)
                yield number, RowFault(str(path), number, found) if isinstance(found, str) else found


def _row(line: bytes) -> Conversation | str:
    """The row, or why there is none."""
    try:
        data = json.loads(line.decode(), parse_constant=_no_number)
        if not isinstance(data, dict):
            return f"a row is a JSON object, not a {type(data).__name__}"
        row = Conversation.from_dict(data)
    except json.JSONDecodeError as error:
        return f"not a JSON object (cut off?): {error}"
    except UnicodeDecodeError as error:
        return f"not UTF-8 (cut off?): {error}"
    except RecursionError:
        return "nested too deeply"
    except (ValueError, AttributeError, TypeError) as error:
        return str(error)
    return row if isinstance(row.meta, dict) else f"'meta' must be an object, not a {type(row.meta).__name__}"


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


def row_faults(row: Conversation) -> Iterator[str]:
    """What is wrong inside one row: tools that cannot be, calls that no tool takes, arguments that do not fit, results that
    answer nothing.
    """
    schemas: dict[str, Any] = {}
    for number, tool in enumerate(row.tools):
        name, schema, fault = _told(tool)
        if fault or name in schemas:
            yield f"tool {number}: {fault or f'a second one named {name!r}'}"
        if name:
            schemas[name] = None if fault else schema
    if not row.messages:
        yield "no messages"
    waiting: dict[int, ToolCall] = {}
    for number, message in enumerate(row.messages):
        if message.role == "tool":
            place = answered(message, waiting)
            if place is None:
                yield f"message {number}: a result{f' of {message.name}' * bool(message.name)} that answers no call before it"
            else:
                del waiting[place]
            continue
        if waiting:
            yield f"message {number}: {len(waiting)} call(s) before it have no result"
        waiting = dict(enumerate(message.calls))
        yield from (f"message {number}: {why}" for call in message.calls for why in _call_faults(call, schemas))


def _told(tool: Any) -> tuple[str, Any, str]:
    """A tool's name, its schema, and what is wrong with them."""
    function = tool.get("function") if isinstance(tool, Mapping) else None
    name = function.get("name") if isinstance(function, Mapping) else None
    if not isinstance(function, Mapping) or not isinstance(name, str) or not name:
        return "", None, "it must be an object with a 'function' that has a 'name'"
    schema = function.get("parameters") or {}
    try:
        found = _validator(dumps(schema))
    except (ValueError, TypeError, RecursionError) as error:
        found = str(error)
    return name, schema, f"{name}: its parameters are no JSON Schema: {found}" if isinstance(found, str) else ""


def _call_faults(call: ToolCall, schemas: Mapping[str, Any]) -> Iterator[str]:
    if call.name not in schemas:
        yield f"no tool named {call.name!r} on offer"
    elif (schema := schemas[call.name]) is not None:
        yield from (f"{call.name}: {why}" for why in argument_faults(call.arguments, schema))


def argument_faults(arguments: Any, schema: Any) -> list[str]:
    """Why these arguments do not fit this schema. Keys that it does not name are faults, too, unless it says otherwise."""
    from referencing.exceptions import Unresolvable

    validator = _validator(dumps(schema))
    if isinstance(validator, str):
        return [f"its parameters are no JSON Schema: {validator}"]
    try:
        dumps(arguments)  # NaN is no JSON
        found = [_why(error) for error in validator.iter_errors(dict(arguments))]
    except (
        ValueError,
        TypeError,
        RecursionError,
        re.error,
        Unresolvable,
    ) as error:
        return [f"cannot be checked: {error}"]
    if schema.keys() & {"additionalProperties", "patternProperties"}:
        return found
    return found + [f"unknown argument {name!r}" for name in sorted(set(arguments) - set(schema.get("properties", {})))]


@lru_cache(4096)
def _validator(schema: str) -> Any:
    """What checks arguments against a schema (its JSON), or why it is none. References lead nowhere outside: no download."""
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError
    from referencing import Registry

    told = json.loads(schema)
    if not isinstance(told, dict):
        return f"it must be an object, not a {type(told).__name__}"
    try:
        Draft202012Validator.check_schema(told)
    except SchemaError as error:
        return _why(error)
    return Draft202012Validator(told, registry=Registry())


def _why(error: Any) -> str:
    where = ".".join(map(str, error.absolute_path))
    text = error.message if len(error.message) < 120 else error.message[:117] + "..."
    return f"{where}: {text}" if where else text


def write_rows(rows: Iterable[Conversation], path: str | Path, style: Style = "tool_calls") -> int:
    """Write rows, a line each; gives back how many. The older `function_call` form leaves out rows with parallel
    calls: it cannot say them. If a row cannot be written, the file stays as it was.
    """
    lines = [
        dumps(row.to_dict(style)) + "\n"
        for row in rows
        if style == "tool_calls" or all(len(message.calls) < 2 for message in row.messages)
    ]
    Path(path).write_bytes("".join(lines).encode())  # encoded before the file is opened
    return len(lines)


def split(rows: Sequence[Conversation], shares: Sequence[float], seed: int = 0) -> list[list[Conversation]]:
    """Rows in shuffled parts of these shares. For an honest test of unseen tools, split by tools instead: see `universe`."""
    if any(share < 0 for share in shares) or not abs(sum(shares) - 1) < 1e-9:
        raise ValueError(f"shares must be positive and sum to 1, not {list(shares)}")
    order = list(rows)
    Random(seed).shuffle(order)
    cuts = [round(sum(shares[:i]) * len(order)) for i in range(len(shares) + 1)]
    return [order[a:b] for a, b in pairwise(cuts)]


def describe(rows: Sequence[Conversation]) -> dict[str, Any]:
    """Counts and sizes, for a dataset card or a first look."""
    if not rows:
        raise ValueError("no rows to describe")
    calls = [sum(len(message.calls) for message in row.messages) for row in rows]
    lengths = [sum(len(message.content) for message in row.messages) for row in rows]
    tools = [len(row.tools) for row in rows]
    kinds = Counter(kind for row in rows for kind in row.meta.get("kinds", ()))
    return {
        "rows": len(rows),
        "messages": sum(len(row.messages) for row in rows),
        "calls": sum(calls),
        "calls_a_row": round(mean(calls), 2),
        "tools_a_row": {"mean": round(mean(tools), 2), "min": min(tools), "max": max(tools)},
        "characters_a_row": {"median": median(lengths), "max": max(lengths)},
        "distinct_tools": len({tool["function"]["name"] for row in rows for tool in row.tools}),
        "kinds": dict(sorted(kinds.items())),
    }


def with_ids(row: Conversation) -> Conversation:
    """The row with an id for every call, and each result with the id and the name of the call that it answers."""
    messages: list[Message] = []
    before = number = 0  # calls up to the last reply, and up to its end
    waiting: dict[int, ToolCall] = {}
    for message in row.messages:
        if message.calls:
            before, waiting = number, dict(enumerate(message.calls))
            number += len(waiting)
            calls = tuple(replace(call, id=f"call_{before + place}") for place, call in waiting.items())
            message = replace(message, calls=calls)
        elif message.role == "tool" and (place := answered(message, waiting)) is not None:
            call = waiting.pop(place)
            message = replace(message, call_id=f"call_{before + place}", name=message.name or call.name)
        messages.append(message)
    return replace(row, messages=tuple(messages))


def export_openai(rows: Iterable[Conversation], path: str | Path) -> int:
    """OpenAI's fine-tuning JSONL: `messages` and `tools` alone; dots in names, which it refuses, become underscores.

    Every row is checked against the documented rules before anything is written. A fault's `line` is the row's number.
    With an account, three lines upload the file and begin the training (which costs money):

        client = openai.OpenAI()
        file = client.files.create(file=open(path, "rb"), purpose="fine-tune")
        client.fine_tuning.jobs.create(training_file=file.id, model="gpt-4.1-mini-2025-04-14")
    """
    lines: list[str] = []
    faults: list[RowFault] = []
    for number, row in enumerate(rows, start=1):
        line = _without_dots(with_ids(row)).to_dict()
        line.pop("meta", None)
        for message in line["messages"]:
            message.pop("thought", None)
            message.pop("name", None)  # OpenAI's results name their call by its id alone
        faults += [RowFault(str(path), number, fault) for fault in openai_faults(line)]
        lines.append(dumps(line))
    if len(lines) < OPENAI_LEAST:
        faults.append(RowFault(str(path), 0, f"{len(lines)} examples; OpenAI asks for {OPENAI_LEAST} at least"))
    if faults:
        raise RowError(faults)
    Path(path).write_bytes(("\n".join(lines) + "\n").encode())
    return len(lines)


def _without_dots(row: Conversation) -> Conversation:
    tools = tuple({**tool, "function": {**tool["function"], "name": _undotted(tool["function"]["name"])}} for tool in row.tools)
    messages = tuple(
        replace(
            message,
            calls=tuple(replace(call, name=_undotted(call.name)) for call in message.calls),
            name=message.name and _undotted(message.name),
        )
        for message in row.messages
    )
    return replace(row, tools=tools, messages=messages)


def _undotted(name: str) -> str:
    return name.replace(".", "_")


OPENAI_LEAST = 10  # examples in a file
OPENAI_MOST_TOOLS = 128  # in an example


def openai_faults(line: dict[str, Any]) -> Iterator[str]:
    """Where an example breaks the rules that OpenAI documents for fine-tuning on chats with tools."""
    messages = line.get("messages", [])
    names = [tool["function"]["name"] for tool in line.get("tools", [])]
    if not messages or messages[-1]["role"] != "assistant":
        yield "the last message must be the assistant's"
    if len(names) > OPENAI_MOST_TOOLS:
        yield f"{len(names)} tools; OpenAI takes {OPENAI_MOST_TOOLS} at most"
    for name, times in Counter(names).items():
        if not NAME.fullmatch(name):
            yield f"the name {name!r} is not allowed: letters, digits, _ and -, 64 at most"
        if times > 1:
            yield f"{times} tools are named {name!r}"
    asked: list[str] = []
    for number, message in enumerate(messages):
        yield from (f"message {number}: {why}" for why in _openai_message_faults(message, names, asked))
        if message["role"] == "tool":
            asked = [id_ for id_ in asked if id_ != message.get("tool_call_id")]
        else:
            asked = [call["id"] for call in message.get("tool_calls", [])]


def _openai_message_faults(message: dict[str, Any], names: Sequence[str], asked: Sequence[str]) -> Iterator[str]:
    """What is wrong with one message, if these calls wait for their results."""
    if message["role"] not in ROLES:
        yield f"unknown role {message['role']!r}"
    if message["role"] == "tool" and message.get("tool_call_id") not in asked:
        yield "answers no call"
    if message["role"] != "tool" and asked:
        yield "calls before it are not answered"
    if message["role"] == "assistant":
        calls = message.get("tool_calls", [])
        if not message.get("content") and not calls:
            yield "neither text nor calls"
        for name in {call["function"]["name"] for call in calls} - set(names):
            yield f"calls {name!r}, which is not on offer"
