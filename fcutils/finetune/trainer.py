"""TRL's SFTTrainer, with what it lacks here: a head that reads learnt tokens alone, a clock, and a bar on stdout.

Most tokens are prompt, and nothing has to be predicted from them. Without a GPU TRL scores them all and forgets the loss
afterwards: at a pocket model's shape that made a step 2.7 times as long. Importing this loads the whole training stack.
"""

from __future__ import annotations

import json
import math
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import broadcast_object_list
from torch.nn.functional import cross_entropy
from tqdm import tqdm
from transformers import PrinterCallback, TrainerCallback
from trl import SFTTrainer

from fcutils.finetune.errors import FinetuneError
from fcutils.finetune.recipe import LOOKS, SAVES, Recipe, share_of_peak
from fcutils.finetune.rows import IGNORED

Look = Callable[[Any], Mapping[str, float]]


class Trainer(SFTTrainer):
    """Trains packed rows. `look(model)` gives scores at every look at validation; its time is no training time."""

    model: Any

    def __init__(self, *args: Any, recipe: Recipe, look: Look | None, keep: bool, **more: Any) -> None:
        super().__init__(*args, **more)
        self.clock = Clock(self, recipe, keep)
        self.look = look
        self.remove_callback(PrinterCallback)
        self.add_callback(self.clock)
        self._refuse_what_cannot_be_cut()
        # TRL puts the adapter of a quantised model into bf16, which fp16 training cannot scale and small steps vanish in.
        # DeepSpeed keeps its own copy in 32 bits, and gathers only what is of one kind.
        kind = self.model.dtype if self._stage_3 else torch.float32
        for parameter in self.model.parameters():
            if parameter.requires_grad:
                parameter.data = parameter.data.to(kind)

    def _refuse_what_cannot_be_cut(self) -> None:
        config = self.model.config.get_text_config()
        rows = self.model.peft_config["default"].trainable_token_indices
        if self.is_fsdp_enabled and rows and config.tie_word_embeddings:
            raise FinetuneError(
                "FSDP2 cannot cut a model whose head is its embedding and which gets new tokens (accelerate takes the two for "
                "separate matrices): launch with configs/ddp.yaml or configs/zero3.yaml"
            )

    @property
    def _stage_3(self) -> bool:
        return bool(self.is_deepspeed_enabled and self.accelerator.state.deepspeed_plugin.zero_stage == 3)

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        labels = inputs.pop("labels")[0, 1:]  # a pack is one long row; what is predicted stands one to the left
        places = (labels != IGNORED).nonzero()[:, 0]
        out = model(**inputs, use_cache=False, logits_to_keep=places)
        loss = cross_entropy(out.logits[0].float(), labels[places], reduction="sum")
        self.clock.learnt += len(places) * model.training
        loss = loss / (len(places) if num_items_in_batch is None else num_items_in_batch)
        if num_items_in_batch is not None and self.args.average_tokens_across_devices:
            loss = loss * self.accelerator.num_processes  # which average their gradients
        return (loss, out) if return_outputs else loss

    @property
    def place(self) -> Path:
        return Path(str(self.args.output_dir))

    def gathered(self) -> Mapping[str, Any] | None:
        """All weights, put together, where processes share the model; all of them have to ask. None where this one has them."""
        if self.is_fsdp_enabled or self._stage_3:
            found: Mapping[str, Any] = self.accelerator.get_state_dict(self.model_wrapped) or {}
            return found
        return None

    def run(self) -> None:
        """From the last whole checkpoint, where there is one."""
        found = last_checkpoint(self.place)
        self.train(resume_from_checkpoint=str(found) if found else None)

    def evaluate(self, *args: Any, **more: Any) -> dict[str, float]:
        metrics = super().evaluate(*args, **more)
        if self.look is not None:
            self.model.eval()
            scores = dict(self.look(self.model))
            self.model.train()
            self.log(scores)
            metrics |= scores
        return metrics

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        try:
            super()._save_checkpoint(model, trial)
        except Exception as error:  # a full disk has as many names as there are libraries that write
            shutil.rmtree(self.place / f"checkpoint-{self.state.global_step}", ignore_errors=True)
            kept = last_checkpoint(self.place)
            where = f"the last whole one is {kept}" if kept else "there is none before it"
            raise FinetuneError(
                f"checkpoint {self.state.global_step} could not be saved ({error}); {where}. Make room, and make the same call "
                "again: it goes on from there"
            ) from error

    def create_model_card(self, *args: Any, **more: Any) -> None:
        """None: a checkpoint is no model to be published."""

    def log(self, logs: dict[str, float], *args: Any, **more: Any) -> None:
        super().log(logs | {"seconds": round(self.clock.seconds, 3)}, *args, **more)


