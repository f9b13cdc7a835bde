"""Reads one object, `{"a": 1}` or the `(a=1)` of a Python call, from text as it arrives: aware of strings, in one walk.

Tolerated, because models write it: single quotes, `True`/`None`, unquoted keys, trailing commas, raw newlines, escapes that
JSON lacks, `<escape>` as a quote, and (for a call's arguments) an object in single quotes. Nothing is guessed: an object that
does not close, a number that JSON cannot hold, a stray word is a `BadValue` with its place. Knows no dialect and no tool.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, Literal

from fcutils.parsing.source import Finder, Source, Wait

MAX_DEPTH = 100
MAX_VALUES = 100_000  # in one object, all levels together
MAX_CHARS = 4_000_000  # of one object
MAX_WORD = 400  # characters of a number or a bare word
MAX_SKIPPED = 10_000  # brackets and strings passed over in search of a bad object's end

FaultKind = Literal[
    "truncated",  # the text ends inside a call
    "malformed",  # a call that breaks the grammar
    "bad_number",  # NaN, Infinity, or more than a float can hold
    "too_deep",
    "too_large",
    "no_call",  # a marker that no call follows
    "bad_name",  # missing, empty, or not text
    "bad_arguments",  # not an object
]

_ESCAPE_QUOTE = "<escape>"  # FunctionGemma's
_SPACE = re.compile(r"\s*")
_TOKEN = re.compile(  # `string` is the short way for one that is whole and has no escapes
    r"""\s*+(?:"(?P<string>[^"\\]*)"|(?P<quote>["']|<escape>)|(?P<word>[\w+\-.]+)|(?P<comma>,)|(?P<pair>[:=])"""
    r"""|(?P<open>[{\[(])|(?P<close>[}\])]))"""
)
_STRING_END = {  # the closing quote; or an escape, which may hide one
    '"': re.compile(r'"|\\.', re.DOTALL),
    "'": re.compile(r"'|\\.", re.DOTALL),
    _ESCAPE_QUOTE: re.compile(_ESCAPE_QUOTE),
}
_ESCAPE = re.compile(r'\\(?:u[0-9a-fA-F]{4}|x([0-9a-fA-F]{2})|U(00(?:0[0-9a-fA-F]|10)[0-9a-fA-F]{4})|.)|"', re.DOTALL)
_SURROGATE = re.compile("[\ud800-\udfff]")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_LITERALS = {"true": True, "false": False, "null": None, "True": True, "False": False, "None": None}
_NOT_FINITE = {"nan", "inf", "infinity"}
_CLOSER = {"{": "}", "[": "]", "(": ")", "'": "'"}
_EXPECTED = {"key": "a key", "pair": "':' after a key", "value": "a value", "comma": "a comma or a closing bracket"}

BRACKETS_AND_QUOTES = frozenset("\"'{}[]()")


class BadValue(ValueError):
    """Text that is not the value it should be: what kind of fault, why, and how many brackets were open.

    `string_at`: the fault lies in a string, or right behind one, that began there; perhaps its quote closed too late.
    """

    def __init__(self, kind: FaultKind, reason: str, depth: int = 0, string_at: int | None = None) -> None:
        super().__init__(reason)
        self.kind: FaultKind = kind
        self.reason, self.depth, self.string_at = reason, depth, string_at


def read_object(source: Source) -> Wait[dict[str, Any]]:
    """Reads the object whose bracket opens right here. On a `BadValue` the source stands at the fault."""
    value, start = _Value(), source.offset
    while True:
        token = _TOKEN.match(source.text, source.pos)
        if not token or token.end() == len(source.text):
            token = yield from _whole_token(source, value)
        kind = token.lastgroup or ""
        text = token[kind]
        if kind == "quote" and text != value.closer:
            yield from _quoted(source, token, value)
            continue
        if kind == "close" and source.offset - start > MAX_CHARS:
            raise value.bad("too_large", f"a call of more than {MAX_CHARS} characters")
        value.take(kind, text)
        source.pos = token.end()
        value.string_at = source.base + token.start() if kind == "string" else None
        if not value.depth:
            return value.root


def parse_object(text: str) -> dict[str, Any]:
    """Reads a text that is one object and nothing else."""
    source = Source(text.strip(), ended=True)
    if not source.text.startswith("{"):
        raise BadValue("malformed", "it does not begin with '{'")
    try:
        next(read_object(source))
    except StopIteration as done:
        if source.pos < len(source.text):
            raise BadValue("malformed", "something follows its closing bracket") from None
        return done.value
    raise AssertionError("a text that has ended never waits")


