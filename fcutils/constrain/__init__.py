"""Calls that cannot be malformed: a grammar of dialect × schemas holds the model while it writes one (llguidance).

`calls.py` is the constraint and its guide, `grammar.py` the grammar, `schemas.py` what a schema may say in it, `vocabulary.py`
the tokenizer as the grammar sees it.
"""

from __future__ import annotations

from fcutils.constrain.calls import CallGuide, Calls, ConstraintWarning
from fcutils.constrain.schemas import Caps

__all__ = ["CallGuide", "Calls", "Caps", "ConstraintWarning"]
