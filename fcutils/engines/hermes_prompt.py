"""`generate_hermes`: one prompt, one reply, every generation parameter within reach.

Knows OpenHermes' way of being asked and transformers' `generate`. It keeps no conversation: that is `local.py`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any

import torch
from transformers import GenerationConfig

from fcutils.dialects import encode, get
from fcutils.engines.base import ContextFull
from fcutils.messages import Conversation, Message
from fcutils.schema import tool_schema

DEFAULTS: Mapping[str, Any] = MappingProxyType(
    {"do_sample": True, "temperature": 0.2, "top_p": 1.0, "top_k": 0, "max_new_tokens": 512, "use_cache": True}
)
UNUSED: Mapping[str, Any] = MappingProxyType(
    {"temperature": 1.0, "top_p": 1.0, "top_k": 50}
)  # greedy takes these without complaint


def generate_hermes(
    prompt: str | Conversation,
    model: Any,
    tokenizer: Any,
    generation_config_overrides: Mapping[str, Any] | None = None,
    *,
    tools: Iterable[Callable[..., Any] | Mapping[str, Any]] = (),
) -> str:
    """The model's reply to a request, as OpenHermes is asked: ChatML, with the functions on offer in the system text.

    `prompt` is what the user says, or a whole conversation. `tools`: functions, Pydantic models or schemas.
    `generation_config_overrides` takes the names of transformers' GenerationConfig; temperature 0 means greedy.

    The function that is usually copied under this name has faults that this one has not:

    - it writes its settings into the model's own generation config, so that the next call inherits them;
    - its overrides default to one mutable dict that all calls share;
    - it pastes the request into the template as text, so that `<|im_end|>` in it ends the turn and can forge another;
    - it fixes the functions in its body, gives Python's names of types for JSON's, and does not say what is required;
    - temperature 0 makes it fail, and a misspelt setting passes unseen;
    - a request longer than the context is found out in the middle of the reply, if at all.
    """
    talk = prompt if isinstance(prompt, Conversation) else Conversation((Message("user", prompt),), _schemas(tools))
    ids = encode(get("openhermes").render(talk, generate=True), tokenizer).ids
    context = model.config.get_text_config().max_position_embeddings
    if len(ids) >= context:
        raise ContextFull(len(ids) + 1, context)
    config = _config(tokenizer, generation_config_overrides or {})
    inputs = torch.tensor([ids], device=model.device)
    with torch.inference_mode():
        out = model.generate(inputs, attention_mask=torch.ones_like(inputs), generation_config=config)
    written = out[0, len(ids) :].tolist()
    ends = config.eos_token_id if isinstance(config.eos_token_id, list) else [config.eos_token_id]
    if written and written[-1] in ends:
        written.pop()
    return tokenizer.decode(written, skip_special_tokens=False, clean_up_tokenization_spaces=False)


def _config(tokenizer: Any, overrides: Mapping[str, Any]) -> GenerationConfig:
    """A fresh one, for this call alone."""
    unknown = [name for name in overrides if name not in GenerationConfig().to_dict()]
    if unknown:
        raise ValueError(f"GenerationConfig has no setting {', '.join(map(repr, unknown))}")
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    pad = end if tokenizer.pad_token_id is None else tokenizer.pad_token_id
    settings = {**DEFAULTS, "eos_token_id": end, "pad_token_id": pad, **overrides}
    if not settings["temperature"]:
        settings["do_sample"] = False
    if not settings["do_sample"]:
        settings |= UNUSED
    return GenerationConfig(**settings)


def _schemas(tools: Iterable[Any]) -> tuple[Mapping[str, Any], ...]:
    return tuple(tool if isinstance(tool, Mapping) else tool_schema(tool) for tool in tools)
