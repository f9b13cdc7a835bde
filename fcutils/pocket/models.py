"""The pocket models' shapes, in stock transformers architectures. Sizes are chosen for what two cores can train in hours."""

from __future__ import annotations

from typing import Any

CONTEXT = 4096
EMBEDDED, NORMED = 0.3, 0.2

SHAPES: dict[str, dict[str, Any]] = {
    "pocket-hermes": {"family": "llama", "width": 256, "layers": 4, "heads": 4, "inner": 768, "vocabulary": 8192},
    "pocket-gemma": {"family": "gemma2", "width": 256, "layers": 4, "heads": 4, "inner": 768, "vocabulary": 8192},
}


def build(name: str, vocabulary: int, *, layers: int | None = None) -> Any:
    """A freshly initialised model."""
    import torch

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
            sliding_window=1024,
        )
        model = Gemma2ForCausalLM(config)
    with torch.no_grad():
        # Words start far apart and loud, and the last norm takes the volume back: with the usual faint start the first layers
        # drown what a word is, and copying has nothing to match. What layers add starts at zero.
        model.get_input_embeddings().weight.normal_(0, EMBEDDED)
        model.model.norm.weight.fill_(NORMED - (shape["family"] == "gemma2"))  # Gemma's norms count from one
        for module_name, parameter in model.named_parameters():
            if module_name.endswith(("o_proj.weight", "down_proj.weight")):
                parameter.zero_()
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
