"""Calls with a fault, and what the toolbox says of it: so that a model can learn to mend, from the words that it will be told.

Knows the faults that models make, and which parameters of a schema they can befall. The words are `complaint.py`'s, as the
toolbox writes them. The faulty call itself is never to be learnt: `writer.py` marks it.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from random import Random
from typing import Any

from pydantic import ValidationError
from pydantic_core import SchemaValidator
from pydantic_core import core_schema as core

from fcutils.complaint import complain_of_arguments, no_such
from fcutils.messages import Observation, ToolCall, dumps
from fcutils.universe.disguise import camel, snake, words_of

Schema = Mapping[str, Any]

EXTRAS = {
    "limit": 10,
    "language": "en",
    "verbose": True,
    "format": "json",
    "page": 1,
    "confirm": True,
    "user": "me",
    "sort": "asc",
}
AROUND = ("get", "new", "my", "the", "item", "value", "data", "info")  # a word too many in a name


def refused(call: ToolCall, tools: Sequence[Schema], rng: Random) -> tuple[ToolCall, Observation] | None:
    """A call that is wrong in one way, and what the toolbox answers; None where nothing can be wrong with it."""
    function = next(tool["function"] for tool in tools if tool["function"]["name"] == call.name)
    for make in rng.sample(FAULTS, len(FAULTS)):
        bad = make(call, function["parameters"], rng)
        if bad is not None and (said := complaint(bad, tools)) is not None:
            return bad, said
    return None


def complaint(call: ToolCall, tools: Sequence[Schema]) -> Observation | None:
    """What a toolbox with these tools says of this call before it runs it; None where there is nothing to say."""
    known = {tool["function"]["name"]: tool["function"]["parameters"] for tool in tools}
    if call.name not in known:
        return Observation(no_such("tool", call.name, tuple(known)), "unknown_tool", call.name)
    try:
        _validator(dumps(known[call.name])).validate_json(dumps(call.arguments), strict=True)
    except ValidationError as error:
        words = complain_of_arguments(error, call.arguments, known[call.name]["properties"])
        return Observation(words, "invalid_arguments", call.name)
    return None


# ---- faults ------------------------------------------------------------------------------------------------------------


def _tool_named_nearly(call: ToolCall, parameters: Schema, rng: Random) -> ToolCall | None:
    return ToolCall(_nearly(call.name, rng), call.arguments)


def _key_named_nearly(call: ToolCall, parameters: Schema, rng: Random) -> ToolCall | None:
    wrong = _chosen(call.arguments, rng)
    if wrong is None:
        return None
    new = _nearly(wrong, rng)
    return ToolCall(call.name, {new if key == wrong else key: value for key, value in call.arguments.items()})


def _key_too_many(call: ToolCall, parameters: Schema, rng: Random) -> ToolCall | None:
    extra = rng.choice(list(EXTRAS))
    return None if extra in parameters["properties"] else ToolCall(call.name, {**call.arguments, extra: EXTRAS[extra]})


def _one_missing(call: ToolCall, parameters: Schema, rng: Random) -> ToolCall | None:
    lost = _chosen([key for key in parameters.get("required", ()) if key in call.arguments], rng)
    return ToolCall(call.name, {key: value for key, value in call.arguments.items() if key != lost}) if lost else None


def _wrong_type(call: ToolCall, parameters: Schema, rng: Random) -> ToolCall | None:
    key = _chosen(call.arguments, rng)
    return _with(call, key, _mistaken(call.arguments[key], parameters["properties"][key], rng)) if key else None


def _wrong_choice(call: ToolCall, parameters: Schema, rng: Random) -> ToolCall | None:
    """One of a closed list, misspelt."""
    key = _chosen([key for key, value in call.arguments.items() if "enum" in parameters["properties"][key]], rng)
    return _with(call, key, _misspelt(call.arguments[key], rng)) if key else None


FAULTS: tuple[Callable[[ToolCall, Schema, Random], ToolCall | None], ...] = (
    _tool_named_nearly,
    _key_named_nearly,
    _key_too_many,
    _one_missing,
    _wrong_type,
    _wrong_choice,
)


def _chosen(keys: Any, rng: Random) -> str | None:
    return rng.choice(list(keys)) if keys else None


def _with(call: ToolCall, key: str, value: Any) -> ToolCall:
    return ToolCall(call.name, {**call.arguments, key: value})


def _nearly(name: str, rng: Random) -> str:
    """A name as one misremembers it: another style, a word less, a word more. At times it is the name itself."""
    words = words_of(name)
    dice = rng.random()
    if dice < 0.35 and len(words) > 1:
        words.pop(rng.randrange(len(words)))
    elif dice < 0.7:
        words.insert(rng.choice((0, len(words))), rng.choice(AROUND))
    return (camel if rng.random() < 0.3 else snake)(words)


def _mistaken(value: Any, spec: Schema, rng: Random) -> Any:
    """The value in a type that is not the parameter's."""
    if isinstance(value, bool):
        return rng.choice(("yes", "no")) if rng.random() < 0.3 else str(value).lower()
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, Mapping):
        return ", ".join(map(str, value.values()))
    if spec.get("format") == "date" and rng.random() < 0.7:
        return datetime.date.fromisoformat(value).strftime(rng.choice(("%d.%m.%Y", "%d %B %Y", "%m/%d/%Y")))
    return int(value) if value.isdigit() and value[0] != "0" else [value]


def _misspelt(value: Any, rng: Random) -> Any:
    if not isinstance(value, str) or len(value) < 4:
        return str(value).swapcase()
    at = rng.randrange(1, len(value) - 2)
    return rng.choice(
        (value.swapcase(), value.capitalize(), value + "s", value[:at] + value[at + 1] + value[at] + value[at + 2 :])
    )


# ---- a schema as what Pydantic checks by ---------------------------------------------------------------------------------


@lru_cache(4096)
def _validator(parameters: str) -> SchemaValidator:
    """Of Pydantic's inner schema: twenty times faster than a model with these fields, and the complaints are the same."""
    return SchemaValidator(_object(json.loads(parameters)))


def _object(spec: Schema) -> core.CoreSchema:
    required = spec.get("required", ())
    fields = {
        name: core.typed_dict_field(_type(inner), required=name in required) for name, inner in spec["properties"].items()
    }
    return core.typed_dict_schema(fields, extra_behavior="forbid")


def _type(spec: Schema) -> core.CoreSchema:
    if "enum" in spec:
        return core.literal_schema(spec["enum"])
    if spec["type"] == "array":
        return core.list_schema(_type(spec["items"]))
    if spec["type"] == "object":
        return _object(spec)
    return _PLAIN[spec.get("format") if spec.get("format") in _PLAIN else spec["type"]]


_PLAIN: Mapping[Any, core.CoreSchema] = {
    "string": core.str_schema(),
    "integer": core.int_schema(),
    "number": core.float_schema(allow_inf_nan=False),
    "boolean": core.bool_schema(),
    "date": core.date_schema(),
    "time": core.time_schema(),
    "date-time": core.datetime_schema(),
}
