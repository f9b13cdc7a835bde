"""The table of markers: what each family writes around a call, a thought, a result, and which families write it.

A marker means one of three things: calls follow (`Syntax`; if it is not `sure`, only what looks like a call is one), a stretch
follows in which nothing is a call (`Region`), or nothing at all (None: turn ends, stray closing tags, wrappers). `Grammar` is
the part of the table that one dialect needs. How the text behind a marker is read is `stream.py`'s and `block.py`'s.

A named dialect reads what it writes and nothing else, so that in its text every other family's markers are text. That lets
`dialects/` promise that what it renders is read back: it keeps its own markers out of names, values and content, and no others.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from fcutils.parsing.scanner import BRACKETS_AND_QUOTES
from fcutils.parsing.source import Finder


@dataclass(frozen=True, slots=True)
class Syntax:
    """Calls between two markers; `close` may be missing in the text, and some families have none."""

    open: str
    close: str = ""
    sure: bool = True  # the marker alone says that a call is meant
    objects: bool = True  # a call may be one object, its name inside
    head: re.Pattern[str] | None = None  # a call may be a name (and perhaps an id) before its brackets
    bare: bool = False  # the marker is the call's own bracket; a head counts inside `[…]` only
    wrapped: bool = False  # an object is a call only in OpenAI's wrapping: a message, or an entry of its `tool_calls`


@dataclass(frozen=True, slots=True)
class Region:
    """A thought, or something quoted (a result, the tools): whatever stands inside, it is not a call."""

    open: str
    close: str
    thought: bool = False


Rule = Syntax | Region | None

HEAD_PART = re.compile(r"[\w.:\-\[\]]{1,300}")  # what may still become a head; all heads are shorter
_MISTRAL_HEAD = re.compile(r"(?P<name>[\w.\-]{1,128})(?:\[CALL_ID\](?P<id>[\w\-]{1,64}))?(?:\[ARGS\])?(?=\{)")
_GEMMA_HEAD = re.compile(r"call:(?P<name>[\w.\-]{1,128})(?=\{)")
_PYTHON_HEAD = re.compile(r"(?P<name>[^\W\d][\w.]{0,127})(?=\()")

_TOOL_CALL = Syntax("<tool_call>", "</tool_call>")
_FUNCTIONCALL = Syntax("<functioncall>", "</functioncall>")  # OpenHermes closes it, Glaive does not
_FUNCTION = Syntax("<function>", "</function>")
_TOOL_CALLS = Syntax("[TOOL_CALLS]", head=_MISTRAL_HEAD)
_PYTHON_TAG = Syntax("<|python_tag|>")
_FUNCTIONGEMMA = Syntax("<start_function_call>", "<end_function_call>", head=_GEMMA_HEAD)
_FENCED = tuple(Syntax(fence, "```", sure=False) for fence in ("```", "```json", "```JSON", "```tool_call", "```tool_calls"))
_JSON = (Syntax("{", sure=False, bare=True), Syntax("[", sure=False, bare=True))
_PYTHONIC = (Syntax("[", sure=False, bare=True, objects=False, head=_PYTHON_HEAD),)
_MESSAGE = (
    Syntax("{", sure=False, bare=True, wrapped=True),
    Syntax("[", sure=False, bare=True, wrapped=True),
)
_EITHER = (_JSON[0], Syntax("[", sure=False, bare=True, head=_PYTHON_HEAD))

_THINK = Region("<think>", "</think>", thought=True)
_THOUGHT = Region("<thought>", "</thought>", thought=True)
_TOOL_RESPONSE = Region("<tool_response>", "</tool_response>")
_FUNCTION_RESPONSE = Region("<functionresponse>", "</functionresponse>")
_OBSERVATION = Region("<observation>", "</observation>")
_TOOL_RESULTS = Region("[TOOL_RESULTS]", "[/TOOL_RESULTS]")
_TOOLS = Region("<tools>", "</tools>")

TURN_ENDS = (
    "<|im_end|>",
    "</s>",
    "<end_of_turn>",
    "<eos>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|end_of_text|>",
    "<|endoftext|>",
    "<start_function_response>",  # FunctionGemma hands over with it
)
_CHATML_ENDS = ("<|im_end|>",)
_WRAPPERS = ("<multiplefunctions>", "</multiplefunctions>")


@dataclass(frozen=True, slots=True)
class Writing:
    """What one dialect writes. `ends`: of its turns; syntaxes that many families write end in any way there is."""

    rules: tuple[Syntax | Region, ...]
    ends: tuple[str, ...] = TURN_ENDS
    wrappers: tuple[str, ...] = ()  # around several calls


DIALECTS: Mapping[str, Writing] = {
    "openhermes": Writing((_FUNCTIONCALL, _FUNCTION_RESPONSE), _CHATML_ENDS, _WRAPPERS),
    "hermes": Writing((_TOOL_CALL, _TOOL_RESPONSE, _TOOLS), _CHATML_ENDS),
    "gemma": Writing((_TOOL_CALL, _THINK, _TOOL_RESPONSE), ("<end_of_turn>",)),
    "thought": Writing((_FUNCTION, _THOUGHT, _OBSERVATION), _CHATML_ENDS),
    "mistral": Writing((_TOOL_CALLS, _TOOL_RESULTS), ("</s>",)),
    "qwen3": Writing((_TOOL_CALL, _THINK, _TOOL_RESPONSE, _TOOLS), _CHATML_ENDS),
    "functiongemma": Writing((_FUNCTIONGEMMA,), ("<end_of_turn>", "<start_function_response>")),
    "openai": Writing(_MESSAGE, ()),
    "json": Writing(_JSON),
    "fenced": Writing(_FENCED),
    "llama": Writing((_PYTHON_TAG, *_JSON), ("<|eot_id|>", "<|eom_id|>", "<|end_of_text|>")),
    "pythonic": Writing(_PYTHONIC),
    "glaive": Writing((_FUNCTIONCALL, _FUNCTION_RESPONSE), ("<|endoftext|>",)),
}
_CALLS = (_TOOL_CALL, _FUNCTIONCALL, _FUNCTION, _TOOL_CALLS, _PYTHON_TAG, _FUNCTIONGEMMA, *_FENCED, *_EITHER)
_REGIONS = (_THINK, _THOUGHT, _TOOL_RESPONSE, _FUNCTION_RESPONSE, _OBSERVATION, _TOOL_RESULTS, _TOOLS)
_EVERYTHING = Writing(_CALLS + _REGIONS, wrappers=_WRAPPERS)


class Grammar:
    """One dialect's rules by marker, and what finds the markers. `None` as a dialect: every rule there is."""

    def __init__(self, dialect: str | None) -> None:
        if dialect is not None and dialect not in DIALECTS:
            raise ValueError(f"unknown dialect {dialect!r}: it is one of {', '.join(DIALECTS)}, or None to find out")
        written = DIALECTS[dialect] if dialect else _EVERYTHING
        self.rules: dict[str, Rule] = dict.fromkeys(written.ends + written.wrappers)
        self.rules |= {rule.close: None for rule in written.rules if rule.close}
        self.rules |= {rule.open: rule for rule in written.rules}
        calls = [rule for rule in written.rules if isinstance(rule, Syntax)]
        bare = {rule.open for rule in calls if rule.bare}
        self.markers = Finder(self.rules.keys() - bare)
        self.markers_or_bare = Finder(self.rules)
        self.markers_or_brackets = Finder(self.rules.keys() | BRACKETS_AND_QUOTES)
        self.call_tags = Finder(tag for rule in calls if rule.sure for tag in (rule.open, rule.close) if tag)
        regions = [rule for rule in written.rules if isinstance(rule, Region)]
        self.ends = {rule.open: Finder([rule.close, *(written.ends if rule.thought else ())]) for rule in regions}


@cache
def grammar(dialect: str | None) -> Grammar:
    return Grammar(dialect)
