"""What training gives: a tuned model that can be asked, saved, and opened again in another process.

A folder holds the adapter (16 bits), the tokenizer with its chat template, and `finetune.json`: what it was made of, with
which versions, and how the training went. It is written beside and then put in place: what lay there stays until the new one
is whole.
"""

from __future__ import annotations

import copy
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fcutils.dialects import Dialect, get
from fcutils.finetune.adapter import in_adapter
from fcutils.finetune.errors import FinetuneError
from fcutils.finetune.quiet import quiet
from fcutils.finetune.recipe import Recipe
from fcutils.models import CATALOGUE, HOME, Loaded, load

if TYPE_CHECKING:
    from fcutils.engines.local import LocalEngine

FACTS = "finetune.json"
PART, OLD = ".{}.part", ".{}.old"  # beside a folder: what is to take its place, and what lay there until then
FILES = ("tokenizer.json", "adapter_config.json", "adapter_model.safetensors")
ADAPTERS = HOME / "adapters"


@dataclass(frozen=True, slots=True)
class Base:
    """The model that an adapter belongs to: how `load` finds it again."""

    name: str
    key: str | None
    full: bool | str
    quantised: bool
    # Which weights they were: of the last norm, which no precision rounds and no adapter changes.
    digest: str = field(default="", compare=False)

    @classmethod
    def of(cls, base: str | Loaded, loaded: Loaded, full: bool | str | None) -> Base:
        # Two keys share a pocket twin: the one in whose dialect it was loaded comes first.
        mine = sorted(CATALOGUE.values(), key=lambda entry: entry.dialect != loaded.dialect.name)
        entries = [CATALOGUE[base]] if isinstance(base, str) else mine
        found = next((e for e in entries if loaded.name in (e.pocket, Path(e.hub).name, Path(str(full)).name)), None)
        quantised = bool(getattr(loaded.model, "is_loaded_in_4bit", False))
        digest = _digest(loaded.model)
        if found is None:
            return cls(loaded.name, None, False, quantised, digest)
        is_full = full if isinstance(full, str) else loaded.name != found.pocket
        return cls(found.hub if is_full is True else loaded.name, found.key, is_full, quantised, digest)

    def load(self) -> Loaded:
        if self.key is None:
            raise FinetuneError(f"{self.name} is not in the catalogue: load it, and give it to open_tuned(folder, loaded)")
        return load(self.key, self.full, self.quantised)


def _digest(model: Any) -> str:
    import torch

    norms = [parameter for name, parameter in model.named_parameters() if name.endswith("norm.weight")]
    if not norms or norms[-1].is_meta:
        return ""
    values = norms[-1].detach().to("cpu", torch.bfloat16).view(torch.int16).tolist()
    return hashlib.sha256(str(values).encode()).hexdigest()[:16]


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

    def save(self, folder: str | Path, state: Mapping[str, Any] | None = None) -> Path:
        """Everything that `open_tuned` needs beside the base model. `state`: the weights, where processes share the model."""
        refuse_without_adapter(self.model)
        return in_place(folder, lambda part: self._write(part, state), FACTS)

    def _write(self, folder: Path, state: Mapping[str, Any] | None) -> None:
        from peft import get_peft_model_state_dict
        from safetensors.torch import save_file
        from torch import bfloat16

        state = get_peft_model_state_dict(self.model, state, save_embedding_layers=False)
        tensors = {name: tensor.to(bfloat16).contiguous() for name, tensor in state.items()}
        save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})
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


def in_place(folder: str | Path, write: Callable[[Path], None], sign: str) -> Path:
    """A folder, written beside its place and then put there: what lay there stays until the new one is whole.

    `sign`: the file by which a folder is known that may be replaced; no other is touched.
    """
    place = Path(os.path.abspath(folder))
    if place.exists() and not (place / sign).is_file() and (not place.is_dir() or any(place.iterdir())):
        raise FinetuneError(f"{folder} holds something else, which is not overwritten: name another folder")
    part, old = (place.with_name(name.format(place.name)) for name in (PART, OLD))
    shutil.rmtree(part, ignore_errors=True)
    try:
        part.mkdir(parents=True)
        write(part)
    except Exception as error:
        shutil.rmtree(part, ignore_errors=True)
        stays = f"what was in {folder} before is untouched" if place.exists() else "nothing was written"
        raise FinetuneError(f"the result could not be saved ({error}); {stays}. Make room, and save again") from error
    if place.exists():
        shutil.rmtree(old, ignore_errors=True)
        place.rename(old)
    part.rename(place)
    shutil.rmtree(old, ignore_errors=True)
    return Path(folder)


def refuse_without_adapter(model: Any) -> None:
    if not any(in_adapter(name) for name, _ in model.named_parameters()):
        raise FinetuneError("its adapter has been merged into the model: open the saved one again (open_tuned), or tune anew")


def shipped(base: str) -> list[Path]:
    """The adapters in this repository that were trained on this base, by folder."""
    facts = {path.parent: json.loads(path.read_text(encoding="utf-8")) for path in ADAPTERS.glob(f"*/{FACTS}")}
    return sorted(folder for folder, fact in facts.items() if Path(fact["base"]["name"]).name == base)


def open_tuned(folder: str | Path, base: Loaded | None = None, dialect: str | Dialect | None = None) -> Tuned:
    """A saved adapter on its base model, which is loaded as it was then; or on `base`, which is changed.

    `dialect` has to be given where it was none of the package's own.
    """
    folder = Path(folder)
    if not folder.exists() and (old := folder.with_name(OLD.format(folder.name))).exists():
        folder = old  # a process was killed between two renames
    try:
        told = json.loads((folder / FACTS).read_text(encoding="utf-8"))
        origin, recipe = Base(**told["base"]), Recipe(**told["recipe"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FinetuneError(f"{folder} holds no tuned model ({error!r}): it is a folder that Tuned.save wrote") from None
    with quiet():
        loaded = base or origin.load()
        digest = _digest(loaded.model)
        if origin.digest and digest and origin.digest != digest:
            raise FinetuneError(
                f"{folder} was trained on other weights than these of {loaded.name}: on {origin.name}, as it was then"
            )
        model, tokenizer = _put_on(folder, loaded, origin)
    return Tuned(
        model.eval(),
        tokenizer,
        get(dialect or told["dialect"]),
        origin,
        recipe,
        told["tokens"],
        tuple((number, tokens) for number, tokens in told["left_out"]),
        tuple(told["history"]),
        told["facts"],
    )


def _put_on(folder: Path, loaded: Loaded, origin: Base) -> tuple[Any, Any]:
    """The model with the adapter, and the tokenizer that was saved with it."""
    from peft import PeftModel
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(folder)
        if len(tokenizer) > loaded.model.get_input_embeddings().num_embeddings:
            loaded.model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
        return PeftModel.from_pretrained(loaded.model, folder), tokenizer
    except Exception as error:  # four libraries read what may be anything
        lacking = [name for name in FILES if not (folder / name).is_file()]
        said = " ".join(str(error).split())[:200]
        why = f"{lacking[0]} is missing" if lacking else f"a file is damaged, or it does not fit {loaded.name} ({said})"
        raise FinetuneError(f"{folder} cannot be opened: {why}; it was trained on {origin.name}") from error


def versions() -> dict[str, str]:
    return {name: version(name) for name in ("torch", "transformers", "trl", "peft", "bitsandbytes", "datasets", "accelerate")}
