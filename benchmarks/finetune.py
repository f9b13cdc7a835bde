"""How quickly does fine-tuning get there? The same model, rows, machine and minutes, three ways:

    python benchmarks/finetune.py                      writes results/finetune.json
    python benchmarks/finetune.py --tiny               tries every way on a random model, writes nothing

- ours: `fcutils.finetune.tune` as it comes.
- published: what the well-known course notebook sets: one row x 4, everything in the loss, the whole embedding matrix
  trained, activation checkpointing, rank 16, packs of 1500 tokens.
- plain: TRL's and PEFT's own defaults: 8 rows a step, everything in the loss, LoRA on queries and values alone, new rows
  frozen.

All three have the learning rate and the schedule of ours: the published rate, meant for a model ten times as wide, would be
no contest. Measured: answer tokens a second (those that the model must say, whatever else is in the loss), what the right
replies to validation rows cost the model (in nats: few dozen replies say little about a share, but much about that), and the
training seconds until that is as low as the published settings get it (`null`: never). Looking takes no training time.
Beside it, the share of whole calls at the end.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from keeping import keep  # a script's folder is on its path

from fcutils.finetune.quiet import quiet

with quiet():
    from transformers import PrinterCallback, TrainerCallback
    from trl import SFTConfig, SFTTrainer

    from fcutils.finetune.trainer import Clock

from fcutils.dataset import DATA, read_rows
from fcutils.dialects import get
from fcutils.engines.local import LocalEngine
from fcutils.evaluate import evaluate, first_exchange
from fcutils.finetune import Recipe, add_tokens, prepare, tune
from fcutils.finetune.train import precision_of
from fcutils.messages import Conversation
from fcutils.models import Loaded, delete_model, load
from fcutils.preferences import log_probability

GOAL = 3.0  # times as fast as the published settings
Rows = list[Conversation]


class Watch(TrainerCallback):
    """Looks every so many seconds of training what the right replies cost, and notes both; first before any training."""

    def __init__(self, held: Rows, loaded: Loaded, every: float) -> None:
        self._held, self._loaded, self._every = held, loaded, every
        self.seconds, self._began = 0.0, 0.0
        self.points: list[tuple[float, float]] = []
        self.epochs = 0.0

    def on_step_begin(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        if not self.points or self.seconds - self.points[-1][0] >= self._every:
            self._look(more["model"])
        self._began = time.monotonic()

    def on_step_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        self.seconds += time.monotonic() - self._began
        self.epochs = state.epoch

    def on_train_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        self._look(more["model"])

    def _look(self, model: Any) -> None:
        engine = LocalEngine(model, self._loaded.tokenizer, self._loaded.dialect)
        nats = -sum(log_probability(engine, row) for row in self._held) / len(self._held)
        self.points.append((round(self.seconds, 1), round(nats, 2)))
        print(f"\n  {self.points[-1][0]:7.1f} s: {nats:.1f} nats a reply", flush=True)
        model.train()

    @property
    def whole(self) -> float:
        """The share of whole calls, greedily; asked of the model as it is."""
        engine = LocalEngine(self._loaded.model, self._loaded.tokenizer, self._loaded.dialect)
        return evaluate(engine, self._held, max_tokens=160, progress=False).scores["whole call"].share


def ours(loaded: Loaded, rows: Rows, watch: Watch, minutes: float) -> None:
    tune(loaded, rows, minutes=minutes, callbacks=[watch])


def published(loaded: Loaded, rows: Rows, watch: Watch, minutes: float) -> None:
    from peft import LoraConfig, get_peft_model

    add_tokens(loaded.model, loaded.tokenizer, loaded.dialect)
    config = LoraConfig(r=16, lora_alpha=64, lora_dropout=0.05, target_modules="all-linear", task_type="CAUSAL_LM")
    model = get_peft_model(loaded.model, config)
    model.get_input_embeddings().weight.requires_grad_(True)  # tied: the head's, too
    settings = {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 4, "activation_checkpointing": True}
    _by_trl(model, loaded, rows, watch, minutes, packing=True, max_length=1500, **settings)


def plain(loaded: Loaded, rows: Rows, watch: Watch, minutes: float) -> None:
    from peft import LoraConfig, get_peft_model

    add_tokens(loaded.model, loaded.tokenizer, loaded.dialect)
    _by_trl(get_peft_model(loaded.model, LoraConfig(task_type="CAUSAL_LM")), loaded, rows, watch, minutes)


def _by_trl(model: Any, loaded: Loaded, rows: Rows, watch: Watch, minutes: float, **settings: Any) -> None:
    """TRL's own trainer, with everything in the loss, for so many minutes, at our learning rate."""
    made = prepare(rows, loaded.dialect, loaded.tokenizer, 8192, answers_only=False)
    precision, cpu = precision_of(loaded.model), loaded.model.device.type == "cpu"
    with tempfile.TemporaryDirectory() as place:
        config = SFTConfig(
            place,
            max_steps=1_000_000,
            lr_scheduler_type="constant",
            bf16=precision == "bf16",
            fp16=precision == "fp16",
            use_cpu=cpu,
            dataloader_pin_memory=not cpu,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            **settings,
        )
        trainer = SFTTrainer(model, config, train_dataset=made.dataset(), processing_class=loaded.tokenizer)
        trainer.remove_callback(PrinterCallback)
        trainer.add_callback(watch)
        trainer.add_callback(Clock(trainer, Recipe(minutes=minutes), keep=False))
        trainer.train()


