"""Think, act, observe: a model and a toolbox in one loop, until there is a reason to stop.

`run.py` is the loop, `events.py` what it tells as it goes, `select.py` what the model sees of many tools, `shorten.py` what is
done when a conversation outgrows the model.
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
from fcutils.loop.run import ToolLoop
from fcutils.loop.select import BestTools, Choice, Selector

__all__ = [
    "Answer",
    "BadCall",
    "BestTools",
    "Call",
    "Choice",
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
