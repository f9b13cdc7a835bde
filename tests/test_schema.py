"""schema.py: what functions and Pydantic models become, and what cannot. Who reads it: `test_schema_readers.py`."""

from __future__ import annotations

import functools
import threading
import warnings
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from schema_samples import Folder, Place, everything, get_weather, parameters

from fcutils.schema import (
    SchemaError,
    SchemaWarning,
    arguments_model,
    convert_pydantic_to_openai_function,
    return_schema,
    tool_schema,
)

# ---- the form --------------------------------------------------------------------------------------------------


def test_a_function_becomes_a_tool() -> None:
    assert tool_schema(get_weather) == {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "Get the weather of a city.\nIt may rain.",
            "parameters": {
                "type": "object",
                "properties": {
                    "city": {"type": "string", "description": "The city: its name, in English."},
                    "unit": {
                        "type": "string",
                        "description": "In which unit.",
                        "enum": ["celsius", "fahrenheit"],
                        "default": "celsius",
                    },
                    "days": {
                        "type": "integer",
                        "description": "How many days.",
                        "minimum": 1,
                        "maximum": 7,
                        "default": 3,
                    },
                },
                "required": ["city"],
            },
        },
    }


def numpy_style(city: str, days: int = 3) -> str:
    """Get the weather.

    Parameters
    ----------
    city : str
        The city.
    days : int, optional
        How many days.

    Returns
    -------
    str
        The forecast.
    """
    return city


def sphinx_style(city: str, days: int = 3) -> str:
    """Get the weather.

    :param city: The city.
    :param int days: How many days.
    :returns: The forecast.
    """
    return city


@pytest.mark.parametrize("function", [numpy_style, sphinx_style])
def test_other_docstring_styles_say_the_same(function: Any) -> None:
    schema = tool_schema(function)["function"]
    assert schema["description"] == "Get the weather."
    assert {key: value["description"] for key, value in schema["parameters"]["properties"].items()} == {
        "city": "The city.",
        "days": "How many days.",
    }
    assert return_schema(function) == {"type": "string", "description": "The forecast."}


def test_a_model_becomes_a_bare_function() -> None:
    class Joke(BaseModel):
        """A joke to tell.

        Attributes:
            setup: the question
        """

        setup: str
        punchline: str = Field(description="the answer")

    function = convert_pydantic_to_openai_function(Joke)
    assert function == tool_schema(Joke)["function"]
    assert function == {
        "name": "Joke",
        "description": "A joke to tell.",
        "parameters": {
            "type": "object",
            "properties": {
                "setup": {"type": "string", "description": "the question"},
                "punchline": {"type": "string", "description": "the answer"},
            },
            "required": ["setup", "punchline"],
        },
    }


def test_types_come_out_in_place() -> None:
    properties = parameters(everything)["properties"]
    assert properties["place"]["properties"]["unit"] == {
        "type": "string",
        "enum": ["celsius", "fahrenheit"],
        "default": "celsius",
    }
    assert properties["note"] == {"anyOf": [{"type": "string"}, {"type": "null"}]}
    assert properties["counts"] == {"type": "object", "additionalProperties": {"type": "integer"}}
    assert properties["when"] == {"type": "string", "format": "date"}
    assert properties["point"]["required"] == ["x", "y"]
    assert [branch["properties"]["kind"]["const"] for branch in properties["pet"]["oneOf"]] == ["cat", "dog"]
    assert properties["anything"] == {}


def test_only_types_that_contain_themselves_stay_apart() -> None:
    schema = parameters(everything)
    assert list(schema["$defs"]) == ["Folder"]
    assert schema["properties"]["folder"]["$ref"] == "#/$defs/Folder"
    assert parameters(Folder)["properties"]["folders"]["items"] == {"$ref": "#/$defs/Folder"}
    assert return_schema(Folder)["type"] == "object"  # type: ignore[index]


def test_a_property_named_like_a_keyword_survives() -> None:
    def save(title: str, properties: str, default: str = "title", items: int = 1) -> None: ...

    schema = parameters(save)
    assert list(schema["properties"]) == ["title", "properties", "default", "items"]
    assert schema["properties"]["default"] == {"type": "string", "default": "title"}


def test_a_docstring_says_more_of_an_argument_than_its_type_does() -> None:
    def go(place: Place, back: Annotated[int, "how far back"] = 0) -> None:
        """Go.

        Args:
            place: where to
        """

    properties = tool_schema(go)["function"]["parameters"]["properties"]
    assert properties["place"]["description"] == "where to"
    assert properties["back"]["description"] == "how far back"