class Clock(TrainerCallback):
    """How far the training is, by steps or by minutes, and what follows: the learning rate, when to look, save and stop."""

    def __init__(self, trainer: Trainer, recipe: Recipe, keep: bool) -> None:
        self._trainer, self._recipe, self._keep = trainer, recipe, keep
        self.peak = recipe.rate(trainer.model.config)
        self._began = self._before = self.seconds = self._resumed = 0.0
        self.learnt = 0  # tokens that the loss was taken of, since the training began or went on
        self._bar: Any = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        self.seconds = max((entry.get("seconds", 0.0) for entry in state.log_history), default=0.0)
        self._resumed = self.seconds
        hidden = not state.is_world_process_zero
        self._bar = tqdm(total=100, unit="%", desc="training", file=sys.stdout, mininterval=1, disable=hidden)
        self._show(state)

    def on_step_begin(self, args: Any, state: Any, control: Any, optimizer: Any = None, **more: Any) -> None:
        self._began, self._before = time.monotonic(), self._done(state)
        for group in optimizer.param_groups:  # here already: DeepSpeed takes its step within the backward pass
            group["lr"] = self.peak * share_of_peak(self._done(state))

    def on_step_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        self.seconds += time.monotonic() - self._began
        if self._recipe.minutes and args.world_size > 1:  # all processes go by one clock, or some stop and others wait for them
            self.seconds = broadcast_object_list([self.seconds])[0]
        before, done = self._before, self._done(state)
        last = done >= 1
        control.should_training_stop |= last
        control.should_evaluate = self._trainer.eval_dataset is not None and (last or _passed(before, done, LOOKS))
        control.should_save = self._keep and (last or _passed(before, done, SAVES))
        self._show(state)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **more: Any) -> None:
        if not math.isfinite(logs.get("loss", 0.0)):
            raise FinetuneError(
                f"the loss of step {state.global_step} is {logs['loss']}: the training has run away. Lower learning_rate "
                f"(it was {self.peak:.2g}); where the model computes in fp16, load it in another precision"
            )
        self._bar.set_postfix(
            {name.removeprefix("eval_"): f"{logs[name]:.3f}" for name in ("loss", "eval_loss") if name in logs}, refresh=False
        )

    def on_train_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        self._bar.close()

    @property
    def learnt_a_second(self) -> float:
        return self.learnt / max(self.seconds - self._resumed, 1e-9)

    def _done(self, state: Any) -> float:
        """The share of the training that is done."""
        by_time = self.seconds / 60 / self._recipe.minutes if self._recipe.minutes else 0.0
        return max(state.global_step / state.max_steps, by_time)

    def _show(self, state: Any) -> None:
        self._bar.update(min(100, int(100 * self._done(state))) - self._bar.n)


def _passed(before: float, done: float, parts: int) -> bool:
    """Whether one more of so many parts is done."""
    return int(done * parts) > int(before * parts)


def last_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint that is whole: its state, which is written last, can be read."""
    found = sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]), reverse=True)
    return next(filter(_whole, found), None)


def _whole(checkpoint: Path) -> bool:
    try:
        json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return True


def free_memory(device: str) -> int:
    """Bytes."""
    if device == "cuda":
        return torch.cuda.mem_get_info()[0]
    import psutil

    return psutil.virtual_memory().available
