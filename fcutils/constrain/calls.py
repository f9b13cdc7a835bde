"""`Calls`: every call that a model writes parses, names a tool on offer and satisfies its schema, by construction.

Text outside calls stays free. Where a call begins (a control token, or a mark spelt in several tokens) the grammar takes over,
token by token, and lets go at its end. The grammar itself is `grammar.py`'s; engines ask a guide as `engines/base.py` says.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from llguidance import LLMatcher

from fcutils.constrain.grammar import Grammar, longest_beginning
from fcutils.constrain.schemas import Caps, narrow
from fcutils.constrain.vocabulary import Vocabulary, vocabulary
from fcutils.engines.base import Engine, EngineError, Tools
from fcutils.messages import dumps

CHOICES = ("auto", "required", "none")


class ConstraintWarning(UserWarning):
    """Something in a tool's schema that the grammar cannot say: calls of that tool may still be refused by the toolbox."""


class Calls:
    """A constraint for one local engine.

    `tool_choice`: "auto" leaves it to the model whether it calls, "required" has every reply begin with a call (a thought may
    stand before it), a tool's name likewise and lets no other tool be called, "none" lets none.
    """

    def __init__(self, engine: Engine, tool_choice: str = "auto", caps: Caps | None = None) -> None:
        from fcutils.engines.local import LocalEngine

        if not isinstance(engine, LocalEngine):
            raise EngineError(
                "calls can be constrained where the logits are, in a LocalEngine; ask a server for its own guided decoding"
            )
        self.tool_choice, self.caps = tool_choice, caps or Caps()
        self._dialect, self._end = engine.dialect, engine.end_id
        self._vocabulary = vocabulary(engine.tokenizer, engine.end_id)
        self._grammar = Grammar(engine.dialect, engine.tokenizer, self._vocabulary, self.caps)
        self._known: dict[str, _Rules] = {}

    def guide(self, tools: Tools) -> CallGuide:
        """A guide at the beginning of a reply. Grammars are made once for the same tools."""
        return CallGuide(self._rules(tools))

    def gaps(self, tools: Tools) -> tuple[str, ...]:
        """What of these tools' schemas the grammar cannot say; the toolbox checks it all the same."""
        return self._rules(tools).gaps

    def _rules(self, tools: Tools) -> _Rules:
        key = dumps(list(tools))
        if key not in self._known:
            self._known[key] = self._make(self._chosen(tools))
        return self._known[key]

    def _chosen(self, tools: Tools) -> list[Mapping[str, Any]]:
        functions = [tool["function"] for tool in tools]
        if self.tool_choice not in CHOICES:
            named = [function for function in functions if function["name"] == self.tool_choice]
            if not named:
                names = ", ".join(function["name"] for function in functions) or "none"
                raise EngineError(f"tool_choice={self.tool_choice!r} is neither on offer here ({names}) nor one of {CHOICES}")
            return named
        if self.tool_choice == "required" and not functions:
            raise EngineError("tool_choice='required', and there is no tool to call: offer one, or take 'auto'")
        return [] if self.tool_choice == "none" else functions

    def _make(self, functions: Sequence[Mapping[str, Any]]) -> _Rules:
        narrowed = [(function["name"], narrow(function.get("parameters") or {}, self.caps)) for function in functions]
        gaps = tuple(f"{name}.{gap}" for name, one in narrowed for gap in one.gaps)
        if gaps:
            warnings.warn(
                f"left to the toolbox, as the grammar cannot say it: {'; '.join(gaps)}", ConstraintWarning, stacklevel=5
            )
        tools = [(name, one.schema) for name, one in narrowed]
        must = self.tool_choice not in ("auto", "none")
        return _Rules(
            self._vocabulary,
            self._grammar,
            self._dialect.call_open.encode(),
            self._end,
            self._matcher(self._grammar.call(tools)) if tools else None,
            self._matcher(self._grammar.must_call(tools)) if must else None,
            gaps,
        )

    def _matcher(self, grammar: str) -> LLMatcher:
        made = LLMatcher(self._vocabulary.tokenizer, LLMatcher.grammar_from_lark(grammar), log_level=0)
        if made.is_error():
            raise EngineError(
                f"these tools make no grammar: {made.get_error().splitlines()[0][:300]}; offer fewer or simpler ones"
            )
        return made


