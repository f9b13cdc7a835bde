"""What every file of results begins with, and how it is kept: the command, the day, the machine and what it ran with."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "results"


def kept() -> dict[str, Any]:
    """What the running script kept the last time; nothing, the first time."""
    path = FOLDER / f"{_name()}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def keep(found: Mapping[str, Any], *packages: str) -> dict[str, Any]:
    """Write what the running script found into results/, whole or not at all; gives back what was written."""
    name = _name()
    result = {
        "command": " ".join([f"python benchmarks/{name}.py", *sys.argv[1:]]),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "versions": {package: version(package) for package in packages},
        **found,
    }
    part = FOLDER / f"{name}.part"
    part.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8", newline="\n")
    part.replace(FOLDER / f"{name}.json")
    return result


def _name() -> str:
    return Path(sys.argv[0]).stem
