"""Small random models in the architectures of the course, and an engine around each; no weights are read."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from dialect_samples import WORDS, byte_level, sentence_piece, tool
from tokenizers import decoders
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedTokenizerFast,
)

from fcutils.dialects import encode, get
from fcutils.engines.local import LocalEngine
from fcutils.engines.script import Script
from fcutils.messages import Message, ToolCall, conversation

__all__ = ["Script", "engine", "model", "taught"]

TALK = conversation(
    [
        Message("user", "What's the weather in Oslo?"),
        Message("assistant", calls=(ToolCall("weather", {"city": "Oslo"}, "call00001"),)),
        Message("tool", "cold", name="weather", call_id="call00001"),
        Message("assistant", "It is cold in Oslo."),
    ],
    [tool("weather", city="The city's name")],
)
WINDOW = 48  # of the sliding layers: far less than a conversation
CONTEXT = 4096
FAMILIES = {
    "llama": (LlamaConfig, LlamaForCausalLM, "hermes", lambda: byte_level.__wrapped__(WORDS)),
    "mistral": (MistralConfig, MistralForCausalLM, "mistral", lambda: _decoding("first")),
    "gemma2": (Gemma2Config, Gemma2ForCausalLM, "gemma", lambda: _decoding("none")),
}


def _decoding(marker: str) -> PreTrainedTokenizerFast:
    """A SentencePiece-like tokenizer that also knows the way back to text."""
    made = sentence_piece.__wrapped__(marker)
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    made.backend_tokenizer.decoder = decoders.Sequence(steps)
    return made


def model(family: str, vocabulary: int, context: int = CONTEXT, seed: int = 0) -> Any:
    """Far from uniform, so that greedy choices have a margin."""
    torch.manual_seed(seed)
    config, kind, _, _ = FAMILIES[family]
    sizes = {"vocab_size": vocabulary, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 4, "head_dim": 16}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": context, "initializer_range": 0.3}
    ids = {"bos_token_id": None, "eos_token_id": None, "pad_token_id": None}
    more = {} if family == "llama" else {"sliding_window": WINDOW}
    return kind(config(**sizes, **heads, **ids, **more)).eval()


def engine(family: str, dialect: str | None = None, context: int = CONTEXT, seed: int = 0) -> LocalEngine:
    _, _, own, tokenizer = FAMILIES[family]
    made = tokenizer()
    return LocalEngine(model(family, len(made), context, seed), made, dialect or own)


@cache
def taught() -> LocalEngine:
    """A Llama that knows one conversation by heart, in `hermes`: it asks for the weather in Oslo, and says what came of it."""
    made = byte_level.__wrapped__(WORDS)
    made.eos_token = "<|im_end|>"
    learner = model("llama", len(made), seed=1)
    encoded = encode(get("hermes").render(TALK), made)
    ids = torch.tensor([encoded.ids])
    labels = ids.masked_fill(~torch.tensor([encoded.learn]), -100)
    optimiser = torch.optim.AdamW(learner.train().parameters(), lr=2e-3)
    for _ in range(200):
        loss = learner(input_ids=ids, labels=labels).loss
        if loss.item() < 0.01:
            break
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
    return LocalEngine(learner, made, "hermes", name="taught")
