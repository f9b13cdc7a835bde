"""`python -m fcutils evaluate` and `python -m fcutils compare`: from the command line to a report, a table and an exit code.

Knows options, files and what is printed. Which model an option means is `open_engine.py`'s.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fcutils.dialects import DialectError
from fcutils.engines.base import EngineError, Sampling
from fcutils.evaluate.bfcl import read_bfcl
from fcutils.evaluate.dialogues import DIALOGUES, read_dialogues, run_dialogues
from fcutils.evaluate.open_engine import OpenError, open_engine
from fcutils.evaluate.replies import RepliesError
from fcutils.evaluate.report import Report, ReportError, differences, side_by_side
from fcutils.evaluate.rows import DataError, read_rows
from fcutils.evaluate.run import evaluate
from fcutils.models import ModelError

FAILED, WRONG = 1, 2  # exit codes: the engine failed on rows; something was asked for that cannot be done
SEVERAL_RUNS = 0.7  # the temperature where several runs are to differ


def run_evaluate(arguments: Sequence[str]) -> int:
    """Score a model. Exit code 0: done; 1: done, but the engine failed on some rows; 2: nothing was done."""
    options = _options().parse_args(arguments)
    try:
        report = _evaluate(options)
        if options.out:
            report.save(options.out)
            table = report.markdown(options.examples) + "\n"
            options.out.with_suffix(".md").write_text(table, encoding="utf-8", errors="backslashreplace")
    except (DataError, OpenError, ModelError, DialectError, EngineError, RepliesError, OSError) as error:
        print(f"evaluate: {error}", file=sys.stderr)
        return WRONG
    print(report.markdown(options.examples))
    return FAILED if report.failed else 0


def run_compare(arguments: Sequence[str]) -> int:
    """Reports on the same rows, side by side; then each of the others against the first."""
    parser = argparse.ArgumentParser(prog="python -m fcutils compare", description=run_compare.__doc__)
    parser.add_argument("reports", nargs="+", type=Path, metavar="report.json")
    options = parser.parse_args(arguments)
    if len(options.reports) < 2:
        parser.error("it takes two reports to compare")
    try:
        reports = [Report.load(path) for path in options.reports]
        names = _distinct([path.stem for path in options.reports])
        tables = [side_by_side(dict(zip(names, reports, strict=True)))]
        for name, other in list(zip(names, reports, strict=True))[1:]:
            tables.append(f"**{names[0]} -> {name}**\n\n{differences(reports[0], other)}")
    except ReportError as error:
        print(f"compare: {error}", file=sys.stderr)
        return WRONG
    print("\n\n".join(tables))
    return 0


def _evaluate(options: argparse.Namespace) -> Report:
    """Reads the data first: what is wrong with it is said before a model is loaded."""
    if options.out and not options.out.parent.is_dir():
        raise OpenError(f"there is no folder {options.out.parent} to write the report into")
    if options.out and options.out.suffix == ".md":
        raise OpenError(f"--out {options.out}: name the report .json; its table is written beside it as .md")
    common: dict[str, Any] = {"max_tokens": options.max_tokens}
    common["replies"] = options.out.with_suffix(".replies.jsonl") if options.out else None
    sampling = Sampling(options.temperature or (SEVERAL_RUNS if options.runs > 1 else 0.0))
    if options.dialogues:
        dialogues = read_dialogues(options.dialogues, options.limit)
        engine, constraint = _open(options)
        return run_dialogues(
            engine,
            dialogues,
            runs=options.runs,
            sampling=sampling,
            constraint=constraint,
            data=options.dialogues.name,
            **common,
        )
    if options.bfcl:
        benchmark = read_bfcl(options.bfcl, options.limit)
        print(benchmark)
        rows, name = benchmark.rows, options.bfcl.name
    else:
        rows, name = read_rows(options.data, options.limit), options.data.name
    engine, constraint = _open(options)
    return evaluate(engine, rows, data=name, sampling=sampling, constraint=constraint, **common)


def _open(options: argparse.Namespace) -> Any:
    return open_engine(options.model, options.engine, options.dialect, options.adapter, options.constrained)


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m fcutils evaluate", description=run_evaluate.__doc__)
    rows = parser.add_argument_group("what is asked: one of these").add_mutually_exclusive_group(required=True)
    rows.add_argument("--data", type=Path, metavar="FILE", help="rows as JSON lines")
    rows.add_argument("--bfcl", type=Path, metavar="DIR", help="a folder in the Berkeley benchmark's own layout")
    rows.add_argument(
        "--dialogues", type=Path, metavar="FILE", nargs="?", const=DIALOGUES, help="dialogues; the course's if none"
    )
    add = parser.add_argument_group("who is asked").add_argument
    add("--model", required=True, help="a key of the catalogue (hermes3), a folder, or with --engine the server's name for it")
    add("--engine", metavar="URL", help="an OpenAI-compatible server, such as http://localhost:8000/v1")
    add("--dialect", help="how the model is asked; for a folder that is not one of the course's")
    add("--adapter", type=Path, metavar="DIR", help="a LoRA adapter on top of the model")
    add("--constrained", action="store_true", help="calls that cannot be malformed")
    add = parser.add_argument_group("how").add_argument
    add("--limit", type=_count, metavar="N", help="the first N rows, of a benchmark's folder N of each file")
    add("--max-tokens", type=_count, default=384, metavar="N", help="of one reply (384)")
    add("--temperature", type=_temperature, default=0.0, metavar="T", help="0 is greedy, and the default of a single run")
    add("--runs", type=_count, default=1, metavar="K", help=f"of every dialogue, for pass^k; temperature {SEVERAL_RUNS} then")
    add(
        "--out", type=Path, metavar="report.json", help="the report; beside it a table and the replies, so that a run can go on"
    )
    add("--examples", type=int, default=5, metavar="N", help="misses to show, both sides (5)")
    return parser


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is too few")
    return number


def _temperature(text: str) -> float:
    temperature = float(text)
    if not 0 <= temperature < 100:
        raise argparse.ArgumentTypeError(f"{text} is no temperature: it is from 0 up")
    return temperature


def _distinct(names: Sequence[str]) -> list[str]:
    """Names for a table's columns: with a number where two files have the same."""
    return [name if names.count(name) == 1 else f"{name} ({number})" for number, name in enumerate(names, 1)]
