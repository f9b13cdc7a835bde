"""From a run's checkpoint to the folder that is shipped: bf16 weights, tokenizer, template, checksum, and the log of the run.

What is written here is what `fcutils.models` loads and checks.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from fcutils.models import HOME, NOTES, write_checksums

SHIPPED = HOME
LOG, SCORES, PLOT, CARD, REPLIES = NOTES
COUNTED = ("step", "tokens", "seconds")


def export(name: str, run: Path, tokenizer: Path, folder: Path | None = None) -> Path:
    """Write the model of a run's last checkpoint; gives back the folder."""
    import torch
    from transformers import AutoTokenizer

    from fcutils.dialects import get
    from fcutils.pocket.models import SHAPES

    words = AutoTokenizer.from_pretrained(tokenizer)
    model = restored(name, run, len(words))
    model.config.eos_token_id, model.config.pad_token_id = words.eos_token_id, words.pad_token_id
    model.generation_config.eos_token_id, model.generation_config.pad_token_id = words.eos_token_id, words.pad_token_id
    get("hermes" if SHAPES[name]["family"] == "llama" else "gemma").dress(words)
    folder = folder or SHIPPED / name
    folder.mkdir(parents=True, exist_ok=True)
    model.to(torch.bfloat16).save_pretrained(folder)
    words.save_pretrained(folder)
    if (run / "log.jsonl").exists():
        shutil.copy(run / "log.jsonl", folder / LOG)
    write_checksums(folder)
    return folder


def restored(name: str, run: Path, vocabulary: int) -> Any:
    """The model of a run's last checkpoint."""
    import torch

    from fcutils.pocket.models import build

    held = torch.load(run / "checkpoint.pt", map_location="cpu", weights_only=True)
    layers = 1 + max(int(key.split(".")[2]) for key in held["model"] if key.startswith("model.layers."))
    model = build(name, vocabulary, layers=layers)
    model.load_state_dict(held["model"])
    return model


def take_log(start: Path, run: Path, name: str) -> None:
    """Begin a new stage's log with that of the model it starts from, where that is an earlier stage of the same name."""
    found = next((path for path in (start / "log.jsonl", start / LOG) if path.exists()), None)
    if found is None or (run / "log.jsonl").exists() or _lines(found)[0].get("plan", {}).get("name") != name:
        return
    run.mkdir(parents=True, exist_ok=True)
    shutil.copy(found, run / "log.jsonl")


def read_log(path: Path) -> list[dict[str, Any]]:
    """The lines of a log; steps, tokens and seconds count on from stage to stage."""
    before = last = dict.fromkeys(COUNTED, 0)
    found = []
    for line in _lines(path):
        if "plan" in line and line["step"] == 0:
            before = last
        last = {key: before[key] + line[key] for key in COUNTED}
        found.append(line | last | ({"resumed": line["step"] > 0} if "plan" in line else {}))
    return found


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
