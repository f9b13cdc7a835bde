"""What goes into the tools of several use cases, and how it comes out: bounded text, codes, days, times, names, results.

Knows checks that would only make a schema longer: a model reads `string`, and is told in words where it goes wrong. Does not
know what any tool does.
"""

from __future__ import annotations

import datetime as dt
import re
import unicodedata
from collections.abc import Iterable
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict

from fcutils.complaint import no_such
from fcutils.ranking import fold

MOST = 200  # characters
_CODE = re.compile(r"[A-Z0-9-]{1,20}")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_CLOCK = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9](:00)?")


def _line(text: str) -> str:
    text = text.strip()
    if not text:
        raise ValueError("it must not be empty")
    if len(text) > MOST:
        raise ValueError(f"it has {len(text)} characters; at most {MOST} will do")
    if any(unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp") for letter in text):
        raise ValueError("it should be one line of text, without control characters")
    return text


def _code(text: str) -> str:
    """Codes are compared letter by letter, so that a look-alike can never stand for the real one."""
    text = text.strip()
    if not text.isascii() or not _CODE.fullmatch(text.upper()):
        raise ValueError("it should be at most 20 letters A-Z, digits and hyphens")
    return text.upper()


def _day(text: object) -> object:
    """Only YYYY-MM-DD: Pydantic by itself takes "1772668800" for a day, too."""
    if not isinstance(text, str):
        return text  # a date already, or Pydantic's to refuse
    if not _DAY.fullmatch(text):
        raise ValueError("it should be a date such as 2026-03-05")
    return dt.date.fromisoformat(text)


def _clock(text: str) -> str:
    if not _CLOCK.fullmatch(text):
        raise ValueError("it should be a time such as 18:30")
    return text[:5]


Text = Annotated[str, AfterValidator(_line)]
Code = Annotated[str, AfterValidator(_code)]
Day = Annotated[dt.date, BeforeValidator(_day)]
Clock = Annotated[str, AfterValidator(_clock)]  # HH:MM; in a schema `format: time` would mean 18:30:00Z


class Result(BaseModel):
    """What a tool returns. A docstring under a field is its description."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)


def not_past(day: dt.date, today: dt.date) -> None:
    """Refuse a day before today, and one more than two years ahead."""
    if day < today:
        raise ValueError(f"{day} is past; today is {today:%A}, {today}")
    if day > today + dt.timedelta(days=730):
        raise ValueError(f"{day} is more than two years ahead; today is {today}")


def pick(what: str, name: str, known: Iterable[str]) -> str:
    """The known name that is meant, whatever its case and accents."""
    by_fold = {fold(candidate): candidate for candidate in known}
    if fold(name) not in by_fold:
        raise LookupError(no_such(what, name, tuple(by_fold.values())))
    return by_fold[fold(name)]