def skip_object(source: Source, bad: BadValue, finder: Finder) -> Wait[bool]:
    """From a fault on to where the object closes. False: a marker or the end comes first, or neither for long.

    `finder` finds brackets, quotes and the markers of the dialect.
    """
    value = _Value(bad.depth)
    for _ in range(MAX_SKIPPED):
        found = yield from finder.seek(source, lambda _: None)
        if found not in BRACKETS_AND_QUOTES:
            source.pos -= len(found)
            return False
        if found in "{[(":
            value.depth += 1
        elif found in "}])":
            value.depth -= 1
            if value.depth == 0:
                return True
        else:
            try:
                yield from _string(source, found, value)
            except BadValue:
                return False
    return False


class _Value:
    """The object as far as it has been read: the open containers, and what may come next."""

    __slots__ = ("_key", "_key_quote", "_next", "_outer", "_top", "_values", "closer", "depth", "root", "string_at")

    def __init__(self, depth: int = 0) -> None:
        self.root: dict[str, Any] = {}
        self.closer = ""
        self.depth = depth
        self.string_at: int | None = None
        self._top: dict[str, Any] | list[Any] = []
        self._key, self._key_quote = "", ""
        self._outer: list[tuple[dict[str, Any] | list[Any], str, str]] = []
        self._next: Literal["key", "pair", "value", "comma"] = "value"
        self._values = 0

    @property
    def takes_string(self) -> bool:
        return self._next in ("key", "value")

    @property
    def takes_arguments(self) -> bool:
        """Whether the value of a call's "arguments" (in double quotes) comes next."""
        arguments = self._key in ("arguments", "parameters") and self._key_quote == '"'
        return arguments and self.depth == 1 and self._next == "value"

    def take(self, kind: str, text: str) -> None:
        """Takes one token."""
        if kind == "string":
            self.put(text, quote='"')
        elif kind == "comma":
            self._comma()
        elif kind == "pair":
            self._pair(text)
        elif kind == "word":
            self._word(text)
        elif kind == "open":
            self.open(text)
        else:
            self._close(text)

    def open(self, bracket: str) -> None:
        if self._next != "value" or (bracket == "(" and self.depth):
            raise self.unexpected(bracket)
        if self.depth == MAX_DEPTH:
            raise self.bad("too_deep", f"more than {MAX_DEPTH} brackets inside each other")
        self._outer.append((self._top, self._key, self.closer))
        self._top, self._next = ({}, "key") if bracket in "{(" else ([], "value")
        self.closer = _CLOSER[bracket]
        self.depth += 1

    def put(self, value: Any, quote: str = "") -> None:
        """Takes a key or a value, whichever comes next."""
        if self._next == "key":
            self._key, self._key_quote, self._next = value, quote, "pair"
            return
        if self._next != "value":
            raise self.unexpected(quote or str(value))
        self._values += 1
        if self._values > MAX_VALUES:
            raise self.bad("too_large", f"a call of more than {MAX_VALUES} values")
        if isinstance(self._top, dict):
            self._top[self._key] = value
        else:
            self._top.append(value)
        self._next = "comma"

    def _close(self, bracket: str) -> None:
        if bracket != self.closer or self._next not in ("comma", self._first()):  # so a trailing comma is allowed
            raise self.unexpected(bracket)
        closed: Any = self._top
        if bracket == "'" and len(closed) == 1:
            closed = closed[0]
        self._top, self._key, self.closer = self._outer.pop()
        self.depth -= 1
        self._next = "value"
        if self.depth:
            self.put(closed)
        else:
            self.root = closed

    def _comma(self) -> None:
        if self._next != "comma":
            raise self.unexpected(",")
        self._next = self._first()

    def _pair(self, sign: str) -> None:
        if self._next != "pair" or sign != ("=" if self.closer == ")" else ":"):
            raise self.unexpected(sign)
        self._next = "value"

    def _word(self, word: str) -> None:
        if len(word) > MAX_WORD:
            raise self.bad("too_large", f"a number or word of more than {MAX_WORD} characters")
        self.put(self._literal(word) if self._next == "value" else word)

    def bad(self, kind: FaultKind, reason: str) -> BadValue:
        return BadValue(kind, reason, self.depth, self.string_at)

    def unexpected(self, found: str) -> BadValue:
        if found in _STRING_END:  # a string behind a string is a forgotten comma: no quote closed too late
            self.string_at = None
        return self.bad("malformed", f"expected {_EXPECTED[self._next]}, found {found[:1]!r}")

    def _literal(self, word: str) -> bool | int | float | None:
        if word in _LITERALS:
            return _LITERALS[word]
        if word.lstrip("+-").lower() in _NOT_FINITE:
            raise self.bad("bad_number", f"{word} is no JSON number")
        if not _NUMBER.fullmatch(word):
            raise self.bad("malformed", f"{word[:40]!r} is no JSON value; text needs quotes")
        if word.lstrip("-").isdigit():
            return int(word)
        number = float(word)
        if math.isinf(number):
            raise self.bad("bad_number", f"{word[:40]} is more than a float can hold")
        return number

    def _first(self) -> Literal["key", "value"]:
        return "key" if isinstance(self._top, dict) else "value"


