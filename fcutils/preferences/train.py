"""DPO and GRPO: TRL's trainers, given ids of the dialect's own rendering, never text.

Both train a LoRA adapter in the model that they are given, and give the engine around it. TRL's own way from text to ids would
let text become control tokens: for DPO it is passed by, for GRPO a rollout takes its place, which ends where a turn ends.
Importing this loads the whole training stack.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig
from tqdm import tqdm
from transformers import DynamicCache, GenerationConfig, PrinterCallback, TrainerCallback
from trl import DPOConfig, DPOTrainer, GRPOConfig, GRPOTrainer

from fcutils.dialects import encode
from fcutils.engines.local import LocalEngine
from fcutils.finetune.quiet import quiet
from fcutils.finetune.train import precision_of
from fcutils.messages import Conversation, Message
from fcutils.models import Loaded
from fcutils.preferences.head import score_learnt_alone
from fcutils.preferences.measure import TOKENS
from fcutils.preferences.pairs import Pair
from fcutils.preferences.reward import Reward, Task, pay, written

RANK = 8
GROUP = 8  # replies to one request, held against each other


@dataclass(frozen=True, slots=True)
class Aligned:
    """A model with its new adapter. `history` has an entry a step, of what TRL logged."""

    engine: LocalEngine
    history: tuple[Mapping[str, float], ...]
    settings: Mapping[str, Any]


def dpo(
    loaded: Loaded, pairs: Sequence[Pair], *, steps: int = 48, learning_rate: float | None = None, seed: int = 0
) -> Aligned:
    """Make the polite reply of each pair likelier than the blunt one; four pairs a step.

    The loss is DPO's and, as much again, that of the polite reply itself: DPO alone is content where both have become unlikely.
    """
    settings: dict[str, Any] = {
        "per_device_train_batch_size": 4,
        "loss_type": ["sigmoid", "sft"],
        "loss_weights": [1.0, 1.0],
        "beta": 0.1,
        "max_length": None,  # no row is cut
        "learning_rate": learning_rate or 0.25 / loaded.model.config.hidden_size,  # narrow models want more
    }
    rows = Dataset.from_list([_pair_ids(loaded, pair) for pair in pairs])

    def trainer(common: Mapping[str, Any], **more: Any) -> DPOTrainer:
        return _Ready(loaded.model, args=DPOConfig(**settings, **common), train_dataset=rows, **more)

    return _trained(trainer, loaded, settings, steps, seed)


class _Ready(DPOTrainer):
    """Takes rows of ids as they are."""

    def _prepare_dataset(self, dataset: Any, *args: Any, **more: Any) -> Any:
        return dataset


def _pair_ids(loaded: Loaded, pair: Pair) -> dict[str, list[int]]:
    ids = {"prompt_ids": _ids(loaded, pair.prompt, generate=True)}
    for name, reply in (("chosen_ids", pair.polite), ("rejected_ids", pair.blunt)):
        ids[name] = encode(loaded.dialect.reply(Message("assistant", reply)), loaded.tokenizer).ids
    return ids


def _ids(loaded: Loaded, talk: Conversation, *, generate: bool) -> list[int]:
    return encode(loaded.dialect.render(talk, generate=generate), loaded.tokenizer).ids


def grpo(
    loaded: Loaded,
    tasks: Sequence[Task],
    *,
    reward: Reward = pay,
    requests: int = 2,
    steps: int = 20,
    learning_rate: float | None = None,
    seed: int = 0,
) -> Aligned:
    """Make replies likelier that earn more than others to the same request; `GROUP` replies to each request of a step."""
    settings: dict[str, Any] = {
        "per_device_train_batch_size": GROUP,
        "gradient_accumulation_steps": requests,
        "num_generations": GROUP,
        "max_completion_length": TOKENS,
        "temperature": 1.0,
        "beta": 0.0,  # no reference model: the adapter is small and the training short
        "learning_rate": learning_rate or 0.25 / loaded.model.config.hidden_size,
    }
    stop_ids = LocalEngine(loaded.model, loaded.tokenizer, loaded.dialect).stop_ids
    prompts = [_ids(loaded, task.prompt, generate=True) for task in tasks]
    rows = Dataset.from_dict({"prompt": [str(number) for number in range(len(tasks))]})  # a number: ids follow in the rollout

    def earned(prompts: Sequence[str], completion_ids: Sequence[Sequence[int]], **_: Any) -> list[float]:
        replies = [written(ids, loaded.tokenizer, stop_ids) for ids in completion_ids]
        asked = [tasks[int(number)] for number in prompts]
        return [reward(reply, task, loaded.dialect.name) for reply, task in zip(replies, asked, strict=True)]

    def rollout(numbers: Sequence[str], trainer: GRPOTrainer) -> dict[str, Any]:
        model, heat = trainer.accelerator.unwrap_model(trainer.model), settings["temperature"]
        groups = [(int(number), len(list(same))) for number, same in groupby(numbers)]
        replies = [reply for number, count in groups for reply in sample(model, prompts[number], count, stop_ids, heat)]
        return {"prompt_ids": [prompts[int(number)] for number in numbers], "completion_ids": replies, "logprobs": None}

    def trainer(common: Mapping[str, Any], **more: Any) -> GRPOTrainer:
        options: dict[str, Any] = {"reward_funcs": earned, "rollout_func": rollout, "args": GRPOConfig(**settings, **common)}
        return GRPOTrainer(loaded.model, train_dataset=rows, **options, **more)

    return _trained(trainer, loaded, settings, steps, seed)


@torch.no_grad()
def sample(model: Any, prompt: Sequence[int], count: int, stop_ids: frozenset[int], temperature: float) -> list[list[int]]:
    """So many replies to a prompt, drawn token by token up to what ends a turn, which is the last of a reply's ids."""
    ends = sorted(stop_ids)
    options: dict[str, Any] = {
        "do_sample": True,
        "temperature": temperature,
        "top_k": 0,
        "top_p": 1.0,
        "max_new_tokens": TOKENS,
    }
    config = GenerationConfig(**options, eos_token_id=ends, pad_token_id=ends[0])
    ids = torch.tensor([list(prompt)], device=model.device)
    all_ids = ids.repeat(count, 1)
    was_training = model.training
    model.eval()
    read = DynamicCache(config=model.config)  # the prompt is read once for all
    model(input_ids=ids[:, :-1], past_key_values=read, use_cache=True, logits_to_keep=1)
    read.batch_repeat_interleave(count)
    mask = torch.ones_like(all_ids)
    out = model.generate(input_ids=all_ids, attention_mask=mask, past_key_values=read, generation_config=config)
    model.train(was_training)
    return [_to_the_end(reply, stop_ids) for reply in out[:, len(prompt) :].tolist()]


