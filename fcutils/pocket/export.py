"""From a run's checkpoint to the folder that is shipped: bf16 weights, tokenizer, template, checksum, and the log of the run.

What is written here is what `fcutils.models` loads and checks.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

SHIPPED = Path(__file__).resolve().parents[2] / "assets" / "models"
CHECKSUMS = "SHA256SUMS"
LOG = "training.jsonl"


def export(name: str, run: Path, tokenizer: Path, folder: Path | None = None) -> Path:
    """Write the model of a run's last checkpoint; gives back the folder."""
    import torch
    from transformers import AutoTokenizer

    from fcutils.dialects import get
    from fcutils.pocket.models import SHAPES, build

    held = torch.load(run / "checkpoint.pt", map_location="cpu", weights_only=True)
    layers = 1 + max(int(key.split(".")[2]) for key in held["model"] if key.startswith("model.layers."))
    words = AutoTokenizer.from_pretrained(tokenizer)
    model = build(name, len(words), layers=layers)
    model.load_state_dict(held["model"])
    model.config.eos_token_id, model.config.pad_token_id = words.eos_token_id, words.pad_token_id
    model.generation_config.eos_token_id, model.generation_config.pad_token_id = words.eos_token_id, words.pad_token_id
    family = get("hermes" if SHAPES[name]["family"] == "llama" else "gemma")
    words.chat_template = family.template
    folder = folder or SHIPPED / name
    folder.mkdir(parents=True, exist_ok=True)
    model.to(torch.bfloat16).save_pretrained(folder)
    words.save_pretrained(folder)
    if (run / "log.jsonl").exists():
        shutil.copy(run / "log.jsonl", folder / LOG)
    write_checksums(folder)
    return folder


def write_checksums(folder: Path) -> None:
    """A line for every file, as `sha256sum` writes and checks them."""
    files = [path for path in sorted(folder.iterdir()) if path.is_file() and path.name != CHECKSUMS and path.suffix != ".md"]
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}" for path in files]
    (folder / CHECKSUMS).write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")


def read_log(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
