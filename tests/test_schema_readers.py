"""schema.py: those who read schemas take them: strict servers, the openai client, chat templates, llguidance, validators."""

from __future__ import annotations

import datetime
import inspect
import json
import threading
import warnings
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, Optional

import jsonschema
import llguidance
import openai
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openai.types.chat import ChatCompletionFunctionToolParam
from pydantic import BaseModel, Field, TypeAdapter, ValidationError, create_model
from schema_samples import Folder, Place, Point, Unit, everything, get_weather, parameters
from transformers.utils.chat_template_utils import render_jinja_template

from fcutils.messages import dumps
from fcutils.schema import SchemaError, SchemaWarning, arguments_model, tool_schema

TEMPLATES = Path(str(find_spec("trl").origin)).parent / "chat_templates"  # type: ignore[union-attr]


# ---- the strict form -------------------------------------------------------------------------------------------


def test_the_strict_form_closes_and_requires() -> None:
    schema = tool_schema(get_weather, strict=True)["function"]
    assert schema["strict"] is True
    assert schema["parameters"]["required"] == ["city", "unit", "days"]
    assert schema["parameters"]["additionalProperties"] is False
    assert schema["parameters"]["properties"]["days"] == {
        "type": "integer",
        "description": "How many days. Default: 3.",
        "minimum": 1,
        "maximum": 7,
    }


@pytest.mark.parametrize(
    ("said", "with_default"),
    [
        ("How many", "How many. Default: 3."),
        ("How many.", "How many. Default: 3."),
        ("How many? ", "How many? Default: 3."),
        ("", "Default: 3."),
    ],
)
@pytest.mark.filterwarnings("ignore::fcutils.schema.SchemaWarning")
def test_a_default_is_a_sentence_of_its_own(said: str, with_default: str) -> None:
    model = create_model("model", many=(int, Field(3, description=said)))
    assert parameters(model, strict=True)["properties"]["many"]["description"] == with_default


def test_what_the_strict_form_takes_the_tool_takes() -> None:
    """Whoever keeps to the strict schema passes validation: it asks for more, never for something else."""
    schema = parameters(Place, strict=True)
    value = {"latitude": 1, "longitude": 2, "unit": "celsius"}
    jsonschema.validate(value, schema)
    assert Place.model_validate_json(json.dumps(value), strict=True)


@pytest.mark.parametrize("hint", [dict[str, int], dict, Any, tuple[int, str], list[dict[str, Any]], list])
def test_what_the_strict_form_cannot_say_is_refused(hint: Any) -> None:
    model = create_model("model", a=(hint, ...))
    with pytest.raises(SchemaError, match="strict form has no words for"):
        parameters(model, strict=True)


def test_the_strict_form_agrees_with_the_openai_client() -> None:
    def plain(node: Any) -> Any:
        """Without what the two may differ in: titles, descriptions, and references (resolved here)."""
        if isinstance(node, dict):
            return {key: plain(value) for key, value in node.items() if key not in ("title", "description", "default")}
        return [plain(value) for value in node] if isinstance(node, list) else node

    class Trip(BaseModel):
        """A trip."""

        city: str = Field(description="where to")
        nights: int = Field(2, description="how long")
        tags: list[str] | None = Field(None, description="words")
        by: Literal["air", "rail"] = Field(description="how")

    theirs: Any = openai.pydantic_function_tool(Trip)["function"]
    ours = tool_schema(Trip, strict=True)["function"]
    assert plain(ours["parameters"]) == plain(theirs["parameters"])
    assert (ours["name"], ours["strict"], ours["description"]) == (theirs["name"], theirs["strict"], theirs["description"])


# ---- who reads it ----------------------------------------------------------------------------------------------


class _Server(BaseHTTPRequestHandler):
    """Answers every request with a call of the first tool it was sent."""

    requests: list[dict[str, Any]] = []  # noqa: RUF012

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.requests.append(body)
        call = {"name": body["tools"][0]["function"]["name"], "arguments": '{"title": "a", "folders": []}'}
        message = {"role": "assistant", "tool_calls": [{"id": "c1", "type": "function", "function": call}]}
        answer = {"id": "1", "object": "chat.completion", "created": 1, "model": "m"}
        answer["choices"] = [{"index": 0, "finish_reason": "tool_calls", "message": message}]
        data = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None: ...


def test_the_openai_client_sends_it() -> None:
    tools: Any = [tool_schema(Folder, strict=True), tool_schema(get_weather, strict=True)]
    for tool in tools:
        TypeAdapter(ChatCompletionFunctionToolParam).validate_python(tool)
    with HTTPServer(("127.0.0.1", 0), _Server) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        client = openai.OpenAI(base_url=f"http://127.0.0.1:{server.server_port}/v1", api_key="none", max_retries=0)
        messages: Any = [{"role": "user", "content": "hi"}]
        reply = client.chat.completions.parse(model="m", messages=messages, tools=tools)  # refuses tools that are not strict
        server.shutdown()
    assert _Server.requests[-1]["tools"] == tools
    assert reply.choices[0].message.tool_calls[0].function.parsed_arguments == {"title": "a", "folders": []}  # type: ignore


