"""What fine-tuning makes of the course's models, on the whole frozen test sets; and the adapters that the repository ships.

    python benchmarks/tuned.py [--limit 60] [--only NAME ...]     writes results/tuned.json, after each run
    python benchmarks/tuned.py --tiny                             two steps and two rows of each, writes nothing

Each run is scored before and after. `gemma` is the run of lesson 05, `gemma-base` the same budget from the model that was only
pretrained, `gemma-long` a longer run, whose adapter is kept as `thinking`; `house` is the QLoRA run of lesson 06, kept as
`house`, scored on the house's own test rows and on all others, for what was forgotten.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fcutils.dataset import DATA, read_rows
from fcutils.engines.local import LocalEngine
from fcutils.evaluate import evaluate
from fcutils.finetune import add_tokens, tune
from fcutils.finetune.saved import versions
from fcutils.messages import Conversation
from fcutils.models import HOME, delete_model, load, write_checksums
from fcutils.pocket.measures import SETS, rows_of

RESULTS = Path(__file__).parent / "results" / "tuned.json"
ADAPTERS = HOME / "adapters"
NEEDED = 256  # tokens of a reply, thought and call
SHORT = 4  # tools on offer in the rows of a short run
Rows = list[Conversation]


def few_tools() -> Rows:
    return [row for row in read_rows(DATA / "train.jsonl") if len(row.tools) <= SHORT][:800]


def house() -> Rows:
    """House rows, and an ordinary row to four of them, half of those with nothing to call."""
    ordinary: Rows = []
    for kind in ("single", "nothing"):
        ordinary += [row for row in few_tools() if row.meta["kinds"] == [kind]][:50]
    return [*read_rows(DATA / "house" / "train.jsonl"), *ordinary]


@dataclass(frozen=True, slots=True)
class Run:
    base: str
    rows: Callable[[], Rows]
    minutes: float
    quantise: bool | None = None
    kept_as: str = ""
    house: bool = False


RUNS = {
    "gemma": Run("gemma", few_tools, 2),
    "gemma-base": Run("gemma-base", few_tools, 2),
    "gemma-long": Run("gemma", lambda: read_rows(DATA / "train.jsonl"), 20, kept_as="thinking"),
    "house": Run("hermes3", house, 2, quantise=True, kept_as="house", house=True),
}


def measured(run: Run, limit: int | None, tiny: bool) -> dict[str, Any]:
    loaded = load(run.base, quantise=run.quantise)
    sets = {one: rows_of(one, limit) for one in SETS}
    if run.house:
        sets = {"house": read_rows(DATA / "house" / "test.jsonl")[:limit], **sets}
    add_tokens(loaded.model, loaded.tokenizer, loaded.dialect)
    before = asked(LocalEngine(loaded.model, loaded.tokenizer, loaded.dialect), sets, tiny)
    how: dict[str, Any] = {"steps": 2, "batch": 1} if tiny else {"minutes": run.minutes}
    tuned = tune(loaded, run.rows(), leave_out_long=True, **how)
    found = {"facts": dict(tuned.facts), "before": before, "after": asked(tuned.engine(), sets, tiny)}
    if run.kept_as and not tiny:
        write_checksums(tuned.save(ADAPTERS / run.kept_as))
    delete_model(loaded)
    return found


def asked(engine: LocalEngine, sets: Mapping[str, Rows], tiny: bool) -> dict[str, Any]:
    how: dict[str, Any] = {"max_tokens": 4 if tiny else NEEDED, "progress": False}
    return {one: evaluate(engine, rows, data=one, **how).to_dict()["scores"] for one, rows in sets.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limit", type=int, help="the first so many rows of each set")
    parser.add_argument("--only", nargs="*", choices=list(RUNS), metavar="NAME")
    parser.add_argument("--tiny", action="store_true")
    told = parser.parse_args()
    kept = json.loads(RESULTS.read_text(encoding="utf-8"))["runs"] if told.only and RESULTS.exists() else {}
    for name in told.only or RUNS:
        print(f"-- {name}", flush=True)
        kept[name] = measured(RUNS[name], 2 if told.tiny else told.limit, told.tiny)
        for one, scores in kept[name]["after"].items():
            pairs = {score: (kept[name]["before"][one][score]["share"], got["share"]) for score, got in scores.items()}
            print(f"   {one:20}", *(f"{score} {was:.0%} -> {now:.0%}" for score, (was, now) in pairs.items()), sep="  ")
        if not told.tiny:
            _write({each: kept[each] for each in RUNS if each in kept})


def _write(runs: Mapping[str, Any]) -> None:
    result = {
        "command": " ".join(["python benchmarks/tuned.py", *sys.argv[1:]]),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "versions": versions(),
        "runs": runs,
    }
    part = RESULTS.with_suffix(".part")
    part.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8", newline="\n")
    part.replace(RESULTS)


if __name__ == "__main__":
    main()
