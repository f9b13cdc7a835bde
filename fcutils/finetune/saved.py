"""What training gives: a tuned model that can be asked, saved, opened again in another process, and merged.

A folder holds the adapter (16 bits), the tokenizer with its chat template, and `finetune.json`: what it was made of, with
which versions, and how the training went. It is written beside and then put in place: what lay there stays until the new one
is whole.
"""

from __future__ import annotations

import copy
import json
import shutil
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from fcutils.dialects import Dialect, encode, get
from fcutils.finetune.errors import FinetuneError
from fcutils.finetune.quiet import quiet
from fcutils.finetune.recipe import Recipe
from fcutils.messages import Conversation, Message
from fcutils.models import CATALOGUE, HOME, Loaded, load

if TYPE_CHECKING:
    from fcutils.engines.local import LocalEngine

FACTS = "finetune.json"
ADAPTERS = HOME / "adapters"
PROBE = Conversation((Message("user", "What can you do?"), Message("assistant", "I answer questions, and I call tools.")))
ROUNDS = 20  # of one token each, when latency is measured


@dataclass(frozen=True, slots=True)
class Base:
    """The model that an adapter belongs to: how `load` finds it again."""

    name: str
    key: str | None
    full: bool | str
    quantised: bool

    @classmethod
    def of(cls, base: str | Loaded, loaded: Loaded, full: bool | str | None) -> Base:
        # Two keys share a pocket twin: the one in whose dialect it was loaded comes first.
        mine = sorted(CATALOGUE.values(), key=lambda entry: entry.dialect != loaded.dialect.name)
        entries = [CATALOGUE[base]] if isinstance(base, str) else mine
        found = next((e for e in entries if loaded.name in (e.pocket, Path(e.hub).name, Path(str(full)).name)), None)
        quantised = bool(getattr(loaded.model, "is_loaded_in_4bit", False))
        if found is None:
            return cls(loaded.name, None, False, quantised)
        is_full = full if isinstance(full, str) else loaded.name != found.pocket
        return cls(found.hub if is_full is True else loaded.name, found.key, is_full, quantised)

    def load(self) -> Loaded:
        if self.key is None:
            raise FinetuneError(f"{self.name} is not in the catalogue: load it, and give it to open_tuned(folder, loaded)")
        return load(self.key, self.full, self.quantised)


@dataclass(frozen=True, slots=True)
class Tuned:
    """A model with a trained adapter. `history` has an entry a step, for plots; `facts` what was trained, how fast, on what."""

    model: Any = field(repr=False)
    tokenizer: Any = field(repr=False)
    dialect: Dialect
    base: Base
    recipe: Recipe
    tokens: Mapping[str, int]  # that were added
    left_out: tuple[tuple[int, int], ...] = ()  # rows that were too long: their number, their tokens
    history: tuple[Mapping[str, float], ...] = field(default=(), repr=False)
    facts: Mapping[str, Any] = field(default_factory=dict)

    def engine(self) -> LocalEngine:
        """For the loop and for evaluation."""
        from fcutils.engines.local import LocalEngine

        return LocalEngine(self.model, self.tokenizer, self.dialect, name=f"{Path(self.base.name).name}, tuned")

    def curve(self, name: str = "loss") -> tuple[list[float], list[float]]:
        """Steps and what was measured at them: `loss`, `validation_loss`, or what `score` gave."""
        points = [(entry["step"], entry[name]) for entry in self.history if name in entry]
        return [step for step, _ in points], [value for _, value in points]

    def save(self, folder: str | Path) -> Path:
        """Everything that `open_tuned` needs beside the base model."""
        folder = Path(folder)
        part, old = folder.with_name(folder.name + ".part"), folder.with_name(folder.name + ".old")
        shutil.rmtree(part, ignore_errors=True)
        try:
            part.mkdir(parents=True)
            self._write(part)
        except Exception as error:
            shutil.rmtree(part, ignore_errors=True)
            stays = f"what was in {folder} before is untouched" if folder.exists() else "nothing was written"
            raise FinetuneError(f"the result could not be saved ({error}); {stays}. Make room, and save again") from error
        if folder.exists():
            folder.rename(old)
        part.rename(folder)
        shutil.rmtree(old, ignore_errors=True)
        return folder

    def _write(self, folder: Path) -> None:
        from peft import get_peft_model_state_dict
        from safetensors.torch import save_file
        from torch import bfloat16

        state = get_peft_model_state_dict(self.model, save_embedding_layers=False)
        state = {name: tensor.to(bfloat16).contiguous() for name, tensor in state.items()}
        save_file(state, folder / "adapter_model.safetensors", metadata={"format": "pt"})
        config = copy.copy(self.model.peft_config["default"])
        config.base_model_name_or_path, config.inference_mode = self.base.name, True
        config.save_pretrained(folder)
        tokenizer = copy.copy(self.tokenizer)
        self.dialect.dress(tokenizer)
        tokenizer.save_pretrained(folder)
        told = {
            "base": asdict(self.base),
            "dialect": self.dialect.name,
            "recipe": asdict(self.recipe),
            "tokens": dict(self.tokens),
            "left_out": self.left_out,
            "facts": dict(self.facts),
            "history": self.history,
        }
        (folder / FACTS).write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


