"""The memory bill of a training, by formula, and what to change where it does not fit.

`plan("hermes3", gpu_gib=16)` needs no GPU, no weights and no network: the shapes are written here. What it says is an
estimate, and says so, until a run on the card itself has been measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType, SimpleNamespace
from typing import Any

from fcutils.finetune.errors import FinetuneError
from fcutils.models import BYTES, CATALOGUE, GIB, SPARE_GIB, Precision, wants_full

# The true shapes, as the models' own config.json has them.
_GEMMA = {
    "model_type": "gemma2",
    "vocab_size": 256_000,
    "hidden_size": 2304,
    "intermediate_size": 9216,
    "num_hidden_layers": 26,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "head_dim": 256,
    "max_position_embeddings": 8192,
    "sliding_window": 4096,
    "query_pre_attn_scalar": 256,
    "attn_logit_softcapping": 50.0,
    "final_logit_softcapping": 30.0,
    "tie_word_embeddings": True,
}
_LLAMA = {
    "model_type": "llama",
    "vocab_size": 128_256,
    "hidden_size": 4096,
    "intermediate_size": 14_336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "max_position_embeddings": 131_072,
    "rms_norm_eps": 1e-5,
    "tie_word_embeddings": False,
}
SHAPES: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "gemma": _GEMMA,
        "gemma-base": _GEMMA,
        "hermes3": _LLAMA,
        "openhermes": _LLAMA | {"model_type": "mistral", "vocab_size": 32_002, "max_position_embeddings": 32_768},
    }
)
NEW_TOKENS = {"gemma": 6, "gemma-base": 6}
CARDS = {"T4": 16, "L4": 24, "A10": 24, "A100 40 GB": 40, "A100 or H100 80 GB": 80}
USABLE = 0.92  # of what a card is sold with
TURING = 16  # GB: a card of this size is taken for a T4, which has no bf16
LEARNT = 0.25  # of the tokens: the head makes logits of these alone


@dataclass(frozen=True, slots=True)
class Setting:
    """How the model is held and trained."""

    weights: Precision
    compute: Precision
    checkpointing: bool
    length: int
    rank: int = 8

    def __str__(self) -> str:
        held = "4-bit (NF4) weights" if self.weights == "nf4" else f"{self.weights} weights"
        twice = ", activation checkpointing" if self.checkpointing else ""
        return f"{held}, computed in {self.compute}{twice}, rows of up to {self.length} tokens, rank {self.rank}"


@dataclass(frozen=True, slots=True)
class Bill:
    """What takes how many GiB, and what there is. `cures`: settings that fit where this one does not."""

    model: str
    card: str
    setting: Setting
    lines: Mapping[str, float]
    room: float
    cures: tuple[Setting, ...] = ()

    @property
    def needed(self) -> float:
        return sum(self.lines.values())

    @property
    def fits(self) -> bool:
        return self.needed <= self.room

    def __str__(self) -> str:
        rows = [f"  {name:<42}{gib:7.2f} GiB" for name, gib in self.lines.items()]
        says = "fits" if self.fits else "does not fit"
        total = f"  {'together':<42}{self.needed:7.2f} GiB; {self.room:.1f} GiB are usable: it {says}"
        cures = [f"  change to: {cure}" for cure in self.cures]
        if not self.fits and not cures:
            cures = ["  nothing that this package can change makes it fit: take a larger card"]
        return "\n".join([f"{self.model} on {self.card}: {self.setting} (an estimate, by formula)", *rows, total, *cures])


def plan(
    key: str,
    gpu_gib: float = 16,
    *,
    length: int = 2048,
    rank: int = 8,
    quantise: bool | None = None,
    checkpointing: bool | None = None,
    bf16: bool | None = None,
    show: bool = True,
) -> Bill:
    """Prints what fine-tuning a model of the catalogue takes on a card of so many GB, and what to change if it does not fit.

    What is None is chosen: the fastest setting that fits. `bf16`: whether the card has it; a T4 has not.
    """
    if key not in SHAPES:
        raise FinetuneError(f"no shape of {key!r} is known: there are {', '.join(SHAPES)}")
    if not (gpu_gib > 0 and length > 0 and rank > 0):
        raise FinetuneError(f"a card of {gpu_gib:g} GB, rows of {length} tokens, rank {rank}: all must be above 0")
    native = gpu_gib > TURING if bf16 is None else bf16
    compute: Precision = "bf16" if native else "fp16" if CATALOGUE[key].half else "fp32"
    card = f"{gpu_gib:g} GB {'with' if native else 'without'} bf16"
    room = gpu_gib * USABLE
    settings = [
        Setting(weights, compute, twice, length, rank)
        for weights in (compute, "nf4")
        for twice in (False, True)
        if quantise in (None, weights == "nf4") and checkpointing in (None, twice)
    ]
    bills = [Bill(CATALOGUE[key].hub, card, setting, bill(key, setting), room) for setting in settings]
    chosen = next((one for one in bills if one.fits), bills[-1])
    if not chosen.fits:
        chosen = Bill(chosen.model, card, chosen.setting, chosen.lines, room, tuple(_cures(key, chosen.setting, room)))
    if show:
        print(chosen)
    return chosen


def four_bits(key: str, full: bool | str | None = None, gpu_gib: float | None = None, bf16: bool | None = None) -> bool | None:
    """What to say to `load` as `quantise` before training: True where the bill says so, of this machine's GPU if none is given.

    None where it does not, or where there is no GPU, or where a pocket twin is trained: `load` decides then.
    """
    import torch

    if key not in SHAPES or not wants_full(CATALOGUE[key], full) or (gpu_gib is None and not torch.cuda.is_available()):
        return None
    if gpu_gib is None:
        gpu_gib = torch.cuda.get_device_properties(0).total_memory / 1e9  # as cards are sold
        bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
    return plan(key, gpu_gib, bf16=bf16, show=False).setting.weights == "nf4" or None


def _cures(key: str, setting: Setting, room: float) -> list[Setting]:
    """The nearest settings that fit: 4 bits, activations computed twice, shorter rows; the length given up last."""
    lengths = [setting.length >> halved for halved in range(6) if setting.length >> halved >= 128]
    tries = (
        Setting(weights, setting.compute, twice, length, setting.rank)
        for length in lengths
        for weights, twice in ((setting.weights, True), ("nf4", False), ("nf4", True))
    )
    fitting = (one for one in tries if sum(bill(key, one).values()) <= room)
    first = next(fitting, None)
    return [first] if first else []


def bill(key: str, setting: Setting) -> dict[str, float]:
    """What takes how many GiB."""
    config = SimpleNamespace(**SHAPES[key])
    wide = BYTES[setting.compute]
    linear, matrix = linear_parameters(config), config.vocab_size * config.hidden_size
    matrices = 1 if config.tie_word_embeddings else 2
    new = NEW_TOKENS.get(key, 0)
    adapter = adapter_parameters(config, setting.rank) + new * config.hidden_size * matrices
    unpacked = config.hidden_size * config.intermediate_size * wide if setting.weights == "nf4" else 0.0
    sizes = {
        "weights of the layers": linear * BYTES[setting.weights],
        "embedding and head": matrix * matrices * wide,
        "adapter, in fp32": adapter * 4,
        "its gradients": adapter * 4,
        "its optimiser (AdamW)": adapter * 8,
        "activations": activations(config, setting.length, checkpointing=setting.checkpointing, wide=wide),
        "logits of the learnt tokens": logits(config, round(setting.length * LEARNT), wide),
        # PEFT puts new rows into a copy of the matrix, and the copy's gradient is a matrix, too.
        "a matrix with the new rows, its gradient": 2 * matrix * wide if new else 0.0,
        "one layer's weights, unpacked": unpacked,
    }
    return {name: size / GIB for name, size in sizes.items() if size} | {"CUDA and the libraries": SPARE_GIB}


def linear_parameters(config: Any) -> int:
    return config.num_hidden_layers * sum(wide * narrow for wide, narrow in _linears(config))


def adapter_parameters(config: Any, rank: int) -> int:
    """LoRA on every linear layer but the head."""
    return config.num_hidden_layers * rank * sum(ins + outs for ins, outs in _linears(config))


def _linears(config: Any) -> list[tuple[int, int]]:
    """A layer's linear maps: how wide what goes in and what comes out is."""
    width, inner, (queries, keys) = config.hidden_size, config.intermediate_size, _heads(config)
    return [(width, queries), (width, keys), (width, keys), (queries, width), (width, inner), (width, inner), (inner, width)]


