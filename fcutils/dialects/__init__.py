"""The dialects, by name."""

from __future__ import annotations

from fcutils.dialects.base import Dialect, DialectError, Encoded, Piece
from fcutils.dialects.encoding import control_id, encode
from fcutils.dialects.functiongemma import FunctionGemma
from fcutils.dialects.gemma import Gemma
from fcutils.dialects.hermes import Hermes
from fcutils.dialects.mistral import Mistral
from fcutils.dialects.openai import OpenAI
from fcutils.dialects.openhermes import OpenHermes
from fcutils.dialects.qwen3 import Qwen3
from fcutils.dialects.thought import Thought

_ALL = (OpenHermes(), Hermes(), Gemma(), Thought(), Mistral(), Qwen3(), FunctionGemma(), OpenAI())
DIALECTS: dict[str, Dialect] = {dialect.name: dialect for dialect in _ALL}

__all__ = ["DIALECTS", "Dialect", "DialectError", "Encoded", "Piece", "control_id", "encode", "get"]


def get(dialect: str | Dialect) -> Dialect:
    """The dialect of this name; a dialect is given back as it is."""
    if isinstance(dialect, Dialect):
        return dialect
    if dialect not in DIALECTS:
        raise DialectError(f"no dialect named {dialect!r}: there are {', '.join(DIALECTS)}")
    return DIALECTS[dialect]
