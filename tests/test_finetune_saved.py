"""What training gives: saved, opened in a fresh process, merged; on a base in 4 bits, too."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from finetune_samples import KINDS, ROWS, base, logits, tokenizer
from transformers import AutoModelForCausalLM, AutoTokenizer

from fcutils import models
from fcutils.dialects import get
from fcutils.finetune import FinetuneError, merge, open_tuned, shipped, tune
from fcutils.finetune.saved import Base
from fcutils.models import CATALOGUE, write_checksums
from fcutils.pocket.models import build

FRESH = """
import sys
sys.path.insert(0, sys.argv[1])
import torch
from finetune_samples import base, logits
from fcutils.finetune import open_tuned

tuned = open_tuned(sys.argv[2], base("gemma2"))
torch.save(logits(tuned.model, tuned.tokenizer, tuned.dialect), sys.argv[3])
"""


def test_a_fresh_process_computes_the_same_logits(tmp_path: Path) -> None:
    tuned = tune(base("gemma2"), ROWS, steps=3)
    folder = tuned.save(tmp_path / "adapter")
    here = logits(tuned.model, tuned.tokenizer, tuned.dialect)
    there = tmp_path / "logits.pt"
    command = [sys.executable, "-c", FRESH, str(Path(__file__).parent), str(folder), str(there)]
    done = subprocess.run(command, capture_output=True, timeout=300)
    assert (done.returncode, done.stderr) == (0, b"")
    assert torch.equal(torch.load(there), here)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("options", [{"train_rows": False}, {"rslora": True, "rank": 4}, {"dora": True}])
def test_it_is_opened_again_with_everything(tmp_path: Path, kind: str, options: dict[str, Any]) -> None:
    tuned = tune(base(kind), ROWS[:4], "gemma", steps=2, **options)
    again = open_tuned(tuned.save(tmp_path / "adapter"), base(kind))
    assert torch.equal(logits(again.model, again.tokenizer, again.dialect), logits(tuned.model, tuned.tokenizer, tuned.dialect))
    for name in ("dialect", "base", "recipe", "tokens", "left_out"):
        assert getattr(again, name) == getattr(tuned, name)
    assert again.curve() == tuned.curve() and again.facts == json.loads(json.dumps(tuned.facts))
    assert again.engine().dialect is get("gemma")


def test_a_folder_holds_little_and_names_no_place_of_this_machine(tmp_path: Path) -> None:
    tuned = tune(base("gemma2"), ROWS[:2], steps=1)
    folder = tuned.save(tmp_path / "adapter")
    weights = folder / "adapter_model.safetensors"
    assert weights.stat().st_size < tuned.facts["adapter_bytes"] + 8_000, "no embedding was saved along"
    from safetensors.torch import load_file

    assert {one.dtype for one in load_file(weights).values()} == {torch.bfloat16}
    assert json.loads((folder / "adapter_config.json").read_text())["base_model_name_or_path"] == "tiny-gemma2"
    for path in folder.iterdir():
        assert str(tmp_path).encode() not in path.read_bytes(), path.name
    assert AutoTokenizer.from_pretrained(folder).chat_template == get("gemma").template


def test_what_cannot_be_opened_is_named(tmp_path: Path) -> None:
    with pytest.raises(FinetuneError, match="holds no tuned model"):
        open_tuned(tmp_path)
    folder = tune(base("llama"), ROWS[:2], steps=1).save(tmp_path / "adapter")
    with pytest.raises(FinetuneError, match="not in the catalogue"):
        open_tuned(folder)
    other = base("llama")
    wider = type(other.model)(type(other.model.config)(**{**other.model.config.to_dict(), "hidden_size": 128}))
    with pytest.raises(FinetuneError, match="on tiny-llama, as it was then"):
        open_tuned(folder, models.Loaded("wider", wider, other.tokenizer, other.dialect, ""))
    (folder / "finetune.json").write_text("{")
    with pytest.raises(FinetuneError, match="holds no tuned model"):
        open_tuned(folder, base("llama"))


# ---- merged ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("options", [{}, {"dora": True}, {"rslora": True}])
def test_merging_changes_rounding_alone(tmp_path: Path, kind: str, options: dict[str, Any]) -> None:
    tuned = tune(base(kind), ROWS[:4], "gemma", steps=4, **options)
    before = logits(tuned.model, tuned.tokenizer, tuned.dialect)
    merged = merge(tuned, ROWS[1])
    assert merged.difference < 1e-3 and merged.agree == 1.0
    assert all(seconds > 0 for seconds in merged.seconds_a_token)
    assert torch.allclose(logits(merged.model, merged.tokenizer, merged.dialect), before, atol=1e-3)
    assert not any("lora" in name for name, _ in merged.model.named_parameters())
    merged.save(tmp_path)
    alone, words = AutoModelForCausalLM.from_pretrained(tmp_path), AutoTokenizer.from_pretrained(tmp_path)
    assert torch.allclose(logits(alone, words, merged.dialect), before, atol=1e-3), "it needs nothing of ours"
    if kind == "gemma2":
        assert alone.get_input_embeddings().weight is alone.get_output_embeddings().weight


# ---- from the catalogue, and in 4 bits ---------------------------------------------------------------------------------


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place for pocket models, with random ones of the pocket shapes."""
    monkeypatch.setattr(models, "HOME", tmp_path)
    monkeypatch.delenv("FC_MODELS", raising=False)
    for name, shape, family in (("pocket-gemma-it", "pocket-gemma", "gemma"), ("pocket-hermes", "pocket-hermes", "chatml")):
        words = tokenizer(family)
        torch.manual_seed(0)
        build(shape, len(words)).save_pretrained(tmp_path / name)
        words.save_pretrained(tmp_path / name)
        write_checksums(tmp_path / name)
    return tmp_path


