"""Reading a domain's file: YAML into frozen tools, sentences and chains, or a list of what is wrong, with file, tool and line.

Knows the format that data/universe/README.md states. It does not write conversations (`writer.py`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from fcutils.universe.values import Draw, Lists, ValueListError, drawer

HOLE = re.compile(r"\{([^{}]+)\}")
KEYS = {
    "name",
    "family",
    "description",
    "parameters",
    "phrasings",
    "vague",
    "ask",
    "thoughts",
    "plain",
    "result",
    "answers",
    "error",
    "record",
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong in a file."""

    path: Path
    line: int
    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.where}: {self.what}"


class UniverseError(ValueError):
    """A universe that cannot be built; holds every fault that was found."""

    def __init__(self, faults: list[Fault]) -> None:
        self.faults = faults
        more = f"\n... and {len(faults) - 20} more" if len(faults) > 20 else ""
        super().__init__("\n".join(map(str, faults[:20])) + more)


@dataclass(frozen=True, slots=True)
class Phrasing:
    """A sentence with holes for values; `set` holds what it implies without writing it. `each` is the hole that may be filled
    with several values ("in Paris and Rome"), for a call each.
    """

    text: str
    set: Mapping[str, Any]
    holes: tuple[str, ...]
    each: str | None = None


@dataclass(frozen=True)
class Tool:
    name: str
    domain: str
    family: str | None
    description: str
    parameters: Mapping[str, Mapping[str, Any]]
    required: tuple[str, ...]
    phrasings: tuple[Phrasing, ...]
    vague: tuple[Phrasing, ...]
    ask: Mapping[str, str]
    thoughts: tuple[str, ...]
    plain: tuple[str, ...]
    result: Any
    answers: tuple[str, ...]
    error: Mapping[str, str]
    record: str | None
    draws: Mapping[str, Draw]  # by placeholder, `address.street` among them
    line: int


@dataclass(frozen=True)
class Chain:
    say: tuple[Phrasing, ...]
    steps: tuple[Mapping[str, Any], ...]
    thoughts: tuple[str, ...]
    answer: str
    line: int


@dataclass(frozen=True)
class Domain:
    name: str
    about: str
    tools: Mapping[str, Tool]
    chains: tuple[Chain, ...]
    beyond: tuple[str, ...]
    lists: Lists
    records: Mapping[str, list[Mapping[str, Any]]]
    path: Path


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Plain YAML that remembers the line of every map and refuses a key that stands twice."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        out: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in out:
                raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} stands twice", key_node.start_mark)
            out[key] = self.construct_object(value_node, deep=True)
        return _Map(out, node.start_mark.line + 1)


class _Map(dict):
    def __init__(self, data: dict[Any, Any], line: int) -> None:
        super().__init__(data)
        self.line = line


_Loader.add_constructor("tag:yaml.org,2002:map", lambda loader, node: loader.construct_mapping(node))


def read_yaml(path: Path) -> Any:
    try:
        return yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        raise UniverseError([Fault(path, line, "YAML", str(error.problem))]) from None


def read_domain(path: Path, shared: Lists) -> Domain:
    """The domain of one file, or a UniverseError with everything that keeps it from being read."""
    raw = read_yaml(path)
    faults: list[Fault] = []

    def fault(line: int, where: str, what: str) -> None:
        faults.append(Fault(path, line, where, what))

    if not isinstance(raw, Mapping) or not isinstance(raw.get("tools"), list):
        raise UniverseError([Fault(path, 1, "file", "needs `domain`, `about`, `tools`, `chains` and `beyond`")])
    values = raw.get("values") or {}
    records = {name: entries for name, entries in values.items() if _are_records(entries)}
    try:
        lists = Lists({name: entries for name, entries in values.items() if name not in records}, shared)
    except ValueListError as error:
        raise UniverseError([Fault(path, getattr(values, "line", 1), "values", str(error))]) from None
    tools: dict[str, Tool] = {}
    for entry in raw["tools"]:
        tool = _tool(entry, raw.get("domain", path.stem), lists, records, fault)
        if tool and tool.name in tools:
            fault(tool.line, tool.name, "a tool of this name stands above already")
        if tool:
            tools[tool.name] = tool
    chains = tuple(filter(None, (_chain(entry, tools, fault) for entry in raw.get("chains") or ())))
    beyond = tuple(raw.get("beyond") or ())
    for text in beyond:
        if not isinstance(text, str):
            fault(1, "beyond", f"{text!r} is not text: put it in quotes")
    if faults:
        raise UniverseError(faults)
    return Domain(raw.get("domain", path.stem), raw.get("about", ""), tools, chains, beyond, lists, records, path)


def _are_records(entries: Any) -> bool:
    return isinstance(entries, list) and bool(entries) and all(isinstance(entry, Mapping) for entry in entries)


