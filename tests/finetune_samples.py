"""Small bases and rows to tune on: random weights in true architectures, with tokenizers that lack a dialect's new tokens."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import torch
from dialect_samples import texts, tool
from transformers import AutoTokenizer, Gemma2Config, Gemma2ForCausalLM, LlamaConfig, LlamaForCausalLM

from fcutils.dialects import get
from fcutils.messages import Conversation, Message, ToolCall, conversation
from fcutils.models import Loaded
from fcutils.pocket.tokenizer import CHATML, GEMMA, save_tokenizer, train_tokenizer

CITIES = ("Oslo", "Rome", "Lima", "Bonn", "Kyiv", "Riga", "Bern", "Cork", "Graz", "Metz", "Nice", "Pisa")
KINDS: dict[str, tuple[Any, Any, str]] = {  # with tied and with untied embeddings
    "gemma2": (Gemma2Config, Gemma2ForCausalLM, "gemma"),
    "llama": (LlamaConfig, LlamaForCausalLM, "hermes"),
}


def row(city: str) -> Conversation:
    call = ToolCall("weather", {"city": city})
    return conversation(
        [
            Message("user", f"What's the weather in {city}?"),
            Message("assistant", thought=f"The weather in {city}.", calls=(call,)),
            Message("tool", "cold", name="weather"),
            Message("assistant", f"It is cold in {city}."),
        ],
        [tool("weather", city="The city's name")],
    )


ROWS = [row(city) for city in CITIES]


@cache
def _written(family: str) -> str:
    return train_tokenizer(texts(), 700, GEMMA if family == "gemma" else CHATML).to_str()


def tokenizer(family: str) -> Any:
    """A new one of the pocket models' kind: `gemma` has no markers, `chatml` has its turns alone."""
    from tokenizers import Tokenizer

    with tempfile.TemporaryDirectory() as folder:
        save_tokenizer(Tokenizer.from_str(_written(family)), Path(folder), family=family)
        return AutoTokenizer.from_pretrained(folder)


def base(kind: str = "gemma2", seed: int = 0) -> Loaded:
    """Tied embeddings and new tokens to be added (gemma2), or an untied head and none (llama)."""
    torch.manual_seed(seed)
    config, model, dialect = KINDS[kind]
    words = tokenizer("gemma" if dialect == "gemma" else "chatml")
    sizes = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "head_dim": 16, "num_attention_heads": 4}
    ids = {"bos_token_id": None, "eos_token_id": None, "pad_token_id": None, "max_position_embeddings": 1024}
    shape = config(vocab_size=len(words), num_key_value_heads=2, initializer_range=0.1, **sizes, **ids)
    return Loaded(f"tiny-{kind}", model(shape).eval(), words, get(dialect), "")


def logits(model: Any, words: Any, dialect: Any, talk: Conversation = ROWS[0]) -> torch.Tensor:
    from fcutils.dialects import encode

    with torch.inference_mode():
        return model(input_ids=torch.tensor([encode(dialect.render(talk), words).ids]), use_cache=False).logits[0]
