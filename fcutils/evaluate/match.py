"""The AST match: whether the calls of a reply are the calls that were wanted.

Knows names, types and values; it does not know why a call is wrong (`misses.py`), nor where the rows come from (`rows.py`).

The rules are those which the Berkeley Function-Calling Leaderboard publishes:
- the name must be the same;
- every required parameter must be there, no parameter may be there that nobody wanted; an optional one may be left out where
  `""` stands among its acceptable answers;
- a value must have the declared type, or that of one of its acceptable answers. An integer passes for a float; nothing else
  is converted: `5.0` is no integer, `"5"` no number, `True` not 1;
- strings are compared without case, without white space and `,./-_*^`, and with `'` as `"`;
- lists must have the same elements in the same order; in an object each key has its own list of acceptable answers;
- several calls may come in any order, but there must be as many as were wanted.

Where this house differs:
- calls are paired with what was wanted by a maximum matching. Upstream takes the first call that fits each wanted one in turn,
  and may so find no partner for the last one although there is a pairing in which everybody has one;
- an integer passes for a float at every depth, and strings are compared in that loose way at every depth;
- `.` in a wanted name may be written `_` where no other tool has that name, for every model (many servers allow no dots);
- `""` as an answer means "may be left out" and the empty string alike, as it does upstream; a gold call of this house's own
  rows that gives `""` means the empty string and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from fcutils.messages import ToolCall

Schema = Mapping[str, Any]


class _LeftOut:
    """Among a parameter's acceptable answers: it need not be given."""

    def __repr__(self) -> str:
        return "(left out)"


LEFT_OUT: Final = _LeftOut()

_GONE = str.maketrans("'", '"', ",./-_*^")
_TYPES: Mapping[str, Callable[[Any], bool]] = {
    "string": lambda value: isinstance(value, str),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "boolean": lambda value: isinstance(value, bool),
    "array": lambda value: isinstance(value, list | tuple),
    "object": lambda value: isinstance(value, Mapping),
    "null": lambda value: value is None,
}


@dataclass(frozen=True, slots=True)
class Want:
    """A call that would be right: the tool, and for each parameter all values that will do.

    Inside a value, an object is again a list of acceptable values for each key; a list is a list of such values.
    """

    name: str
    accept: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    parameters: Schema = field(default_factory=dict)  # of the tool: a JSON schema


def want(call: ToolCall, parameters: Schema, acceptable: Mapping[str, Sequence[Any]] | None = None) -> Want:
    """What a gold call wants. `acceptable` says which values will do, where it names a parameter (`""`: may be left out).

    Of the others only the gold value will do; an optional parameter may be left out where that is the schema's default, and
    a default may be said where gold leaves it out.
    """
    accept = _accept_exactly(call.arguments, parameters)
    for name, values in (acceptable or {}).items():
        accept[name] = acceptable_answers(values)
    return Want(call.name, accept, parameters)


def acceptable_answers(values: Sequence[Any]) -> list[Any]:
    """The Berkeley layout's list of answers, with its `""` as what it means."""
    return [_answer(value) for value in values] + ([LEFT_OUT] if "" in values else [])


def example(wanted: Want) -> ToolCall:
    """One call that is acceptable."""
    return ToolCall(wanted.name, plain(wanted.accept))


def plain(answer: Any) -> Any:
    """An acceptable answer as a value: of an object's keys, what comes first and says something."""
    if isinstance(answer, Mapping):
        first = ((key, _telling(values)) for key, values in answer.items())
        return {key: plain(one) for key, one in first if one is not LEFT_OUT}
    return [plain(item) for item in answer] if isinstance(answer, list) else answer


def matches(call: ToolCall, wanted: Want) -> bool:
    """Whether this call is the wanted one."""
    return call.name == wanted.name and arguments_match(call.arguments, wanted.accept, wanted.parameters)


def arguments_match(given: Mapping[str, Any], accept: Mapping[str, Sequence[Any]], schema: Schema) -> bool:
    """Whether each argument is acceptable, and nothing is missing or too much."""
    return given.keys() <= accept.keys() and all(
        value_matches(given[name], values, property_of(schema, name)) if name in given else LEFT_OUT in values
        for name, values in accept.items()
    )


def value_matches(given: Any, accept: Sequence[Any], schema: Schema) -> bool:
    """Whether a value has a type that will do and equals one of the acceptable answers."""
    return type_fits(given, accept, schema) and any(_equal(given, answer, schema) for answer in accept)


def type_fits(given: Any, accept: Sequence[Any], schema: Schema) -> bool:
    """Whether a value has the declared type, or, failing that, the type of an acceptable answer."""
    declared = types_of(schema)
    if any(_TYPES[kind](given) for kind in declared):
        return True
    return any(_same_type(given, answer, widen=not declared) for answer in accept if answer is not LEFT_OUT)