def _to_the_end(ids: list[int], stop_ids: frozenset[int]) -> list[int]:
    return ids[: next((place for place, id_ in enumerate(ids, start=1) if id_ in stop_ids), len(ids))]


Make = Callable[..., Any]


def _trained(make: Make, loaded: Loaded, settings: Mapping[str, Any], steps: int, seed: int) -> Aligned:
    """What both trainers share: an adapter, no files left, a bar on stdout."""
    device = loaded.model.device.type
    precision = "fp32" if device == "cpu" else precision_of(loaded.model)
    if loaded.tokenizer.pad_token is None:
        loaded.tokenizer.pad_token = loaded.dialect.ends[0]
    adapter = LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules="all-linear", task_type="CAUSAL_LM")
    os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")  # a rollout of one's own is called experimental
    with tempfile.TemporaryDirectory() as place, quiet():
        common: dict[str, Any] = {
            "output_dir": place,
            "max_steps": steps,
            "lr_scheduler_type": "linear",
            "use_cpu": device == "cpu",
            "bf16": precision == "bf16",
            "fp16": precision == "fp16",
            "activation_checkpointing": False,
            "dataloader_pin_memory": device != "cpu",
            "logging_steps": 1,
            "save_strategy": "no",
            "report_to": "none",
            "disable_tqdm": True,
            "seed": seed,
        }
        more: dict[str, Any] = {"processing_class": loaded.tokenizer, "peft_config": adapter, "callbacks": [_Bar(steps)]}
        trainer = make(common, **more)
        if device == "cpu":
            score_learnt_alone(trainer.model.get_base_model(), settings.get("temperature", 1.0))
        for parameter in trainer.model.parameters():  # TRL puts a quantised model's adapter into bf16: small steps vanish in it
            if parameter.requires_grad:
                parameter.data = parameter.data.float()
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    engine = LocalEngine(trainer.model.eval(), loaded.tokenizer, loaded.dialect, name=f"{loaded.name}, aligned")
    history = tuple(entry for entry in trainer.state.log_history if "train_runtime" not in entry)
    return Aligned(engine, history, {**settings, "steps": steps, "rank": RANK, "seed": seed})


class _Bar(TrainerCallback):
    def __init__(self, steps: int) -> None:
        self._bar = tqdm(total=steps, unit="step", desc="training", file=sys.stdout, mininterval=1)

    def on_step_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        self._bar.update(1)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **more: Any) -> None:
        shown = {name: logs[name] for name in ("loss", "rewards/margins", "reward") if name in logs}
        self._bar.set_postfix(shown, refresh=False)

    def on_train_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        self._bar.close()