def shipped(base: str) -> list[Path]:
    """The adapters in this repository that were trained on this base, by folder."""
    facts = {path.parent: json.loads(path.read_text(encoding="utf-8")) for path in ADAPTERS.glob(f"*/{FACTS}")}
    return sorted(folder for folder, fact in facts.items() if Path(fact["base"]["name"]).name == base)


def open_tuned(folder: str | Path, base: Loaded | None = None, dialect: str | Dialect | None = None) -> Tuned:
    """A saved adapter on its base model, which is loaded as it was then; or on `base`, which is changed.

    `dialect` has to be given where it was none of the package's own.
    """
    folder = Path(folder)
    try:
        told = json.loads((folder / FACTS).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise FinetuneError(f"{folder} holds no tuned model ({error}): it is a folder that Tuned.save wrote") from None
    with quiet():
        from peft import PeftModel
        from transformers import AutoTokenizer

        origin = Base(**told["base"])
        loaded = base or origin.load()
        tokenizer = AutoTokenizer.from_pretrained(folder)
        if len(tokenizer) > loaded.model.get_input_embeddings().num_embeddings:
            loaded.model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
        try:
            model = PeftModel.from_pretrained(loaded.model, folder)
        except (OSError, ValueError, RuntimeError) as error:
            raise FinetuneError(
                f"{folder} does not fit {loaded.name}; it was trained on {origin.name}: {str(error)[:200]}"
            ) from error
    return Tuned(
        model.eval(),
        tokenizer,
        get(dialect or told["dialect"]),
        origin,
        Recipe(**told["recipe"]),
        told["tokens"],
        tuple((number, tokens) for number, tokens in told["left_out"]),
        tuple(told["history"]),
        told["facts"],
    )


@dataclass(frozen=True, slots=True)
class Merged:
    """One model again, without an adapter. What merging changed, and what it saves, is measured."""

    model: Any = field(repr=False)
    tokenizer: Any = field(repr=False)
    dialect: Dialect
    name: str
    difference: float  # of log-probabilities, the largest over the probe
    agree: float  # share of the probe's places where the most likely token stayed the same
    seconds_a_token: tuple[float, float]  # before, after

    def engine(self) -> LocalEngine:
        from fcutils.engines.local import LocalEngine

        return LocalEngine(self.model, self.tokenizer, self.dialect, name=self.name)

    def save(self, folder: str | Path) -> None:
        """A model that transformers, vLLM and others load by themselves."""
        self.dialect.dress(self.tokenizer)
        with quiet():
            self.model.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)


def merge(tuned: Tuned, probe: Conversation = PROBE) -> Merged:
    """The adapter added into the weights. The tuned model itself becomes the merged one; open it again to have both.

    In fp32 that changes rounding alone; 4-bit weights are rounded anew, and `difference` says what that costs. It is often
    dear: the same adapter, opened on the base in 16 bits (`open_tuned(folder, load(key, quantise=False))`), merges without.
    """
    import torch

    ids = torch.tensor([encode(tuned.dialect.render(probe), tuned.tokenizer).ids], device=tuned.model.device)
    before, slow = _log_probabilities(tuned.model, ids), _seconds_a_token(tuned.model, ids)
    with quiet():
        model = tuned.model.merge_and_unload().eval()
    after, quick = _log_probabilities(model, ids), _seconds_a_token(model, ids)
    agree = (before.argmax(-1) == after.argmax(-1)).float().mean().item()
    difference = (before - after).abs().max().item()
    name = f"{Path(tuned.base.name).name}, tuned and merged"
    return Merged(model, tuned.tokenizer, tuned.dialect, name, difference, agree, (slow, quick))


def _log_probabilities(model: Any, ids: Any) -> Any:
    import torch

    with torch.inference_mode():
        return model(input_ids=ids, use_cache=False).logits[0].float().log_softmax(-1)


def _seconds_a_token(model: Any, ids: Any) -> float:
    """What one more token takes behind the probe: the median of some."""
    import torch

    times = []
    with torch.inference_mode():
        held = model(input_ids=ids, use_cache=True).past_key_values
        for _ in range(ROUNDS):
            began = time.perf_counter()
            model(input_ids=ids[:, :1], past_key_values=held, use_cache=True).logits.cpu()
            times.append(time.perf_counter() - began)
    return median(times)


def versions() -> dict[str, str]:
    return {name: version(name) for name in ("torch", "transformers", "trl", "peft", "bitsandbytes", "datasets", "accelerate")}
