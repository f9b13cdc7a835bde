"""A recipe: every number that decides what training makes of a model and its rows. Knows no library."""

from __future__ import annotations

from dataclasses import dataclass, fields
from math import inf
from typing import Any

from fcutils.finetune.errors import FinetuneError

RATE = 0.8  # the learning rate of a model, times its width
WARM_UP, DECAY = 0.05, 0.4  # shares of the training
LOOKS = 6  # times that validation is looked at, where there is any
SAVES = 10  # checkpoints in a run that keeps some
EPOCHS = 3
KINDS: dict[str, Any] = {"int": int, "float": (int, float), "bool": bool}
SAID = {"int": "a whole number", "float": "a number", "bool": "true or false"}


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to train. What is None is chosen by the model, the rows or the machine."""

    rank: int = 8
    alpha: int | None = None  # 2 x rank
    rslora: bool = False
    dora: bool = False
    learning_rate: float | None = None  # RATE / the model's width: narrow models want more
    steps: int | None = None
    minutes: float | None = None  # of training alone; with steps, whichever ends first
    epochs: float | None = None  # EPOCHS, where neither steps nor minutes say how long
    length: int | None = None  # tokens in a pack, and in the longest row: that row's, or the model's context
    packing: bool | None = None  # rows side by side in one pack: on a GPU; a processor's attention reads the empty corners, too
    batch: int = 4  # packs in a step, or rows where nothing is packed
    answers_only: bool = True  # False: the loss looks at prompts, too
    train_rows: bool = True  # False: new tokens keep the rows that they began with
    checkpointing: bool | None = None  # where activations do not fit
    seed: int = 0

    def __post_init__(self) -> None:
        for field in fields(self):
            name, value, (kind, *others) = field.name, getattr(self, field.name), str(field.type).split(" | ")
            if value is None and others:
                continue
            if not isinstance(value, KINDS[kind]) or (kind != "bool" and isinstance(value, bool)):
                hint = "; YAML takes 1.0e-4 for a number, and 1e-4 for a text" if kind == "float" else ""
                raise FinetuneError(f"{name} must be {SAID[kind]}, not {value!r}{hint}")
            if kind != "bool" and name != "seed" and not 0 < value < inf:
                raise FinetuneError(f"{name} must be above 0, not {value}")
        if self.epochs is not None and (self.steps or self.minutes):
            raise FinetuneError("say how long to train once: epochs, or steps and minutes")

    @property
    def scale(self) -> int:
        return self.alpha or 2 * self.rank

    def rate(self, config: Any) -> float:
        """The learning rate at its peak, for a model of this configuration."""
        return self.learning_rate or RATE / config.hidden_size


def share_of_peak(done: float) -> float:
    """The learning rate at this share of the training, as a share of its peak: up, flat, down."""
    if done < WARM_UP:
        return 0.1 + 0.9 * done / WARM_UP
    return min(1.0, max(0.0, (1 - done) / DECAY) * 0.95 + 0.05)
