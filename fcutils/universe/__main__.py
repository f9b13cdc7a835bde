"""`python -m fcutils.universe write`: the course's dataset into data/. `check [FILE ...] [--show N]`: what is wrong
with the authored files; N requests of each, to be read. `near`: the sentences that the tests must leave out. `quality`: the
figures of data/QUALITY.md.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from fcutils.universe.check import check, show
from fcutils.universe.course import write
from fcutils.universe.files import UniverseError, read_domain, read_yaml
from fcutils.universe.near import left_out
from fcutils.universe.quality import write_figures
from fcutils.universe.splits import FOLDER, NOT_DOMAINS, load
from fcutils.universe.values import Lists


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m fcutils.universe", description=__doc__)
    parser.add_argument("command", choices=["check", "near", "write", "quality"])
    parser.add_argument("files", nargs="*", type=Path, help="all domains when none is named")
    parser.add_argument("--show", type=int, default=0, metavar="N", help="print N requests of each file")
    options = parser.parse_args()
    if options.command == "near":
        return write_left_out()
    if options.command == "quality":
        return write_quality()
    return write_all() if options.command == "write" else check_all(options.files, options.show)


def write_left_out() -> int:
    found = left_out(load())
    (FOLDER / "left_out.txt").write_text("\n".join(found) + "\n", encoding="utf-8")
    print(f"{len(found)} sentences are too near to another split's: data/universe/left_out.txt")
    return 0


def write_quality() -> int:
    write_figures(load())
    print("data/QUALITY.md")
    return 0


def write_all() -> int:
    try:
        counts = write(load())
    except UniverseError as error:
        print(error, file=sys.stderr)
        return 1
    for name, count in counts.items():
        print(f"{count:5} rows  data/{name}")
    return 0


def check_all(named: list[Path], shown: int) -> int:
    files = named or [path for path in sorted(FOLDER.glob("*.yaml")) if path.stem not in NOT_DOMAINS]
    shared, bad = Lists(read_yaml(FOLDER / "values.yaml")), 0
    for path in files:
        try:
            domain = read_domain(path, shared)
            faults = check(domain)
        except UniverseError as error:
            domain, faults = None, error.faults
        for fault in faults:
            print(fault)
        bad += len(faults)
        if domain:
            sentences = sum(len(tool.phrasings) for tool in domain.tools.values())
            counts = f"{len(domain.tools)} tools, {sentences} phrasings, {len(domain.chains)} chains, {len(faults)} faults"
            print(f"{path.name}: {counts}")
            print("\n".join(show(domain, shown)))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
