"""The model card: every figure in it is read from the model's own files."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest
import torch
from dialect_samples import WORDS, byte_level
from safetensors.torch import load_file

from fcutils import models
from fcutils.models import ModelError, check_files
from fcutils.pocket import __main__ as command
from fcutils.pocket.card import WORDS as SAID
from fcutils.pocket.card import write_card
from fcutils.pocket.corpora import CORPORA, READS
from fcutils.pocket.export import export
from fcutils.pocket.models import build
from fcutils.show import training

LOG = [
    {"step": 0, "tokens": 0, "seconds": 0.0, "plan": {"name": "x", "minutes": 90.0, "budget": 4096, "seed": 3, "layers": 1},
     "device": "cpu", "threads": 2, "fresh": True},
    {"step": 20, "tokens": 50_000, "seconds": 60.0, "loss": 8.5, "phase": "copying"},
    {"step": 900, "tokens": 7_300_000, "seconds": 5400.0, "loss": 0.4321, "phase": "full",
     "scores": {"tools": {"call": 0.61, "values": 0.7}, "domains": {"call": 0.52}}},
]  # fmt: skip
SCORES = {
    "model": "pocket-hermes", "command": "python -m fcutils.pocket score pocket-hermes", "date": "2026-11-21T10:00:00+00:00",
    "rows_a_set": "all", "sets": {},
    "table": [{"name": "unseen tools", "wanted": 0.85,
               "scores": {"hermes": {"hits": 174, "n": 200, "share": 0.87, "low": 0.816, "high": 0.91}}}],
}  # fmt: skip


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An exported model with a log, as training and export leave it."""
    words = byte_level.__wrapped__(WORDS)
    words.eos_token = "<|im_end|>"
    words.save_pretrained(tmp_path / "tokenizer")
    run = tmp_path / "run"
    run.mkdir()
    torch.save({"model": build("pocket-hermes", len(words), layers=2).state_dict()}, run / "checkpoint.pt")
    (run / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in LOG))
    monkeypatch.setattr(command, "SHIPPED", tmp_path / "shipped")
    monkeypatch.setattr(models, "HOME", tmp_path / "shipped")
    return export("pocket-hermes", run, tmp_path / "tokenizer", tmp_path / "shipped" / "pocket-hermes")


def test_the_command_writes_a_card_of_figures_that_are_the_models_own(folder, monkeypatch, capsys):
    (folder / "scores.json").write_text(json.dumps(SCORES))
    monkeypatch.setattr(sys, "argv", ["pocket", "card", "pocket-hermes"])
    assert command.main() == 0
    text = (folder / "README.md").read_text()
    count = sum(tensor.numel() for tensor in load_file(folder / "model.safetensors").values())
    config = json.loads((folder / "config.json").read_text())
    for said in (
        "# pocket-hermes\n",
        f"{count / 1e6:.1f}M parameters",
        f"{config['vocab_size']} tokens in the vocabulary",
        "train pocket-hermes --minutes 90 --budget 4096 --seed 3 --layers 1",
        "900 steps, 7.3M tokens, 1.50 hours; last loss 0.432",
        "| unseen tools | 85% | 87.0% [81.6%, 91.0%] of 200 |",
        "| call | 0.61 | 0.52 |",
        "| values | 0.7 | - |",
        'load("hermes3")',
        "2026-11-21",
    ):
        assert said in text, said
    digest = next(line for line in (folder / "SHA256SUMS").read_text().splitlines() if line.endswith("model.safetensors"))
    assert digest in text
    assert (folder / "training.svg").read_text().startswith("<?xml") and "](training.svg)" in text
    check_files(folder)  # card, plot, scores and log are not part of what is checked


def test_where_no_command_of_ours_ran_the_card_names_none(folder):
    script = {**LOG[0], "fresh": False, "script": "strings that get harder"}
    (folder / "training.jsonl").write_text("".join(json.dumps(line) + "\n" for line in [*LOG, script, *LOG[1:]]))
    recipe = write_card("pocket-hermes", folder).read_text().split("## Recipe")[1].split("## Scores")[0]
    assert "at step 900, on from" in recipe and "a script that is not kept, for 90 minutes: strings that get harder" in recipe
    assert recipe.count("`python -m fcutils.pocket train") == 1 and "14.6M tokens" in recipe


def test_the_links_of_the_card_lead_somewhere(folder):
    (folder / "scores.json").unlink(missing_ok=True)
    text = write_card("pocket-hermes", folder).read_text()
    assert "None yet: `python -m fcutils.pocket score pocket-hermes`" in text
    home = Path(models.__file__).parents[1] / "assets" / "models" / "pocket-hermes"
    links = [link for words in SAID.values() for link in re.findall(r"\]\((\.\./[^)]+)\)", words.data)]
    assert len(links) >= 5
    for link in links:
        assert (home / link).resolve().exists(), link
    assert set(SAID) == set(CORPORA) == set(READS.values())


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "config.json"])
def test_what_is_missing_or_damaged_is_refused_in_one_line(folder, name):
    whole = (folder / name).read_bytes()
    (folder / name).write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(ModelError, match=f"{name} is damaged") as damaged:
        models.load("hermes3", full=False, device="cpu")
    (folder / name).unlink()
    with pytest.raises(ModelError, match=f"{name} is missing") as missing:
        models.load("hermes3", full=False, device="cpu")
    for error in (damaged, missing):
        assert "\n" not in str(error.value) and "git checkout" in str(error.value)
    (folder / name).write_bytes(whole)
    assert models.load("hermes3", full=False, device="cpu").name == "pocket-hermes"


def test_a_log_without_a_loss_cannot_be_drawn():
    with pytest.raises(ValueError, match="has not begun"):
        training(LOG[:1])
    drawn = training(LOG)
    assert [line.get_label() for line in drawn.axes[1].lines] == ["tools: call", "domains: call"]
    assert list(drawn.axes[0].lines[0].get_ydata()) == [8.5, 0.4321]
