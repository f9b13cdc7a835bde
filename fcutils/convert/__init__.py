"""Rows in other people's layouts -> conversations of this house.

Knows the layouts of five public sets of function calls (`LAYOUTS`) and what makes a row of them unusable. It downloads nothing:
give it rows, as `datasets.load_dataset` or `json.loads` reads them. What a good row is, is `dataset.row_faults`' to say.

What changes on the way: a tool's name that no function could have ("Market Trends API") becomes one (`Market_Trends_API`);
Python's types become JSON Schema; a system text that tells how to write calls goes, for that is a dialect's to say, but for
its sentences that give the date or time. Texts, thoughts, arguments and results stay as they are: nothing is repaired.

The way through the files: `layouts.py` (a row's turns, calls and results) -> `tools.py` (its tools).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from fcutils.convert.layouts import LAYOUTS, read_row
from fcutils.convert.tools import BrokenRow
from fcutils.dataset import RowFault, row_faults
from fcutils.messages import Conversation, dumps

__all__ = ["LAYOUTS", "Converted", "Layout", "convert"]

Layout = Literal["hermes-thinking", "hermes", "glaive", "xlam", "toolace"]


@dataclass(frozen=True, slots=True)
class Converted:
    """The rows that are good, and why the others are not: the layout stands in a fault's `path`, the row's number (from 1)
    in its `line`. A broken row can have several faults.
    """

    rows: tuple[Conversation, ...]
    faults: tuple[RowFault, ...]

    @property
    def broken(self) -> int:
        """How many rows are left out."""
        return len({fault.line for fault in self.faults})

    def __str__(self) -> str:
        return "\n".join([f"{len(self.rows)} rows converted, {self.broken} broken", *map(str, self.faults)])


def convert(layout: Layout, rows: Iterable[Any]) -> Converted:
    """Every row that can be read and whose calls fit its tools, and a fault or more for each of the others."""
    if layout not in LAYOUTS:
        raise ValueError(f"unknown layout {layout!r}: it is one of {', '.join(LAYOUTS)}")
    good: list[Conversation] = []
    faults: list[RowFault] = []
    for number, row in enumerate(rows, start=1):
        try:
            talk = read_row(layout, row)
            reasons = [*row_faults(talk), *_json_faults(talk)]
        except BrokenRow as broken:
            faults.append(RowFault(layout, number, str(broken)))
            continue
        faults += [RowFault(layout, number, reason) for reason in reasons]
        good += [] if reasons else [talk]
    return Converted(tuple(good), tuple(faults))


def _json_faults(row: Conversation) -> list[str]:
    """Rows that came as Python objects can hold dates, NaN, half characters."""
    try:
        dumps(row.to_dict()).encode()
    except (ValueError, TypeError, RecursionError) as error:
        return [f"holds what JSON cannot: {error}"]
    return []
