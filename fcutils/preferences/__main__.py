"""`python -m fcutils.preferences dpo|grpo`: train, measure before and after on what was held out, and keep the figures.

    python -m fcutils.preferences dpo --base hermes3 --steps 48
    python -m fcutils.preferences grpo --steps 20 --seed 1

A result that is no better is written down as it is.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from fcutils.engines.base import EngineError
from fcutils.evaluate.report import Score
from fcutils.models import Loaded, ModelError, load
from fcutils.preferences.measure import GUARD, Found, Mean, executed, refusals
from fcutils.preferences.pairs import pairs
from fcutils.preferences.reward import tasks

RESULTS = Path(__file__).resolve().parents[2] / "benchmarks" / "results"
SAMPLES = 4  # replies that are kept, to be read
LOGGED = ("step", "loss", "reward", "rewards/margins", "rewards/accuracies", "frac_reward_zero_std")


@dataclass(frozen=True, slots=True)
class Method:
    """What to train on, what to look at, and for how many steps."""

    material: Callable[[Any], Sequence[Any]]
    look: Callable[[Any, Any], Found]
    steps: int


METHODS: Mapping[str, Method] = {"dpo": Method(pairs, refusals, 48), "grpo": Method(tasks, executed, 20)}


def main(arguments: Sequence[str]) -> int:
    told = _options().parse_args(arguments)
    out = told.out or RESULTS / f"preferences_{told.method}.json"
    if not out.parent.is_dir():
        print(f"fcutils.preferences: there is no folder {out.parent} to write into", file=sys.stderr)
        return 1
    command = {"command": f"python -m fcutils.preferences {' '.join(arguments)}"}
    try:
        loaded = load(told.base, told.full)
        found = measure(told.method, loaded, told.steps, told.limit, told.seed)
    except (ModelError, EngineError) as error:
        print(f"fcutils.preferences: {error}", file=sys.stderr)
        return 1
    out.write_text(json.dumps(command | found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return 0


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m fcutils.preferences", description=__doc__.split("\n")[0])
    parser.add_argument("method", choices=METHODS)
    parser.add_argument("--base", default="hermes3", help="a key of the catalogue")
    parser.add_argument("--full", default=None, help="a hub id or a folder, instead of the pocket twin")
    parser.add_argument("--steps", type=partial(_count, least=1), help="of training")
    parser.add_argument("--limit", type=partial(_count, least=2), help="of what is held out, the first so many")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="the JSON file; benchmarks/results/preferences_METHOD.json")
    return parser


def _count(text: str, least: int) -> int:
    number = int(text)
    if number < least:
        raise argparse.ArgumentTypeError(f"{number} is too few: {least} at least")
    return number


def measure(name: str, loaded: Loaded, steps: int | None, limit: int | None, seed: int) -> dict[str, Any]:
    """Held-out figures before and after one training, and what it took."""
    from fcutils import preferences
    from fcutils.engines.local import LocalEngine
    from fcutils.finetune.saved import versions

    method = METHODS[name]
    held = method.material("held_out")[:limit]
    before = method.look(LocalEngine(loaded.model, loaded.tokenizer, loaded.dialect), held)
    print(f"before: {_told(before)}")
    began = time.monotonic()
    aligned = getattr(preferences, name)(loaded, method.material("train"), steps=steps or method.steps, seed=seed)
    seconds = time.monotonic() - began
    after = method.look(aligned.engine, held)
    print(f"after:  {_told(after)}")
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, {loaded.model.device}, "
        f"Python {platform.python_version()}",
        "versions": versions(),
        "model": loaded.card,
        "seed": seed,
        "settings": dict(aligned.settings),
        "seconds of training": round(seconds, 1),
        "before": _kept(before),
        "after": _kept(after),
        "goals": {
            what: {"goal": _goal(what, one), "reached": str(after.figures[what])} for what, one in before.figures.items()
        },
        "history": [{key: round(entry[key], 4) for key in LOGGED if key in entry} for entry in aligned.history],
    }


def _goal(what: str, before: Score | Mean) -> str:
    """A guard must only stay where it was."""
    return f"no less than {before}" if what == GUARD else f"more than {before}"


def _told(found: Found) -> str:
    return "; ".join(f"{what} {figure}" for what, figure in found.figures.items())


def _kept(found: Found) -> dict[str, Any]:
    every = max(1, len(found.replies) // SAMPLES)
    figures = {what: _numbers(figure) for what, figure in found.figures.items()}
    return {**figures, "outcomes": dict(found.outcomes), "replies": found.replies[::every]}


def _numbers(figure: Score | Mean) -> dict[str, float]:
    value = {"share": figure.share, "hits": figure.hits} if isinstance(figure, Score) else {"mean": figure.value}
    low, high = figure.interval
    return {**{name: round(one, 3) for name, one in (value | {"low": low, "high": high}).items()}, "of": figure.n}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
