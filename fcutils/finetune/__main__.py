"""`python -m fcutils.finetune run.yaml`: the same as `tune`, from a file; under `accelerate launch` on several GPUs.

    base: gemma                     # a key of the catalogue
    rows: data/train.jsonl
    validation: data/validation.jsonl
    folder: runs/gemma              # checkpoints, and the result in runs/gemma/adapter
    limit: 400                      # of the rows, the first so many
    steps: 60                       # and every other option of `tune` and field of `Recipe`

`plan KEY GPU_GIB` in place of the file prints the memory bill.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import yaml

from fcutils.dataset import RowError, read_rows
from fcutils.dialects import DialectError
from fcutils.finetune.errors import FinetuneError
from fcutils.finetune.plan import plan
from fcutils.finetune.recipe import Recipe
from fcutils.messages import Conversation
from fcutils.models import ModelError

OWN = {"base", "rows", "validation", "folder", "limit"}
OPTIONS = {"dialect", "full", "quantise", "leave_out_long"} | {field.name for field in fields(Recipe)}


def main(arguments: Sequence[str]) -> int:
    match arguments:
        case ["plan", key, gib]:
            return _told(lambda: plan(key, _gib(gib)))
        case [file] if file not in ("-h", "--help"):
            return _told(lambda: run(read_run(Path(file))))
    print(__doc__)
    return 0 if arguments in (["-h"], ["--help"]) else 2


def _gib(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise FinetuneError(f"{text!r} is no number of GB: plan hermes3 16") from None


def _told(work: Any) -> int:
    """One line instead of a stack trace, for what a person can mend."""
    try:
        work()
    except (FinetuneError, ModelError, RowError, DialectError, OSError) as error:
        print(f"fcutils.finetune: {error}", file=sys.stderr)
        return 1
    return 0


def read_run(path: Path) -> dict[str, Any]:
    """The file's options; an error names what it has too much or too little of."""
    try:
        told = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise FinetuneError(f"{path} is not YAML: {error}") from None
    if not isinstance(told, Mapping):
        raise FinetuneError(f"{path} must hold `name: value` lines, beginning with base, rows and folder")
    if unknown := set(told) - OWN - OPTIONS:
        raise FinetuneError(f"{path}: no option {min(unknown, key=str)!r}; there are {', '.join(sorted(OWN | OPTIONS))}")
    if missing := {"base", "rows", "folder"} - set(told):
        raise FinetuneError(f"{path}: {min(missing)} is missing")
    for name in (OWN | {"dialect"}) & set(told):
        kind = int if name == "limit" else str
        if not isinstance(told[name], kind) or (name == "limit" and told[name] < 1):
            raise FinetuneError(
                f"{path}: {name} must be {'a number above 0' if name == 'limit' else 'text'}, not {told[name]!r}"
            )
    return dict(told)


def run(told: Mapping[str, Any]) -> None:
    from fcutils.finetune.train import tune

    options = {name: value for name, value in told.items() if name in OPTIONS}
    rows, held = _rows(told["rows"], told.get("limit")), _rows(told["validation"]) if told.get("validation") else []
    tuned = tune(told["base"], rows, validation=held, folder=told["folder"], **options)
    steps, losses = tuned.curve()
    print(f"{int(steps[-1])} steps, loss {losses[0]:.3f} -> {losses[-1]:.3f}, {tuned.facts['seconds']} s")


def _rows(path: str, limit: int | None = None) -> list[Conversation]:
    return read_rows(path)[:limit]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
