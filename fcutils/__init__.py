"""fcutils: from functions to schemas, from model text to checked calls, from calls to results.

Names are loaded when they are first used, so that `import fcutils` costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_ROOMS = {
    "messages": ("ToolCall", "Reply", "Fault", "Observation", "Message", "Conversation"),
    "schema": ("tool_schema", "convert_pydantic_to_openai_function"),
    "parsing": ("extract_function_calls", "parse_reply", "ReplyStream"),
    "toolbox": ("Toolbox",),
}
_HOME = {name: room for room, names in _ROOMS.items() for name in names}
__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"fcutils has no {name!r}; it has {', '.join(__all__)}")
    return getattr(importlib.import_module(f"fcutils.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__