def test_a_key_of_the_catalogue_is_enough(home: Path, tmp_path: Path) -> None:
    tuned = tune("gemma", ROWS[:2], steps=1)
    assert tuned.base == Base("pocket-gemma-it", "gemma", False, False)
    assert tuned.dialect.name == "gemma"
    again = open_tuned(tuned.save(tmp_path / "adapter"))
    assert torch.equal(logits(again.model, again.tokenizer, again.dialect), logits(tuned.model, tuned.tokenizer, tuned.dialect))


def test_four_bits_are_trained_saved_opened_and_merged(home: Path, tmp_path: Path) -> None:
    tuned = tune("hermes3", ROWS, quantise=True, steps=6, batch=2)
    assert tuned.base == Base("pocket-hermes", "hermes3", False, True)
    packed = [one for one in tuned.model.parameters() if one.dtype == torch.uint8]
    assert len(packed) == tuned.model.config.num_hidden_layers * 7 and not any(one.requires_grad for one in packed), (
        "the layers are in 4 bits, and stay"
    )
    losses = tuned.curve()[1]
    assert losses[-1] < losses[0]
    again = open_tuned(tuned.save(tmp_path / "adapter"))
    before = logits(tuned.model, tuned.tokenizer, tuned.dialect)
    assert torch.equal(logits(again.model, again.tokenizer, again.dialect), before)
    merged = merge(tuned, ROWS[0])
    after = logits(merged.model, merged.tokenizer, merged.dialect)
    changed = (before.log_softmax(-1) - after.log_softmax(-1)).abs().max().item()
    assert merged.difference == pytest.approx(changed, rel=1e-4) and changed > 0.01, "rounded anew, which is measured"
    assert merged.agree == pytest.approx((before.argmax(-1) == after.argmax(-1)).float().mean().item())
    plain = merge(open_tuned(tmp_path / "adapter", models.load("hermes3", quantise=False)))
    assert plain.difference < 1e-3, "on the base in full it merges without loss"


def test_the_same_rows_learn_to_think_in_four_bits(home: Path) -> None:
    """New tokens beside 4-bit layers: rows in an embedding that is not quantised."""
    tuned = tune("gemma", ROWS[:2], quantise=True, steps=2)
    assert len(tuned.tokens) == 6 and tuned.curve()[1][-1] > 0


def test_full_models_are_named_by_their_hub_id() -> None:
    entry = CATALOGUE["hermes3"]
    loaded = models.Loaded(entry.hub.split("/")[1], base("llama").model, None, get("hermes"), "")
    assert Base.of("hermes3", loaded, True) == Base(entry.hub, "hermes3", True, False)
    assert Base.of(loaded, loaded, None) == Base(entry.hub, "hermes3", True, False)
    mirror = models.Loaded("gemma-2-2b-it", base("llama").model, None, get("gemma"), "")
    assert Base.of("gemma", mirror, "unsloth/gemma-2-2b-it").full == "unsloth/gemma-2-2b-it"


def test_no_access_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """`tune` passes on what `load` says, in one line; see test_models for the cases."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(models.ModelError, match="Colab"):
        tune("gemma", ROWS, full=True)


def test_four_bits_that_have_answered_are_trained_and_merged_as_if_they_had_not(home: Path, tmp_path: Path) -> None:
    """With AVX512-BF16 bitsandbytes would have packed them anew: gradients wrong, the merged model noise."""
    asked, fresh = (models.load("hermes3", quantise=True, device="cpu") for _ in range(2))
    logits(asked.model, asked.tokenizer, asked.dialect)
    assert Base.of(asked, asked, None).key == "hermes3", "not the other key of the same twin"
    one, other = (tune(loaded, ROWS, steps=4, batch=2) for loaded in (asked, fresh))
    assert one.curve()[1] == pytest.approx(other.curve()[1], rel=1e-4)
    folder = one.save(tmp_path / "adapter")
    before = logits(one.model, one.tokenizer, one.dialect).log_softmax(-1)
    full = open_tuned(folder, models.load("hermes3", quantise=False, device="cpu"))
    exact = logits(full.model, full.tokenizer, full.dialect).log_softmax(-1)
    after = logits(merge(one, ROWS[0]).model, one.tokenizer, one.dialect).log_softmax(-1)
    assert (after - before).abs().max() < 3 * (exact - before).abs().max(), "as far as rounding goes, and no further"


def test_shipped_adapters_are_found_by_their_base() -> None:
    assert [folder.name for folder in shipped("pocket-hermes")] == ["house"]
    assert [folder.name for folder in shipped("pocket-gemma-it")] == ["thinking"]
    assert shipped("Hermes-3-Llama-3.1-8B") == []


def test_shipped_adapters_are_of_the_weights_that_are_shipped() -> None:
    """Whoever ships new weights of a model trains its adapters anew: `python benchmarks/tuned.py`."""
    for folder in (*shipped("pocket-hermes"), *shipped("pocket-gemma-it")):
        told = json.loads((folder / "finetune.json").read_text(encoding="utf-8"))["base"]
        assert Base.of(told["key"], models.load(told["key"], full=False), False).digest == told["digest"], folder.name
