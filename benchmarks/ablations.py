"""What does each choice of the fine-tuning recipe do? The same model, steps and validation rows; one thing changed at a time.

    python benchmarks/ablations.py [--steps 100] [--only NAME ...]     writes results/ablations.json, after each variant
    python benchmarks/ablations.py --tiny                                tries every variant for two steps, writes nothing

`gemma` learns the thinking format from the course's training rows. Scored on validation rows, none of which is in a test set:
requests that a tool can meet, and requests that none can. Beside the replies, what the right ones cost the model, in nats: that
tells small differences apart where a few dozen replies cannot. `--only` measures some variants anew and keeps the others.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from keeping import keep, kept  # a script's folder is on its path

from fcutils.dataset import DATA, read_rows
from fcutils.dialects.gemma import Gemma
from fcutils.evaluate import evaluate, first_exchange
from fcutils.finetune import tune
from fcutils.finetune.saved import versions
from fcutils.messages import Conversation
from fcutils.models import delete_model, load
from fcutils.preferences import log_probability
from fcutils.universe import Recipe, conversations, corner
from fcutils.universe import load as load_universe
from fcutils.universe.course import RIGHT

ROWS, DUE, NONE = 500, 30, 15  # trained on; asked where a call is due, and where none is
SCORES = ("right tool", "whole call", "holds back")
Rows = list[Conversation]


class Misspelt(Gemma):
    """One letter is missing where the token is registered: the marker that the rows have stays text, in pieces."""

    added = tuple(token.replace("<tool_call>", "<tol_call>") for token in Gemma.added)
    tokens = tuple(token.replace("<tool_call>", "<tol_call>") for token in Gemma.tokens)
    tags = ("<tool_call>",)


def course(count: int) -> Rows:
    return read_rows(DATA / "train.jsonl")[:count]


def made_up() -> Rows:
    """As many rows of the same corner, in which tools and parameters have names made up for each row."""
    where = corner(load_universe(), "train")
    return list(islice(conversations(where, 5, Recipe(mix=RIGHT, modes={"made_up": 1.0}, requests=(1, 2), tools=(1, 8))), ROWS))


@dataclass(frozen=True, slots=True)
class Variant:
    """One row of the table. `group`: what is varied; the first of all is what the others are held against."""

    group: str
    rows: Callable[[], Rows] = lambda: course(ROWS)
    base: str = "gemma"
    dialect: Any = None
    longer: int = 1  # times the steps that are given
    options: Mapping[str, Any] = field(default_factory=dict)


VARIANTS = {
    "as it comes": Variant("everything"),
    "prompts in the loss, too": Variant("the loss", options={"answers_only": False}),
    "new rows frozen": Variant("new tokens", options={"train_rows": False}),
    "a token misspelt": Variant("new tokens", dialect=Misspelt()),
    "rank 2": Variant("rank", options={"rank": 2}),
    "rank 32": Variant("rank", options={"rank": 32}),
    "a third of the rate": Variant("rate", options={"learning_rate": 0.001}),
    "50 rows": Variant("rows", rows=lambda: course(50)),
    "4,000 rows": Variant("rows", rows=lambda: course(4000)),
    "made-up names": Variant("names", rows=made_up),
    "from the pretrained model": Variant("base", base="gemma-base"),
    "four times as long": Variant("time", longer=4, rows=lambda: course(4000)),
}


def asked() -> Rows:
    """Validation rows, cut behind the first reply."""
    found = read_rows(DATA / "validation.jsonl")
    due = [row for row in found if row.meta["kinds"][0] in ("single", "parallel")][:DUE]
    none = [row for row in found if row.meta["kinds"][0] == "nothing"][:NONE]
    return [first_exchange(row) for row in [*due, *none]]


def measured(variant: Variant, rows: Rows, steps: int, tiny: bool) -> dict[str, Any]:
    loaded = load(variant.base)
    how: dict[str, Any] = {"steps": 2, "batch": 1} if tiny else {"steps": steps * variant.longer}
    tuned = tune(loaded, variant.rows(), variant.dialect, leave_out_long=True, **how, **variant.options)
    engine = tuned.engine()
    report = evaluate(engine, rows, max_tokens=4 if tiny else 96, progress=False)
    nats = -sum(log_probability(engine, row) for row in rows) / len(rows)
    delete_model(loaded)
    facts = {name: tuned.facts[name] for name in ("rows", "steps", "seconds", "adapter_bytes", "learnt_tokens_a_second")}
    scores = {name: one for name, one in report.to_dict()["scores"].items() if name in SCORES}
    return {"group": variant.group, **facts, "nats a reply": round(nats, 2), "scores": scores}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=100, help="of training, of four rows each, for each variant")
    parser.add_argument("--only", nargs="*", choices=list(VARIANTS), metavar="NAME")
    parser.add_argument("--tiny", action="store_true")
    told = parser.parse_args()
    rows = asked()[:2] if told.tiny else asked()
    there = kept().get("variants", {}) if told.only else {}
    for name in told.only or VARIANTS:
        print(f"-- {name}", flush=True)
        there[name] = measured(VARIANTS[name], rows, told.steps, told.tiny)
        print("  ", *(f"{score} {one['share']:.0%}" for score, one in there[name]["scores"].items()), end="")
        print(f"  {there[name]['nats a reply']:.2f} nats a reply", flush=True)
        if not told.tiny:
            _write(told.steps, {each: there[each] for each in VARIANTS if each in there})


def _write(steps: int, variants: Mapping[str, Any]) -> None:
    result = {
        "settings": {"steps": steps, "seed": 0, "validation rows": DUE + NONE},
        "variants": variants,
    }
    keep(result, *versions())


if __name__ == "__main__":
    sys.exit(main())
