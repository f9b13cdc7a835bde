"""Types and tools that the tests of schema.py share: some of everything that a hint can say."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import warnings
from typing import Annotated, Any, Literal, Optional

from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from fcutils.schema import SchemaWarning, tool_schema


class Unit(enum.Enum):
    CELSIUS = "celsius"
    FAHRENHEIT = "fahrenheit"


class Place(BaseModel):
    """A place on earth."""

    latitude: float = Field(ge=-90, le=90, description="degrees north")
    longitude: float = Field(description="degrees east")
    unit: Unit = Unit.CELSIUS


class Folder(BaseModel):
    """A folder with folders in it."""

    title: str = Field(description="its name")
    folders: list[Folder] = Field([], description="what is in it")


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int


class Dog(BaseModel):
    kind: Literal["dog"]
    breed: str


class Report(TypedDict):
    temperature: float
    when: datetime.date


@dataclasses.dataclass
class Point:
    x: int
    y: int


def get_weather(city: str, unit: Unit = Unit.CELSIUS, days: Annotated[int, Field(ge=1, le=7)] = 3) -> Report:
    """Get the weather
    of a city.

    It may rain.

    Args:
        city: The city: its name,
            in English.
        unit (Unit): In which unit.
        days: How many days.

    Returns:
        The forecast.

    Raises:
        ValueError: for an unknown city
    """
    return {"temperature": 1.0, "when": datetime.date(2026, 1, 1)}


def everything(
    place: Place,
    folder: Folder,
    pet: Annotated[Cat | Dog, Field(discriminator="kind")],
    when: datetime.date,
    at: datetime.datetime,
    tags: list[str],
    counts: dict[str, int],
    pair: tuple[int, str],
    chosen: set[Literal["a", "b"]],
    point: Point,
    flag: bool,
    anything: Any,
    note: Optional[str] = None,  # noqa: UP045
    other: Place | None = None,
) -> list[Place]:
    """Takes everything."""
    return [place]


def parameters(tool: Any, **options: Any) -> dict[str, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SchemaWarning)
        return tool_schema(tool, **options)["function"]["parameters"]
