"""What is measured of a finished pocket model: the frozen test sets, and what a line of its table is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fcutils.dataset import DATA
from fcutils.dialects import Dialect
from fcutils.engines.local import LocalEngine
from fcutils.evaluate import read_rows
from fcutils.messages import Conversation

SETS = (
    "unseen_phrasings",
    "unseen_tools",
    "unseen_domains",
    "parallel",
    "sequences",
    "nothing_to_call",
    "missing_information",
)
MUST_CALL = SETS[:5]
MAX_TOKENS = 384  # of a reply: twice the longest that the test sets want


@dataclass(frozen=True, slots=True)
class Measure:
    """One line of a table: a mark over some of the sets, and the share that is wanted at least."""

    name: str
    mark: str
    sets: Sequence[str]
    wanted: float | None = None


def rows_of(one: str, limit: int | None) -> list[Conversation]:
    return read_rows(DATA / f"test_{one}.jsonl", limit)


def open_model(folder: Path, dialect: str | Dialect) -> LocalEngine:
    """The model of a folder in fp32, on a GPU where there is one."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    device = "cuda" if torch.cuda.is_available() else "cpu"
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    return LocalEngine(model.to(device), AutoTokenizer.from_pretrained(folder), dialect, name=folder.name)
