"""Functions and Pydantic models as tools: the JSON schema of what goes in, and of what comes out, in OpenAI's form.

Knows type hints, docstrings (Google, NumPy, Sphinx) and Pydantic, which does the work. Does not know how a model family shows a
tool (`dialects/`), nor how a tool is run (`toolbox.py`).
"""

from __future__ import annotations

import functools
import inspect
import json
import re
import typing
import warnings
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Annotated, Any, TypeGuard

import docstring_parser
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, create_model
from pydantic.errors import PydanticUserError

Schema = dict[str, Any]
NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")  # what OpenAI's API, and everybody after it, takes for a tool's name


class SchemaError(TypeError):
    """A function or model that cannot be a tool: says which one, and what to change."""


class SchemaWarning(UserWarning):
    """A tool that a model will find hard to use, for want of a description or a type."""


def tool_schema(tool: Callable[..., Any] | type[BaseModel], *, name: str | None = None, strict: bool = False) -> Schema:
    """A function or Pydantic model as an entry of `tools`. `strict` gives the form that OpenAI's strict mode asks for.

    Warns (`SchemaWarning`) about missing descriptions and types: they are all that a model has to go by.
    """
    function = _function(tool, name)
    if strict:
        parameters = _rewrite(function["parameters"], functools.partial(_strict, function["name"]))
        function |= {"parameters": parameters, "strict": True}
    return {"type": "function", "function": function}


def convert_pydantic_to_openai_function(model: type[BaseModel], *, name: str | None = None) -> Schema:
    """A Pydantic model as the bare function of OpenAI's older form: `name`, `description`, `parameters`."""
    return _function(model, name)


def arguments_model(tool: Callable[..., Any] | type[BaseModel]) -> type[BaseModel]:
    """The Pydantic model of a function's arguments; a Pydantic model is its own. Its fields stand in the parameters' order.

    A parameter that a model cannot have as a field (`json`, `_x`) keeps its name as an alias.
    """
    if is_model(tool):
        return tool
    fields: dict[str, Any] = {}
    parameters, free = parameters_of(tool), "argument_"
    while any(parameter.name.startswith(free) for parameter in parameters):
        free += "_"
    for number, parameter in enumerate(parameters):
        annotation, default = parameter.annotation, parameter.default
        if default is None:
            annotation = _optional(annotation)
        if parameter.name.startswith("_") or hasattr(BaseModel, parameter.name):
            fields[f"{free}{number}"] = Annotated[annotation, Field(alias=parameter.name)], default
        else:
            fields[parameter.name] = annotation, default
    name = _python_name(tool)
    try:
        return create_model(name, __config__=ConfigDict(extra="forbid", allow_inf_nan=False), **fields)
    except PydanticUserError as error:
        raise SchemaError(f"{name}: an argument's type cannot come from JSON. {_first_line(error)}") from None


def parameters_of(function: Callable[..., Any]) -> list[inspect.Parameter]:
    """A function's parameters as a tool's caller sees them: types resolved, a missing type is `Any`, no default is `...`."""
    hints, name = _hints(function), _python_name(function)
    bound = function.keywords if isinstance(function, functools.partial) else {}
    parameters = []
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise SchemaError(f"{name}: {parameter} has no names a model could fill in; list the arguments one by one")
        if parameter.name not in bound:  # what a partial has settled is not the model's to choose
            default = ... if parameter.default is parameter.empty else parameter.default
            parameters.append(parameter.replace(annotation=hints.get(parameter.name, Any), default=default))
    return parameters


def return_schema(tool: Callable[..., Any] | type[BaseModel]) -> Schema | None:
    """The JSON schema of what a tool returns, or None where it does not say. A model used as a tool returns itself."""
    adapter = return_adapter(tool)
    if adapter is None:
        return None
    schema, text = adapter.json_schema(mode="serialization"), _docs(tool).returns
    return _tidy({"description": text, **schema} if text and not is_model(tool) else schema)


def return_adapter(tool: Callable[..., Any] | type[BaseModel]) -> TypeAdapter[Any] | None:
    """What checks a tool's result and turns it into JSON, or None where the tool does not say what it returns."""
    declared = tool if is_model(tool) else _hints(tool).get("return", Any)
    if declared is Any:
        return None
    try:
        adapter = TypeAdapter(declared)
        adapter.json_schema(mode="serialization")
    except PydanticUserError as error:
        raise SchemaError(f"{_python_name(tool)}: its result's type cannot become JSON. {_first_line(error)}") from None
    return adapter


def is_model(tool: Any) -> TypeGuard[type[BaseModel]]:
    """Whether a tool is a Pydantic model rather than a function."""
    return isinstance(tool, type) and issubclass(tool, BaseModel)


