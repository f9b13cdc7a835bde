"""One model again: the adapter added into the weights, with what that changes and what it saves. Knows PEFT, not training."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from fcutils.dialects import Dialect, encode
from fcutils.finetune.quiet import quiet
from fcutils.finetune.saved import Tuned, in_place, refuse_without_adapter
from fcutils.messages import Conversation, Message

if TYPE_CHECKING:
    from fcutils.engines.local import LocalEngine

FACTS = "merged.json"
PROBE = Conversation((Message("user", "What can you do?"), Message("assistant", "I answer questions, and I call tools.")))
ROUNDS = 20  # of one token each, when latency is measured


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

    def save(self, folder: str | Path) -> Path:
        """A model that transformers, vLLM and others load by themselves, and what merging changed."""
        return in_place(folder, self._write, FACTS)

    def _write(self, folder: Path) -> None:
        self.dialect.dress(self.tokenizer)
        with quiet():
            self.model.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)
        told = {"name": self.name, "dialect": self.dialect.name, "difference": self.difference, "agree": self.agree}
        (folder / FACTS).write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


def merge(tuned: Tuned, probe: Conversation = PROBE) -> Merged:
    """The adapter added into the weights. The tuned model itself becomes the merged one; open it again to have both.

    In fp32 that changes rounding alone; 4-bit weights are rounded anew, and `difference` says what that costs. It is often
    dear: the same adapter, opened on the base in 16 bits (`open_tuned(folder, load(key, quantise=False))`), merges without.
    """
    import torch

    refuse_without_adapter(tuned.model)
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