@pytest.mark.parametrize("template", ["qwen3", "llama3_1", "glm4moe", "gptoss", "gemma4"])
def test_chat_templates_render_it(template: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SchemaWarning)
        tools: Any = [tool_schema(tool) for tool in (get_weather, everything, Folder)]
    text = (TEMPLATES / f"{template}.jinja").read_text(encoding="utf-8")
    rendered, _ = render_jinja_template(
        conversations=[[{"role": "user", "content": "hi"}]], tools=tools, chat_template=text, add_generation_prompt=True
    )
    for word in ("get_weather", "everything", "Folder", "The city: its name, in English.", "fahrenheit"):
        assert word in rendered[0]


class Letters:
    """A tokenizer for llguidance: one token a byte."""

    eos_token_id = 256
    bos_token_id = None
    tokens = [bytes([i]) for i in range(256)] + [b"<eos>"]
    special_token_ids = [256]  # noqa: RUF012

    def __call__(self, text: str | bytes) -> list[int]:
        return list(text.encode() if isinstance(text, str) else text)


LETTERS = llguidance.LLTokenizer(llguidance.TokenizerWrapper(Letters()))


def compiled(schema: dict[str, Any]) -> llguidance.LLMatcher:
    matcher = llguidance.LLMatcher(LETTERS, llguidance.LLMatcher.grammar_from_json_schema(schema))
    assert not matcher.is_error(), matcher.get_error()
    return matcher


def takes(schema: dict[str, Any], value: Any) -> bool:
    matcher = compiled(schema)
    text = list(dumps(value).encode())
    return matcher.try_consume_tokens(text) == len(text) and matcher.is_accepting()


VALUE = {
    "place": {"latitude": 1.5, "longitude": 2, "unit": "celsius"},
    "folder": {"title": "a", "folders": [{"title": "b"}]},
    "pet": {"kind": "dog", "breed": "pug"},
    "when": "2026-01-31",
    "at": "2026-01-31T10:00:00Z",
    "tags": ["x"],
    "counts": {"a": 1},
    "pair": [1, "a"],
    "chosen": ["a"],
    "point": {"x": 1, "y": 2},
    "flag": True,
    "anything": {"deep": [None]},
}


def test_llguidance_takes_it() -> None:
    schema = parameters(everything)
    assert takes(schema, VALUE)
    assert not takes(schema, {**VALUE, "flag": 1})
    assert takes(parameters(Folder), VALUE["folder"])
    assert takes(parameters(Folder, strict=True), {"title": "a", "folders": []})
    assert not takes(parameters(Folder, strict=True), {"title": "a"})


def test_schema_and_model_take_the_same() -> None:
    schema, model = parameters(everything), arguments_model(everything)
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(VALUE, schema)
    assert model.model_validate_json(json.dumps(VALUE), strict=True)
    for key in VALUE:
        fewer = {name: value for name, value in VALUE.items() if name != key}
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(fewer, schema)
        with pytest.raises(ValidationError):
            model.model_validate_json(json.dumps(fewer), strict=True)


# ---- any types at all ------------------------------------------------------------------------------------------

LEAVES = {
    int: st.integers(),
    float: st.floats(allow_nan=False, allow_infinity=False),
    str: st.text(),
    bool: st.booleans(),
    Literal["a", 1]: st.sampled_from(["a", 1]),
    Unit: st.sampled_from(["celsius", "fahrenheit"]),
    datetime.date: st.dates().map(str),
    None: st.none(),
    Point: st.fixed_dictionaries({"x": st.integers(), "y": st.integers()}),
}


@st.composite
def typed(draw: st.DrawFn, depth: int = 2) -> tuple[Any, st.SearchStrategy[Any]]:
    """A type, and JSON values of it."""
    kind = draw(st.sampled_from(["leaf", "list", "dict", "optional", "model"] if depth else ["leaf"]))
    if kind == "leaf":
        return draw(st.sampled_from(list(LEAVES.items())))
    hint, values = draw(typed(depth - 1))
    if kind == "list":
        return list[hint], st.lists(values, max_size=3)
    if kind == "dict":
        return dict[str, hint], st.dictionaries(st.text(), values, max_size=3)
    if kind == "optional":
        return Optional[hint], st.none() | values  # noqa: UP045
    return create_model("Inner", title=(hint, ...)), st.fixed_dictionaries({"title": values})


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_a_value_of_the_types_fits_the_schema_and_the_model(data: st.DataObject) -> None:
    fields = data.draw(st.dictionaries(st.sampled_from(["a", "title", "json", "_x"]), typed(), max_size=3))

    def tool(**_: Any) -> None: ...

    only_by_name = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY) for name in fields]
    tool.__signature__ = inspect.Signature(only_by_name)  # type: ignore[attr-defined]
    tool.__annotations__ = {name: hint for name, (hint, _) in fields.items()}
    schema = parameters(tool)
    jsonschema.Draft202012Validator.check_schema(schema)
    value = {name: data.draw(values) for name, (_, values) in fields.items()}
    jsonschema.validate(value, schema)
    assert arguments_model(tool).model_validate_json(json.dumps(value), strict=True)
    compiled(schema)
    with pytest.raises(ValidationError):
        arguments_model(tool).model_validate_json(json.dumps({**value, "surplus": 1}), strict=True)
    with suppress(SchemaError):  # it has no words for a dict
        jsonschema.validate(value, parameters(tool, strict=True))
