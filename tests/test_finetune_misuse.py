"""What is done with a tuned model, a folder or a base that cannot be: refused in one line, and nothing is lost."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from finetune_samples import ROWS, base, logits, row

from fcutils.finetune import BadRows, FinetuneError, Tuned, merge, open_tuned, tune
from fcutils.finetune.recipe import Recipe


@pytest.fixture(scope="module")
def tuned() -> Tuned:
    return tune(base("llama"), ROWS[:2], steps=2)


@pytest.fixture
def folder(tuned: Tuned, tmp_path: Path) -> Path:
    return tuned.save(tmp_path / "adapter")


def test_a_folder_with_something_else_in_it_is_not_overwritten(tuned: Tuned, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    for place in (tmp_path / "mine" / "thesis.txt", tmp_path / "mine"):
        (tmp_path / "mine" / "thesis.txt").write_text("years")
        with pytest.raises(FinetuneError, match="holds something else, which is not overwritten"):
            tuned.save(place)
    assert [(path.name, path.read_text()) for path in (tmp_path / "mine").iterdir()] == [("thesis.txt", "years")]


def test_what_an_interrupted_save_leaves_is_opened_and_saved_over(tuned: Tuned, folder: Path) -> None:
    shutil.copytree(folder, folder.with_name(".adapter.old"))
    shutil.rmtree(folder)  # killed between two renames
    again = open_tuned(folder, base("llama"))
    assert torch.equal(logits(again.model, again.tokenizer, again.dialect), logits(tuned.model, tuned.tokenizer, tuned.dialect))
    tuned.save(folder)
    shutil.copytree(folder, folder.with_name(".adapter.old"))  # killed behind them
    tuned.save(folder)
    assert [path.name for path in folder.parent.iterdir()] == ["adapter"]


def test_what_was_merged_is_neither_saved_as_an_adapter_nor_merged_again(folder: Path, tmp_path: Path) -> None:
    loaded = base("llama")
    opened = open_tuned(folder, loaded)
    with pytest.raises(FinetuneError, match="holds an adapter already"):
        tune(loaded, ROWS[:2], steps=1)
    weights = (folder / "adapter_model.safetensors").read_bytes()
    merge(opened)
    for again in (merge, lambda one: one.save(folder)):
        with pytest.raises(FinetuneError, match="has been merged into the model"):
            again(opened)
    assert (folder / "adapter_model.safetensors").read_bytes() == weights
    assert tune(loaded, ROWS[:2], steps=1).facts["steps"] == 1, "a merged model is a model like any other"


def test_an_adapter_is_not_put_on_other_weights(folder: Path) -> None:
    other = base("llama")
    with torch.no_grad():
        other.model.model.norm.weight += 0.5
    with pytest.raises(FinetuneError, match="was trained on other weights than these of tiny-llama"):
        open_tuned(folder, other)
    with pytest.raises(FinetuneError, match="of tiny-gemma2: on tiny-llama, as it was then"):
        open_tuned(folder, base("gemma2"))


@pytest.mark.parametrize("name", ["adapter_model.safetensors", "adapter_config.json", "tokenizer.json", "finetune.json"])
def test_a_damaged_folder_is_told_in_a_line(folder: Path, name: str) -> None:
    whole = (folder / name).read_bytes()
    for left in (None, whole[: len(whole) // 2], b"{}"):
        (folder / name).unlink(missing_ok=True)
        if left is not None:
            (folder / name).write_bytes(left)
        with pytest.raises(
            FinetuneError, match="holds no tuned model" if name == "finetune.json" else "cannot be opened"
        ) as told:
            open_tuned(folder, base("llama"))
        assert "\n" not in str(told.value)
    (folder / name).write_bytes(whole)
    open_tuned(folder, base("llama"))


@pytest.mark.parametrize(
    ("recipe", "why"),
    [
        ({"learning_rate": "1e-4"}, "learning_rate must be a number, not '1e-4'; YAML takes 1.0e-4"),
        ({"rank": 8.0}, "rank must be a whole number"),
        ({"rslora": "yes"}, "rslora must be true or false"),
        ({"seed": True}, "seed must be a whole number"),
        ({"minutes": float("nan")}, "minutes must be above 0"),
        ({"learning_rate": float("inf")}, "learning_rate must be above 0"),
    ],
)
def test_numbers_are_numbers(recipe: dict[str, Any], why: str) -> None:
    with pytest.raises(FinetuneError, match=why):
        Recipe(**recipe)


def test_a_training_that_runs_away_says_so() -> None:
    with pytest.raises(FinetuneError, match="has run away"):
        tune(base("llama"), ROWS[:2], steps=6, learning_rate=1e30)


def test_rows_are_told_apart() -> None:
    with pytest.raises(FinetuneError, match="rows are conversations, as"):
        tune(base("llama"), "data/train.jsonl", steps=1)  # type: ignore[arg-type]
    with pytest.raises(FinetuneError, match="validation rows are conversations"):
        tune(base("llama"), ROWS[:1], validation=[{"messages": []}], steps=1)  # type: ignore[list-item]
    with pytest.raises(BadRows, match="1 of 1 validation rows cannot be trained on; more than"):
        tune(base("llama"), ROWS[:1], validation=[row("Oslo " * 600)], steps=1)


def test_validation_rows_that_are_left_out_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    tune(base("llama"), ROWS[:1], validation=[ROWS[1], row("Oslo " * 600)], leave_out_long=True, steps=1)
    assert "1 validation rows left out as too long" in capsys.readouterr().out


def test_a_row_is_no_longer_than_the_model_reads() -> None:
    with pytest.raises(FinetuneError, match="reads no more than 1024 tokens"):
        tune(base("llama"), ROWS[:1], length=4000, steps=1)


def test_what_is_loaded_is_not_loaded_otherwise() -> None:
    with pytest.raises(FinetuneError, match="is loaded already: say quantise=True to load"):
        tune(base("llama"), ROWS[:1], quantise=True, steps=1)