WAYS: dict[str, Callable[[Loaded, Rows, Watch, float], None]] = {"ours": ours, "published": published, "plain": plain}


def measured(way: str, base: Callable[[], Loaded], rows: Rows, held: Rows, minutes: float, every: float) -> dict[str, Any]:
    loaded = base()
    add_tokens(loaded.model, loaded.tokenizer, loaded.dialect)
    answers = prepare(rows, loaded.dialect, loaded.tokenizer, 8192)
    watch = Watch(held, loaded, every)
    with quiet():
        WAYS[way](loaded, rows, watch, minutes)
    whole = watch.whole
    delete_model(loaded)
    return {
        "answer_tokens_a_second": round(answers.learnt * watch.epochs / watch.seconds, 1),
        "whole call": round(whole, 3),
        "seconds": round(watch.seconds, 1),
        "epochs": round(watch.epochs, 2),
        "points": watch.points,
    }


def compare(ways: dict[str, dict[str, Any]]) -> float:
    """The least that a reply costs with the published settings; to each way, the seconds until it is there."""
    same = min(nats for _, nats in ways["published"]["points"])
    for one in ways.values():
        one["seconds_to_same"] = next((seconds for seconds, nats in one["points"] if nats <= same), None)
    return same


def tiny() -> Loaded:
    """A random model of a pocket's shape, with a tokenizer made of the rows' own text."""
    from transformers import AutoTokenizer

    from fcutils.pocket.models import build
    from fcutils.pocket.tokenizer import GEMMA, save_tokenizer, train_tokenizer

    texts = (json.dumps(row.to_dict(), ensure_ascii=False) for row in read_rows(DATA / "validation.jsonl")[:50])
    with tempfile.TemporaryDirectory() as folder:
        save_tokenizer(train_tokenizer(texts, 1024, GEMMA), Path(folder), family="gemma")
        words = AutoTokenizer.from_pretrained(folder)
    return Loaded("tiny", build("pocket-gemma", len(words)), words, get("gemma"), "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", default="gemma", help="a key of the catalogue")
    parser.add_argument("--rows", type=int, default=400)
    parser.add_argument("--held", type=int, default=40, help="validation rows that are looked at")
    parser.add_argument("--minutes", type=float, default=3.0, help="of training, each way")
    parser.add_argument("--every", type=float, default=15.0, help="seconds of training between looks")
    parser.add_argument("--tiny", action="store_true", help="only try the script")
    told = parser.parse_args()
    if told.tiny:
        told.rows, told.held, told.minutes, told.every = 4, 2, 0.05, 100.0
    rows = read_rows(DATA / "train.jsonl")[: told.rows]
    held = [first_exchange(row) for row in read_rows(DATA / "validation.jsonl") if row.meta["kinds"] == ["single"]][: told.held]
    found = {}
    for way in WAYS:
        print(f"{way}:")
        base = tiny if told.tiny else lambda: load(told.base)
        found[way] = measured(way, base, rows, held, told.minutes, told.every)
        print({name: value for name, value in found[way].items() if name != "points"})
    same = compare(found)
    times = {way: one["seconds_to_same"] for way, one in found.items()}
    print(f"to {same} nats a reply, as published: {times} s of training; {GOAL:g} x as fast as published was wanted")
    if not told.tiny:
        _write(told, found, same)


def _write(told: argparse.Namespace, found: dict[str, Any], same: float) -> None:
    result = {
        "settings": {**vars(told), "wanted_ratio": GOAL},
        "same_nats": same,
        "ways": found,
    }
    keep(result, "torch", "transformers", "trl", "peft")


if __name__ == "__main__":
    main()