def types_of(schema: Schema) -> list[str]:
    """The JSON types that a schema allows; none where it does not say."""
    kinds = schema.get("type")
    found = [kind for kind in (kinds if isinstance(kinds, list) else [kinds]) if isinstance(kind, str) and kind in _TYPES]
    for branch in (*schema.get("anyOf", ()), *schema.get("oneOf", ())):
        found += types_of(branch)
    return found


def property_of(schema: Schema, name: str) -> Schema:
    """The schema of one property, through the branches of a union."""
    for branch in (schema, *schema.get("anyOf", ()), *schema.get("oneOf", ())):
        if name in branch.get("properties", {}):
            return branch["properties"][name]
    return {}


def items_of(schema: Schema) -> Schema:
    """The schema of a list's elements, through the branches of a union."""
    for branch in (schema, *schema.get("anyOf", ()), *schema.get("oneOf", ())):
        if isinstance(branch.get("items"), Mapping):
            return branch["items"]
    return {}


def standard(text: str) -> str:
    """A string as it is compared."""
    return "".join(text.split()).translate(_GONE).lower()


def rename(calls: Iterable[ToolCall], names: Sequence[str]) -> tuple[ToolCall, ...]:
    """Calls with the dots that their tools' names have, where the model wrote `_` for them and no tool is really called so."""
    by_spelling: dict[str, list[str]] = {}
    for name in dict.fromkeys(names):
        by_spelling.setdefault(name.replace(".", "_"), []).append(name)
    meant = {spelt: found[0] for spelt, found in by_spelling.items() if len(found) == 1 and spelt not in names}
    return tuple(ToolCall(meant.get(call.name, call.name), call.arguments, call.id) for call in calls)


def pair(calls: Sequence[ToolCall], wants: Sequence[Want]) -> dict[int, int]:
    """A pairing of wanted calls with calls that match them, as large as there can be: number of the want -> of the call."""
    fitting = [[number for number, call in enumerate(calls) if matches(call, wanted)] for wanted in wants]
    owner: dict[int, int] = {}  # call -> want

    def find(wanted: int, seen: set[int]) -> bool:
        """Finds a call for this want, if need be by finding another one for whoever has it."""
        for number in fitting[wanted]:
            if number not in seen:
                seen.add(number)
                if number not in owner or find(owner[number], seen):
                    owner[number] = wanted
                    return True
        return False

    for wanted in range(len(wants)):
        find(wanted, set())
    return {wanted: number for number, wanted in owner.items()}


# ---- values ------------------------------------------------------------------------------------------------------------


def _telling(values: Sequence[Any]) -> Any:
    """The first of these answers that says something."""
    return next((value for value in values if value not in ("", LEFT_OUT)), LEFT_OUT if LEFT_OUT in values else "")


def _accept_exactly(arguments: Mapping[str, Any], schema: Schema) -> dict[str, list[Any]]:
    """Each argument's gold value as its only acceptable answer, and what the schema's defaults allow beside it."""
    required = schema.get("required", ())
    accept: dict[str, list[Any]] = {}
    for name, value in arguments.items():
        known = property_of(schema, name)
        usual = name not in required and "default" in known and known["default"] == value
        accept[name] = [_exact(value, known), *([LEFT_OUT] if usual else [])]
    for name, known in schema.get("properties", {}).items():
        if name not in arguments and name not in required and "default" in known:
            accept[name] = [LEFT_OUT, _exact(known["default"], known)]
    return accept


def _exact(value: Any, schema: Schema) -> Any:
    if isinstance(value, Mapping):
        return _accept_exactly(value, schema)
    if isinstance(value, list | tuple):
        return [_exact(item, items_of(schema)) for item in value]
    return value


def _answer(value: Any) -> Any:
    """One acceptable answer of the Berkeley layout: an object has a list of answers for each key."""
    if isinstance(value, Mapping):
        return {key: acceptable_answers(inner if isinstance(inner, list) else [inner]) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_answer(item) for item in value]
    return value


def _equal(given: Any, answer: Any, schema: Schema) -> bool:
    """Whether a value is this answer; its own type is settled, those of its parts are not."""
    if answer is LEFT_OUT:
        return False
    if isinstance(answer, Mapping):
        return isinstance(given, Mapping) and arguments_match(given, answer, schema)
    if isinstance(answer, list):
        return (
            isinstance(given, list | tuple)
            and len(given) == len(answer)
            and all(value_matches(one, [other], items_of(schema)) for one, other in zip(given, answer, strict=True))
        )
    if isinstance(answer, str) and isinstance(given, str):
        return standard(given) == standard(answer)
    return isinstance(given, bool) == isinstance(answer, bool) and given == answer


def _same_type(given: Any, answer: Any, widen: bool) -> bool:
    """Whether two values are of one JSON type. `widen`: an integer passes for a float."""
    if isinstance(given, bool) or isinstance(answer, bool):
        return isinstance(given, bool) and isinstance(answer, bool)
    if isinstance(given, int | float) and isinstance(answer, int | float):
        return isinstance(given, type(answer)) or (widen and isinstance(given, int))
    return any(fits(given) and fits(answer) for fits in _TYPES.values())
