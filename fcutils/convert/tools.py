"""Other people's tool definitions -> OpenAI's form.

Knows definitions as text (JSON, Python's way of printing it, or one after the other), parameters as a flat list or as a schema,
and types as Python writes them: `List[int], optional`. It does not know which layout it reads.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from datetime import date, datetime, time
from functools import lru_cache
from typing import Any, Literal, Optional, Union

from jsonschema import Draft202012Validator
from pydantic import TypeAdapter
from pydantic.errors import PydanticUserError

from fcutils.parsing.scanner import BadValue, read_object
from fcutils.parsing.source import Source

Schema = dict[str, Any]
MAX_TYPE = 300  # characters


class BrokenRow(ValueError):
    """A row that cannot be read; the message is the reason."""


def tool_name(name: Any) -> str:
    """The name as a function can have it: whatever is not a letter, digit, `_`, `-` or `.` becomes an underscore."""
    clean = re.sub(r"[^A-Za-z0-9_.-]+", "_", name).strip("_") if isinstance(name, str) else ""
    if not clean:
        raise BrokenRow(f"{name!r} cannot be a tool's name")
    return name if clean == name.strip("_") else clean


def tools_in(raw: Any) -> list[Schema]:
    """Tools from a list of definitions, or from a text that holds them."""
    entries = objects_in(raw)[0] if isinstance(raw, str) else raw
    if not isinstance(entries, list):
        raise BrokenRow(f"tools must be a list, not {type(raw).__name__}")
    return [_tool(entry) for entry in entries]


def objects_in(text: str) -> tuple[list[dict[str, Any]], str]:
    """The objects in a text, and the text around them."""
    source, found, around = Source(text, ended=True), [], []
    while (at := text.find("{", source.pos)) >= 0:
        around.append(text[source.pos : at])
        source.pos = at
        try:
            next(read_object(source))
        except StopIteration as done:
            found.append(done.value)
        except BadValue as bad:
            raise BrokenRow(f"a definition or result that cannot be read ({bad.reason}): {text[at : at + 60]!r}") from None
    return found, "".join([*around, text[source.pos :]])


def _tool(entry: Any) -> Schema:
    function = entry.get("function", entry) if isinstance(entry, Mapping) else None
    if not isinstance(function, Mapping):
        raise BrokenRow(f"a tool must be an object, not {entry!r:.60}")
    name, parameters = tool_name(function.get("name")), function.get("parameters") or {}
    if not isinstance(parameters, Mapping):
        raise BrokenRow(f"tool {name}: its parameters must be an object, not {type(parameters).__name__}")
    try:
        schema = _schema(parameters) if _is_schema(parameters) else _flat(parameters)
    except RecursionError:
        raise BrokenRow(f"tool {name}: its parameters are nested too deeply") from None
    except BrokenRow as broken:
        raise BrokenRow(f"tool {name}: {broken}") from None
    schema = {"type": "object", "properties": {}, **schema}
    description = function.get("description")
    return {
        "type": "function",
        "function": {"name": name, "description": description if isinstance(description, str) else "", "parameters": schema},
    }


def _is_schema(parameters: Mapping[str, Any]) -> bool:
    """Whether these are a JSON Schema; in a flat list, `type` and `properties` are parameters of that name."""
    inner = parameters.get("properties")
    if isinstance(parameters.get("type"), str):
        return True
    return isinstance(inner, Mapping) and all(isinstance(value, Mapping) for value in inner.values())


def _flat(parameters: Mapping[str, Any]) -> Schema:
    """`{"city": {"type": "str, optional", "description": …, "default": …}}`. What has a default need not be given; the default
    stays if it is of its own type.
    """
    properties, required = {}, []
    for name, told in parameters.items():
        if not isinstance(told, Mapping):
            raise BrokenRow(f"parameter {name}: it must be an object, not {told!r:.40}")
        kind = told.get("type")
        schema, optional = _python_type(kind) if kind is not None else ({}, False)
        default = told.get("default")
        properties[name] = {**schema, **_described(told)}
        if default is not None and Draft202012Validator(schema).is_valid(default):
            properties[name]["default"] = default
        if not optional and default is None:
            required.append(name)
    return {"type": "object", "properties": properties, "required": required}


def _described(told: Mapping[str, Any]) -> Schema:
    description = told.get("description")
    return {"description": description} if isinstance(description, str) and description else {}


_NAMED = ("properties", "patternProperties", "$defs")  # keywords that hold schemas by name,
_LISTED = ("anyOf", "oneOf", "allOf", "prefixItems")  # in a list,
_SINGLE = ("items", "additionalProperties")  # or one


def _schema(node: Mapping[str, Any]) -> Schema:
    """A JSON Schema with Python's types replaced, and without the nulls that Arrow puts where a key is missing."""
    out: Schema = {}
    for key, value in node.items():
        if key == "type" and value is not None:
            kinds = [_python_type(kind)[0] for kind in (value if isinstance(value, list) else [value])]
            out |= kinds[0] if len(kinds) == 1 else {"anyOf": kinds}
    for key, value in node.items():
        if key == "type" or (value is None and key not in ("default", "const")):
            continue
        if key in _NAMED and isinstance(value, Mapping):
            value = {name: _inner(inner) for name, inner in value.items() if inner is not None}
        elif key in _LISTED and isinstance(value, list):
            value = [_inner(inner) for inner in value]
        elif key in _SINGLE:
            value = _inner(value)
        out[key] = value
    return out


