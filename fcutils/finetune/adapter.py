"""The adapter: LoRA on every linear layer, and the rows of the new tokens. Knows PEFT; not training, not files."""

from __future__ import annotations

from collections.abc import Collection
from functools import partial
from typing import Any

from fcutils.finetune.recipe import Recipe


def wrap(model: Any, recipe: Recipe, rows: Collection[int]) -> Any:
    """The model with an adapter in it (the model itself is changed). `rows`: ids of new tokens, of which it holds the rows."""
    import torch
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(recipe.seed)
    config = LoraConfig(
        r=recipe.rank,
        lora_alpha=recipe.scale,
        target_modules="all-linear",
        use_rslora=recipe.rslora,
        use_dora=recipe.dora,
        task_type="CAUSAL_LM",
        trainable_token_indices=_where(model, sorted(rows)),
    )
    wrapped = get_peft_model(model, config)
    # Left to itself it would add the whole embedding, because that has grown: gigabytes, of which a few rows are new.
    wrapped.save_pretrained = partial(wrapped.save_pretrained, save_embedding_layers=False)  # type: ignore[method-assign]
    for name, parameter in wrapped.named_parameters():
        if "trainable_tokens" in name:
            parameter.requires_grad_(recipe.train_rows)
    return wrapped


def _where(model: Any, rows: list[int]) -> Any:
    """Which rows of which matrices: with tied embeddings there is one matrix, else the head has rows of its own."""
    if not rows:
        return None
    inner, outer = model.get_input_embeddings(), model.get_output_embeddings()
    names = {id(module): name.rpartition(".")[2] for name, module in model.named_modules()}
    tied = inner.weight is outer.weight
    return {names[id(inner)]: rows} | ({} if tied else {names[id(outer)]: rows})


def size(model: Any) -> int:
    """Bytes of the adapter as it is saved, in 16 bits."""
    return 2 * sum(parameter.numel() for name, parameter in model.named_parameters() if in_adapter(name))


def in_adapter(name: str) -> bool:
    return "lora_" in name or "trainable_tokens_delta" in name


def round_to_bf16(model: Any) -> None:
    """The adapter as it will be saved, so that what is measured is what is kept."""
    import torch

    for name, parameter in model.named_parameters():
        if in_adapter(name):
            parameter.data = parameter.data.to(torch.bfloat16).to(parameter.dtype)
