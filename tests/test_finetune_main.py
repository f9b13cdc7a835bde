"""`python -m fcutils.finetune`: a run from a file, and what is wrong with a file."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from finetune_samples import ROWS, tokenizer

from fcutils import models
from fcutils.dataset import write_rows
from fcutils.finetune import open_tuned
from fcutils.finetune.__main__ import main
from fcutils.models import write_checksums
from fcutils.pocket.models import build


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that says everything, rows, and a pocket model with random weights."""
    monkeypatch.setattr(models, "HOME", tmp_path)
    monkeypatch.delenv("FC_MODELS", raising=False)
    words = tokenizer("gemma")
    torch.manual_seed(0)
    build("pocket-gemma", len(words)).save_pretrained(tmp_path / "pocket-gemma-it")
    words.save_pretrained(tmp_path / "pocket-gemma-it")
    write_checksums(tmp_path / "pocket-gemma-it")
    write_rows(ROWS, tmp_path / "rows.jsonl")
    write_rows(ROWS[:1], tmp_path / "held.jsonl")
    lines = (
        f"rows: {tmp_path}/rows.jsonl",
        f"validation: {tmp_path}/held.jsonl",
        f"folder: {tmp_path}/run",
        "limit: 2",
        "steps: 1",
        "rank: 2",
    )
    (tmp_path / "run.yaml").write_text("\n".join(["base: gemma", *lines]))
    return tmp_path / "run.yaml"


def test_a_run_from_a_file_leaves_an_adapter(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(run)]) == 0
    out, err = capsys.readouterr()
    assert "2 rows" in out and "1 steps, loss" in out and err == ""
    tuned = open_tuned(run.parent / "run" / "adapter")
    assert (tuned.recipe.rank, tuned.facts["rows"], len(tuned.curve("validation_loss")[0])) == (2, 2, 1)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (("base: gemma", "base: gemini"), "there are openhermes, gemma"),
        (("rank: 2", "ranks: 2"), "no option 'ranks'; there are"),
        (("rank: 2", "rank: 0"), "rank must be above 0"),
        (("folder", "dialect"), "folder is missing"),
        (("rows.jsonl", "nowhere.jsonl"), "nowhere.jsonl"),
        (("base: gemma", "base: [gemma"), "is not YAML"),
        (("base: gemma", "base: [gemma]"), "base must be text, not ['gemma']"),
        (("limit: 2", "limit: ten"), "limit must be a number above 0, not 'ten'"),
        (("limit: 2", "limit: -5"), "limit must be a number above 0, not -5"),
        (("rank: 2", "learning_rate: 1e-4"), "YAML takes 1.0e-4"),
        (("rank: 2", "rank: true"), "rank must be a whole number, not True"),
        (("rank: 2", "dialect: gemmma"), "gemmma"),
        (("rank: 2", "2: 2\nranks: 2"), "no option 2; there are"),
    ],
)
def test_a_file_that_is_wrong_is_told_in_a_line(
    run: Path, capsys: pytest.CaptureFixture[str], change: tuple[str, str], why: str
) -> None:
    run.write_text(run.read_text().replace(*change))
    assert main([str(run)]) == 1
    assert why in capsys.readouterr().err


def test_a_file_in_another_encoding_is_told_in_a_line(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run.write_bytes("folder: Übung".encode("latin-1"))
    assert main([str(run)]) == 1
    assert "is not YAML" in capsys.readouterr().err


def test_the_bill_from_a_shell(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "hermes3", "24"]) == 0
    assert "24 GB" in capsys.readouterr().out
    assert main(["plan", "gpt", "24"]) == 1
    for gib, why in (("-3", "must be above 0"), ("nan", "must be above 0"), ("sixteen", "'sixteen' is no number of GB")):
        assert main(["plan", "gemma", gib]) == 1
        assert why in capsys.readouterr().err
    assert main([]) == main(["plan", "gemma"]) == 2
    assert main(["--help"]) == 0