@dataclass(slots=True)
class _Rules:
    """What holds for every reply with the same tools."""

    vocabulary: Vocabulary
    grammar: Grammar
    open: bytes
    end: int
    call: LLMatcher | None  # None: there is nothing to call
    first: LLMatcher | None  # where a reply must begin with a call
    gaps: tuple[str, ...]
    _barred: dict[tuple[int, bool, bool], torch.Tensor | None] = field(default_factory=dict)

    @property
    def after_list(self) -> list[int] | None:
        """What may follow a list of calls that no mark closes: text behind it would be read as one more call."""
        more = [] if self.grammar.open is None or self.call is None else [self.grammar.open]
        return [self.end, *more] if self.grammar.form.between else None

    def barred(self, begun: int, blank: bool, glued: bool) -> torch.Tensor | None:
        """Tokens of free text that may not come when so much of the opening mark is written: those that go on behind it
        with what is no call. None: there are none.
        """
        key = begun, blank and bool(self.grammar.form.between), glued
        if key not in self._barred:
            found = self._overruns(begun)
            if key[1]:  # without a mark, brackets at the very beginning of a reply are read as a call in such a dialect
                texts = enumerate(self.vocabulary.texts)
                found |= {token for token, text in texts if text.lstrip()[:1] in (b"{", b"[") and token != self.grammar.open}
            here = [token for token in range(self.vocabulary.size) if self.vocabulary.twin(token, glued) in found]
            self._barred[key] = torch.tensor(here) if here else None
        return self._barred[key]

    def _overruns(self, begun: int) -> set[int]:
        rest = self.open[begun:]
        ends = {token: len(rest) for token in self.vocabulary.begin_with(rest)}
        for token in self.vocabulary.contain(self.open):
            ends.setdefault(token, self.vocabulary.texts[token].index(self.open) + len(self.open))
        return {token for token, end in ends.items() if self.enter(self.vocabulary.texts[token][end:]) is None}

    def enter(self, behind: bytes) -> LLMatcher | None:
        """The grammar of a call of which so much is written; None if that is none."""
        if self.call is None:
            return None
        tokens = self.vocabulary.spell(behind)
        matcher = self.call.deep_copy()
        return matcher if tokens is not None and (not tokens or matcher.consume_tokens(tokens)) else None


class CallGuide:
    """Watches one reply. Free text is only looked at; from the mark that opens a call to its end, the grammar rules."""

    def __init__(self, rules: _Rules) -> None:
        self._rules = rules
        self._matcher = rules.first.deep_copy() if rules.first is not None else None
        self._call = b""  # what is written since the grammar took over
        self._text = b""  # the end of the free text
        self._blank = True
        self._listed = False  # behind a list of calls that no mark closes
        self._glued = False  # behind a token that ends in a glue mark
        self._silent = False  # behind a token that says nothing

    @property
    def active(self) -> bool:
        return self._matcher is not None or self._listed or self._barred() is not None

    def restrict(self, logits: torch.Tensor) -> None:
        if self._matcher is not None:
            self._restrict_to_grammar(self._matcher, logits)
        elif self._listed:
            allowed = self._rules.after_list
            kept = logits[allowed]
            logits.fill_(float("-inf"))
            logits[allowed] = kept
        elif (barred := self._barred()) is not None:
            logits[barred.to(logits.device)] = float("-inf")

    def take(self, token: int) -> None:
        known = self._rules.vocabulary
        if token >= known.size:
            return
        own = known.twin(token, self._glued)
        text, self._glued = known.texts[own], token in known.glue
        self._silent = not text
        if self._matcher is None:
            self._free(text)
        elif not text:
            return
        elif not self._matcher.consume_token(own):  # written while nobody held it to the grammar
            self._matcher = None
            self._free(text)
        else:
            self._call += text
            if self._matcher.is_accepting():
                self._let_go(token)

    def _free(self, text: bytes) -> None:
        self._listed = False
        self._blank = self._blank and not text.strip()
        text = self._text + text
        at = text.find(self._rules.open)
        if at < 0:
            self._text = text[1 - len(self._rules.open) :]
            return
        self._text, self._call = b"", text[at + len(self._rules.open) :]
        self._matcher = self._rules.enter(self._call)

    def _let_go(self, token: int) -> None:
        """The call is complete; what the last token says behind it is free text."""
        closing = self._rules.grammar.form.closing.encode()
        behind = self._call[self._call.rindex(closing) + len(closing) :]
        self._matcher, self._call, self._text, self._blank = None, b"", b"", False
        self._free(behind)
        self._listed = self._rules.after_list is not None

    def _barred(self) -> torch.Tensor | None:
        return self._rules.barred(longest_beginning(self._text, self._rules.open), self._blank, self._glued)

    def _restrict_to_grammar(self, matcher: LLMatcher, logits: torch.Tensor) -> None:
        allowed = torch.frombuffer(bytearray(matcher.compute_logit_bias()), dtype=torch.uint8) > 0
        allowed = self._rules.vocabulary.half(allowed, self._glued, self._silent, _amid_character(self._call))
        if matcher.is_error() or not allowed.any():
            why = matcher.get_error().splitlines()[:1] or ["the tokenizer has no token for what must come"]
            raise EngineError(f"the grammar of calls has come to an end: {why[0][:300]}")
        size = min(len(allowed), len(logits))
        logits[size:] = float("-inf")
        logits[:size].masked_fill_(~allowed[:size].to(logits.device), float("-inf"))


def _amid_character(text: bytes) -> bool:
    """Whether the text ends in some of the bytes of a character."""
    for size, byte in enumerate(reversed(text[-3:]), 1):
        if byte >= 0xC0:
            return size < (2 if byte < 0xE0 else 3 if byte < 0xF0 else 4)
        if byte < 0x80:
            return False
    return False
