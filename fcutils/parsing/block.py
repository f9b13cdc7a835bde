"""What follows a marker: one call or several, each read for itself, so that one that cannot be read spoils no other.

Knows where a call may begin and end, and how to go on after a bad one. The object is `scanner.py`'s, its meaning `calls.py`'s.
"""

from __future__ import annotations

import re
from collections.abc import Container

from fcutils.messages import ToolCall
from fcutils.parsing.calls import Found, find_calls
from fcutils.parsing.events import Account
from fcutils.parsing.scanner import BadValue, read_object, skip_object
from fcutils.parsing.source import Source, Wait
from fcutils.parsing.syntaxes import HEAD_PART, Grammar, Syntax

MAX_TRIES = 20_000  # calls, and what looked like calls, in one reply

_GAP = re.compile(r"[\s,;}]*")  # what may stand between two calls; a superfluous brace is common
_CALL_KEY = re.compile(r"""["'](?:arguments|parameters|tool_calls|function_call)["']""")
_NAME_KEY = re.compile(r"""["']name["']""")


class Block:
    """The calls behind the marker that was just read. `known`: only calls of these tools count, everything else is text."""

    def __init__(
        self, syntax: Syntax, grammar: Grammar, source: Source, account: Account, known: Container[str] | None = None
    ) -> None:
        self._syntax, self._grammar, self._source, self._account, self._known = syntax, grammar, source, account, known
        self._start = source.offset - len(syntax.open)  # where the call begins, its marker included
        self._in_list: bool | None = None  # None: no list yet
        self._head: re.Match[str] | None = None
        self._had_call = False
        self._closed = False

    def read(self) -> Wait[bool]:
        """Reads to the closing tag or to where no further call follows. Whether the tag was there."""
        self._source.mark()
        if self._syntax.sure:
            self._account.call_begins(self._start)
        if self._syntax.bare:
            self._source.pos -= 1
        if not (yield from self._next_call()):
            self._no_call()
        else:
            while (yield from self._call()) and self._account.tries < MAX_TRIES and (yield from self._next_call()):
                self._begin_another()
        return self._closed

    def _begin_another(self) -> None:
        source = self._source
        self._start = source.base + self._head.start() if self._head else source.offset
        source.mark()
        if self._syntax.sure:
            self._account.call_begins(self._start)

    def _next_call(self) -> Wait[bool]:
        """Goes to the bracket of the next call. False: there is none; a closing tag in its place is read."""
        source, syntax, markers = self._source, self._syntax, self._grammar.markers
        while True:
            gap = _GAP.match(source.text, source.pos)
            source.pos = gap.end() if gap else source.pos
            here = source.text[source.pos : source.pos + 1]
            if syntax.close and source.text.startswith(syntax.close, source.pos):
                source.pos += len(syntax.close)
                self._closed = True
                return False
            if not here or markers.may_begin(source):
                if not (yield from source.more()):
                    return False
            elif markers.at(source):
                return False
            elif here == "[" and self._in_list is None:
                self._in_list = True
                source.pos += 1
            elif here == "]" and self._in_list:
                self._in_list = False
                source.pos += 1
            elif here == "{" and syntax.objects:
                self._head = None
                return True
            elif syntax.head and (self._in_list or not syntax.bare):
                return (yield from self._read_head(syntax.head))
            else:
                return False

    def _read_head(self, pattern: re.Pattern[str]) -> Wait[bool]:
        """A name before the bracket, which is where the source then stands."""
        source = self._source
        while True:
            self._head = pattern.match(source.text, source.pos)
            if self._head:
                source.pos = self._head.end()
                return True
            part = HEAD_PART.match(source.text, source.pos)
            if not part or part.end() < len(source.text) or not (yield from source.more()):
                return False

    def _call(self) -> Wait[bool]:
        """Reads one call. False: the block ends with it."""
        source, account = self._source, self._account
        account.tries += 1
        head = self._head.groupdict() if self._head else None
        try:
            value = yield from read_object(source)
        except BadValue as bad:
            return (yield from self._go_on_after(bad))
        if head:
            found: Found | None = Found((ToolCall(**head, arguments=value),))
        else:
            found = find_calls(value, marked=self._syntax.sure, wrapped=self._syntax.wrapped)
        if not found or not self._counts(found):
            account.text(source.since(self._start))
            return False
        if found.thought:
            account.new_thought()
            account.thought(found.thought)
        account.text(found.content)
        if found.calls:
            self._had_call = True
            account.call_begins(self._start)
        for call in found.calls:
            if isinstance(call, ToolCall):
                account.call(call)
            else:
                account.fault(self._start, call)
        return True

    def _counts(self, found: Found) -> bool:
        if self._known is None:
            return True
        return bool(found.calls) and all(isinstance(call, ToolCall) and call.name in self._known for call in found.calls)

    def _go_on_after(self, bad: BadValue) -> Wait[bool]:
        """Ends a call that cannot be read: where its brackets close, but at a tag that a wrong quote made part of a string."""
        source, place = self._source, self._source.offset
        meant = self._was_meant(bad)
        back = bad.string_at is not None and bad.kind != "truncated" and self._back_to_tag(bad.string_at)
        if meant and not back and bad.kind != "truncated":
            if (yield from skip_object(source, bad, self._grammar.markers_or_brackets)):
                self._account.fault(self._start, bad)
                return True
            if not self._grammar.markers.at(source) and not self._back_to_tag(place):
                marker = yield from self._grammar.markers.seek(source, _drop)
                source.pos -= len(marker)
        if bad.kind == "truncated" and not back:
            source.pos = len(source.text)
        if not meant:
            self._account.text(source.since(self._start))
            return False
        if self._syntax.close and self._grammar.markers.at(source) == self._syntax.close:
            source.pos += len(self._syntax.close)
            self._closed = True
        self._account.call_begins(self._start)
        self._account.fault(self._start, bad)
        return False

    def _was_meant(self, bad: BadValue) -> bool:
        """Whether what cannot be read was meant to be a call, and is not just text in braces."""
        if self._syntax.sure:
            return True
        if self._known is not None:
            return self._head is not None and self._head["name"] in self._known
        text = self._source.since(self._start)
        named = bad.kind != "truncated" and _NAME_KEY.search(text)
        return bool(self._head or self._had_call or named or _CALL_KEY.search(text))

    def _back_to_tag(self, since: int) -> bool:
        """Back to the first tag around calls that was read as part of a string."""
        at = self._grammar.call_tags.first(self._source.since(since))
        return at >= 0 and self._source.rewind(since + at)

    def _no_call(self) -> None:
        self._account.tries += 1
        if not self._syntax.sure:
            self._account.text(self._source.since(self._start))
        elif self._source.ended and self._source.pos == len(self._source.text) and not self._closed:
            self._account.fault(self._start, BadValue("truncated", f"the text ends after {self._syntax.open}"))
        else:
            self._account.fault(self._start, BadValue("no_call", f"no call follows {self._syntax.open}"))


def _drop(text: str) -> None:
    """For text that belongs to a fault."""
