"""A tool's JSON schema, narrowed to what a grammar can say and a weak model can finish: the same, with an end to everything.

Strings, lists, numbers and types that contain themselves get a limit where the schema has none; what the grammar cannot say is
left out, and named. Every value of a narrowed schema without gaps is one of the original's; what a tool's own types ask for
beyond their schema (a Decimal written as text) is still the toolbox's to find. Knows no dialect and no tokenizer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from llguidance import LLMatcher

Schema = Mapping[str, Any]

JSON_FORM = {  # the JSON that the house writes, and a model is trained on
    "whitespace_flexible": False,
    "item_separator": ", ",
    "key_separator": ": ",
    "coerce_one_of": True,
    "json_allow_general_unicode_escapes": True,
}


@dataclass(frozen=True, slots=True)
class Caps:
    """Where a call ends when neither the model nor the schema ends it. A schema that sets a lower limit keeps it."""

    string: int = 1000  # characters
    items: int = 20  # of a list, of an object whose keys are free, of one list of calls
    depth: int = 4  # of values without a type, and of types inside themselves
    digits: int = 15  # before the point
    fraction: int = 6  # digits behind it
    thought: int = 1000  # characters before a call that must come

    def __post_init__(self) -> None:
        if min(self.string, self.items, self.depth, self.digits, self.fraction, self.thought) < 1:
            raise ValueError(f"every cap is at least 1: {self}")


class Narrowed(NamedTuple):
    """A schema that a grammar can say, and what it leaves to the toolbox."""

    schema: dict[str, Any]
    gaps: tuple[str, ...]


class _Said(NamedTuple):
    """A part of a schema. False: no value fits within the caps."""

    schema: dict[str, Any] | bool
    gaps: tuple[str, ...] = ()


def narrow(parameters: Schema, caps: Caps) -> Narrowed:
    """The schema of a tool's arguments. Where it cannot be said at all, its keys are held, and nothing else."""
    narrowing = _Narrowing({**parameters.get("definitions", {}), **parameters.get("$defs", {})}, caps)
    said = narrowing.node({"type": "object", "properties": {}, **parameters}, ())
    whole = narrowing.whole(said.schema)
    if said.schema is False:
        error = "no value ends within the caps"
    elif not (error := complaint(whole)):
        return Narrowed(whole, said.gaps)
    loose = _Narrowing({}, caps)
    keys = {"properties": dict.fromkeys(parameters.get("properties", {}), True), "required": parameters.get("required", [])}
    bare = loose.whole(loose.node({"type": "object", **keys}, ()).schema)
    return Narrowed(bare, (f"all types ({error.splitlines()[0]})",))


def complaint(schema: Schema) -> str:
    """Why no grammar says this; '' if one does."""
    return LLMatcher.validate_grammar(LLMatcher.grammar_from_json_schema(dict(schema)))


