"""Think, act, observe: a model and a toolbox in one loop, until there is a reason to stop.

`run.py` is the loop, `events.py` what it tells as it goes, `shorten.py` what it does when a conversation outgrows the model.
"""

from __future__ import annotations

from fcutils.loop.events import (
    Answer,
    BadCall,
    Call,
    Event,
    Observed,
    Offered,
    Shortened,
    Stop,
    StopReason,
    Text,
    Thought,
)
from fcutils.loop.run import Selector, ToolLoop

__all__ = [
    "Answer",
    "BadCall",
    "Call",
    "Event",
    "Observed",
    "Offered",
    "Selector",
    "Shortened",
    "Stop",
    "StopReason",
    "Text",
    "Thought",
    "ToolLoop",
]
