"""`ReplyStream`: a reply that arrives in pieces, taken apart in one walk; the same calls, whatever the pieces.

Walks from marker to marker of the table in `syntaxes.py`. What follows a marker is read elsewhere: calls in `block.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from fcutils.messages import Reply
from fcutils.parsing.block import MAX_TRIES, Block
from fcutils.parsing.events import Account, Event
from fcutils.parsing.scanner import BadValue
from fcutils.parsing.source import Source, Wait
from fcutils.parsing.syntaxes import Region, Syntax, grammar


class ReplyStream:
    """Feed it text as it is sampled: each `feed` returns what has become clear, `close` the rest, `reply` holds it all.

    `dialect` names one family's syntax, None finds out. With `tools` (names, or OpenAI's form), a call without a marker is
    seen in the middle of text, too, if it names one of them.
    """

    def __init__(self, dialect: str | None = None, tools: Iterable[str | Mapping[str, Any]] | None = None) -> None:
        self._grammar = grammar(dialect)
        self._tools = frozenset(map(_tool_name, tools or ()))
        self._source = Source()
        self._account = Account(self._source)
        self._written: list[str] = []
        self._fenced = False  # inside a code fence that holds no call
        self._walk = self._read()
        self._closed = False

    def feed(self, piece: str) -> list[Event]:
        """Takes the next piece of the reply."""
        if self._closed:
            raise RuntimeError("this reply is closed; make a new ReplyStream for the next one")
        self._written.append(piece)
        self._source.add(piece)
        next(self._walk, None)
        return self._account.take_events()

    def close(self) -> list[Event]:
        """Says that the reply has ended."""
        if self._closed:
            return []
        self._closed = self._source.ended = True
        next(self._walk, None)
        return self._account.take_events()

    @property
    def reply(self) -> Reply:
        """The reply as far as it is known; whole once the stream is closed."""
        return self._account.reply("".join(self._written))

    def _read(self) -> Wait[None]:
        while True:
            finder = self._grammar.markers_or_bare if self._takes_bare() else self._grammar.markers
            marker = yield from finder.seek(self._source, self._account.text)
            rule = self._grammar.rules.get(marker)
            if isinstance(rule, Region):
                yield from self._region(rule)
            elif isinstance(rule, Syntax):
                yield from self._syntax(rule)
            elif not marker:
                return

    def _takes_bare(self) -> bool:
        """Whether a bracket alone may begin a call here."""
        return (self._account.blank or bool(self._tools)) and not self._fenced and self._account.tries < MAX_TRIES

    def _region(self, region: Region) -> Wait[None]:
        account, end = self._account, self._grammar.ends[region.open]
        if region.thought:
            account.new_thought()
            while (yield from end.seek(self._source, account.thought)) not in (region.close, ""):
                pass  # a turn's end does not end a thought
        else:
            account.text(region.open)
            account.text((yield from end.seek(self._source, account.text)))

    def _syntax(self, syntax: Syntax) -> Wait[None]:
        fence = syntax.close == "```"
        if self._account.tries >= MAX_TRIES or (fence and self._fenced) or (syntax.bare and not self._takes_bare()):
            self._fenced ^= fence
            self._account.text(syntax.open)
            return
        known = None if syntax.sure or self._account.blank or not self._tools else self._tools
        closed = yield from Block(syntax, self._grammar, self._source, self._account, known).read()
        self._fenced = fence and not closed
        if self._account.tries >= MAX_TRIES:
            much = BadValue("too_large", f"{MAX_TRIES} calls, or what looked like calls; the rest is taken for text")
            self._account.fault(self._source.offset, much)


def _tool_name(tool: str | Mapping[str, Any]) -> str:
    function = tool.get("function", tool) if isinstance(tool, Mapping) else None
    name = function.get("name") if isinstance(function, Mapping) else tool
    if not isinstance(name, str):
        raise ValueError(f"a tool is given by its name or in OpenAI's form, with a name, not {str(tool)[:80]!r}")
    return name
