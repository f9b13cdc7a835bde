"""The memory bill: its formulas against true shapes and against what autograd keeps."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from fcutils.finetune import FinetuneError, four_bits, plan
from fcutils.finetune.adapter import size, wrap
from fcutils.finetune.plan import (
    CARDS,
    NEW_TOKENS,
    SHAPES,
    Setting,
    activations,
    adapter_parameters,
    bill,
    linear_parameters,
)
from fcutils.finetune.recipe import Recipe
from fcutils.models import CATALOGUE

WELL_KNOWN = 2.48e9  # bytes of the published adapter that holds the whole embedding


def meta(key: str) -> Any:
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(AutoConfig.for_model(**SHAPES[key]))


@pytest.mark.parametrize("key", SHAPES)
def test_the_shapes_are_the_true_ones(key: str) -> None:
    model = meta(key)
    count = sum(one.numel() for one in model.parameters())
    assert count == pytest.approx(CATALOGUE[key].parameters, rel=0.002)
    linears = [one for name, one in model.named_modules() if isinstance(one, torch.nn.Linear) and name != "lm_head"]
    assert sum(one.weight.numel() for one in linears) == linear_parameters(SimpleNamespace(**SHAPES[key]))


@pytest.mark.parametrize(("key", "megabytes"), [("gemma", 20.8), ("hermes3", 42.0)])
def test_an_adapter_of_rank_8_is_small_at_true_shapes(key: str, megabytes: float) -> None:
    """On the meta device: no weights. The 2B adapter is over 100 times smaller than the well-known one of the same model; an
    8B model has twice the layers' sum of widths, and rank 4 keeps it under 25 MB."""
    new = list(range(NEW_TOKENS.get(key, 0)))
    found = size(wrap(meta(key), Recipe(rank=8), new))
    assert found / 1e6 == pytest.approx(megabytes, abs=0.1)
    config = SimpleNamespace(**SHAPES[key])
    assert found == 2 * (adapter_parameters(config, 8) + len(new) * config.hidden_size)
    if key == "gemma":
        assert found <= 25e6 and WELL_KNOWN / found >= 100
    else:
        assert 2 * adapter_parameters(config, 4) <= 25e6


@pytest.mark.parametrize("key", ["gemma", "hermes3"])
@pytest.mark.parametrize("half", [True, False])
def test_activations_are_what_autograd_keeps(key: str, half: bool) -> None:
    sizes = {"hidden_size": 256, "intermediate_size": 1024, "num_hidden_layers": 3, "num_attention_heads": 8, "head_dim": 32}
    shape = {**SHAPES[key], **sizes, "num_key_value_heads": SHAPES[key]["num_key_value_heads"] // 2, "vocab_size": 500}
    config = AutoConfig.for_model(**shape)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16 if half else torch.float32).train()
    model = wrap(model, Recipe(rank=8), [])
    weights = {one.data_ptr() for one in model.parameters()}
    kept: dict[int, int] = {}
    alive = []

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
            alive.append(tensor)
        return tensor

    hooks = torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor)
    with hooks, torch.autocast("cpu", torch.bfloat16, enabled=half):
        model(input_ids=torch.randint(0, 500, (1, 512)), use_cache=False, logits_to_keep=1)
    told = activations(config, 512, checkpointing=False, wide=2 if half else 4)
    assert told == pytest.approx(sum(kept.values()), rel=0.15)


def test_the_bill_says_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    found = plan("hermes3", gpu_gib=16)
    assert found.fits and (found.setting.weights, found.setting.compute) == ("nf4", "fp16")
    printed = capsys.readouterr().out
    for part in ("Hermes-3", "estimate", "adapter", "gradients", "optimiser", "activations", "GiB", "it fits"):
        assert part in printed
    tight = plan("hermes3", gpu_gib=16, quantise=False)
    assert not tight.fits and [cure.weights for cure in tight.cures] == ["nf4"]
    assert "change to: 4-bit" in capsys.readouterr().out
    hopeless = plan("hermes3", gpu_gib=4)
    assert not hopeless.fits and "take a larger card" in str(hopeless)
    short = plan("hermes3", gpu_gib=8)
    assert not short.fits and short.cures[0].length < 2048
    assert sum(bill("hermes3", short.cures[0]).values()) <= short.room


def test_gemma_is_never_computed_in_fp16() -> None:
    """It overflows there: without bf16 it is held in 4 bits and computed in fp32."""
    found = plan("gemma", gpu_gib=16)
    assert found.fits and (found.setting.weights, found.setting.compute) == ("nf4", "fp32")
    assert plan("gemma", gpu_gib=24).setting.compute == "bf16"
    assert plan("hermes3", gpu_gib=16, bf16=True).setting.compute == "bf16"


@pytest.mark.parametrize("key", SHAPES)
def test_every_card_has_a_recipe_that_fits(key: str) -> None:
    found = {card: plan(key, gpu_gib=gib) for card, gib in CARDS.items()}
    assert list(found) == ["T4", "L4", "A10", "A100 40 GB", "A100 or H100 80 GB"]
    assert all(one.fits for one in found.values())
    rooms = [one.room for one in found.values()]
    assert rooms == sorted(rooms)


def test_more_of_anything_takes_more() -> None:
    def total(**change: Any) -> float:
        setting = {"weights": "bf16", "compute": "bf16", "checkpointing": False, "length": 1024, "rank": 8} | change
        return sum(bill("hermes3", Setting(**setting)).values())

    assert total(weights="nf4") < total(checkpointing=True) < total() < total(rank=64) < total(length=4096)


def test_an_unknown_model_is_named() -> None:
    with pytest.raises(FinetuneError, match="there are gemma"):
        plan("gpt-2")


def test_what_is_loaded_to_be_trained_is_what_the_bill_is_for(capsys: pytest.CaptureFixture[str]) -> None:
    """A T4 holds Gemma 2 in 32 bits, but not its training."""
    assert four_bits("gemma", full=True, gpu_gib=15.8, bf16=False) is True
    assert four_bits("gemma", full=True, gpu_gib=24, bf16=True) is None
    assert four_bits("gemma", full=False, gpu_gib=15.8, bf16=False) is None, "a pocket twin fits everywhere"
    assert four_bits("functiongemma", full=True, gpu_gib=15.8) is None
    assert plan("gemma", gpu_gib=15.8, bf16=False, show=False).setting.weights == "nf4"
    assert not capsys.readouterr().out, "the bill is reckoned without a word"
