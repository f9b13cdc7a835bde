"""Small random models in the architectures of the course, and an engine around each; no weights are read."""

from __future__ import annotations

from typing import Any

import torch
from dialect_samples import WORDS, byte_level, sentence_piece
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
)

from fcutils.engines.base import Tools
from fcutils.engines.local import LocalEngine

WINDOW = 48  # of the sliding layers: far less than a conversation
CONTEXT = 4096
FAMILIES = {
    "llama": (LlamaConfig, LlamaForCausalLM, "hermes", lambda: byte_level(WORDS)),
    "mistral": (MistralConfig, MistralForCausalLM, "mistral", lambda: sentence_piece("first")),
    "gemma2": (Gemma2Config, Gemma2ForCausalLM, "gemma", lambda: sentence_piece("none")),
}


def model(family: str, vocabulary: int, context: int = CONTEXT, seed: int = 0) -> Any:
    """Far from uniform, so that greedy choices have a margin."""
    torch.manual_seed(seed)
    config, kind, _, _ = FAMILIES[family]
    sizes = {"vocab_size": vocabulary, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 4, "head_dim": 16}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": context, "initializer_range": 0.3}
    ids = {"bos_token_id": None, "eos_token_id": None, "pad_token_id": None}
    more = {} if family == "llama" else {"sliding_window": WINDOW}
    return kind(config(**sizes, **heads, **ids, **more)).eval()


def engine(family: str, dialect: str | None = None, context: int = CONTEXT, seed: int = 0) -> LocalEngine:
    _, _, own, tokenizer = FAMILIES[family]
    made = tokenizer()
    return LocalEngine(model(family, len(made), context, seed), made, dialect or own)


class Script:
    """A constraint that dictates replies, token by token: what a model does that says exactly this."""

    def __init__(self, engine: LocalEngine, *replies: list[int]) -> None:
        self._end, self._replies, self._told = engine.end_id, list(replies), 0

    def next(self) -> None:
        self._told += 1

    def guide(self, tools: Tools) -> Any:
        return _Dictation([*self._replies[self._told], self._end])


class _Dictation:
    active = True

    def __init__(self, ids: list[int]) -> None:
        self._ids, self._at = ids, 0

    def restrict(self, logits: Any) -> None:
        logits.fill_(float("-inf"))
        logits[self._ids[self._at]] = 0.0

    def take(self, token: int) -> None:
        self._at += 1
