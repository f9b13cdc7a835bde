"""What a reader looks at: plots of what was measured, conversations in colours, traces as cards, and a panel to talk in.

`plots.py` draws reports, `chances.py` probabilities of tokens, `paint.py` colours what was rendered, `traces.py` shows what a
loop did, `chat_panel.py` is the panel. matplotlib and ipywidgets are loaded when they are used.
"""

from __future__ import annotations

from fcutils.show.chances import expected, next_tokens
from fcutils.show.chat_panel import panel
from fcutils.show.paint import pieces, tokens
from fcutils.show.plots import COLOURS, ablations, bars, confusion, memory, slopes, training
from fcutils.show.traces import Card, Trace, trace

__all__ = [
    "COLOURS",
    "Card",
    "Trace",
    "ablations",
    "bars",
    "confusion",
    "expected",
    "memory",
    "next_tokens",
    "panel",
    "pieces",
    "slopes",
    "tokens",
    "trace",
    "training",
]
