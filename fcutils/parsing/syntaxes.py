"""The table of markers: what each family writes around a call, a thought, a result, and which families write it.

A marker means one of three things: calls follow (`Syntax`; if it is not `sure`, only what looks like a call is one), a stretch
follows in which nothing is a call (`Region`), or nothing at all (None: turn ends, stray closing tags, wrappers). `Grammar` is
the part of the table that one dialect needs. How the text behind a marker is read is `stream.py`'s and `block.py`'s.
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
_FUNCTIONGEMMA = Syntax("<start_function_call>", "<end_function_call>", objects=False, head=_GEMMA_HEAD)
_FENCED = tuple(Syntax(fence, "```", sure=False) for fence in ("```", "```json", "```JSON", "```tool_call", "```tool_calls"))
_JSON = (Syntax("{", sure=False, bare=True), Syntax("[", sure=False, bare=True))
_PYTHONIC = (Syntax("[", sure=False, bare=True, objects=False, head=_PYTHON_HEAD),)
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
)
_WRAPPERS = ("<multiplefunctions>", "</multiplefunctions>")

DIALECTS: Mapping[str, tuple[Syntax | Region, ...]] = {
    "openhermes": (_FUNCTIONCALL, _FUNCTION_RESPONSE),
    "hermes": (_TOOL_CALL, _THINK, _TOOL_RESPONSE, _TOOLS),
    "gemma": (_TOOL_CALL, _THINK, _TOOL_RESPONSE, _TOOLS),
    "thought": (_FUNCTION, _THOUGHT, _OBSERVATION),
    "mistral": (_TOOL_CALLS, _TOOL_RESULTS, *_JSON),  # JSON: its marker is lost when special tokens are skipped
    "openai": _JSON,
    "json": _JSON,
    "fenced": _FENCED,
    "llama": (_PYTHON_TAG, *_JSON),
    "pythonic": _PYTHONIC,
    "glaive": (_FUNCTIONCALL, _FUNCTION_RESPONSE),
    "functiongemma": (_FUNCTIONGEMMA,),
}
_CALLS = (_TOOL_CALL, _FUNCTIONCALL, _FUNCTION, _TOOL_CALLS, _PYTHON_TAG, _FUNCTIONGEMMA, *_FENCED, *_EITHER)
_REGIONS = (_THINK, _THOUGHT, _TOOL_RESPONSE, _FUNCTION_RESPONSE, _OBSERVATION, _TOOL_RESULTS, _TOOLS)


class Grammar:
    """One dialect's rules by marker, and what finds the markers. `None` as a dialect: every rule there is."""

    def __init__(self, dialect: str | None) -> None:
        if dialect is not None and dialect not in DIALECTS:
            raise ValueError(f"unknown dialect {dialect!r}: it is one of {', '.join(DIALECTS)}, or None to find out")
        written = DIALECTS[dialect] if dialect else _CALLS + _REGIONS
        self.rules: dict[str, Rule] = dict.fromkeys(TURN_ENDS + _WRAPPERS)
        self.rules |= {rule.close: None for rule in written if rule.close}
        self.rules |= {rule.open: rule for rule in written}
        calls = [rule for rule in written if isinstance(rule, Syntax)]
        bare = {rule.open for rule in calls if rule.bare}
        self.markers = Finder(self.rules.keys() - bare)
        self.markers_or_bare = Finder(self.rules)
        self.markers_or_brackets = Finder(self.rules.keys() | BRACKETS_AND_QUOTES)
        self.call_tags = Finder(tag for rule in calls if rule.sure for tag in (rule.open, rule.close) if tag)
        self.ends = {rule.open: Finder([rule.close, *TURN_ENDS] if rule.thought else [rule.close]) for rule in _REGIONS}


@cache
def grammar(dialect: str | None) -> Grammar:
    return Grammar(dialect)
