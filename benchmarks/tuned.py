"""What fine-tuning makes of the course's models, on the whole frozen test sets; and the adapters that the repository ships.

    python benchmarks/tuned.py [--limit 60] [--only NAME ...]     writes results/tuned.json, after each run
    python benchmarks/tuned.py --tiny                             two steps and two rows of each, writes nothing

Each run is scored before and after. `gemma` is the run of lesson 05, `gemma-base` the same budget from the model that was only
pretrained, `gemma-long` a longer run, whose adapter is kept as `thinking`. `house` is a QLoRA run on the house's rows, kept as
`house`, scored on the house's own test rows and on all others, for what was forgotten: its ordinary rows are of three kinds.
`house-all` has rows of all kinds among the house's, as lesson 06 has.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from keeping import keep, kept  # a script's folder is on its path

from fcutils.dataset import DATA, read_rows
from fcutils.engines.local import LocalEngine
from fcutils.evaluate import evaluate
from fcutils.finetune import add_tokens, tune
from fcutils.finetune.saved import ADAPTERS, versions
from fcutils.messages import Conversation
from fcutils.models import delete_model, load, write_checksums
from fcutils.pocket.measures import SETS, rows_of

NEEDED = 256  # tokens of a reply, thought and call
SHORT = 4  # tools on offer in the rows of a short run
THREE = ("single", "nothing", "missing")
LESSON_05 = {"steps": 200, "rank": 32}
Rows = list[Conversation]


def few_tools() -> Rows:
    return [row for row in read_rows(DATA / "train.jsonl") if len(row.tools) <= SHORT][:800]


def house(*kinds: str) -> Rows:
    """House rows, and up to fifty ordinary ones of each kind."""
    ordinary: Rows = []
    for kind in kinds:
        ordinary += [row for row in few_tools() if row.meta["kinds"] == [kind]][:50]
    return [*read_rows(DATA / "house" / "train.jsonl"), *ordinary]


@dataclass(frozen=True, slots=True)
class Run:
    base: str
    rows: Callable[[], Rows]
    how: Mapping[str, int]
    quantise: bool | None = None
    kept_as: str = ""
    house: bool = False


RUNS = {
    "gemma": Run("gemma", few_tools, LESSON_05),
    "gemma-base": Run("gemma-base", few_tools, LESSON_05),
    "gemma-long": Run("gemma", lambda: read_rows(DATA / "train.jsonl"), {"steps": 600, "rank": 32}, kept_as="thinking"),
    "house": Run("hermes3", lambda: house(*THREE), {"steps": 275}, quantise=True, kept_as="house", house=True),
    "house-all": Run("hermes3", lambda: house(*THREE, "sequence", "parallel"), {"steps": 300}, quantise=True, house=True),
}


def measured(run: Run, limit: int | None, tiny: bool, untouched: dict[str, Any]) -> dict[str, Any]:
    """`untouched` keeps what the models score before: several runs begin from one."""
    loaded = load(run.base, quantise=run.quantise)
    sets = {one: rows_of(one, limit) for one in SETS}
    if run.house:
        sets = {"house": read_rows(DATA / "house" / "test.jsonl")[:limit], **sets}
    add_tokens(loaded.model, loaded.tokenizer, loaded.dialect)
    if run.base not in untouched:
        untouched[run.base] = asked(LocalEngine(loaded.model, loaded.tokenizer, loaded.dialect), sets, tiny)
    how = {"steps": 2, "batch": 1} if tiny else run.how
    tuned = tune(loaded, run.rows(), leave_out_long=True, **how)
    found = {
        "recipe": asdict(tuned.recipe),
        "facts": dict(tuned.facts),
        "before": untouched[run.base],
        "after": asked(tuned.engine(), sets, tiny),
    }
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
    there: dict[str, Any] = {}
    untouched: dict[str, Any] = {}
    for name in told.only or RUNS:
        print(f"-- {name}", flush=True)
        found = measured(RUNS[name], 2 if told.tiny else told.limit, told.tiny, untouched)
        if told.only:  # read now, since another run may have ended meanwhile
            there = kept().get("runs", {})
        there[name] = found
        if not told.tiny:
            _write({each: there[each] for each in RUNS if each in there})
        _show(found)


def _show(found: Mapping[str, Any]) -> None:
    for one, scores in found["after"].items():
        was = found["before"][one]
        said = (
            f"{score} {was[score]['share'] if score in was else 0:.0%} -> {got['share']:.0%}" for score, got in scores.items()
        )
        print(f"   {one:20}", *said, sep="  ")


def _write(runs: Mapping[str, Any]) -> None:
    keep({"runs": runs}, *versions())


if __name__ == "__main__":
    main()
