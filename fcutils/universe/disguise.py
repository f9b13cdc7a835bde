"""Tools as they are offered: the schema of an authored tool, under its own name, in another style, or under a made-up name.

A model that has seen `book_flight` a thousand times need not read its schema. Made-up names make reading the only way;
other styles (`bookFlight`, `flights.book`) keep it from leaning on one spelling. Knows names and schemas; knows no sentences.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any, Literal

from fcutils.messages import Message, ToolCall
from fcutils.universe.files import Tool

Mode = Literal["own", "styled", "made_up"]
SCHEMA_KEYS = ("type", "description", "format", "default")


def schema(tool: Tool) -> dict[str, Any]:
    """The tool in OpenAI's form."""
    parameters: dict[str, Any] = {"type": "object", "properties": {n: _property(s) for n, s in tool.parameters.items()}}
    if tool.required:
        parameters["required"] = list(tool.required)
    return {"type": "function", "function": {"name": tool.name, "description": tool.description, "parameters": parameters}}


def _property(spec: Mapping[str, Any]) -> dict[str, Any]:
    out = {key: spec[key] for key in SCHEMA_KEYS if key in spec}
    if "enum" in spec:
        out["enum"] = list(spec["enum"])
    if spec["type"] == "array":
        out["items"] = _property(spec["items"])
    if spec["type"] == "object":
        inside = spec["properties"]
        out["properties"] = {name: _property(inner) for name, inner in inside.items()}
        required = [name for name, inner in inside.items() if not inner.get("optional")]
        if required:
            out["required"] = required
    return out


@dataclasses.dataclass(frozen=True, slots=True)
class Names:
    """New names for tools, and for each tool's parameters."""

    tools: Mapping[str, str]
    parameters: Mapping[str, Mapping[str, str]]

    def call(self, call: ToolCall) -> ToolCall:
        keys = self.parameters.get(call.name, {})
        return ToolCall(self.tools.get(call.name, call.name), {keys.get(k, k): v for k, v in call.arguments.items()}, call.id)

    def message(self, message: Message) -> Message:
        """The message with calls, results and thoughts under the new names."""
        thought = message.thought
        for call in message.calls:
            thought = re.sub(rf"(?<![\w.]){re.escape(call.name)}(?![\w.])", self.tools.get(call.name, call.name), thought)
        name = self.tools.get(message.name, message.name) if message.name else None
        return dataclasses.replace(message, calls=tuple(map(self.call, message.calls)), thought=thought, name=name)

    def offer(self, tool: Tool, keep_descriptions: bool = True) -> dict[str, Any]:
        out = schema(tool)
        function, keys = out["function"], self.parameters.get(tool.name, {})
        function["name"] = self.tools.get(tool.name, tool.name)
        parameters = function["parameters"]
        parameters["properties"] = {keys.get(k, k): v for k, v in parameters["properties"].items()}
        if "required" in parameters:
            parameters["required"] = [keys.get(k, k) for k in parameters["required"]]
        if not keep_descriptions:
            for spec in parameters["properties"].values():
                spec.pop("description", None)
        return out


def names(tools: Sequence[Tool], mode: Mode, rng: Random) -> Names:
    """New names for these tools; never two alike."""
    if mode == "own":
        return Names({}, {})
    style = rng.choice(STYLES)
    taken: set[str] = set()
    new_tools, new_parameters = {}, {}
    for tool in tools:
        made = mode == "made_up"
        new_tools[tool.name] = _fresh(
            taken, lambda t=tool, m=made: made_up(rng, style) if m else style(words_of(t.name)), tool.name
        )
        used: set[str] = set()
        new_parameters[tool.name] = {
            name: _fresh(used, lambda n=name, m=made: made_up(rng, style, (1, 1, 2)) if m else _plain(style)(words_of(n)), name)
            for name in tool.parameters
        }
    return Names(new_tools, new_parameters)


def _fresh(taken: set[str], make: Any, fallback: str) -> str:
    for _ in range(20):
        name = make()
        if name not in taken:
            break
    else:
        name = fallback
    taken.add(name)
    return name


def made_up(rng: Random, style: Any, counts: Sequence[int] = (1, 2, 2)) -> str:
    return style([invented(rng) for _ in range(rng.choice(counts))])


ONSETS = "b c d f g h j k l m n p r s t v w z br cl dr fl gr kr pl st tr".split()  # noqa: SIM905
CODAS = ("", "", "n", "r", "s", "l", "x", "m", "k")


def invented(rng: Random) -> str:
    return "".join(rng.choice(ONSETS) + rng.choice("aeiou") + rng.choice(CODAS) for _ in range(rng.choice((1, 2, 2))))


def words_of(name: str) -> list[str]:
    """The words that a name is made of, whatever its style."""
    return [word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+", name)] or [name]


def snake(words: Sequence[str]) -> str:
    return "_".join(words)


def camel(words: Sequence[str]) -> str:
    return words[0] + "".join(word.capitalize() for word in words[1:])


def pascal(words: Sequence[str]) -> str:
    return "".join(word.capitalize() for word in words)


def dotted(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{words[-1]}.{'_'.join(words[:-1])}"


STYLES = (snake, snake, camel, camel, dotted, pascal)


def _plain(style: Any) -> Any:
    """Parameters are never dotted, and seldom capitalised."""
    return {dotted: snake, pascal: camel}.get(style, style)
