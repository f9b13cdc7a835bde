"""The vocabulary of the house: what a call, a reply, an observation and a conversation are.

Everything here is frozen and turns into plain JSON and back. This file knows the two shapes in which OpenAI's API writes calls
(`tool_calls`, and the older `function_call`); it does not know how any model family writes them (`dialects/`), how to
find them in text (`parsing/`), or how to run them (`toolbox.py`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import Any, Literal

Role = Literal["system", "user", "assistant", "tool"]
ROLES: tuple[Role, ...] = ("system", "user", "assistant", "tool")

ObservationKind = Literal[
    "ok",  # the tool ran and gave a result
    "unknown_tool",  # nobody registered that name
    "invalid_arguments",  # the arguments do not fit the schema
    "refused",  # a person said no
    "repeated",  # the same call again and again
    "timed_out",  # the time limit ended it
    "failed",  # the tool raised
    "crashed",  # the tool's process died
    "bad_result",  # the result is not what the tool declares, or not JSON
    "unparsable",  # the model wrote a call that cannot be read
]


class MessageError(ValueError):
    """A message or conversation that cannot be read: says which one, and what was expected."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A wish to run one tool. `id` links the call to its observation where a format has ids."""

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    id: str | None = None

    def to_dict(self) -> dict[str, Any]:
        call: dict[str, Any] = {"name": self.name, "arguments": dict(self.arguments)}
        return call if self.id is None else {**call, "id": self.id}

    def to_openai(self, place: int = 0) -> dict[str, Any]:
        """One entry of an assistant message's `tool_calls`; arguments are a JSON string there. Without an id of its own it is
        named by its place in the message."""
        function = {"name": self.name, "arguments": dumps(self.arguments)}
        return {"id": self.id or id_for(place), "type": "function", "function": function}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ToolCall:
        """From `{"name", "arguments"}`, or an entry of `tool_calls`; arguments may be an object or a JSON string."""
        function = data.get("function", data)
        if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
            raise MessageError(f"a call needs a 'name' that is text: {_short(data)}")
        return cls(function["name"], _arguments(function.get("arguments")), data.get("id"))


@dataclass(frozen=True, slots=True)
class Fault:
    """Something in a reply that looked like a call and could not be read: what kind, why, and where."""

    kind: str
    reason: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Reply:
    """What a model wrote, taken apart. `text` is the reply as it was written."""

    content: str = ""
    thought: str = ""
    calls: tuple[ToolCall, ...] = ()
    faults: tuple[Fault, ...] = ()
    text: str = ""


@dataclass(frozen=True, slots=True)
class Observation:
    """What came of one call. `content` is JSON (any value); on an error it is a text that helps to mend the call."""

    content: Any
    kind: ObservationKind = "ok"
    name: str = ""
    call_id: str | None = None
    seconds: float = 0.0
    truncated: bool = False

    @property
    def ok(self) -> bool:
        return self.kind == "ok"

    @property
    def text(self) -> str:
        """The content as the model reads it: text stays text, everything else becomes JSON; errors carry their kind."""
        if not self.ok:
            return dumps({"error": self.content, "kind": self.kind})
        return self.content if isinstance(self.content, str) else dumps(self.content)

    def to_message(self) -> Message:
        return Message("tool", self.text, name=self.name or None, call_id=self.call_id)


@dataclass(frozen=True, slots=True)
class Message:
    """One turn. An assistant's may carry a thought and calls; a tool's names the call that it answers."""

    role: Role
    content: str = ""
    thought: str = ""
    calls: tuple[ToolCall, ...] = ()
    name: str | None = None
    call_id: str | None = None

    def __post_init__(self) -> None:
        if self.role not in ROLES:
            raise MessageError(f"unknown role {self.role!r}: it is one of {', '.join(ROLES)}")
        if self.calls and self.role != "assistant":
            raise MessageError(f"only an assistant's message carries calls, not a {self.role}'s")

    def to_openai(self, style: Literal["tool_calls", "function_call"] = "tool_calls", place: int = 0) -> dict[str, Any]:
        """The message in OpenAI's shape. `function_call` is the older one: one call a message, role `function` for results.

        A result without a `call_id` answers the call at its own `place` among the results.
        """
        if style == "function_call":
            return self._to_function_call()
        out: dict[str, Any] = {"role": self.role, "content": self.content}
        if self.thought:
            out["thought"] = self.thought
        if self.calls:
            out["tool_calls"] = [call.to_openai(number) for number, call in enumerate(self.calls)]
        if self.role == "tool":
            out["tool_call_id"] = self.call_id or id_for(place)
        return {**out, "name": self.name} if self.name else out

    def _to_function_call(self) -> dict[str, Any]:
        if len(self.calls) > 1:
            raise MessageError("the older function_call form holds one call a message; use style='tool_calls' for several")
        if self.role == "tool":
            if not self.name:
                raise MessageError("a result in the older form needs the function's name")
            return {"role": "function", "name": self.name, "content": self.content}
        out: dict[str, Any] = {"role": self.role, "content": self.content}
        out |= {"name": self.name} if self.name else {}
        if self.thought:
            out["thought"] = self.thought
        if self.calls:
            out["function_call"] = self.calls[0].to_openai()["function"]
        return out

    @classmethod
    def from_openai(cls, data: Mapping[str, Any]) -> Message:
        """From OpenAI's shape, new or old. Arguments may be a JSON string or an object; `content` may be null."""
        role = data.get("role")
        if role == "function":
            role = "tool"
        if role not in ROLES:
            raise MessageError(f"unknown role {role!r}: it is one of {', '.join(ROLES)}")
        raw = list(data.get("tool_calls") or ())
        if data.get("function_call"):
            raw.append(data["function_call"])
        content = data.get("content")
        if content is not None and not isinstance(content, str):
            content = content if _is_text_parts(content) else dumps(content)
        if isinstance(content, list):
            content = "".join(part["text"] for part in content)
        calls = tuple(ToolCall.from_dict(call) for call in raw)
        thought = data.get("thought") or ""
        return cls(role, content or "", thought, calls, data.get("name"), data.get("tool_call_id"))