def _inner(node: Any) -> Any:
    return _schema(node) if isinstance(node, Mapping) else node


# ---- types as Python writes them -----------------------------------------------------------------------------------

_OPTIONAL = re.compile(r"[,\s]\s*\(?(?:optional|default)\b")
_TYPES: Mapping[str, Any] = {
    **dict.fromkeys(("str", "string"), str),
    **dict.fromkeys(("int", "integer"), int),
    **dict.fromkeys(("float", "number", "double"), float),
    **dict.fromkeys(("bool", "boolean"), bool),
    **dict.fromkeys(("list", "array", "set", "frozenset", "sequence", "iterable"), list),
    **dict.fromkeys(("dict", "object", "mapping"), dict),
    **dict.fromkeys(("none", "null"), None),
    "tuple": tuple,
    "any": Any,
    "date": date,
    "time": time,
    "datetime": datetime,
    "callable": str,  # code can be handed over as text only
}


def _python_type(text: Any) -> tuple[Schema, bool]:
    """The JSON Schema of a type, and whether a value may be left out."""
    if not isinstance(text, str) or len(text) > MAX_TYPE:
        raise BrokenRow(f"a type must be a short text, not {text!r:.60}")
    return _read_type(text)


@lru_cache(4096)
def _read_type(text: str) -> tuple[Schema, bool]:
    told = _OPTIONAL.search(text)
    try:
        kind = _built(ast.parse(text[: told.start()] if told else text, mode="eval").body)
        schema = _plain(TypeAdapter(kind).json_schema())
    except (SyntaxError, ValueError, TypeError, LookupError, RecursionError, MemoryError, PydanticUserError):
        raise BrokenRow(f"no JSON Schema for the type {text!r:.60}") from None
    return schema, bool(told) or {"type": "null"} in schema.get("anyOf", ())


def _built(node: ast.expr) -> Any:
    """The type that the parsed text stands for; only known names count, and nothing is evaluated."""
    match node:
        case ast.Constant(value=None):
            return None
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return _TYPES[name.lower()]
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return Union[_built(left), _built(right)]  # noqa: UP007
        case ast.Subscript(value=ast.Name(id=name) | ast.Attribute(attr=name), slice=inside):
            return _generic(name.lower(), inside.elts if isinstance(inside, ast.Tuple) else [inside])
    raise TypeError("not a type")


def _generic(name: str, inside: list[ast.expr]) -> Any:
    if name == "callable":
        return str
    if name == "literal":
        return Literal[tuple(ast.literal_eval(value) for value in inside)]
    kinds = tuple(... if isinstance(arg, ast.Constant) and arg.value is ... else _built(arg) for arg in inside)
    if name == "union":
        return Union[kinds]  # noqa: UP007
    if name == "optional":
        return Optional[kinds[0]]  # noqa: UP045
    return _TYPES[name][kinds]


def _plain(schema: Any) -> Any:
    """Without what goes without saying: any items, any keys."""
    if not isinstance(schema, dict):
        return [_plain(value) for value in schema] if isinstance(schema, list) else schema
    said = {key: _plain(value) for key, value in schema.items()}
    return {key: value for key, value in said.items() if (key, value) not in (("items", {}), ("additionalProperties", True))}
