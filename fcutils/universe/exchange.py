"""The same talk in other words: what its tools are about is exchanged, everywhere alike, for words drawn at random.

A corpus holds some hundreds of tools, and a model that reads them long enough knows them by heart: it hears "table for four"
and says `book_table` without a look at the list. Where every "table" is a "lantern", in the request as in the schema, the
call and the result, there is nothing to know: what is left is to look for the words of the request among those of the tools,
and to copy. Dates, numbers and the small words of the language stay as they are.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from random import Random
from typing import Any

from fcutils.messages import Conversation, Message, ToolCall
from fcutils.universe.disguise import invented
from fcutils.universe.splits import Corner

WORD = re.compile(r"[A-Za-z]*[À-ɏ][A-Za-zÀ-ɏ]*|[A-Z]?[a-z]+|[A-Z]+(?![a-z])")  # with a letter beyond ASCII, whole
SHORTEST = 4
GRAMMAR = frozenset("function type properties required items format enum description default parameters name".split())  # noqa: SIM905
INVENTED = 0.2  # of the new words; the others are words of other tools
STRUCTURE = ("type", "format")  # keys of a schema whose values are grammar, too
KEPT = frozenset(
    """about after again also another available based before between both call calls change current date dates day days each
    either every exact false find first format from full give given hour hours into january february march april june
    july august september october november december monday tuesday wednesday thursday friday saturday sunday kind last
    least list long look made make many minute minutes month months more most must name named names need needed never
    next none null number numbers once only optional other over part person same says show shown since single some
    such text than that their them then there these they thing things this those time times today tomorrow tonight
    true type under until upon used user value values very want week weeks what when where whether which whole will
    with within without word words would year years your yesterday one two three four five six seven eight nine eleven
    twelve half dozen percent please could should have does like there were
    """.split()  # noqa: SIM905
)


def exchanged(talk: Conversation, pool: Sequence[str], rng: Random) -> Conversation:
    """Every word of a request that stands in the schemas or in a value, too, for another one.

    What a request says in words of its own ("scrap it", where the schema says "cancel") stays: that is to be learnt.
    """
    asked = _stems(message.content for message in talk.messages if message.role == "user")
    stems = sorted(asked & _stems(_about(talk)))
    made = (invented(rng) if rng.random() < INVENTED else rng.choice(pool) for _ in range(20 * len(stems) + 20))
    new = dict(zip(stems, dict.fromkeys(made), strict=False))

    def other(found: re.Match[str]) -> str:
        stem, plural = _stem(found[0])
        word = new.get(stem, "") if _carries(found[0]) else ""
        return _as(found[0], word + plural) if word else found[0]

    def say(text: str) -> str:
        return WORD.sub(other, text)

    def message(old: Message) -> Message:
        calls = tuple(ToolCall(say(call.name), _mapped(call.arguments, say), call.id) for call in old.calls)
        name = say(old.name) if old.name else old.name
        return dataclasses.replace(old, content=say(old.content), thought=say(old.thought), calls=calls, name=name)

    return dataclasses.replace(
        talk, messages=tuple(map(message, talk.messages)), tools=tuple(_mapped(tool, say) for tool in talk.tools)
    )


def words(where: Corner) -> tuple[str, ...]:
    """What may stand in for a word: the words of this corner's tools."""
    texts = (f"{tool.name} {tool.description}" for tools in where.offered.values() for tool in tools)
    return tuple(sorted(_stems(texts)))


def _stems(texts: Iterable[str]) -> set[str]:
    return {_stem(word)[0] for text in texts for word in WORD.findall(text) if _carries(word)}


def _about(talk: Conversation) -> Iterator[str]:
    """The texts that say what is talked about: schemas, and what is given to tools."""
    for tool in talk.tools:
        yield from _texts(tool["function"])
    for message in talk.messages:
        for call in message.calls:
            yield from _texts(call.arguments)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            if not (key in STRUCTURE and isinstance(inner, str)):
                yield key
                yield from _texts(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts(inner)


def _mapped(value: Any, say: Any) -> Any:
    if isinstance(value, str):
        return say(value)
    if isinstance(value, Mapping):
        return {
            key if key in GRAMMAR else say(key): inner if key in STRUCTURE and isinstance(inner, str) else _mapped(inner, say)
            for key, inner in value.items()
        }
    if isinstance(value, list | tuple):
        return [_mapped(inner, say) for inner in value]
    return value


def _carries(word: str) -> bool:
    low = word.lower()
    return len(low) >= SHORTEST and low.isascii() and low not in KEPT and low not in GRAMMAR


def _stem(word: str) -> tuple[str, str]:
    low = word.lower()
    return (low[:-1], "s") if len(low) > SHORTEST and low.endswith("s") and not low.endswith(("ss", "us", "is")) else (low, "")


def _as(old: str, new: str) -> str:
    """With the capitals of the old word."""
    return new.upper() if old.isupper() else new.capitalize() if old[0].isupper() else new
