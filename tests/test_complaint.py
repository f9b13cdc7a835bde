"""complaint.py: what a model reads when it got something wrong."""

from __future__ import annotations

import datetime
import enum
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from fcutils.complaint import boolean_for_integer, no_such, show
from fcutils.messages import Observation, ToolCall
from fcutils.toolbox import Toolbox


class Stop(BaseModel):
    city: str
    nights: int = 1


class Size(enum.IntEnum):
    SMALL = 1
    LARGE = 2


class Trip(BaseModel):
    """Plan a trip."""

    start: datetime.date = Field(description="first day")
    end: datetime.date = Field(description="last day")
    stops: list[Stop] = Field([], description="where to")
    rating: Annotated[int, Field(ge=1, le=5)] = Field(3, description="stars")
    by: Literal["air", "rail"] = Field("rail", description="how")
    code: str | list[int] = Field("x", description="any code")
    size: Size = Field(Size.SMALL, description="how big")
    extras: dict[str, Literal[0, 1]] = Field({}, description="what else")

    @field_validator("code")
    @classmethod
    def no_blank(cls, value: Any) -> Any:
        if value == " ":
            raise ValueError("a code cannot be blank.")
        return value

    @model_validator(mode="after")
    def forward(self) -> Trip:
        if self.end < self.start:
            raise ValueError("the end comes before the start")
        return self


GOOD = {"start": "2026-01-01", "end": "2026-01-02"}


def ask(arguments: dict[Any, Any]) -> Observation:
    box = Toolbox()
    box.add(Trip)
    return box.call(ToolCall("Trip", arguments))


def test_good_arguments_are_not_complained_of() -> None:
    assert ask({**GOOD, "stops": [{"city": "Oslo"}], "by": "air", "code": [1], "size": 2, "extras": {"a": 1}}).ok


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"rating": "3"}, "Argument 'rating' is \"3\"; it should be a valid integer."),
        ({"rating": True}, "Argument 'rating' is true; it should be a valid integer."),
        ({"rating": 9}, "Argument 'rating' is 9; it should be less than or equal to 5."),
        ({"by": "sea"}, "Argument 'by' is \"sea\"; it should be 'air' or 'rail'."),
        ({"code": 3}, "Argument 'code' is 3; it should be a valid string or a valid array."),
        ({"code": " "}, "Argument 'code' is \" \": a code cannot be blank."),
        ({"end": "2025-01-01"}, "What was given as arguments will not do: the end comes before the start."),
        ({"stops": [{"city": "Oslo"}, {"city": 3}]}, "Argument 'stops[1].city' is 3; it should be a valid string."),
        ({"stops": [{"nights": 2}]}, "Argument 'stops[0].city' must be given."),
        ({"stops": [{"city": "Oslo", "nihgts": 2}]}, "There is no argument 'stops[0].nihgts'."),
        ({"stops": {"city": "Oslo"}}, 'Argument \'stops\' is {"city": "Oslo"}; it should be a valid array.'),
        ({4: 2}, "There is no argument '4'; there are 'start', 'end', 'stops', 'rating', 'by', 'code', 'size' and 'extras'."),
        ({"raiting": 2}, "There is no argument 'raiting'; did you mean 'rating'?"),
        ({"size": True}, "Argument 'size' is true; it should be an integer, not a boolean."),
        ({"extras": {"tent": False}}, "Argument 'extras.tent' is false; it should be an integer, not a boolean."),
    ],
)
def test_it_says_which_argument_what_was_given_and_what_is_wanted(arguments: dict[str, Any], words: str) -> None:
    observation = ask({**GOOD, **arguments})
    assert (observation.kind, observation.content) == ("invalid_arguments", words)


def test_missing_ones_are_named_together_with_their_types() -> None:
    assert ask({}).content == "Arguments 'start' (string) and 'end' (string) must be given."


def test_two_sentences_are_enough() -> None:
    content = ask({**GOOD, "rating": "x", "by": "x", "size": "x", "zzz": 1}).content
    assert content.count("Argument '") == 2
    assert content.endswith("(2 more of this kind.)")


def test_a_long_value_is_shown_short() -> None:
    content = ask({**GOOD, "start": "x" * 1_000_000}).content
    assert "…" in content
    assert len(content) < 300


def test_arguments_that_are_no_object() -> None:
    box = Toolbox()
    box.add(Trip)
    observation = box.call(ToolCall("Trip", [1, 2]))  # type: ignore[arg-type]
    assert observation.content == "What was given as arguments is [1,2]; it should be an object.".replace(",", ", ")


def test_names() -> None:
    assert no_such("tool", "get_wether", ["get_weather", "add"]) == "There is no tool 'get_wether'; did you mean 'get_weather'?"
    assert no_such("tool", "zzz", ["add", "sub"]) == "There is no tool 'zzz'; there are 'add' and 'sub'."
    assert no_such("tool", "zzz", ["add"]) == "There is no tool 'zzz'; there is 'add'."
    assert no_such("tool", "zzz", []) == "There is no tool 'zzz'."
    assert no_such("tool", "zzz", list("abcdefghijklmn")).endswith("'j' and 4 more.")
    assert len(no_such("tool", "z" * 1_000_000, ["add"])) < 200


def test_a_look_alike_letter_is_shown() -> None:
    """The first letter is a Cyrillic one: printed as it is, the sentence would say nothing."""
    assert no_such("tool", "\u0430dd", ["add"]) == r"There is no tool '\u0430dd'; did you mean 'add'?"
    assert no_such("argument", "größ", ["größe"]) == "There is no argument 'größ'; did you mean 'größe'?"


def test_show_never_fails() -> None:
    circle: list[Any] = []
    circle.append(circle)
    assert show(circle) == "a list"
    assert show(float("nan")) == "a float"
    assert show({"a": None}) == '{"a": null}'
    assert show(object()) == "a object"


def test_a_boolean_is_itself_where_booleans_are_wanted() -> None:
    class Mixed(BaseModel):
        flag: bool | int
        nested: list[Any] = []

    value = {"flag": True, "nested": [True, {"a": False}]}
    assert boolean_for_integer(value, Mixed.model_validate(value)) is None


def test_pydantic_takes_booleans_for_listed_integers() -> None:
    """Why `boolean_for_integer` exists; when this fails, it can go."""

    class Listed(BaseModel):
        level: Literal[0, 1]

    try:
        Listed.model_validate_json('{"level": true}', strict=True)
    except ValidationError:
        pytest.fail("Pydantic refuses true for Literal[0, 1] by now")