@dataclass(frozen=True, slots=True)
class Conversation:
    """Messages, the tools that were on offer (OpenAI's form), and notes about where it came from."""

    messages: tuple[Message, ...] = ()
    tools: tuple[Mapping[str, Any], ...] = ()
    meta: Mapping[str, Any] = field(default_factory=dict)

    def add(self, *messages: Message) -> Conversation:
        """The conversation with more messages at its end; this one stays as it is."""
        return replace(self, messages=self.messages + messages)

    def to_dict(self, style: Literal["tool_calls", "function_call"] = "tool_calls") -> dict[str, Any]:
        """A row of OpenAI's form: `messages`, `tools` (older: `functions`), and `meta` where there is any."""
        turns = (list(turn) for _, turn in groupby(linked(self.messages), key=lambda message: message.role == "tool"))
        out: dict[str, Any] = {"messages": [m.to_openai(style, place) for turn in turns for place, m in enumerate(turn)]}
        if self.tools and style == "tool_calls":
            out["tools"] = [dict(tool) for tool in self.tools]
        elif self.tools:
            out["functions"] = [dict(tool["function"]) for tool in self.tools]
        return {**out, "meta": dict(self.meta)} if self.meta else out

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Conversation:
        if not isinstance(data.get("messages"), Sequence):
            raise MessageError(f"a conversation needs a list of 'messages': {_short(data)}")
        messages = []
        for number, message in enumerate(data["messages"]):
            try:
                messages.append(Message.from_openai(message))
            except (MessageError, AttributeError) as error:
                raise MessageError(f"message {number}: {error}") from None
        tools = list(data.get("tools") or ())
        tools += [{"type": "function", "function": function} for function in data.get("functions") or ()]
        return cls(tuple(messages), tuple(tools), data.get("meta") or {})

    def save(self, path: str | Path) -> None:
        Path(path).write_bytes(json.dumps(self.to_dict(), ensure_ascii=False, indent=1).encode())

    @classmethod
    def load(cls, path: str | Path) -> Conversation:
        try:
            return cls.from_dict(json.loads(Path(path).read_text(encoding="utf-8")))
        except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
            raise MessageError(f"{path} is not JSON: {error}") from None
        except (AttributeError, TypeError) as error:
            raise MessageError(f"{path} is not a conversation: {error}") from None


def conversation(messages: Iterable[Message], tools: Iterable[Mapping[str, Any]] = ()) -> Conversation:
    """A conversation from any iterables."""
    return Conversation(tuple(messages), tuple(tools))


def answered(result: Message, waiting: Mapping[int, ToolCall]) -> int | None:
    """Which of the calls that wait for a result this one answers: the one it names by id, or else by its tool; the first, if
    it names neither.
    """
    if result.call_id and any(call.id for call in waiting.values()):
        places = [place for place, call in waiting.items() if call.id == result.call_id]
    else:
        places = [place for place, call in waiting.items() if result.name in (None, "", call.name)]
    return places[0] if places else None


def linked(messages: Iterable[Message]) -> Iterator[Message]:
    """The messages; every result that has no `call_id` with the one of the call that it answers."""
    waiting: dict[int, ToolCall] = {}
    for message in messages:
        if message.calls:
            waiting = dict(enumerate(message.calls))
        elif message.role == "tool" and (place := answered(message, waiting)) is not None:
            call = waiting.pop(place)
            message = replace(message, call_id=message.call_id or call.id or id_for(place))
        yield message


def id_for(place: int) -> str:
    """The id of a call that has none, and of its result: nine letters and digits, which is what Mistral takes."""
    return f"call{place + 1:05}"


def dumps(value: Any) -> str:
    """JSON as it is written everywhere in this house: one line, unicode kept, NaN refused."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _arguments(raw: Any) -> dict[str, Any]:
    if isinstance(raw, str):
        try:
            raw = json.loads(raw or "{}")
        except json.JSONDecodeError as error:
            raise MessageError(f"arguments are not JSON ({error}): {_short(raw)}") from None
    if raw is None:
        return {}
    if not isinstance(raw, Mapping):
        raise MessageError(f"arguments must be an object, not {type(raw).__name__}: {_short(raw)}")
    return dict(raw)


def _is_text_parts(content: Any) -> bool:
    return isinstance(content, list) and all(
        isinstance(part, Mapping) and part.get("type") == "text" and isinstance(part.get("text"), str) for part in content
    )


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
