"""What TRL does on a GPU and not on a processor: scores only where something is learnt.

TRL's preference trainers ask a model for log-probabilities (`fused_lm_head=True`). Without a GPU it scores every token, the
prompt's too, and forgets most of it afterwards. Knows a model's forward alone; not what a loss is.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch

from fcutils.finetune.rows import IGNORED


def score_learnt_alone(model: Any, temperature: float = 1.0) -> None:
    """Change the forward that TRL has put into this model; asked for logits, it does what it did."""
    usual = model.forward

    def forward(*args: Any, fused_lm_head: bool = False, **more: Any) -> Any:
        if not fused_lm_head:
            return usual(*args, **more)
        labels = more.pop("labels")[:, 1:]  # what is predicted stands one to the left
        learnt = labels != IGNORED
        places = learnt.any(0).nonzero()[:, 0]
        logits = usual(*args, **more, logits_to_keep=places).logits.float() / temperature
        chances = logits.log_softmax(-1)
        said = labels[:, places].clamp(min=0)[..., None]
        found = {"log_probs": chances.gather(-1, said)[..., 0]}
        with torch.no_grad():  # what is logged
            found["entropy"] = -(chances.exp() * chances).sum(-1)
            found["mean_logits"] = logits.mean(-1)
            found["is_top1"] = logits.argmax(-1) == said[..., 0]
        return SimpleNamespace(**{name: _back(values, places, learnt) for name, values in found.items()}, label_mask=learnt)

    model.forward = forward


def _back(values: torch.Tensor, places: torch.Tensor, learnt: torch.Tensor) -> torch.Tensor:
    """Where they belong in the row, with zero where nothing is learnt."""
    whole = values.new_zeros(learnt.shape)
    whole[:, places] = values
    return whole.masked_fill(~learnt, 0)
