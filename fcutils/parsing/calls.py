"""One JSON object -> the calls in it: `{"name", "arguments"}`, Llama's `parameters`, an entry of `tool_calls`, a whole message.

Knows these shapes and what a call must have. It does not know where the object was found, only whether it was
`marked`: behind a marker the object can be nothing but a call; without one it is a call only if it looks like one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fcutils.messages import ToolCall
from fcutils.parsing.scanner import BadValue, FaultKind, parse_object

_KNOWN_KEYS = {"name", "arguments", "parameters", "id", "type", "index", "function"}


@dataclass(frozen=True, slots=True)
class Found:
    """What one object holds, in order: calls, and what should have been one. A message brings its content and thought along."""

    calls: tuple[ToolCall | BadValue, ...] = ()
    content: str = ""
    thought: str = ""


def find_calls(value: Mapping[str, Any], marked: bool, wrapped: bool = False) -> Found | None:
    """The calls in an object; None if it is not about calls. `wrapped`: a bare name with its arguments is no call."""
    if value.get("tool_calls") or value.get("function_call") or (value.get("role") == "assistant" and not marked):
        return _message(value)
    inner = value.get("function")
    function = inner if isinstance(inner, Mapping) else value
    whole = "name" in function and (function is inner or (not wrapped and ("arguments" in value or "parameters" in value)))
    if marked or (whole and not _is_schema(function)):
        return Found((_call(value, lenient=marked or function is inner),))
    return None


def _message(value: Mapping[str, Any]) -> Found:
    entries = value.get("tool_calls") or []
    entries = list(entries) if isinstance(entries, list) else [entries]
    if value.get("function_call"):
        entries.append(value["function_call"])
    content, thought = value.get("content"), value.get("thought")
    return Found(
        tuple(_call(entry, lenient=True) for entry in entries),
        content if isinstance(content, str) else "",
        thought if isinstance(thought, str) else "",
    )


def _is_schema(value: Mapping[str, Any]) -> bool:
    """Whether this describes a tool, as models like to repeat it, and does not call one."""
    parameters = value.get("parameters")
    return isinstance(parameters, Mapping) and isinstance(parameters.get("properties"), Mapping)


def _call(entry: Any, lenient: bool) -> ToolCall | BadValue:
    try:
        if not isinstance(entry, Mapping):
            raise BadValue("bad_name", "a call is an object with a name and arguments")
        function = entry["function"] if isinstance(entry.get("function"), Mapping) else entry
        if _is_schema(function):
            raise BadValue("no_call", "this describes a tool, it does not call one")
        id_ = entry.get("id")
        return ToolCall(_name(function), _arguments(function, lenient), id_ if isinstance(id_, str) and id_ else None)
    except BadValue as bad:
        return bad


def _name(function: Mapping[str, Any]) -> str:
    name = function.get("name")
    if not isinstance(name, str) or not name.strip():
        raise BadValue("bad_name", "'name' must be text, and not empty" if "name" in function else "'name' is missing")
    return name


def _arguments(function: Mapping[str, Any], lenient: bool) -> dict[str, Any]:
    key = "arguments" if "arguments" in function else "parameters"
    raw = function.get(key)
    if raw is None and lenient:
        if key not in function and (strays := [key for key in function if key not in _KNOWN_KEYS]):
            raise BadValue("bad_arguments", f"'arguments' is missing; found {', '.join(sorted(strays))[:80]!r} beside the name")
        return {}
    if isinstance(raw, str):
        try:
            return {} if lenient and not raw.strip() else parse_object(raw)
        except BadValue as bad:
            kind: FaultKind = "bad_number" if bad.kind == "bad_number" else "bad_arguments"
            raise BadValue(kind, f"{key!r} is text that is no JSON object: {bad.reason}") from None
    if not isinstance(raw, dict):
        raise BadValue("bad_arguments", f"{key!r} must be an object, not {type(raw).__name__}")
    return raw
