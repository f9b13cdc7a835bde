"""The layout of the Berkeley Function-Calling Leaderboard, read from a folder that somebody downloaded. No file of it is here.

Knows that layout: files of JSON lines with `id`, `question` and `function`, beside them `possible_answer/` with files of the
same names, whose lines have `id` and `ground_truth`: a list of `{tool: {parameter: [acceptable values]}}`. Knows its names for
types, too. Turns each line into a row of this house; it does not judge (`match.py` does, by the same published rules).

Read are single turns in Python's types: simple, multiple, parallel, and irrelevance (which has no answers, because no call is
right). What is left out is said, with the reason: conversations of several turns, other languages' types, questions without
answers.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from fcutils.evaluate.match import Want, acceptable_answers, example
from fcutils.evaluate.rows import DataError, asks_of
from fcutils.messages import Conversation, Message, MessageError

_TYPES = {"dict": "object", "float": "number", "tuple": "array"}
_KNOWN = {"string", "integer", "number", "boolean", "array", "object", "null"}
_VERSION = re.compile(r"^BFCL_v\d+_")


@dataclass(frozen=True)
class Benchmark:
    """The rows that could be read, and how many were left out for which reason, by file."""

    rows: list[Conversation]
    left_out: Mapping[tuple[str, str], int]

    def __str__(self) -> str:
        lines = [f"{len(self.rows)} rows"]
        return "\n".join(lines + [f"left out of {file}: {n} ({why})" for (file, why), n in self.left_out.items()])


def read_bfcl(folder: str | Path, limit: int | None = None) -> Benchmark:
    """The rows of every file in a folder, `limit` of each file at most."""
    rows: list[Conversation] = []
    left_out: Counter[tuple[str, str]] = Counter()
    paths = sorted(Path(folder).glob("*.json"))
    for path in paths:
        category = _VERSION.sub("", path.stem)
        try:
            answers = {line["id"]: line["ground_truth"] for line in _lines(path.parent / "possible_answer" / path.name)}
            for line in islice(_lines(path), limit):
                try:
                    rows.append(_row(line, category, answers))
                except (MessageError, KeyError, TypeError, AttributeError) as error:
                    why = f"no {error}" if isinstance(error, KeyError) else str(error)
                    left_out[path.name, why] += 1
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            left_out[path.name, f"not in this layout: {error!r}"] += 1
    if not rows:
        raise DataError(folder, [(0, f"no row could be read from its {len(paths)} files *.json"), *_reasons(left_out)])
    return Benchmark(rows, left_out)


def _reasons(left_out: Counter[tuple[str, str]]) -> list[tuple[int, str]]:
    return [(0, f"{file}: {why} ({n} rows)") for (file, why), n in left_out.most_common(10)]


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    if path.parent.name == "possible_answer" and not path.exists():
        return
    for line in path.read_text(encoding="utf-8").split("\n"):
        if line.strip():
            yield json.loads(line)


def _row(line: Mapping[str, Any], category: str, answers: Mapping[str, Any]) -> Conversation:
    """One question as a row; MessageError says why it cannot be one."""
    nothing = "irrelevance" in category
    question = _question(line["question"])
    tools = [_tool(function) for function in _listed(line["function"])]
    meta: dict[str, Any] = {"id": line["id"], "category": category, "kinds": ["nothing" if nothing else "single"]}
    gold = Message("assistant")
    if not nothing:
        if line["id"] not in answers:
            raise MessageError("no acceptable answers")
        if not all(_listed(answers[line["id"]])):
            raise MessageError("an acceptable answer without a call")
        wanted = [next(iter(call.items())) for call in _listed(answers[line["id"]])]
        meta["acceptable"] = [dict(accept) for _, accept in wanted]
        wants = (Want(name, {key: acceptable_answers(values) for key, values in accept.items()}) for name, accept in wanted)
        gold = Message("assistant", calls=tuple(map(example, wants)))
    row = Conversation((*question, gold), tuple(tools), meta)
    asks_of(row, 1)
    return row


def _listed(one_or_more: Any) -> list[Any]:
    return one_or_more if isinstance(one_or_more, list) else [one_or_more]


def _question(question: Any) -> list[Message]:
    """The messages before the reply: a text, a list of messages, or a list of one turn, which is such a list."""
    if isinstance(question, str):
        return [Message("user", question)]
    turns = question if question and isinstance(question[0], list) else [question]
    if len(turns) != 1:
        raise MessageError("several turns")
    return [Message.from_openai(message) for message in turns[0]]


def _tool(function: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "function", "function": {**function, "parameters": _schema(function["parameters"])}}


def _schema(node: Mapping[str, Any]) -> dict[str, Any]:
    """The benchmark's schema as a JSON schema: `dict`, `float`, `tuple` by their names there, `any` as no type at all."""
    out = dict(node)
    if "type" in out:
        kind = _TYPES.get(str(out["type"]), str(out["type"]))
        if kind not in _KNOWN | {"any"}:
            raise MessageError(f"the type {kind!r} of another language")
        out["type"] = kind
        if kind == "any":
            del out["type"]
    if isinstance(out.get("properties"), Mapping):
        out["properties"] = {name: _schema(inner) for name, inner in out["properties"].items()}
    if isinstance(out.get("items"), Mapping):
        out["items"] = _schema(out["items"])
    return out
