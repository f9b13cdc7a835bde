"""Dialect × tools -> the grammar of a call, in llguidance's Lark: written as the dialect's own renderer writes it.

How a call looks is not told here a second time: two calls are rendered, and the grammar is what they have around them.
Knows nothing of sampling.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from fcutils.constrain.schemas import Caps, Schema
from fcutils.constrain.vocabulary import Vocabulary
from fcutils.dialects import Dialect, DialectError, encode
from fcutils.messages import Message, ToolCall, dumps

_CALLS = (ToolCall("first", {}, "000000001"), ToolCall("second", {}, "000000002"))
_STARTS = tuple(f'{{"name": "{call.name}", "arguments": ' for call in _CALLS)
_ID = re.compile("00000000[12]")


@dataclass(frozen=True, slots=True)
class Form:
    """What a dialect writes around calls."""

    lead: str  # before the mark that opens a call, where a reply is nothing but calls
    opening: str  # between that mark and the call's JSON
    ending: str  # of the JSON, behind the arguments
    between: str  # two calls of one list; "" where every call has marks of its own
    closing: str  # behind the last JSON, up to where free text may follow
    behind_thought: str  # before `lead`, where a thought comes first


def form(dialect: Dialect) -> Form:
    written = "".join(piece.text for piece in dialect.reply(Message("assistant", calls=_CALLS)))
    if _STARTS[0] not in written:
        raise DialectError(f"{dialect.name}: its calls are not JSON, and there is no grammar for them: do not constrain it")
    head, tail = written.split(_STARTS[0])
    middle, tail = (part.removeprefix("{}") for part in tail.split(_STARTS[1]))
    lead, opening = head.split(dialect.call_open)
    cut = tail.index("}") + 1
    ending, between, rest = tail[:cut], middle[cut:], tail[cut:]
    close = rest.index(dialect.call_close)
    listed = dialect.call_close not in between
    closing = rest[:close] if listed else rest[: close + len(dialect.call_close)]
    return Form(lead, opening, ending, between if listed else "", closing, _behind_thought(dialect, lead))


def _behind_thought(dialect: Dialect, lead: str) -> str:
    if not dialect.thought_open:
        return ""
    written = "".join(piece.text for piece in dialect.reply(Message("assistant", thought="-", calls=_CALLS)))
    return written.split(dialect.thought_close)[1].split(lead + dialect.call_open)[0]


class Grammar:
    """Writes grammars for one dialect and tokenizer."""

    def __init__(self, dialect: Dialect, tokenizer: Any, vocabulary: Vocabulary, caps: Caps) -> None:
        self.form = form(dialect)
        self._dialect, self._vocabulary, self._caps = dialect, vocabulary, caps
        self.open = vocabulary.tokens.get(dialect.call_open)
        self.ends_in_token = dialect.call_close in vocabulary.tokens and not self.form.between
        self._spaced = self.open is not None and self._begins_with_space(tokenizer)

    def call(self, tools: Sequence[tuple[str, Schema]]) -> str:
        """From behind the mark that opens a call to its end."""
        return self._lines("start: body", tools)

    def must_call(self, tools: Sequence[tuple[str, Schema]]) -> str:
        """A whole reply up to the end of its first call (or list of calls): at most a thought stands before it."""
        lead = self._say(self.form.lead + self._dialect.call_open)
        if not self._dialect.thought_open:
            return self._lines(f"start: {lead} body", tools)
        rules = [f"start: (thought {self._say(self.form.behind_thought, behind=True)})? {lead} body"]
        close, text = self._dialect.thought_close, f"/(?s:.){{0,{self._caps.thought}}}/"
        if close in self._vocabulary.tokens:
            rules.append(f"thought: {self._say(self._dialect.thought_open)} {text} {self._say(close)}")
        else:
            rules += [f"thought: {self._say(self._dialect.thought_open)} thinking"]
            rules += [f"thinking[lazy]: THINKING {self._say(close)}", f"THINKING: {text}"]
        return self._lines("\n".join(rules), tools)

    def _lines(self, start: str, tools: Sequence[tuple[str, Schema]]) -> str:
        form, more = self.form, ""
        if form.between:
            more = f"({self._say(form.between)} call){{0,{self._caps.items - 1}}}"
        # A token may reach over the end of a call into the text behind it, but not so far that it could open another.
        tail = "" if self.ends_in_token or form.between else f"TAIL?\nTAIL: /(?s:.){{1,{len(self._dialect.call_open) - 1}}}/"
        # Any tokens may spell what is certain to come, not only those that llguidance would take: a model has its own habits.
        lines = ['%llguidance {"no_forcing": true}', start]
        lines.append(f"body: {self._say(form.opening, behind=True)} call {more} {self._say(form.closing)} {tail}")
        lines.append("call: " + " | ".join(f"call_{number}" for number in range(len(tools))))
        for number, (name, schema) in enumerate(tools):
            head = _literal(f'{{"name": {dumps(name)}, "arguments": ')
            lines.append(f"call_{number}: {head} arguments_{number} {' '.join(self._ending())}")
            lines.append(f"arguments_{number}: %json {json.dumps(schema)}")
        return "\n".join(lines)

    def _ending(self) -> Iterable[str]:
        found = _ID.search(self.form.ending)
        if not found:
            return [_literal(self.form.ending)]
        before, after = self.form.ending[: found.start()], self.form.ending[found.end() :]
        return [_literal(before), "/[a-zA-Z0-9]{9}/", _literal(after)]

    def _say(self, text: str, behind: bool = False) -> str:
        """The dialect's own words: tokens where the tokenizer has them. `behind` a token the tokenizer may want a space."""
        tokens = self._vocabulary.tokens
        parts = [
            f"<[{tokens[piece.text]}]>" if piece.text in tokens and (piece.control or piece.tag) else _literal(piece.text)
            for piece in self._dialect.says(text)
        ]
        if behind and self._spaced:
            parts.insert(0, '" "?')
        return " ".join(parts) or '""'

    def _begins_with_space(self, tokenizer: Any) -> bool:
        """Whether text behind a control token begins with a space of the tokenizer's own, as SentencePiece has it."""
        pieces = self._dialect.says(self._dialect.call_open + self.form.opening + _STARTS[0])
        ids = encode(pieces, tokenizer).ids[1:]
        written = b"".join(self._vocabulary.texts[token] for token in ids)
        return written.startswith(b" " + self.form.opening.encode())


def _literal(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def longest_beginning(text: bytes, mark: bytes) -> int:
    """How much of the mark's beginning stands at the end of a text."""
    return next((size for size in range(min(len(text), len(mark) - 1), 0, -1) if text.endswith(mark[:size])), 0)