_NOTES = {"title", "description", "default", "examples", "example", "deprecated", "readOnly", "writeOnly", "discriminator"}
_NOTES |= {"$comment", "$schema", "$id", "$defs", "definitions", "nullable", "contentEncoding", "contentMediaType"}
_TYPED = {
    "object": {"properties", "required", "additionalProperties", "patternProperties", "propertyNames"}
    | {"minProperties", "maxProperties"},
    "array": {"items", "prefixItems", "minItems", "maxItems"},
    "string": {"pattern", "format", "minLength", "maxLength"},
    "number": {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"},
}
_TYPED["integer"] = _TYPED["number"]
_KEYWORDS = set().union(*_TYPED.values())

_DAY = (
    r"(?:(?:[1-9][0-9]{3})-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
    r"|02-(?:0[1-9]|1[0-9]|2[0-8]))|(?:[1-9][0-9](?:0[48]|[2468][048]|[13579][26])|(?:[2468][048]|[13579][26])00)-02-29)"
)
_HOUR = r"(?:[01][0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9](?:\.[0-9]{1,6})?)?"
_ZONE = r"(?:Z|[+-](?:0[0-9]|1[0-2]):[0-5][0-9])?"
_HOST = r"[a-z0-9](?:[a-z0-9]{0,20}[a-z0-9])?(?:\.[a-z][a-z0-9]{1,20}){1,3}"
_SPAN = r"(?:[0-9]{1,4}H(?:[0-9]{1,2}M)?(?:[0-9]{1,2}S)?|[0-9]{1,4}M(?:[0-9]{1,2}S)?|[0-9]{1,4}S)"
_HEX = "[0-9a-f]"
_FORMATS = {  # as Pydantic reads them: stricter (no 30 February) or more lenient (a time without a zone) than llguidance's
    "date": _DAY,
    "time": _HOUR + _ZONE,
    "date-time": f"{_DAY}T{_HOUR}{_ZONE}",
    "duration": f"P(?:[0-9]{{1,4}}W|[0-9]{{1,4}}D|(?:[0-9]{{1,4}}D)?T{_SPAN})",
    "email": rf"[a-z0-9_+-]{{1,24}}(?:\.[a-z0-9_+-]{{1,24}})?@{_HOST}",
    "uri": rf"https?://{_HOST}(?::[1-9][0-9]{{0,3}})?(?:/[A-Za-z0-9._~-]{{0,100}}){{0,8}}(?:\?[A-Za-z0-9._~=&-]{{0,100}})?",
    "uuid": f"{_HEX}{{8}}-{_HEX}{{4}}-[1-5]{_HEX}{{3}}-[89ab]{_HEX}{{3}}-{_HEX}{{12}}",
    **{f"uuid{n}": f"{_HEX}{{8}}-{_HEX}{{4}}-{n}{_HEX}{{3}}-[89ab]{_HEX}{{3}}-{_HEX}{{12}}" for n in (1, 3, 4, 5)},
}
_LLGUIDANCE_FORMATS = {"ipv4", "ipv6", "hostname"}
_ANY_TEXT = {"binary", "password", "path"}  # formats that every text has


@dataclass(slots=True)
class _Narrowing:
    """One schema on its way. `path`: the definitions that lead to a node, for those that contain themselves."""

    definitions: Mapping[str, Any]
    caps: Caps
    _made: dict[str, dict[str, Any]] = field(default_factory=dict)
    _known: dict[tuple[str, frozenset[tuple[str, int]]], _Said] = field(default_factory=dict)

    def whole(self, schema: Any) -> dict[str, Any]:
        return {**(schema or {}), "$defs": self._made, "x-guidance": JSON_FORM}

    def node(self, node: Any, path: tuple[str, ...], at: str = "") -> _Said:
        """Any schema. `at`: where it stands, for gaps."""
        if node is False:
            return _Said(False)
        node = {} if node is True else {key: value for key, value in node.items() if key not in _NOTES and key[:2] != "x-"}
        if "$ref" in node:
            return self._reference(node, path, at)
        if several := node.pop("allOf", None):
            return self._all(node, several, path, at)
        for key in ("anyOf", "oneOf"):
            if key in node:
                rest = {other: value for other, value in node.items() if other != key}
                return self._either(
                    [branch if branch is False else {**rest, **_dict(branch)} for branch in node[key]], path, at
                )
        if isinstance(node.get("type"), list):
            return self._either([{**node, "type": kind} for kind in node["type"]], path, at)
        if "const" in node or "enum" in node:
            values = [node["const"]] if "const" in node else list(node["enum"])
            return _Said({"enum": values} if values else False)
        return self._typed(node, path, at)

    def _typed(self, node: dict[str, Any], path: tuple[str, ...], at: str) -> _Said:
        kind = node.pop("type", None) or next((kind for kind, keys in _TYPED.items() if keys & node.keys()), None)
        strange = tuple(_gap(at, key) for key in node if key not in _KEYWORDS)  # another type's say nothing here
        match kind:
            case "object":
                said = self._object(node, path, at)
            case "array":
                said = self._array(node, path, at)
            case "string":
                said = self._string(node, at)
            case "integer" | "number":
                said = _Said(self._number(kind, node))
            case "boolean" | "null":
                said = _Said({"type": kind})
            case None:
                said = _Said(self._any(self.caps.depth))
            case _:
                raise ValueError(f"there is no type {kind!r} in a schema")
        return _Said(said.schema, (*said.gaps, *strange))

    def _reference(self, node: dict[str, Any], path: tuple[str, ...], at: str) -> _Said:
        """A definition, as deep inside itself as the caps allow: every depth is a definition of its own."""
        name = node["$ref"].rsplit("/", 1)[-1]
        if name not in self.definitions:
            return _Said(self._any(self.caps.depth), (_gap(at, f"$ref {node['$ref']}"),))
        if len(node) > 1:
            target, rest = self.definitions[name], {key: value for key, value in node.items() if key != "$ref"}
            return self.node({**_dict(target), **rest}, (*path, name), at)
        if path.count(name) >= self.caps.depth:
            return _Said(False)
        key = (name, frozenset(Counter((*path, name)).items()))
        if key not in self._known:
            said = self.node(self.definitions[name], (*path, name), at)
            if isinstance(said.schema, dict):
                own = f"{name}-{len(self._made)}"
                self._made[own] = said.schema
                said = _Said({"$ref": f"#/$defs/{own}"}, said.gaps)
            self._known[key] = said
        return self._known[key]

    def _all(self, node: dict[str, Any], several: Sequence[Any], path: tuple[str, ...], at: str) -> _Said:
        if len(several) == 1:
            return self.node({**_dict(several[0]), **node}, path, at)
        said = self.node({**node, **_dict(several[0])}, path, at)
        return _Said(said.schema, (*said.gaps, _gap(at, "allOf")))

    def _either(self, branches: Sequence[Any], path: tuple[str, ...], at: str) -> _Said:
        """What can be said in full, if that is more than null; a branch with a gap is only taken for want of a better one."""
        said = [one for one in (self.node(branch, path, at) for branch in branches) if one.schema is not False]
        if any(not one.gaps and one.schema != {"type": "null"} for one in said):
            said = [one for one in said if not one.gaps]
        if not said:
            return _Said(False)
        schemas = [one.schema for one in said]
        gaps = tuple(dict.fromkeys(gap for one in said for gap in one.gaps))
        return _Said(said[0].schema if len(said) == 1 else {"anyOf": schemas}, gaps)

    def _string(self, node: dict[str, Any], at: str) -> _Said:
        least = node.get("minLength", 0)
        length: dict[str, Any] = {"minLength": least, "maxLength": _most(node.get("maxLength"), self.caps.string, least)}
        pattern, form, gaps = node.get("pattern"), node.get("format"), []
        if form in _FORMATS and pattern is None:
            return _Said({"type": "string", "pattern": f"^(?:{_FORMATS[form]})$"})
        if form in _LLGUIDANCE_FORMATS and pattern is None:
            return _Said({"type": "string", "format": form})
        if form is not None and form not in _ANY_TEXT:
            gaps.append(_gap(at, f"format {form}"))
        if pattern is None:
            return _Said({"type": "string", **length}, tuple(gaps))
        own: dict[str, Any] = {key: node[key] for key in ("minLength", "maxLength") if key in node}
        for limits in (length, own):
            held: dict[str, Any] = {"type": "string", "pattern": pattern, **limits}
            if not complaint(held):
                return _Said(held, tuple(gaps))
        return _Said({"type": "string", **length}, (*gaps, _gap(at, f"pattern {pattern}")))

    def _number(self, kind: str, node: dict[str, Any]) -> dict[str, Any]:
        """Between two ends, and of so many digits."""
        most = 10**self.caps.digits - 1
        low = next((node[key] for key in ("minimum", "exclusiveMinimum") if key in node), None)
        high = next((node[key] for key in ("maximum", "exclusiveMaximum") if key in node), None)
        out = {"type": kind, **{key: node[key] for key in _TYPED["number"] & node.keys()}}
        if low is None:
            out["minimum"] = -most if high is None or high > -most else 10 * high
        if high is None:
            out["maximum"] = most if low is None or low < most else 10 * low
        return out if kind == "integer" else {"multipleOf": 10**-self.caps.fraction, **out}

    def _array(self, node: dict[str, Any], path: tuple[str, ...], at: str) -> _Said:
        first = [self.node(item, path, f"{at}[{place}]") for place, item in enumerate(node.get("prefixItems", ()))]
        rest = self.node(node.get("items", True), path, f"{at}[]")
        least = node.get("minItems", 0)
        most = _most(node.get("maxItems"), self.caps.items, least)
        if (first and "items" not in node) or rest.schema is False:
            most = min(most, len(first))
        if any(item.schema is False for item in first[:least]) or least > most:
            return _Said(False)
        out: dict[str, Any] = {"type": "array", "minItems": least, "maxItems": most}
        out |= {"prefixItems": [item.schema for item in first]} if first else {}
        out |= {"items": rest.schema} if most > len(first) else {}
        return _Said(out, tuple(gap for item in (*first, rest) for gap in item.gaps))

    def _object(self, node: dict[str, Any], path: tuple[str, ...], at: str) -> _Said:
        properties = dict(node.get("properties", {}))
        names = node.get("propertyNames", {})
        if "properties" not in node and "enum" not in names:
            return self._free_keys(node, names, path, at)
        for name in names.get("enum", ()):
            properties.setdefault(name, node.get("additionalProperties", True))
        required = list(node.get("required", ()))
        said = {name: self.node(properties.get(name, True), path, _inside(at, name)) for name in (*properties, *required)}
        if any(said[name].schema is False for name in required):
            return _Said(False)
        held = {name: one.schema for name, one in said.items() if one.schema is not False}
        gaps = [gap for one in said.values() for gap in one.gaps]
        gaps += [_gap(at, key) for key in ("minProperties", "maxProperties") if key in node]
        return _Said({"type": "object", "properties": held, "required": required, "additionalProperties": False}, tuple(gaps))

    def _free_keys(self, node: dict[str, Any], names: Schema, path: tuple[str, ...], at: str) -> _Said:
        """An object whose keys nobody names; one key twice is the same as once."""
        least = node.get("minProperties", 0)
        most = _most(node.get("maxProperties"), self.caps.items, least)
        kinds = dict(node.get("patternProperties", {}))
        if not kinds:
            longest = min(self.caps.string, names.get("maxLength", 64))
            pattern = names.get("pattern", f"^.{{{names.get('minLength', 1)},{longest}}}$")
            kinds = {pattern: node.get("additionalProperties", True)}
        gaps = [_gap(at, f"propertyNames {key}") for key in names if key not in ("pattern", "minLength", "maxLength", "type")]
        gaps += [_gap(at, "minProperties")] if least > 1 else []  # one key may come twice
        said = {pattern: self.node(kind, path, f"{at}{{}}") for pattern, kind in kinds.items()}
        held = {pattern: one.schema for pattern, one in said.items() if one.schema is not False}
        gaps += [gap for one in said.values() for gap in one.gaps]
        if not held and least:
            return _Said(False)
        out = {"type": "object", "patternProperties": held, "additionalProperties": False}
        limits = {"minProperties": least, "maxProperties": most} if held else {}
        return _Said({**out, **limits}, tuple(gaps))

    def _any(self, depth: int) -> dict[str, Any]:
        """A value of whatever type."""
        own = f"any-{depth}"
        if own not in self._made:
            text, number = {"type": "string", "maxLength": self.caps.string}, self._number("number", {})
            kinds: list[Any] = [{"type": "null"}, {"type": "boolean"}, number, text]
            self._made[own] = {"anyOf": kinds}
            if depth > 1:
                inner = self._any(depth - 1)
                free = {"type": "object", "patternProperties": {"^.{1,64}$": inner}, "additionalProperties": False}
                kinds += [{"type": "array", "items": inner, "maxItems": self.caps.items}]
                kinds += [{**free, "maxProperties": self.caps.items}]
        return {"$ref": f"#/$defs/{own}"}


def _most(own: int | None, cap: int, least: int) -> int:
    """The schema's own limit or the cap, whichever is lower; a cap is never below what the schema asks for."""
    return max(cap, least) if own is None else min(own, max(cap, least))


def _dict(schema: Any) -> dict[str, Any]:
    return dict(schema) if isinstance(schema, Mapping) else {}


def _inside(at: str, name: str) -> str:
    return f"{at}.{name}" if at else name


def _gap(at: str, what: str) -> str:
    return f"{at}: {what}" if at else what