def _whole_token(source: Source, value: _Value) -> Wait[re.Match[str]]:
    """The next token where the text so far may hold only the beginning of it."""
    while True:
        space = _SPACE.match(source.text, source.pos)
        source.pos = space.end() if space else source.pos
        token = _TOKEN.match(source.text, source.pos)
        if token and (token.lastgroup != "word" or token.end() < len(source.text) or len(token[0]) > MAX_WORD):
            return token
        rest = source.text[source.pos : source.pos + len(_ESCAPE_QUOTE)]
        if not token and not _ESCAPE_QUOTE.startswith(rest):
            raise value.unexpected(rest)
        if not (yield from source.more()):
            raise value.bad("truncated", f"the text ends before the call's {value.closer!r}")


def _quoted(source: Source, token: re.Match[str], value: _Value) -> Wait[None]:
    """What a quote opens: a string, or Glaive's "arguments": '{"text": "it's"}', where the single quotes hold an object."""
    quote = token["quote"]
    if not value.takes_string:
        raise value.unexpected(quote)
    source.pos = token.end()
    begin = source.offset - len(quote)
    if quote == "'" and value.takes_arguments:
        while source.pos == len(source.text) and (yield from source.more()):
            pass
        if source.text.startswith("{", source.pos):
            value.open(quote)
            value.string_at = None
            return
    value.string_at = begin
    value.put((yield from _string(source, quote, value)), quote)


def _string(source: Source, quote: str, value: _Value) -> Wait[str]:
    """The rest of a string whose quote has opened; the source goes behind the closing one."""
    end, parts = _STRING_END[quote], []
    while True:
        text, at = source.text, source.pos
        while (found := end.search(text, at)) and found.group() != quote:
            at = found.end()
        stop = found.start() if found else _last_sure(text, at, quote)
        parts.append(text[source.pos : stop])
        source.pos = stop
        if found:
            source.pos += len(quote)
            return _unescape("".join(parts), quote, value)
        if not (yield from source.more()):
            raise value.bad("truncated", "the text ends inside a string")


def _last_sure(text: str, at: int, quote: str) -> int:
    """Up to where the text belongs to the string whatever comes: not half an escape, not half a quote of several characters."""
    if quote != _ESCAPE_QUOTE:
        return len(text) - text.endswith("\\", at)
    start = text.rfind("<", max(at, len(text) - len(quote)))
    return start if start >= 0 and quote.startswith(text[start:]) else len(text)


def _unescape(raw: str, quote: str, value: _Value) -> str:
    if "\\" not in raw or quote == _ESCAPE_QUOTE:
        return raw
    decoded = json.loads(f'"{_ESCAPE.sub(_as_json, raw)}"', strict=False)
    if _SURROGATE.search(decoded):
        raise BadValue("malformed", "half of a surrogate pair in a string", value.depth)  # the string itself has ended
    return decoded


def _as_json(found: re.Match[str]) -> str:
    """An escape as JSON writes it. One that nobody knows stands for itself, as in Python: "\\d" in a pattern, "C:\\dir"."""
    escape, python = found.group(), found[1] or found[2]
    if python:
        return json.dumps(chr(int(python, 16)))[1:-1]
    if escape == '"':
        return '\\"'
    if escape == "\\'":
        return "'"
    known = escape[1] in '"\\/bfnrt' or len(escape) == 6
    return escape if known else "\\" + escape
