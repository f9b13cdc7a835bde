"""A tool that somebody else wrote down (`mcp.py`): what of its name, its words and its schema is taken in.

All of it is text from outside. Names become names that a tool can have. Words lose what cannot be seen, and have a limit. A
schema is written out without references, so that its size is known before anything is checked against it; keywords that let it
run regular expressions here, or fetch something, or that hold what cannot be seen, are left out (the server can still check
them). That no mark in such a text becomes a turn is the dialects' business. Knows JSON Schema; does not know where the tool
comes from.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError as BadSchema
from jsonschema.exceptions import best_match

from fcutils.complaint import cut, no_such
from fcutils.messages import dumps
from fcutils.schema import Schema

MAX_WORDS = 1_000  # characters of one description
MAX_NODES = 2_000  # schemas in one tool's, references written out
MAX_DEPTH = 40
MAX_SIZE = 20_000  # characters of the whole definition, as JSON
_NOT_IN_A_NAME = re.compile("[^a-zA-Z0-9_-]+")
_NUMBERS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")
_LENGTHS = ("minLength", "maxLength", "minItems", "maxItems")
_PLAIN = ("required", "enum", "const", "format", "default", *_NUMBERS, *_LENGTHS)
_LISTED = ("anyOf", "oneOf", "allOf", "prefixItems")
_SINGLE = ("items", "additionalProperties", "not")


class ForeignError(ValueError):
    """A tool's definition that cannot be taken in, and why."""


def foreign_schema(name: str, description: str | None, parameters: Mapping[str, Any]) -> Schema:
    """The tool in OpenAI's form."""
    clean = _NOT_IN_A_NAME.sub("_", name).strip("_")[:64]
    if not clean:
        raise ForeignError(f"{name[:80]!r} cannot be made into a tool's name")
    try:
        known = _Intake(parameters).read(parameters)
        Draft202012Validator.check_schema(known)
    except BadSchema as error:
        raise ForeignError(f"its parameters are no JSON Schema: {error.message[:200]}") from None
    if known.setdefault("type", "object") != "object":
        raise ForeignError(f"its arguments are an object with named fields, not {str(known['type'])[:80]!r}")
    known.setdefault("properties", {})
    function = {"name": clean, "description": visible(description), "parameters": known}
    if (size := len(dumps(function))) > MAX_SIZE:
        raise ForeignError(f"it takes {size:,} characters to tell; {MAX_SIZE:,} are allowed")
    return {"type": "function", "function": function}


def visible(words: Any) -> str:
    """What a person would see of a text; where it is too long, it ends with a mark that says so."""
    text = words if isinstance(words, str) else ""
    return cut("".join(char for char in text if not _unseen(char)).strip(), MAX_WORDS)


def _unseen(text: str) -> bool:
    return any(char != "\n" and unicodedata.category(char)[0] == "C" for char in text)


def complaint(arguments: Any, parameters: Schema) -> str | None:
    """What is wrong with these arguments, or None."""
    if not isinstance(arguments, Mapping):
        return f"What was given as arguments is no object but a {type(arguments).__name__}."
    known = parameters["properties"]
    strays = [] if parameters.get("additionalProperties") else [key for key in arguments if key not in known]
    if strays:
        return no_such("argument", str(strays[0]), tuple(known))
    error = best_match(Draft202012Validator(parameters).iter_errors(dict(arguments)))
    if error is None:
        return None
    where = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in error.absolute_path)[1:101]
    return f"{f'Argument {where!r}' if where else 'The arguments'} will not do: {error.message[:300]}."


class _Intake:
    """One tool's schema, on its way in."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root, self._left = root, MAX_NODES

    def read(self, node: Any, within: tuple[str, ...] = (), depth: int = 0) -> Schema:
        """The schema with its references written out. `within`: those that lead here; one that leads into itself stays open."""
        self._left -= 1
        if self._left < 0 or depth > MAX_DEPTH:
            raise ForeignError(f"its parameters are larger than {MAX_NODES} schemas, or deeper than {MAX_DEPTH}")
        if not isinstance(node, Mapping):
            return {} if node is not False else {"not": {}}
        target = node.get("$ref")
        if isinstance(target, str):
            inner = {} if target in within else self.read(self._at(target), (*within, target), depth + 1)
            return {**inner, **self.read({key: node[key] for key in node if key != "$ref"}, within, depth + 1)}
        out: Schema = {"type": node["type"]} if "type" in node else {}
        if words := visible(node.get("description")):
            out["description"] = words
        if isinstance(node.get("properties"), Mapping):
            out["properties"] = {str(key): self.read(one, within, depth + 1) for key, one in node["properties"].items()}
            if hidden := next(filter(_unseen, out["properties"]), None):
                raise ForeignError(f"the name of its argument {ascii(hidden)[:80]} holds what cannot be seen")
        out |= {key: node[key] for key in _PLAIN if key in node and not _unseen(dumps(node[key]))}
        if len(dumps(out.get("default"))) > MAX_WORDS:  # a hint, and no place for a page of orders
            del out["default"]
        for key in _LISTED:
            if isinstance(node.get(key), list):
                out[key] = [self.read(one, within, depth + 1) for one in node[key]]
        for key in _SINGLE:
            if key in node:
                out[key] = node[key] if isinstance(node[key], bool) else self.read(node[key], within, depth + 1)
        return out

    def _at(self, target: str) -> Any:
        """What a reference points at; it must lie in the same schema."""
        node: Any = self._root
        for step in target.removeprefix("#").split("/")[1:]:
            step = step.replace("~1", "/").replace("~0", "~")
            node = node.get(step) if isinstance(node, Mapping) else None
        if not target.startswith("#") or node is None:
            raise ForeignError(f"its parameters point at {target[:80]!r}, which is not within them")
        return node