def _heads(config: Any) -> tuple[int, int]:
    return config.num_attention_heads * config.head_dim, config.num_key_value_heads * config.head_dim


def activations(config: Any, length: int, *, checkpointing: bool, wide: float = 2) -> float:
    """Bytes that the backward pass needs of one row. With checkpointing: what goes into each layer, and one layer in full."""
    width, inner, (queries, keys) = config.hidden_size, config.intermediate_size, _heads(config)
    norms = (4 if config.model_type == "gemma2" else 2) * width * 4  # in fp32, whatever the rest is in
    adapters = sum(ins for ins, _ in _linears(config)) if wide == 2 else 2 * width + queries + inner  # a cast copy each
    eager = config.model_type == "gemma2"  # transformers has no fused attention for its capped scores: they are kept, in full
    attention = wide * (4 * queries if eager else 2 * queries + 2 * keys) + 8 * length * config.num_attention_heads * eager
    layer = norms + attention + wide * (adapters + 3 * inner)
    if not checkpointing:
        return length * config.num_hidden_layers * layer
    return length * (config.num_hidden_layers * width * wide + layer)


def logits(config: Any, learnt: int, wide: float) -> float:
    """Bytes around the head: logits, in fp32 again, their softmax and their gradient; Gemma's cap keeps one more."""
    capped = bool(getattr(config, "final_logit_softcapping", None))
    return learnt * config.vocab_size * (wide * (1 + capped) + 12)
