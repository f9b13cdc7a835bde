"""The five layouts: where a row keeps its turns and tools, and how it writes calls and results.

Calls are read by `parsing`, tool definitions by `tools.py`. Whether the calls fit the tools is not asked here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from fcutils.convert.tools import BrokenRow, objects_in, tool_name, tools_in
from fcutils.dataset import with_ids
from fcutils.messages import Conversation, Message, Reply, Role, dumps
from fcutils.parsing import parse_reply

Row = Mapping[str, Any]
Turn = tuple[Role, str]
Tools = Sequence[Mapping[str, Any]]

_ROLES: Mapping[str, Role] = {
    "system": "system",
    **dict.fromkeys(("human", "user"), "user"),
    **dict.fromkeys(("gpt", "model", "assistant"), "assistant"),
    "tool": "tool",
}


@dataclass(frozen=True, slots=True)
class _Layout:
    """How to read one layout: its turns, where its definitions stand (and the system text around them), replies, results."""

    source: str
    turns: Callable[[Row], list[Turn]]
    tools: Callable[[Row, str], tuple[Any, str]]
    reply: Callable[[str, Any], Reply]
    results: Callable[[str], list[Message]]


def read_row(layout: str, row: Any) -> Conversation:
    """One row as a conversation; `BrokenRow` says why not."""
    if not isinstance(row, Mapping):
        raise BrokenRow(f"a row must be an object, not {type(row).__name__}")
    how = LAYOUTS[layout]
    turns = how.turns(row)
    system = "\n\n".join(text for role, text in turns if role == "system")
    raw, around = how.tools(row, system)
    tools = tools_in(raw)
    kept = _dated(around) if tools else system.strip()
    messages = [Message("system", kept)] if kept else []
    for number, (role, text) in enumerate(turns):
        if role != "system":
            try:
                messages += _messages(how, role, text, raw)
            except BrokenRow as broken:
                raise BrokenRow(f"turn {number}: {broken}") from None
    if not any(message.role == "assistant" for message in messages):
        raise BrokenRow("nobody answers: no turn of the assistant")
    return with_ids(Conversation(tuple(messages), tuple(tools), _meta(how, row)))


def _meta(how: _Layout, row: Row) -> dict[str, Any]:
    known = row.get("id")
    return {"source": how.source, **({"id": known} if isinstance(known, str | int) else {})}


def _messages(how: _Layout, role: Role, text: str, raw_tools: Any) -> list[Message]:
    if role == "tool":
        return how.results(text)
    if role == "user":
        if not text.strip():
            raise BrokenRow("the user says nothing")
        return [Message("user", text.strip())]
    reply = how.reply(text, raw_tools)
    if reply.faults:
        fault = reply.faults[0]
        raise BrokenRow(f"a call that cannot be read ({fault.reason}): {text[fault.start : fault.end][:80]!r}")
    calls = tuple(replace(call, name=tool_name(call.name), id=None) for call in reply.calls)
    content = reply.content.strip()
    if not calls and not content:
        raise BrokenRow("the assistant neither says anything nor calls a tool")
    return [Message("assistant", content, reply.thought.strip(), calls)]


_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")
_DATED = re.compile(r"\b(?:today|now|current (?:date|time))\b", re.IGNORECASE)


def _dated(text: str) -> str:
    """The sentences of a system text that tell the date or time: the calls may depend on them."""
    sentences = (sentence.strip() for sentence in _SENTENCE.split(text))
    return " ".join(s for s in sentences if _DATED.search(s) and any(letter.isdigit() for letter in s))


# ---- turns -----------------------------------------------------------------------------------------------------------


def _text(row: Row, key: str) -> str:
    value = row.get(key)
    if not isinstance(value, str):
        raise BrokenRow(f"{key!r} must be text, not {type(value).__name__}")
    return value


def _listed_turns(row: Row, role_key: str, text_key: str) -> list[Turn]:
    entries = row.get("conversations")
    if not isinstance(entries, list):
        raise BrokenRow(f"'conversations' must be a list, not {type(entries).__name__}")
    turns = []
    for number, entry in enumerate(entries):
        if not isinstance(entry, Mapping):
            raise BrokenRow(f"turn {number}: it must be an object, not {type(entry).__name__}")
        role = entry.get(role_key)
        if not isinstance(role, str) or role not in _ROLES:
            raise BrokenRow(f"turn {number}: unknown {role_key!r}: {role!r:.40}")
        turns.append((_ROLES[role], _text(entry, text_key)))
    return turns


_MARK = re.compile(r"^(USER|ASSISTANT|FUNCTION RESPONSE):", re.MULTILINE)
_MARKS: Mapping[str, Role] = {"USER": "user", "ASSISTANT": "assistant", "FUNCTION RESPONSE": "tool"}


def _glaive_turns(row: Row) -> list[Turn]:
    """One text; each turn begins on a line of its own."""
    before, *pieces = _MARK.split(_text(row, "chat"))
    if before.strip():
        raise BrokenRow(f"'chat' must begin with USER: or ASSISTANT:, not {before.strip()[:40]!r}")
    turns: list[Turn] = [(_MARKS[mark], text) for mark, text in zip(pieces[::2], pieces[1::2], strict=True)]
    return [("system", _text(row, "system").strip().removeprefix("SYSTEM:")), *turns]


def _toolace_turns(row: Row) -> list[Turn]:
    return [("system", _text(row, "system")), *_listed_turns(row, "from", "value")]


def _xlam_turns(row: Row) -> list[Turn]:
    answers = row.get("answers")
    return [
        ("user", _text(row, "query")),
        ("assistant", dumps(answers) if isinstance(answers, list) else _text(row, "answers")),
    ]


# ---- where the tools are ---------------------------------------------------------------------------------------------


def _tools_around(row: Row, system: str) -> tuple[Any, str]:
    """The definitions stand in the system text."""
    return objects_in(system)


def _tools_in_tags(row: Row, system: str) -> tuple[Any, str]:
    """In a column of their own, or in the system text between tags, which it also mentions with nothing in between."""
    inner, before, after = "", system, ""
    end = 0
    while not inner.strip() and (start := system.find("<tools>", end)) >= 0:
        stop = system.find("</tools>", start)
        if stop < 0:
            raise BrokenRow("<tools> without </tools> in the system text")
        end = stop + len("</tools>")
        inner, before, after = system[start + len("<tools>") : stop], system[:start], system[end:]
    return row.get("tools") or objects_in(inner)[0], f"{before}\n{after}"


def _tools_column(row: Row, system: str) -> tuple[Any, str]:
    return row.get("tools"), system


# ---- calls -----------------------------------------------------------------------------------------------------------


def _tagged_reply(dialect: str) -> Callable[[str, Any], Reply]:
    return lambda text, _: parse_reply(text, dialect)


def _calls_alone(text: str, _: Any) -> Reply:
    """A JSON list of calls and nothing else."""
    reply = parse_reply(text, "json")
    if not reply.faults and (not reply.calls or reply.content.strip()):
        raise BrokenRow(f"'answers' must be a list of calls: {text[:60]!r}")
    return reply


_BEGINS_CALL = re.compile(r"\s*\[[^\[\]()]*\(")


def _pythonic_reply(text: str, raw_tools: Any) -> Reply:
    """`[Market Trends API(country="us"), …]` with no other text beside it, or text alone. Names can hold blanks, which no
    parser of calls takes: for reading, each known one is stood in for.
    """
    names = [tool.get("function", tool)["name"] for tool in raw_tools]
    if not _BEGINS_CALL.match(text):
        if any(f"[{name}(" in text for name in names):
            raise BrokenRow(f"calls with text beside them: {text.strip()[:80]!r}")
        return Reply(text, text=text)
    stand_ins = {f"_.{number}": name for number, name in enumerate(names)}
    reply = parse_reply(_masked(text, {name: stand_in for stand_in, name in stand_ins.items()}), "pythonic")
    if reply.faults or not reply.calls or reply.content.strip():
        why = f" ({reply.faults[0].reason})" if reply.faults else ""
        raise BrokenRow(f"calls that cannot be read{why}, or text beside them: {text.strip()[:80]!r}")
    return replace(reply, calls=tuple(replace(call, name=stand_ins.get(call.name, call.name)) for call in reply.calls))


def _masked(text: str, stand_ins: Mapping[str, str]) -> str:
    """The text with known names replaced where a call begins; strings are passed over."""
    if not stand_ins:
        return text
    names = "|".join(map(re.escape, sorted(stand_ins, key=len, reverse=True)))
    token = rf"""(?P<before>[\[,]\s*+)(?P<name>{names})(?=\()|"(?:[^"\\]|\\.)*+(?:"|\Z)|'(?:[^'\\]|\\.)*+(?:'|\Z)"""
    found = re.compile(token, re.DOTALL)
    return found.sub(lambda hit: hit["before"] + stand_ins[hit["name"]] if hit["name"] else hit[0], text)


# ---- results ---------------------------------------------------------------------------------------------------------


def _plain_result(text: str) -> list[Message]:
    return [Message("tool", text.strip())]


def _tagged_results(text: str) -> list[Message]:
    """One or several in tags; some say in JSON which tool they come from."""
    pieces = [piece.partition("</tool_response>")[0] for piece in text.split("<tool_response>")[1:]]
    return [_named(piece.strip(), "content") or Message("tool", piece.strip()) for piece in pieces or [text]]


def _listed_results(text: str) -> list[Message]:
    """A JSON list, one entry a call; anything else is one result."""
    try:
        found, around = objects_in(text)
    except BrokenRow:
        return _plain_result(text)
    entries = [_result(entry, "results") for entry in found]
    named = [entry for entry in entries if entry]
    return named if named and len(named) == len(entries) and not around.strip("[], \n\t") else _plain_result(text)


def _named(text: str, key: str) -> Message | None:
    try:
        found, around = objects_in(text)
    except BrokenRow:
        return None
    return _result(found[0], key) if len(found) == 1 and not around.strip() else None


def _result(entry: Mapping[str, Any], key: str) -> Message | None:
    if entry.keys() != {"name", key} or not isinstance(entry["name"], str):
        return None
    content = entry[key]
    return Message("tool", content if isinstance(content, str) else dumps(content), name=tool_name(entry["name"]))


LAYOUTS: Mapping[str, _Layout] = {
    "hermes-thinking": _Layout(
        "Jofthomas/hermes-function-calling-thinking-V1",
        partial(_listed_turns, role_key="role", text_key="content"),
        _tools_in_tags,
        _tagged_reply("gemma"),  # hermes' calls, with thoughts
        _tagged_results,
    ),
    "hermes": _Layout(
        "NousResearch/hermes-function-calling-v1",
        partial(_listed_turns, role_key="from", text_key="value"),
        _tools_in_tags,
        _tagged_reply("hermes"),
        _tagged_results,
    ),
    "glaive": _Layout(
        "glaiveai/glaive-function-calling-v2", _glaive_turns, _tools_around, _tagged_reply("glaive"), _plain_result
    ),
    "xlam": _Layout("Salesforce/xlam-function-calling-60k", _xlam_turns, _tools_column, _calls_alone, _plain_result),
    "toolace": _Layout("Team-ACE/ToolACE", _toolace_turns, _tools_around, _pythonic_reply, _listed_results),
}
