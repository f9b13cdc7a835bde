"""What is wrong with a value, in one or two sentences that help whoever wrote it: which part, what was given, what is wanted.

Knows Pydantic's errors and puts them in a model's words; cuts what is too long. Does not know tools.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from pydantic import BaseModel, ValidationError
from pydantic_core import to_jsonable_python

from fcutils.messages import dumps

Properties = Mapping[str, Mapping[str, Any]]  # of a tool's schema: what each argument is
Path = tuple[str | int, ...]
_MOST = 2  # sentences; the rest is counted


class _Trouble(NamedTuple):
    """One part of a value and all that Pydantic has against it: each branch of a union has its say."""

    path: Path
    given: Any
    kinds: list[str]
    words: list[str]


def complain_of_arguments(error: ValidationError, arguments: Mapping[str, Any], properties: Properties) -> str:
    """Why these arguments will not do."""
    missing: list[str] = []
    sentences: list[str] = []
    for trouble in _troubles(error, arguments):
        if "missing" in trouble.kinds:
            missing.append(f"'{_write(trouble.path)}'{_type_of(trouble.path, properties)}")
        elif "extra_forbidden" in trouble.kinds:
            known = tuple(properties) if len(trouble.path) == 1 else ()
            sentences.append(no_such("argument", _write(trouble.path), known))
        else:
            subject = f"Argument '{_write(trouble.path)}'" if trouble.path else "What was given as arguments"
            sentences.append(_sentence(subject, trouble))
    if missing:
        sentences.append(f"{'Arguments' if len(missing) > 1 else 'Argument'} {_listed(missing)} must be given.")
    return _together(sentences)


def complain_of_result(error: ValidationError, result: Any) -> str:
    """Why a tool's result, as JSON, is not what the tool declares."""
    sentences = []
    for trouble in _troubles(error, result):
        subject = f"'{_write(trouble.path)}' in the tool's result" if trouble.path else "The tool's result"
        sentences.append(f"{subject} is missing." if "missing" in trouble.kinds else _sentence(subject, trouble))
    return _together(sentences)


def no_such(what: str, name: str, known: Sequence[str]) -> str:
    """That a name is wrong, with the nearest right one, or the first few there are. Look-alikes of ASCII letters are shown."""
    name = name if len(name) <= 100 else name[:100] + "…"
    said = f"There is no {what} {ascii(name) if all(map(str.isascii, known)) else repr(name)}"
    nearest = difflib.get_close_matches(name, known, 1)
    if nearest:
        return f"{said}; did you mean '{nearest[0]}'?"
    return f"{said}; there {'is' if len(known) == 1 else 'are'} {_listed([repr(n) for n in known])}." if known else f"{said}."


def boolean_for_integer(given: Any, read: Any, path: Path = ()) -> str | None:
    """What to say of a boolean taken for 1 or 0: Pydantic, strict or not, does so in a `Literal` or `Enum` of integers."""
    if isinstance(given, bool):
        plain = getattr(read, "value", read)  # an Enum's
        taken = plain == given and not isinstance(plain, bool)
        return f"Argument '{_write(path)}' is {show(given)}; it should be an integer, not a boolean." if taken else None
    pairs: Iterable[tuple[str | int, Any, Any]] = ()
    if isinstance(given, list) and isinstance(read, list | tuple):
        pairs = ((number, *pair) for number, pair in enumerate(zip(given, read, strict=False)))
    elif isinstance(given, Mapping) and isinstance(read, Mapping):
        pairs = ((key, given[key], read[key]) for key in given if key in read)
    elif isinstance(given, Mapping) and isinstance(read, BaseModel):
        fields = {info.alias or name: name for name, info in type(read).model_fields.items()}
        pairs = ((key, given[key], getattr(read, fields[key])) for key in given if key in fields)
    return next((words for key, *pair in pairs if (words := boolean_for_integer(pair[0], pair[1], (*path, key)))), None)


def show(value: Any) -> str:
    """A value as JSON, short."""
    try:
        text = dumps(to_jsonable_python(value[:60] + "…" if isinstance(value, str) and len(value) > 60 else value))
    except Exception:
        text = f"a {type(value).__name__}"
    return text if len(text) <= 70 else text[:70] + "…"


def _troubles(error: ValidationError, value: Any) -> list[_Trouble]:
    """Pydantic's errors by the part of the value that they are about."""
    troubles: dict[tuple[Path, bool], _Trouble] = {}
    for fault in error.errors(include_url=False, include_context=False):
        about_key = fault["type"] in ("missing", "extra_forbidden")  # then the last step is a key, in the value or not
        path = _path(fault["loc"][:-1], value) + fault["loc"][-1:] if about_key else _path(fault["loc"], value)
        trouble = troubles.setdefault((path, about_key), _Trouble(path, fault["input"], [], []))
        trouble.kinds.append(fault["type"])
        trouble.words.append(fault["msg"])
    return list(troubles.values())


def _path(location: tuple[Any, ...], value: Any) -> Path:
    """Pydantic's location without the names of a union's branches: those of its steps that lead somewhere in the value."""
    path: list[str | int] = []
    for step in location:
        if step in value if isinstance(value, Mapping) else isinstance(value, list) and step in range(len(value)):
            path.append(step)
            value = value[step]
    return tuple(path)


def _write(path: Path) -> str:
    """`("stops", 2, "city")` as `stops[2].city`."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).removeprefix(".")[:200]


def _sentence(subject: str, trouble: _Trouble) -> str:
    wanted = [words.removeprefix("Input should be ") for words in trouble.words if words.startswith("Input should be ")]
    if wanted:
        return f"{subject} is {show(trouble.given)}; it should be {' or '.join(dict.fromkeys(wanted))}."
    words = trouble.words[0].removeprefix("Value error, ").removeprefix("Assertion failed, ").rstrip(".")
    return f"{subject} is {show(trouble.given)}: {words}." if trouble.path else f"{subject} will not do: {words}."


def _type_of(path: Path, properties: Properties) -> str:
    kind = properties.get(str(path[0]), {}).get("type") if len(path) == 1 else None
    return f" ({kind})" if isinstance(kind, str) else ""


def _listed(words: Sequence[str], most: int = 10) -> str:
    if len(words) > most:
        return f"{', '.join(words[:most])} and {len(words) - most} more"
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _together(sentences: Sequence[str]) -> str:
    rest = len(sentences) - _MOST
    return " ".join(sentences[:_MOST]) + (f" ({rest} more of this kind.)" if rest > 0 else "")


def cut(text: str, most: int) -> str:
    """A text of at most so many characters; where it was longer, it ends with a mark that says so."""
    if len(text) <= most:
        return text
    mark = f"… [cut: {len(text):,} characters, of which this is the beginning]"
    return text[: most - len(mark)] + mark