# ---- from Python: names, types, docstrings -------------------------------------------------------------------------


def _tool_name(tool: Any, name: str | None) -> str:
    name = _python_name(tool) if name is None else name
    if not NAME.fullmatch(name):
        raise SchemaError(f"{name!r} cannot be a tool's name: 1 to 64 of a-z, A-Z, 0-9, _ and -. Give it one with name=")
    return name


def _python_name(tool: Any) -> str:
    return getattr(_inner(tool), "__name__", type(tool).__name__)


def _inner(tool: Any) -> Any:
    return _inner(tool.func) if isinstance(tool, functools.partial) else tool


def _hints(function: Any) -> Mapping[str, Any]:
    """Resolved type hints; those of a callable object are its `__call__`'s."""
    function = _inner(function)
    if not callable(function):
        raise SchemaError(f"a tool is a function or a Pydantic model, not {function!r}")
    if not (inspect.isroutine(function) or isinstance(function, type)):
        function = function.__call__
    try:
        return typing.get_type_hints(function, include_extras=True)
    except NameError as error:
        raise SchemaError(f"{_python_name(function)}: {error}; define that type where the module can see it") from None
    except (SyntaxError, TypeError, AttributeError) as error:
        why = f"a type hint is none ({_first_line(error)}); list[int] would be one"
        raise SchemaError(f"{_python_name(function)}: {why}") from None


def _optional(annotation: Any) -> Any:
    """`x: int = None` means that None will do, whatever the hint says."""
    if annotation is Any:
        return Any
    if typing.get_origin(annotation) is Annotated:
        bare, *notes = typing.get_args(annotation)
        return Annotated[(_optional(bare), *notes)]
    return annotation | None if isinstance(annotation, type) else typing.Union[annotation, None]  # noqa: UP007


class _Docs(typing.NamedTuple):
    tool: str
    arguments: Mapping[str, str]
    returns: str


def _docs(tool: Any) -> _Docs:
    """What the docstring says, in whatever style it is written."""
    inner = _inner(tool)
    try:
        parsed = docstring_parser.parse(inner.__doc__ or "")
    except docstring_parser.ParseError:
        return _Docs(_flat(inspect.cleandoc(inner.__doc__)), MappingProxyType({}), "")
    arguments = {name.strip(" *"): _flat(p.description) for p in parsed.params for name in p.arg_name.split(",")}
    return _Docs(_flat(parsed.description), arguments, _flat(parsed.returns.description if parsed.returns else ""))


def _flat(text: str | None) -> str:
    """Each paragraph on one line: where a docstring was wrapped means nothing to a model."""
    return "\n".join(" ".join(paragraph.split()) for paragraph in re.split(r"\n[ \t]*\n", text or "")).strip()


def _warn_of_gaps(name: str, docs: _Docs, parameters: Schema) -> None:
    properties = parameters["properties"]
    bare = [key for key, schema in properties.items() if not schema.get("description")]
    untyped = [key for key, schema in properties.items() if not schema.keys() - {"description", "default"}]
    gaps = [] if docs.tool else ["it has no description"]
    gaps += [f"no description for {', '.join(bare)}"] if bare else []
    gaps += [f"no type for {', '.join(untyped)}"] if untyped else []
    if gaps:
        warnings.warn(f"tool {name}: {'; '.join(gaps)}. A model chooses by these words.", SchemaWarning, stacklevel=4)


# ---- from Pydantic's JSON schema to the one that a model reads -----------------------------------------------------


def _function(tool: Callable[..., Any] | type[BaseModel], name: str | None) -> Schema:
    name, docs = _tool_name(tool, name), _docs(tool)
    model = arguments_model(tool)
    try:
        schema = model.model_json_schema()
    except PydanticUserError as error:
        raise SchemaError(f"{name}: an argument's type has no JSON schema. {_first_line(error)}") from None
    if "$ref" in schema:  # a model that contains itself
        schema = {**schema["$defs"][_target(schema)], "$defs": schema["$defs"]}
    if schema.get("type") != "object":
        raise SchemaError(f"{name}: a tool's arguments are an object with named fields, not {schema.get('type')!r}")
    properties = schema.setdefault("properties", {})
    for key, text in [*_notes(model).items(), *docs.arguments.items()]:
        if text and key in properties:
            properties[key].setdefault("description", text)
    schema.pop("description", None)  # the docstring, which the function's own description already is
    if schema.get("additionalProperties") is False:
        del schema["additionalProperties"]  # goes without saying, as in what models learn from; the strict form says it
    parameters = _rewrite(_tidy(schema), functools.partial(_refuse_open, name))
    _warn_of_gaps(name, docs, parameters)
    return {"name": name, "description": docs.tool, "parameters": parameters}


