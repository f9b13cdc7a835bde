"""The pocket models' shapes, in stock transformers architectures. Sizes are chosen for what two cores can train in hours."""

from __future__ import annotations

from typing import Any

from fcutils.pocket.start import plant

CONTEXT = 4096
ROTATION = 1e6  # the base of the rotary positions: enough slow turns to match words over a whole context

SHAPES: dict[str, dict[str, Any]] = {
    "pocket-hermes": {"family": "llama", "width": 256, "layers": 5, "heads": 4, "inner": 768, "vocabulary": 8192},
    "pocket-gemma": {"family": "gemma2", "width": 256, "layers": 5, "heads": 4, "inner": 768, "vocabulary": 8192},
}
SHAPES["pocket-gemma-it"] = SHAPES["pocket-gemma"]  # its sibling, which reads turns


def build(name: str, vocabulary: int, *, layers: int | None = None) -> Any:
    """A fresh model, with the start that `start.plant` gives it."""
    shape = SHAPES[name]
    common = {
        "vocab_size": vocabulary,
        "hidden_size": shape["width"],
        "intermediate_size": shape["inner"],
        "num_hidden_layers": layers or shape["layers"],
        "num_attention_heads": shape["heads"],
        "num_key_value_heads": shape["heads"],
        "head_dim": shape["width"] // shape["heads"],
        "max_position_embeddings": CONTEXT,
        "tie_word_embeddings": True,
        "initializer_range": 0.02,
        "rope_parameters": {"rope_type": "default", "rope_theta": ROTATION},
    }
    if shape["family"] == "llama":
        from transformers import LlamaConfig, LlamaForCausalLM

        model: Any = LlamaForCausalLM(LlamaConfig(**common))
    else:
        from transformers import Gemma2Config, Gemma2ForCausalLM

        config = Gemma2Config(
            **common,
            attn_logit_softcapping=None,
            final_logit_softcapping=None,
            query_pre_attn_scalar=shape["width"] // shape["heads"],
            sliding_window=CONTEXT,  # a layer that does not see the tools cannot copy from them
        )
        model = Gemma2ForCausalLM(config)
    plant(model)
    return model


def deepen(model: Any, layers: int) -> Any:
    """The same model with more layers at its end, each beginning as the identity: what it says does not change."""
    import copy

    import torch

    config = copy.deepcopy(model.config)
    config.num_hidden_layers = layers
    if getattr(config, "layer_types", None):
        config.layer_types = (config.layer_types * layers)[:layers]
    deeper = type(model)(config)
    missing, _ = deeper.load_state_dict(model.state_dict(), strict=False)
    with torch.no_grad():
        for module_name, parameter in deeper.named_parameters():
            if module_name in missing and module_name.endswith(("o_proj.weight", "down_proj.weight")):
                parameter.zero_()
    deeper.tie_weights()
    return deeper
