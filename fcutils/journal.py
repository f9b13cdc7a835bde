"""An append-only record of what was called and what came of it, one JSON object a line, on the disk before anything goes on.

Knows files. Does not know what is written into them.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class Journal:
    """A file of JSON lines. Raises OSError where it cannot be written, at once and not with the first call."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._lock = threading.Lock()
        with self.path.open("ab+") as file:
            if file.tell() and not self._ends_well():
                file.write(b"\n")  # a line that a crash cut short must not swallow the next one

    def write(self, line: Mapping[str, Any]) -> None:
        """Add a line, and return when it is on the disk. What JSON cannot hold is written as Python shows it."""
        try:
            text = json.dumps(line, allow_nan=False)
        except (TypeError, ValueError, RecursionError):
            text = json.dumps({key: value if isinstance(value, str) else _shown(value) for key, value in line.items()})
        with self._lock, self.path.open("ab") as file:
            file.write(text.encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def _ends_well(self) -> bool:
        with self.path.open("rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read() == b"\n"


def _shown(value: Any) -> str:
    try:
        return repr(value)
    except Exception:
        return f"a {type(value).__name__}"
