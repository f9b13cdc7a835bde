"""Drills: requests about tools of random words, where all that can be learnt is to read.

The authored sentences hold few choices a token, and a third of them share no word with the tool that is meant: a small
network takes hours to find out that a request's words are to be looked for among those of the tools, or learns the tools by
heart instead. Here they always are, and nothing stays true from one drill to the next. A drill is a list of tools and many
requests, in real formats; some hold bare requests alone, for what is hard is best begun easily (`strings.py` is easier still).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from fcutils.messages import Conversation, Message, ToolCall
from fcutils.pocket.corpus import Example, written
from fcutils.pocket.formats import LISTED, dialect_for, drawn, shown
from fcutils.pocket.prose import DETAILED, Prose, detailed, sentence
from fcutils.universe import Corner
from fcutils.universe.disguise import STYLES, camel, invented, snake

WORD = re.compile("\u2581[A-Za-z][a-z]{2,}")  # tokens that are whole words
BRIEF = 0.2  # of the drills: a line a tool, which says nothing of parameters but their names
BARE = 0.25  # of the others: no more is said there either
INVENTED = 0.2  # of the words
COUNTS = (0, 1, 1, 2, 2, 3, 4)  # of parameters
LINKS = ("of", "of the", "for", "for a", "in", "with", "and", "to the", "from", "on", "by", "the", "or")
OPENINGS = "|Please|Can you|I need|I want|Could you|Hi!|We have|There is|Let's|Tell me|Get|Do|Now|Next,".split("|")  # noqa: SIM905
CLOSINGS = (".", ".", "?", "!", "", ", please.", ", thanks.")
NAMINGS = ("{key} {value}", "{key} {value}", "{key}: {value}", "{value} as {key}", "{key} is {value}", "with {key} {value}",
           "{value} for the {key}", "the {key} being {value}", "{key} = {value}", "{key} '{value}'")  # fmt: skip
EASY = 0.3  # of the drills: no parameters, and each request means one tool
KINDS = {"call": 0.74, "both": 0.1, "nothing": 0.08, "missing": 0.08}
RESERVED = frozenset(re.findall("[a-z]+", " ".join((*LINKS, *OPENINGS, *CLOSINGS, *NAMINGS)).lower()))  # no tool's words
QUESTIONS = ("Which {key}?", "What is the {key}?", "Which {key} is it?", "Please tell me the {key}.")


@dataclass(frozen=True, slots=True)
class Key:
    """A parameter: its name, the words by which a request may mean it, and what it takes."""

    name: str
    words: tuple[str, ...]
    schema: dict[str, Any]
    required: bool


@dataclass(frozen=True, slots=True)
class Made:
    """A tool, and the words by which a request may mean it."""

    name: str
    words: tuple[str, ...]
    description: str
    keys: tuple[Key, ...]

    def offer(self) -> dict[str, Any]:
        parameters: dict[str, Any] = {"type": "object", "properties": {key.name: key.schema for key in self.keys}}
        if required := [key.name for key in self.keys if key.required]:
            parameters["required"] = required
        return {"type": "function", "function": {"name": self.name, "description": self.description, "parameters": parameters}}


class Words:
    """Words no two of which are alike, so that each belongs to one tool of the drill."""

    def __init__(self, pool: Sequence[str], rng: Random) -> None:
        self._pool, self._rng, self._given = pool, rng, set(RESERVED)

    def __call__(self, least: int, most: int) -> tuple[str, ...]:
        found: list[str] = []
        wanted = self._rng.randint(least, most)
        while len(found) < wanted:
            word = invented(self._rng) if self._rng.random() < INVENTED else self._rng.choice(self._pool)
            if word not in self._given:
                self._given.add(word)
                found.append(word)
        return tuple(found)


def drills(where: Corner, tokenizer: Any, rng: Random) -> Iterator[Example]:
    """Without end, in changing formats."""
    pool = pool_of(tokenizer)
    while True:
        dialect = shown(rng, "signature") if rng.random() < BRIEF else dialect_for(rng)
        bare = getattr(dialect, "listing", "") == "signature" or rng.random() < BARE
        yield written(drill(where.talk["declines"], pool, rng, bare), dialect, tokenizer, rng)


def in_prose(where: Corner, tokenizer: Any, rng: Random) -> Iterator[Example]:
    """The same in plain words: which tool one would use, and what is set to what."""
    pool = pool_of(tokenizer)
    while True:
        listing = "signature" if rng.random() < BRIEF else drawn(rng, LISTED)
        talk = drill(where.talk["declines"], pool, rng, bare=listing == "signature" or rng.random() < BARE)
        said = [replace(one, content=sentence(list(map(detailed, one.calls)))) if one.calls else one for one in talk.messages]
        yield written(replace(talk, messages=tuple(said)), Prose(rng.choice(DETAILED), listing=listing), tokenizer, rng)


def pool_of(tokenizer: Any) -> tuple[str, ...]:
    return tuple(sorted({word[1:].lower() for word in tokenizer.get_vocab() if WORD.fullmatch(word)}))


def drill(declines: Sequence[str], pool: Sequence[str], rng: Random, bare: bool = False) -> Conversation:
    """A list of tools, and requests that each mean one of them, two, or none. `bare`: parameters have a name and no more."""
    easy, fresh, style = rng.random() < EASY, Words(pool, rng), rng.choice(STYLES)
    made = [_tool(fresh, style, rng, bare, easy) for _ in range(rng.randint(2, 10))]
    messages: list[Message] = []
    kinds = ["call"] * rng.randint(6, 12) if easy else rng.choices(list(KINDS), list(KINDS.values()), k=rng.randint(4, 10))
    for kind in kinds:
        asked, calls, said = "", [], ""
        if kind == "nothing":
            asked, said = _sentence(rng, [*fresh(1, 3)]), rng.choice(declines)
        for tool in rng.sample(made, min(len(made), {"nothing": 0, "both": 2}.get(kind, 1))):
            left_out = rng.choice([key for key in tool.keys if key.required] or [None]) if kind == "missing" else None
            text, arguments = _request(tool, left_out, fresh, rng)
            asked = f"{asked} {text}".strip()
            if left_out:
                said = rng.choice(QUESTIONS).format(key=" ".join(left_out.words))
            else:
                calls.append(ToolCall(tool.name, arguments))
        messages += [Message("user", asked), Message("assistant", said, calls=tuple(calls))]
    return Conversation(tuple(messages), tuple(tool.offer() for tool in made), {"kinds": kinds})


def _tool(fresh: Words, style: Any, rng: Random, bare: bool, easy: bool) -> Made:
    named, described = fresh(1, 3), fresh(2, 6)
    keys = tuple(_key(fresh, style, rng, bare) for _ in range(0 if easy else rng.choice(COUNTS)))
    in_name = rng.random() < 0.7  # else the name says nothing
    said = [*described, *(named[:1] if rng.random() < 0.5 else ())]
    rng.shuffle(said)
    words = (*described, *named) if in_name else (*described, *(word for word in named if word in said))
    return Made(style(list(named)), words, _linked(said, rng) + ".", keys)


def _key(fresh: Words, style: Any, rng: Random, bare: bool) -> Key:
    named, described = fresh(1, 2), () if bare else fresh(0, 3)
    name = "_".join(named) if style is snake else camel(named)
    kind = rng.choices(("string", "integer", "number", "enum"), (6, 2, 1, 2))[0]
    schema: dict[str, Any] = {"type": "string" if kind == "enum" else kind}
    if described:
        schema["description"] = _linked(described, rng)
    if kind == "enum":
        schema["enum"] = list(fresh(2, 4))
    return Key(name, (*named,) if rng.random() < 0.5 or not described else described, schema, rng.random() < 0.6)


def _linked(words: Sequence[str], rng: Random) -> str:
    out = [words[0].capitalize()]
    for word in words[1:]:
        if rng.random() < 0.6:
            out.append(rng.choice(LINKS))
        out.append(word)
    return " ".join(out)


def _request(tool: Made, left_out: Key | None, fresh: Words, rng: Random) -> tuple[str, dict[str, Any]]:
    words = rng.sample(tool.words, rng.randint(1, min(3, len(tool.words))))
    extra = [*fresh(0, 2)] if rng.random() < 0.5 else []
    told, arguments = [], {}
    for key in tool.keys:
        if key is not left_out and (key.required or rng.random() < 0.5):
            arguments[key.name] = value = _value(key, fresh, rng)
            meant = " ".join(key.words[: rng.randint(1, len(key.words))])
            told.append(rng.choice(NAMINGS).format(key=meant, value=value))
    rng.shuffle(told)
    mixed = [*words, *extra]
    rng.shuffle(mixed)
    return _sentence(rng, mixed, told), arguments


def _sentence(rng: Random, words: Sequence[str], told: Sequence[str] = ()) -> str:
    said = f"{rng.choice(OPENINGS)} {_linked(words, rng).lower()}".strip()
    text = ", ".join([said, *told]) if rng.random() < 0.6 else ", ".join([*told, said])
    return text + rng.choice(CLOSINGS)


def _value(key: Key, fresh: Words, rng: Random) -> Any:
    if "enum" in key.schema:
        return rng.choice(key.schema["enum"])
    if key.schema["type"] == "integer":
        return rng.choice((rng.randint(1, 20), rng.randint(1, 5000)))
    if key.schema["type"] == "number":
        return round(rng.uniform(0, 300), rng.choice((1, 2)))
    words = fresh(1, 3)
    if rng.random() < 0.15:
        return f"{words[0][:3].upper()}-{rng.randint(10, 9999)}"
    return " ".join(word.capitalize() for word in words) if rng.random() < 0.5 else " ".join(words)
