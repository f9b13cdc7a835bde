"""How long until the package is there: `import fcutils`, a toolbox and a parser, beside what others take; what `make` adds
before a command, once the environment is there; and a visitor's first minutes, from a fresh clone to the demo's answer.

    python benchmarks/start.py      writes results/start.json

CPU time of a new process, Python's own start and compiled files included; the least of several, in turn, since what others
take on a shared machine can only add. The first minutes are wall time, once, and mostly those of pip: without a network (and
without a cache of its own) they are left out.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from keeping import FOLDER, keep  # a script's folder is on its path

from fcutils import course

ROUNDS = 7
READY = "from fcutils import course; course.set_up()"
IMPORTS = {
    "fcutils": "import fcutils",
    "langchain-core, a tool": "import langchain_core.tools",
    "fcutils, a toolbox and a parser": "from fcutils import Toolbox, parse_reply",
    "openai": "import openai",
    "pydantic": "import pydantic",
    "nothing": "pass",
}


def once(statement: str) -> float:
    code = f"import time; {statement}; print(time.process_time())"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=FOLDER.parents[1])
    return 1000 * float(ran.stdout)


def first_minutes() -> float | None:
    """Seconds that `make demo` takes in a fresh clone; None where what it needs cannot be had."""
    with tempfile.TemporaryDirectory() as home:
        clone = Path(home) / "course"
        subprocess.run(["git", "clone", "-q", FOLDER.parents[1], clone], check=True)
        began = time.perf_counter()
        ran = subprocess.run([sys.executable, "-m", "fcutils.course", "demo"], cwd=clone, capture_output=True, text=True)
        seconds = time.perf_counter() - began
    if ran.returncode:
        print(f"left out, the first minutes: {(ran.stderr.strip() or 'make demo failed').splitlines()[-1]}")
    return None if ran.returncode else seconds


def main() -> None:
    course.set_up()  # so that from here on it is there
    times: dict[str, list[float]] = {name: [] for name in (*IMPORTS, READY)}
    for _ in range(ROUNDS):
        for name, statement in {**IMPORTS, READY: READY}.items():
            times[name].append(once(statement))
    ready = min(times.pop(READY))
    found = {
        "import, in ms": {name: round(min(figures), 1) for name, figures in times.items()},
        "`make`, environment ready, in ms": round(ready, 1),
    }
    if (seconds := first_minutes()) is not None:
        found["`make demo` in a fresh clone, in s"] = round(seconds)
        print(f"{seconds:8.0f} s   make demo in a fresh clone")
    keep(found, "langchain-core", "openai", "pydantic")
    for name, figure in found["import, in ms"].items():
        print(f"{figure:8.1f} ms  {name}")


if __name__ == "__main__":
    main()