def _tool(raw: Any, domain: str, lists: Lists, records: Mapping[str, Any], fault) -> Tool | None:
    name, line = (raw.get("name"), raw.line) if isinstance(raw, _Map) else (None, 0)
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z_][\w.]*", name):
        fault(line, "tool", f"a tool needs a name of letters, digits, `_` and `.`, not {name!r}")
        return None
    for key in set(raw) - KEYS:
        fault(line, name, f"unknown key {key!r}")
    for key in ("description", "phrasings", "thoughts", "plain", "result", "answers", "error"):
        if not raw.get(key):
            fault(line, name, f"`{key}` is missing")
    parameters = raw.get("parameters") or {}
    required = tuple(p for p, spec in parameters.items() if isinstance(spec, Mapping) and not spec.get("optional"))
    draws: dict[str, Draw] = {}
    try:
        draws = dict(_draws(parameters, lists))
    except (ValueListError, KeyError, TypeError, ValueError) as error:
        fault(line, name, f"parameters: {error}")
    fields = set(records[raw["record"]][0]) if raw.get("record") in records else set()
    texts = {key: _texts(raw.get(key), name, line, key, fault) for key in ("thoughts", "plain", "answers")}
    sentences = {}
    for key in ("phrasings", "vague"):
        sentences[key] = tuple(_phrasings(raw.get(key), name, line, set(draws) | fields, parameters, fault))
    return Tool(
        name=name,
        domain=domain,
        family=raw.get("family"),
        description=str(raw.get("description", "")),
        parameters=parameters,
        required=required,
        phrasings=sentences["phrasings"],
        vague=sentences["vague"],
        ask=raw.get("ask") or {},
        thoughts=texts["thoughts"],
        plain=texts["plain"],
        result=raw.get("result"),
        answers=texts["answers"],
        error=raw.get("error") or {},
        record=raw.get("record"),
        draws=draws,
        line=line,
    )


def _draws(parameters: Mapping[str, Any], lists: Lists, prefix: str = "") -> Iterator[tuple[str, Draw]]:
    for name, spec in parameters.items():
        if not isinstance(spec, Mapping) or "type" not in spec:
            raise ValueError(f"{prefix}{name} needs a `type`")
        if isinstance(spec.get("from"), str) and spec["from"] not in lists:
            raise ValueError(f"{prefix}{name}: no list named {spec['from']!r}")
        if spec["type"] == "object":
            yield from _draws(spec["properties"], lists, f"{prefix}{name}.")
        elif (draw := drawer(spec, lists)) is not None:
            yield prefix + name, draw
        elif spec["type"] != "boolean":
            raise ValueError(f"{prefix}{name}: say where its values come from (from, pattern, format, enum, range)")


def _texts(raw: Any, name: str, line: int, key: str, fault) -> tuple[str, ...]:
    raw = [raw] if isinstance(raw, str) else raw or []
    for text in raw:
        if not isinstance(text, str):
            fault(line, name, f"{key}: {text!r} is not text: put it in quotes")
    return tuple(text for text in raw if isinstance(text, str))


def _phrasings(raw: Any, name: str, line: int, known: set[str], parameters: Mapping[str, Any], fault) -> Iterator[Phrasing]:
    for entry in raw or ():
        text, given = (entry.get("say"), entry.get("set") or {}) if isinstance(entry, Mapping) else (entry, {})
        line = getattr(entry, "line", line)
        if not isinstance(text, str):
            fault(line, name, f"{text!r} is not a sentence: put it in quotes")
            continue
        holes = tuple(dict.fromkeys(HOLE.findall(text)))
        for hole in holes:
            if hole not in known:
                fault(line, name, f"no value for {{{hole}}} in: {text}")
        for key in given:
            if key.split(".")[0] not in parameters:
                fault(line, name, f"`set` names {key!r}, which is no parameter")
        each = entry.get("each") if isinstance(entry, Mapping) else None
        if each is not None and each not in holes:
            fault(line, name, f"`each` names {each!r}, which is no placeholder of: {text}")
        yield Phrasing(text, given, holes, each)


def _chain(raw: Any, tools: Mapping[str, Tool], fault) -> Chain | None:
    if not isinstance(raw, _Map) or not {"say", "steps", "answer"} <= set(raw):
        fault(getattr(raw, "line", 0), "chain", "needs `say`, `steps`, `thoughts` and `answer`")
        return None
    steps = raw["steps"]
    unknown = [step.get("tool") for step in steps if step.get("tool") not in tools]
    if unknown:
        fault(raw.line, "chain", f"no tool named {unknown[0]!r}")
        return None
    known = {hole for step in steps for hole in tools[step["tool"]].draws}
    say = tuple(
        _phrasings(raw["say"], "chain", raw.line, known, {k: 1 for s in steps for k in tools[s["tool"]].parameters}, fault)
    )
    return Chain(say, tuple(steps), tuple(raw.get("thoughts") or ()), raw["answer"], raw.line)
