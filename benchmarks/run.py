"""Runs the benchmarks one after the other, each in a process of its own, then writes the page and the read-me's table.

    python benchmarks/run.py [--full] [NAME ...]       make bench, make bench-full

Every script here that writes results is one. Those that train take long and run with `--full`, or when they are named.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
KEEPS = re.compile(r"^from keeping import .*\bkeep\b", re.MULTILINE)
TRAINING = ("ablations", "finetune", "tuned")


def benchmarks() -> list[str]:
    return [path.stem for path in sorted(HERE.glob("*.py")) if KEEPS.search(path.read_text(encoding="utf-8"))]


def chosen(names: list[str], full: bool) -> list[str]:
    there = benchmarks()
    unknown = [name for name in names if name not in there]
    if unknown:
        raise SystemExit(f"benchmarks: there is no {unknown[0]!r}: there are {', '.join(there)}")
    return names or [name for name in there if full or name not in TRAINING]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="with those that train")
    parser.add_argument("names", nargs="*", metavar="NAME")
    told = parser.parse_args()
    failed = []
    names = chosen(told.names, told.full)
    for number, name in enumerate(names, 1):
        print(f"== {name} ({number} of {len(names)})", flush=True)
        began = time.perf_counter()
        if subprocess.run([sys.executable, str(HERE / f"{name}.py")], cwd=HERE.parent).returncode:
            failed.append(name)
        print(f"== {name}: {time.perf_counter() - began:.0f} s", flush=True)
    for script in (HERE / "page.py", HERE.parent / "assets" / "readme.py"):
        subprocess.run([sys.executable, str(script)], cwd=HERE.parent, check=True)
    print(f"failed, or missed a goal: {', '.join(failed)}" if failed else f"all {len(names)} done")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
