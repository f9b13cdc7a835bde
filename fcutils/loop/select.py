"""Many tools: which of them the model sees with a request, and why. Ranks their names and words (`ranking.py`) by the request.

Whoever registers hundreds of tools cannot show them all: they would fill the context, and every token of them is read. A choice
stays until a tool that shares a whole word with the request is missing from it, so that the model does not read everything anew
with each request.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from fcutils.messages import Conversation
from fcutils.ranking import pieces, rank, words

Tools = Sequence[Mapping[str, Any]]  # in OpenAI's form
Selector = Callable[[Conversation, Tools], Sequence["Choice"]]

SHAPES: Mapping[str, re.Pattern[str]] = MappingProxyType(  # what a value looks like -> the word that a schema has for it
    {
        "date day": re.compile(r"\d{4}-\d\d-\d\d|\b\d{1,2}(?:st|nd|rd|th)?\b (?:of )?(?=[JFMASOND])"),
        "time": re.compile(r"\b\d{1,2}:\d\d|\b\d{1,2} ?[ap]m\b"),
        "url address page": re.compile("https?://"),
        "number id": re.compile(r"\b[A-Z]{1,4}[-_]?\d{3,}"),
    }
)


@dataclass(frozen=True, slots=True)
class Choice:
    """Whether the model sees a tool, and why."""

    name: str
    shown: bool
    why: str


@dataclass(frozen=True, slots=True)
class BestTools:
    """The `most` tools that fit the last request best, and those that were called before: for `ToolLoop(select_tools=...)`."""

    most: int = 8

    def __call__(self, talk: Conversation, tools: Tools) -> list[Choice]:
        """A choice for every tool, in their order."""
        request = next((message.content for message in reversed(talk.messages) if message.role == "user"), "")
        names = [tool["function"]["name"] for tool in tools]
        fits = {names[place]: number for number, place in enumerate(ranked(request, tools), start=1)}
        called = {call.name for message in talk.messages for call in message.calls}.intersection(names)
        best = {name for name, number in fits.items() if number <= self.most}
        said = set(words(request))
        plainly = {
            name for tool, name in zip(tools, names, strict=True) if said.intersection(words(_words_of(tool["function"])))
        }
        before = {tool["function"]["name"] for tool in talk.tools}
        stays = (best & plainly) | called <= before and len(before) <= self.most + len(called)
        shown = called | (before if stays else best)
        return [self._choice(name, name in shown, name in called, fits.get(name)) for name in names]

    def _choice(self, name: str, shown: bool, called: bool, place: int | None) -> Choice:
        if called:
            return Choice(name, True, "was called before")
        if place is not None and (shown or place > self.most):
            return Choice(name, shown, f"fits the request: place {place}")
        if shown:
            return Choice(name, True, "was shown before, and nothing has to make room")
        return Choice(name, False, "hardly fits the request" if place else "shares no word with the request")


def ranked(request: str, tools: Tools) -> list[int]:
    """The places of the tools that share anything with the request, best first."""
    hints = " ".join(hint for hint, shape in SHAPES.items() if shape.search(request))
    return [place for place, _ in rank(f"{request} {hints}", [_words_of(tool["function"]) for tool in tools], pieces)]


def _words_of(function: Mapping[str, Any]) -> str:
    """What a tool's schema says, its name twice."""
    name = str(function["name"])
    return " ".join([name, name, str(function.get("description") or ""), *_said(function.get("parameters"), 6)])


def _said(schema: Any, depth: int) -> Iterator[str]:
    """Names, descriptions and possible values within a schema."""
    if not isinstance(schema, Mapping) or not depth:
        return
    for name, inner in (schema.get("properties") or {}).items():
        yield name
        yield str(inner.get("description") or "") if isinstance(inner, Mapping) else ""
        yield from _said(inner, depth - 1)
    yield from (value for value in schema.get("enum") or () if isinstance(value, str))
    yield from _said(schema.get("items"), depth - 1)
