"""Values: what stands in a call, and how a person says it.

Knows the lists of `values.yaml` and of a domain, the computed kinds (dates, codes, numbers), and which split a text
belongs to: every free text is
in exactly one of train, validation and test, by its hash, so that no test value was ever seen in training. It does not
know tools or sentences.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Mapping
from datetime import date, timedelta
from functools import lru_cache
from random import Random
from typing import Any

SPLITS = ("train", "validation", "test")
SHARES = (62, 76)  # of 100 hashes: below 62 train, below 76 validation, the rest test

# a list this short (weekdays), or one that says values in other words (USD: dollars), is knowledge: it is in every split
CLOSED = 12

WORD_RATE = 0.25  # small integers written as words
COMMA_RATE = 0.3  # thousands written with a comma
NUMBER_WORDS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]

Drawn = tuple[Any, str]  # the value in the call, and how it is said
Draw = Callable[[Random, str], Drawn]  # (random source, split) -> a drawn value


class ValueListError(ValueError):
    """A list that cannot be used: says which, and what it lacks."""


@lru_cache(maxsize=200_000)
def split_of(text: str) -> str:
    """The one split in which this free text may appear."""
    share = zlib.crc32(text.casefold().encode()) % 100
    return SPLITS[0] if share < SHARES[0] else SPLITS[1] if share < SHARES[1] else SPLITS[2]


class Lists:
    """Named lists, the domain's own before the shared ones. An entry may hold other lists in braces."""

    def __init__(self, own: Mapping[str, Any], shared: Lists | None = None) -> None:
        self._shared = shared
        self._entries = {name: _entries(name, raw) for name, raw in own.items()}
        self._of: dict[tuple[str, str], list[tuple[str, tuple[str, ...]]]] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._entries or (self._shared is not None and name in self._shared)

    def closed(self, name: str) -> bool:
        """A list that is knowledge rather than free text: short, or saying its values in other words. It is in every split."""
        if name not in self._entries:
            return self._shared is not None and self._shared.closed(name)
        entries = self._entries[name]
        return len(entries) <= CLOSED or any(said != (value,) for value, said in entries)

    def names(self) -> list[str]:
        return list(self._entries)

    def size(self, name: str, split: str) -> int:
        return len(self._for(name, split))

    def draw(self, name: str, rng: Random, split: str) -> Drawn:
        if name not in self._entries:
            if self._shared is None:
                raise ValueListError(f"no list named {name!r}: add it to `values:` of the file")
            return self._shared.draw(name, rng, split)
        entries = self._for(name, split)
        if not entries:
            raise ValueListError(f"list {name!r} has no entry for {split}: give it more entries")
        for _ in range(200):
            value, said = rng.choice(entries)
            if "{" not in value:
                return value, rng.choice(said)
            value = self.fill(value, rng, split)
            if split_of(value) == split:
                return value, value
        raise ValueListError(f"list {name!r} gives no text for {split}: give it more entries")

    def fill(self, text: str, rng: Random, split: str) -> str:
        """The text with every `{list}` or `{int(1, 9)}` in braces replaced."""
        return re.sub(r"\{([^{}]+)\}", lambda match: str(self.computed(match[1], rng, split)), text)

    def computed(self, name: str, rng: Random, split: str) -> Any:
        """A fresh draw of a list or of a computed kind: `int(1, 9)`, `num(5, 80)`, `code(AB-##)`, `one(a, b)`, `date`,
        `time`.
        """
        kind, _, inside = name.partition("(")
        inside = inside.removesuffix(")")
        if kind == "int":
            low, high = map(int, inside.split(","))
            return rng.randint(low, high)
        if kind == "num":
            least, most = map(float, inside.split(",")[:2])
            return round(rng.uniform(least, most), 2)
        if kind == "code":
            return code(inside, rng)
        if kind == "one":
            choice = rng.choice([choice.strip() for choice in inside.split(",")])
            return int(choice) if choice.isdigit() else choice
        if kind in COMPUTED:
            return COMPUTED[kind](rng)[0]
        return self.draw(name, rng, split)[0]

    def _for(self, name: str, split: str) -> list[tuple[str, tuple[str, ...]]]:
        if name not in self._entries:
            return self._shared._for(name, split) if self._shared else []
        key = (name, split)
        if key not in self._of:
            whole = self.closed(name)
            self._of[key] = [e for e in self._entries[name] if whole or "{" in e[0] or split_of(e[0]) == split]
        return self._of[key]


def _entries(name: str, raw: Any) -> list[tuple[str, tuple[str, ...]]]:
    if isinstance(raw, Mapping):
        pairs = [(value, tuple(map(str, said if isinstance(said, list) else [said]))) for value, said in raw.items()]
    elif isinstance(raw, list):
        pairs = [(value, (str(value),)) for value in raw]
    else:
        raise ValueListError(f"list {name!r} must be a list, or a map from value to ways of saying it")
    for value, _ in pairs:
        if not isinstance(value, str):
            raise ValueListError(f"list {name!r}: {value!r} is read as {type(value).__name__}; put it in quotes")
    return pairs


