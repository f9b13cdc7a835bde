"""Text that a model wrote -> calls: tolerant, linear in the text, also streamed.

`extract_function_calls(text)` gives the calls, `parse_reply(text)` thought, content and faults beside them, `ReplyStream` the
same piece by piece. All three find out how the calls are written, or are told: `dialect` is one of `DIALECTS`. No text raises
an exception, nothing is ever `eval`ed. Which tools exist and whether the arguments fit them is the toolbox's business.

The way through the files: `syntaxes.py` (the table of markers) -> `stream.py` (from marker to marker) -> `block.py` (the calls
behind one) -> `scanner.py` (one object, aware of strings) -> `calls.py` (what it means). `source.py` is the text as it arrives.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from fcutils.messages import Reply, ToolCall
from fcutils.parsing.events import CallBegins, CallDone, CallPiece, Event, FaultFound, TextPiece, ThoughtPiece
from fcutils.parsing.scanner import FaultKind
from fcutils.parsing.stream import ReplyStream
from fcutils.parsing.syntaxes import DIALECTS

__all__ = [
    "DIALECTS",
    "CallBegins",
    "CallDone",
    "CallPiece",
    "Event",
    "FaultFound",
    "FaultKind",
    "ReplyStream",
    "TextPiece",
    "ThoughtPiece",
    "extract_function_calls",
    "parse_reply",
]


def extract_function_calls(
    text: str, dialect: str | None = None, tools: Iterable[str | Mapping[str, Any]] | None = None
) -> list[ToolCall]:
    """The calls in a reply, in order. What cannot be read is left out; `parse_reply` says why."""
    return list(parse_reply(text, dialect, tools).calls)


def parse_reply(text: str, dialect: str | None = None, tools: Iterable[str | Mapping[str, Any]] | None = None) -> Reply:
    """Takes a reply apart: `.thought`, `.content`, `.calls`, and `.faults` for what should have been a call.

    `dialect` names one family's syntax, and what other families write is text then; None finds out. `tools` (names, or OpenAI's
    form) makes calls without a marker count in the middle of text, too. Thoughts and quoted results hold no calls, whatever
    stands in them.
    """
    stream = ReplyStream(dialect, tools)
    stream.feed(text)
    stream.close()
    return stream.reply
