"""Why a value is wrong: copied wrongly, the unit, the format, the wrong one of several choices, or out of thin air.

A guess by rules, from the value, the acceptable ones and what was said before, tried in this order:
- `choice`: a boolean, or a parameter with an enum;
- `unit`: two numbers (or texts that begin with one) which differ as two units do (a factor of 60, 1000, 2.54 ..., or Celsius
  and Fahrenheit), unless both were said;
- `format`: the same date, time, number or text, written otherwise; or the words that were said, where something was wanted that
  was not said in that form (a code, an ISO date);
- `copied`: the value wanted was said, and this one is near it or was said elsewhere;
- `invented`: nobody said it.
"""

from __future__ import annotations

import difflib
import math
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from fcutils.evaluate.match import LEFT_OUT, Schema, standard

Why = Literal["choice", "unit", "format", "copied", "invented"]

_RATIOS = (7, 12, 16, 24, 30, 60, 100, 365, 1000, 1024, 3600, 86400, 1e6, 3.2808, 2.2046, 1.609, 2.54, 28.35, 3.785, 4.184)
_LONG = 200  # characters; beyond that, values are compared by their beginnings
_NUMBER = re.compile(r"\d{1,18}(?:[.,]\d{1,9})?")
_WORD = re.compile(r"\w+")
_SPELT = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_DATES = ("%Y-%m-%d", "%d %B %Y", "%B %d %Y", "%d %b %Y", "%b %d %Y", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%Y/%m/%d")
_TIMES = ("%H:%M", "%H:%M:%S", "%I:%M %p", "%I %p", "%I%p", "%I:%M%p", "%H.%M")
_MOMENTS = ("%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S")
_ORDINAL = re.compile(r"(?<=\d)(?:st|nd|rd|th)\b")


@dataclass(frozen=True, slots=True)
class Said:
    """What was said before the call, as its words, and the numbers among them."""

    words: str
    numbers: frozenset[float]

    @classmethod
    def of(cls, text: str) -> Said:
        numbers = {float(found.replace(",", ".")) for found in _NUMBER.findall(text)}
        spelt = set(whole_words(text).split())
        return cls(whole_words(text), frozenset(numbers | {float(n) for n, word in enumerate(_SPELT) if word in spelt}))

    def has(self, value: Any) -> bool:
        if isinstance(value, str):
            return whole_words(value).strip() != "" and whole_words(value) in self.words
        return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) in self.numbers


def whole_words(text: str) -> str:
    """A text as its words, so that whole words are found in it whatever stands between them."""
    return " ".join(["", *_WORD.findall(text.lower()), ""])


def why_wrong(given: Any, accept: Sequence[Any], schema: Schema, said: Said) -> Why:
    """Why this value is none of the acceptable ones."""
    given, wanted = _part(given, accept)
    if isinstance(given, bool) or "enum" in schema:
        return "choice"
    given_said, wanted_said = said.has(given), any(map(said.has, wanted))
    if not (given_said and wanted_said) and any(_unit_apart(given, answer) for answer in wanted):
        return "unit"
    if (given_said and not wanted_said) or any(_same_otherwise_written(given, answer) for answer in wanted):
        return "format"
    return "copied" if wanted_said and (given_said or any(_near(given, answer) for answer in wanted)) else "invented"


def _part(given: Any, accept: Sequence[Any]) -> tuple[Any, list[Any]]:
    """A list's or an object's first part that differs, with what was wanted there; a simple value as it is."""
    wanted = [answer for answer in accept if answer is not LEFT_OUT]
    for answer in wanted:
        parts: Iterator[tuple[Any, Sequence[Any]]] = iter(())
        if isinstance(given, list) and isinstance(answer, list):
            parts = ((one, [other]) for one, other in zip(given, answer, strict=False) if one != other)
        elif isinstance(given, Mapping) and isinstance(answer, Mapping):
            parts = ((given[key], answer[key]) for key in given if key in answer and given[key] not in answer[key])
        differing = next(parts, None)
        if differing:
            return _part(*differing)
    return given, wanted


def _unit_apart(given: Any, answer: Any) -> bool:
    one, other = _measure(given), _measure(answer)
    if one is None or other is None:
        return False
    if one == other:  # "5 km" for "5 mi"
        return isinstance(given, str) and isinstance(answer, str) and standard(given) != standard(answer)
    if any(_close(a * 9 / 5 + 32, b) for a, b in ((one, other), (other, one))):
        return True
    if one == 0 or other == 0 or (one < 0) != (other < 0):
        return False
    return any(_close(max(one / other, other / one), ratio) for ratio in _RATIOS)


def _measure(value: Any) -> float | None:
    """A number, or the one with which a text begins that is a number and perhaps a unit."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    if not isinstance(value, str):
        return float(value) if abs(value) < 1e15 else None  # NaN is not below anything
    text = value.strip()
    found = _NUMBER.match(text)
    is_measure = found and len(text) - found.end() <= 12 and not any(ch.isdigit() for ch in text[found.end() :])
    return float(found[0].replace(",", ".")) if found and is_measure else None


def _close(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=0.002, abs_tol=1e-9)


def _same_otherwise_written(given: Any, answer: Any) -> bool:
    if isinstance(given, str) and isinstance(answer, str):
        return _bare(given) == _bare(answer) != "" or bool(set(_moments(given)) & set(_moments(answer)))
    numbers = [value for value in (given, answer) if isinstance(value, int | float)]
    return len(numbers) == 1 and any(_number_word(value) == numbers[0] for value in (given, answer))


def _number_word(value: Any) -> float | None:
    word = value.strip().lower() if isinstance(value, str) else ""
    return float(_SPELT.index(word)) if word in _SPELT else _measure(value) if word else None


def _bare(text: str) -> str:
    """Letters and digits alone, without accents."""
    return "".join(ch for ch in unicodedata.normalize("NFKD", text[:_LONG]) if ch.isalnum()).lower()


def _moments(text: str) -> Iterator[datetime]:
    """What a text may mean as a date, a time, or both."""
    plain = _ORDINAL.sub("", text[:40].replace(",", "").strip())
    for form in (*_DATES, *_TIMES, *_MOMENTS):
        try:
            yield datetime.strptime(plain, form)
        except ValueError:
            continue


def _near(given: Any, answer: Any) -> bool:
    if not isinstance(given, str | int | float) or not isinstance(answer, str | int | float):
        return False
    one, other = standard(str(given)[:_LONG]), standard(str(answer)[:_LONG])
    return bool(one) and (one in other or other in one or difflib.SequenceMatcher(None, one, other).ratio() >= 0.6)