def code(pattern: str, rng: Random) -> str:
    """`#` a digit, `@` a capital, `?` a small letter, `*` a hex digit; everything else stands for itself."""
    kinds = {"#": "0123456789", "@": "ABCDEFGHJKLMNPQRSTUVWXYZ", "?": "abcdefghijkmnopqrstuvwxyz", "*": "0123456789abcdef"}
    return "".join(rng.choice(kinds[c]) if c in kinds else c for c in pattern)


def draw_date(rng: Random) -> Drawn:
    day = date(2025, 1, 1) + timedelta(days=rng.randrange(1100))
    month = MONTHS[day.month - 1]
    said = (f"{day.day} {month} {day.year}", f"{month} {day.day}, {day.year}", day.isoformat())
    return day.isoformat(), rng.choice(said)


def day_apart(day: str | None, later: bool, rng: Random) -> str:
    """A day some days after, or before, this one; any day where there is none."""
    if day is None:
        return draw_date(rng)[0]
    days = timedelta(days=rng.randint(2, 25))
    return (date.fromisoformat(day) + (days if later else -days)).isoformat()


def draw_time(rng: Random) -> Drawn:
    hour, minute = rng.randrange(6, 23), rng.choice((0, 0, 0, 15, 30, 30, 45, 5, 10, 20, 40, 50))
    value = f"{hour:02}:{minute:02}"
    half = "am" if hour < 12 else "pm"
    clock = f"{(hour - 1) % 12 + 1}:{minute:02}" if minute else f"{(hour - 1) % 12 + 1}"
    return value, rng.choice((value, f"{clock} {half}"))


def draw_datetime(rng: Random) -> Drawn:
    (day, said_day), (hour, said_hour) = draw_date(rng), draw_time(rng)
    return f"{day}T{hour}:00", rng.choice((f"{said_day} at {said_hour}", f"{said_hour} on {said_day}"))


COMPUTED: dict[str, Callable[[Random], Drawn]] = {"date": draw_date, "time": draw_time, "date-time": draw_datetime}


def say_number(value: float, rng: Random, words: bool = True) -> str:
    if words and isinstance(value, int) and 0 <= value < len(NUMBER_WORDS) and rng.random() < WORD_RATE:
        return NUMBER_WORDS[value]
    if abs(value) >= 1000 and not 1900 <= value <= 2100 and rng.random() < COMMA_RATE:
        return f"{value:,}"
    return str(value)


def say_list(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]


def drawer(spec: Mapping[str, Any], lists: Lists) -> Draw | None:
    """How to draw a value for a parameter's description; None for booleans and objects, which are never said as one."""
    kind = spec.get("type")
    if "enum" in spec:
        return _from_enum(spec["enum"])
    if "from" in spec and isinstance(spec["from"], Mapping):
        return _from_enum(spec["from"])
    if "from" in spec:
        return lambda rng, split: lists.draw(spec["from"], rng, split)
    if kind in ("integer", "number"):
        return _from_range(spec)
    if "pattern" in spec:
        return lambda rng, split: _pattern(spec["pattern"], rng, split)
    if spec.get("format") in COMPUTED:
        return lambda rng, split: COMPUTED[spec["format"]](rng)
    if kind == "array":
        return _from_items(spec, lists)
    return None


def _from_enum(enum: Any) -> Draw:
    pairs = list(enum.items()) if isinstance(enum, Mapping) else [(value, [value]) for value in enum]

    def draw(rng: Random, split: str) -> Drawn:
        value, said = rng.choice(pairs)
        return value, str(rng.choice(said)) if isinstance(said, list) else str(said)

    return draw


def _from_range(spec: Mapping[str, Any]) -> Draw:
    low, high = spec["range"]

    def draw_integer(rng: Random, split: str) -> Drawn:
        value = rng.randint(low, high)
        return value, say_number(value, rng)

    def draw_number(rng: Random, split: str) -> Drawn:
        places = spec.get("decimals", 2)
        value: float = round(rng.uniform(low, high), places)
        if places == 0 or (high - low > 5 and rng.random() < 0.5):
            value = round(value)
        return value, say_number(value, rng, words=False)

    return draw_integer if spec["type"] == "integer" else draw_number


def _pattern(pattern: str, rng: Random, split: str) -> Drawn:
    for _ in range(100):
        value = code(pattern, rng)
        if split_of(value) == split:
            return value, value
    raise ValueListError(f"pattern {pattern!r} has too few values: lengthen it, or use an enum")


def _from_items(spec: Mapping[str, Any], lists: Lists) -> Draw:
    one = drawer(spec["items"], lists)
    low, high = spec.get("count", (1, 3))
    if one is None:
        raise ValueListError("an array's items must be text, numbers or an enum")

    def draw(rng: Random, split: str) -> Drawn:
        wanted, values, said = rng.randint(low, high), [], []
        for _ in range(50):
            value, text = one(rng, split)
            if value not in values or spec["items"]["type"] == "number":
                values.append(value)
                said.append(text if spec["items"]["type"] == "string" else str(value))
            if len(values) == wanted:
                break
        return values, say_list(said)

    return draw