def _notes(model: type[BaseModel]) -> dict[str, str]:
    """Descriptions given as plain text in the type: `Annotated[int, "how many"]`."""
    notes = ((info.alias or field, note) for field, info in model.model_fields.items() for note in info.metadata)
    return {key: _flat(note) for key, note in notes if isinstance(note, str)}


def _tidy(schema: Schema) -> Schema:
    """References resolved in place, `type` and `description` first, Pydantic's titles gone.

    A schema that can be read where it stands is easier for a small model, and can be put inside another one. Only types that
    contain themselves stay in `$defs`.
    """
    definitions = schema.pop("$defs", {})
    recursive = {name for name in definitions if name in _reach(name, definitions)}

    def resolve(node: Schema) -> Schema:
        name = _target(node)
        if name is None or name in recursive:
            return _trim(node)
        siblings = {key: value for key, value in node.items() if key != "$ref"}
        return _trim({**_rewrite(definitions[name], resolve), **siblings})

    out = _rewrite(schema, resolve)
    if "$ref" in schema and _target(schema) in recursive:
        out = _rewrite(definitions[_target(schema)], resolve)
    return {**out, "$defs": {n: _rewrite(definitions[n], resolve) for n in definitions if n in recursive}} if recursive else out


_NAMED = ("properties", "$defs", "patternProperties")  # keywords that hold schemas by name,
_LISTED = ("anyOf", "oneOf", "allOf", "prefixItems")  # in a list,
_SINGLE = ("items", "additionalProperties", "propertyNames", "contains", "not")  # or one


def _rewrite(schema: Schema, change: Callable[[Schema], Schema]) -> Schema:
    """The schema with `change` applied to every schema in it, innermost first; data (defaults, enums) is left alone."""
    out = dict(schema)
    for key, value in schema.items():
        if key in _NAMED:
            out[key] = {name: _rewrite(inner, change) for name, inner in value.items()}
        elif key in _LISTED:
            out[key] = [_rewrite(inner, change) for inner in value]
        elif key in _SINGLE and isinstance(value, dict):
            out[key] = _rewrite(value, change)
    return change(out)


def _trim(node: Schema) -> Schema:
    """Without what says nothing to a model: titles, `default: null`, OpenAPI's discriminator, and `uniqueItems` (a set takes
    duplicates; neither OpenAI nor llguidance takes the keyword)."""
    first = {key: node[key] for key in ("type", "description") if key in node}
    gone = {"title", "discriminator", "uniqueItems"} | ({"default"} if node.get("default", 0) is None else set())
    return first | {key: value for key, value in node.items() if key not in gone}


def _refuse_open(name: str, node: Schema) -> Schema:
    if "properties" in node and node.get("additionalProperties"):
        raise SchemaError(f"{name}: a model with extra='allow' takes keys that no schema names; give it a field of type dict")
    return node


def _target(node: Schema) -> str | None:
    return node["$ref"].removeprefix("#/$defs/") if "$ref" in node else None


def _reach(start: str, definitions: Mapping[str, Schema]) -> set[str]:
    """The definitions that one refers to, directly or through others."""
    reached: set[str] = set()
    queue = [definitions[start]]

    def visit(node: Schema) -> Schema:
        name = _target(node)
        if name is not None and name not in reached:
            reached.add(name)
            queue.append(definitions[name])
        return node

    while queue:
        _rewrite(queue.pop(), visit)
    return reached


def _strict(name: str, node: Schema) -> Schema:
    """One schema in OpenAI's strict form: closed objects, every property required, no defaults, `anyOf` only."""
    open_object = node.get("type") == "object" and ("properties" not in node or node.get("additionalProperties"))
    untyped = not node.keys() & {"type", "anyOf", "oneOf", "$ref", "enum", "const"}
    if open_object or untyped or "prefixItems" in node or "allOf" in node:
        raise SchemaError(f"tool {name}: the strict form has no words for {_short(node)}; use a model with named, typed fields")
    if "$ref" in node:
        return {"$ref": node["$ref"]}
    out = {"anyOf" if key == "oneOf" else key: value for key, value in node.items() if key != "default"}
    if "default" in node:  # every argument must be given: say which value is the usual one
        said = node.get("description", "").rstrip()
        stop = "" if said.endswith((".", "!", "?", ":", ";")) or not said else "."
        out["description"] = f"{said}{stop} Default: {json.dumps(node['default'], ensure_ascii=False)}.".strip()
    if node.get("type") == "object":
        out |= {"required": list(node["properties"]), "additionalProperties": False}
    return out


def _short(node: Schema) -> str:
    text = json.dumps(node, ensure_ascii=False, default=repr)
    return text if len(text) <= 120 else text[:117] + "..."


def _first_line(error: Exception) -> str:
    return str(error).split("\n", 1)[0]