def test_none_as_default_means_optional() -> None:
    def find(word: str = None, limit: Annotated[int, Field(ge=1)] = None, what=None) -> None: ...  # type: ignore  # noqa: RUF013

    model = arguments_model(find)
    assert model.model_validate_json('{"word": null, "limit": null}', strict=True)
    with pytest.raises(ValidationError):
        model.model_validate_json('{"limit": 0}', strict=True)
    assert parameters(find)["properties"]["what"] == {}


def test_parameters_that_a_model_could_not_have_as_fields() -> None:
    def odd(json: str, _hidden: int, model_config: int, copy: bool = True, argument_0: int = 0) -> None: ...

    assert list(parameters(odd)["properties"]) == ["json", "_hidden", "model_config", "copy", "argument_0"]
    assert arguments_model(odd).model_validate_json('{"json": "x", "_hidden": 1, "model_config": 2}', strict=True)


def test_a_type_hint_that_is_words_is_named() -> None:
    def find(where: "list of int") -> None: ...  # type: ignore # noqa: F722

    with pytest.raises(SchemaError, match=r"find: a type hint is none .*list\[int\] would be one"):
        tool_schema(find)


def test_methods_partials_and_callable_objects() -> None:
    class Shop:
        def search(self, query: str) -> list[str]:
            """Search."""
            return [query]

        def __call__(self, query: str, limit: int = 3) -> str:
            return query

    with pytest.warns(SchemaWarning, match="tool search: no description for query"):
        assert tool_schema(Shop().search)["function"]["parameters"]["required"] == ["query"]
    bound = functools.partial(get_weather, "Oslo", days=1)
    assert list(parameters(bound)["properties"]) == ["unit"]  # what the partial settles is not the model's to choose
    assert tool_schema(bound)["function"]["name"] == "get_weather"
    assert list(parameters(Shop(), name="shop")["properties"]) == ["query", "limit"]


def test_the_returned_structure() -> None:
    schema = return_schema(get_weather)
    assert schema is not None
    assert schema["description"] == "The forecast."
    assert schema["properties"] == {"temperature": {"type": "number"}, "when": {"type": "string", "format": "date"}}

    def silent(a: int): ...
    def nothing(a: int) -> None: ...
    async def later(a: int) -> int:
        return a

    assert return_schema(silent) is None
    assert return_schema(nothing) == {"type": "null"}
    assert return_schema(later) == {"type": "integer"}


# ---- what is refused, and what is warned of --------------------------------------------------------------------


def test_missing_words_are_warned_of() -> None:
    def bare(a, b: int) -> None: ...

    with pytest.warns(SchemaWarning, match=r"bare: it has no description; no description for a, b; no type for a\.") as caught:
        tool_schema(bare)
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tool_schema(get_weather)
        tool_schema(Folder)


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")
    a: int


def unnamed(*words: str) -> None: ...
def keyed(**words: str) -> None: ...
def from_thread(thread: threading.Thread) -> None: ...
def to_thread() -> threading.Thread:
    raise NotImplementedError


def unknown(x: Nowhere) -> None: ...  # type: ignore # noqa: F821
def opened(x: Open) -> None: ...


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (unnamed, r"\*words"),
        (keyed, r"\*\*words"),
        (from_thread, "threading.Thread"),
        (unknown, "Nowhere"),
        (opened, "extra='allow'"),
        (lambda x: x, "name="),
        (3, "not 3"),
        (create_model("größe", a=(int, 1)), "cannot be a tool's name"),
        (create_model("x" * 65, a=(int, 1)), "cannot be a tool's name"),
    ],
)
def test_what_cannot_be_a_tool_is_refused_with_the_reason(function: Any, words: str) -> None:
    with pytest.raises(SchemaError, match=words):
        parameters(function)


def test_a_result_that_cannot_become_json_is_refused() -> None:
    with pytest.raises(SchemaError, match="to_thread: its result"):
        return_schema(to_thread)


def test_a_broken_docstring_is_no_reason_to_fail() -> None:
    for text in ("", ":param", "Args:\n", "Parameters\n----------\n", ":param a b c: d", "\n\n\nArgs:\n  a (\n", "Returns:"):

        def odd(a: int = 0) -> None: ...

        odd.__doc__ = text
        assert parameters(odd)["properties"].keys() == {"a"}
