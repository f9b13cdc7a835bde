"""One call from a model and rows to a tuned model: the way through the room, in order.

Knows TRL's settings; how rows become ids is `rows.py`'s, where new rows come from `tokens.py`'s, what an adapter is
`adapter.py`'s, what a step is `trainer.py`'s, and how the result is kept `saved.py`'s.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fcutils.dialects import Dialect, get
from fcutils.engines.base import Engine
from fcutils.finetune import adapter
from fcutils.finetune.errors import FinetuneError
from fcutils.finetune.plan import activations, four_bits
from fcutils.finetune.quiet import quiet
from fcutils.finetune.recipe import EPOCHS, Recipe
from fcutils.finetune.rows import Prepared, prepare
from fcutils.finetune.saved import Base, Tuned, versions
from fcutils.finetune.tokens import add_tokens
from fcutils.messages import Conversation
from fcutils.models import Loaded, load

if TYPE_CHECKING:
    from fcutils.finetune.trainer import Trainer

LEAST_LENGTH = 1024  # of a pack: shorter rows are packed together
FOREVER = 1_000_000  # steps, where the clock alone ends the training
CHECKPOINTS, RUN = "checkpoints", "run.json"
NOISE = {"grad_norm", "learning_rate", "epoch", "eval_runtime", "eval_samples_per_second", "eval_steps_per_second"}

Score = Callable[[Engine], Mapping[str, float]]


def tune(
    base: str | Loaded,
    rows: Sequence[Conversation],
    dialect: str | Dialect | None = None,
    *,
    validation: Sequence[Conversation] = (),
    folder: str | Path | None = None,
    full: bool | str | None = None,
    quantise: bool | None = None,
    leave_out_long: bool = False,
    score: Score | None = None,
    callbacks: Sequence[Any] = (),
    **recipe: Any,
) -> Tuned:
    """Train a LoRA adapter for `base` (a key of the catalogue, or what `load` gave) on rows, written in a dialect.

    `validation` gives a loss now and then; with it `score(engine)` may measure more. `folder` keeps checkpoints and the
    result: the same call, made again after it was interrupted, goes on where it stood. `full` and `quantise` are `load`'s
    (without `quantise`, the memory bill decides), `callbacks` are transformers'; everything else is a `Recipe`'s. A `Loaded`
    that is given is changed: the adapter is put into its model.
    """
    plan = Recipe(**recipe)
    if score and not validation:
        raise FinetuneError("score(engine) is asked when validation is looked at: give validation rows, too")
    with quiet():
        if isinstance(base, Loaded):
            loaded = _fresh(base, quantise)
        else:
            loaded = load(base, full, four_bits(base, full) if quantise is None else quantise)
        origin = Base.of(base, loaded, full)
        dialect = get(dialect or loaded.dialect)
        new = add_tokens(loaded.model, loaded.tokenizer, dialect)
        if loaded.tokenizer.pad_token is None:  # no pack is padded, but TRL wants to know
            loaded.tokenizer.pad_token = loaded.tokenizer.eos_token or dialect.ends[0]
        longest = _longest(loaded, plan)

        def prepared(some: Sequence[Conversation], what: str = "rows") -> Prepared:
            options = {"answers_only": plan.answers_only, "leave_out_long": leave_out_long}
            return prepare(some, dialect, loaded.tokenizer, longest, what=what, **options)

        train, held = prepared(rows), prepared(validation, "validation rows") if validation else None
        _say(train, held, new)
        model = adapter.wrap(loaded.model, plan, new.values())
        fingerprint = _fingerprint(origin, dialect, plan, train)
        with _workplace(folder, fingerprint) as place, _as_it_was(model):
            tools = {"look": _look(score, loaded.tokenizer, dialect), "keep": folder is not None, "callbacks": [*callbacks]}
            trainer = _trainer(model, loaded.tokenizer, plan, train, held, place, **tools)
            trainer.run()
            state = trainer.gathered()
        adapter.round_to_bf16(model)
        history, facts = _history(trainer.state.log_history), _facts(trainer, train) | {"fingerprint": fingerprint}
        tuned = Tuned(model.eval(), loaded.tokenizer, dialect, origin, plan, new, train.left_out, history, facts)
        if folder is not None and trainer.is_world_process_zero():
            tuned.save(Path(folder) / "adapter", state)
    return tuned


def _fresh(loaded: Loaded, quantise: bool | None) -> Loaded:
    """As it was given, if it can be trained on."""
    if hasattr(loaded.model, "peft_config"):
        raise FinetuneError(f"{loaded.name} holds an adapter already, of an earlier training: load it anew, or merge that one")
    if quantise not in (None, bool(getattr(loaded.model, "is_loaded_in_4bit", False))):
        raise FinetuneError(f"{loaded.name} is loaded already: say quantise={quantise} to load, or give tune its key")
    return loaded


def _longest(loaded: Loaded, plan: Recipe) -> int:
    """Tokens that a row may have."""
    context: int = loaded.model.config.get_text_config().max_position_embeddings
    if plan.length and plan.length > context:
        raise FinetuneError(f"length is {plan.length}, and {loaded.name} reads no more than {context} tokens: say at most that")
    return plan.length or context


def _say(train: Prepared, held: Prepared | None, new: Mapping[str, int]) -> None:
    left = f" ({len(train.left_out)} left out as too long)" if train.left_out else ""
    added = f"; new tokens: {' '.join(new)}" if new else ""
    share = train.learnt / train.tokens
    print(f"{len(train.ids)} rows{left}, {train.tokens:,} tokens, {train.learnt:,} of them learnt ({share:.0%}){added}")
    if held and held.left_out:
        print(f"{len(held.left_out)} validation rows left out as too long")


def _trainer(
    model: Any, tokenizer: Any, plan: Recipe, train: Prepared, held: Prepared | None, place: Path, **tools: Any
) -> Trainer:
    from fcutils.finetune.trainer import Trainer

    return Trainer(
        model,
        _settings(model, plan, max(train.longest, held.longest if held else 0), place),
        train_dataset=train.dataset(),
        eval_dataset=held.dataset() if held else None,
        processing_class=tokenizer,
        recipe=plan,
        **tools,
    )


def _look(score: Score | None, tokenizer: Any, dialect: Dialect) -> Callable[[Any], Mapping[str, float]] | None:
    """A score of an engine, for a model that is being trained."""
    if score is None:
        return None
    from fcutils.engines.local import LocalEngine

    return lambda model: score(LocalEngine(model, tokenizer, dialect))


def _settings(model: Any, plan: Recipe, longest: int, place: Path) -> Any:
    """TRL's own. When to look, save and stop, and the learning rate, are the clock's (`trainer.py`)."""
    from trl import SFTConfig

    precision, device = precision_of(model), model.device.type
    packing = device != "cpu" if plan.packing is None else plan.packing
    length = plan.length or max(longest, min(LEAST_LENGTH, model.config.max_position_embeddings) if packing else 0)
    return SFTConfig(
        str(place),
        max_steps=plan.steps or (FOREVER if plan.minutes else -1),
        num_train_epochs=plan.epochs or EPOCHS,
        packing=packing,
        max_length=length,
        per_device_train_batch_size=1,
        per_device_eval_batch_size=1,
        gradient_accumulation_steps=plan.batch,
        lr_scheduler_type="constant",
        weight_decay=0.0,
        bf16=precision == "bf16",
        fp16=precision == "fp16",
        use_cpu=device == "cpu",
        dataloader_pin_memory=device != "cpu",
        activation_checkpointing=_checkpointing(model, plan, length),
        logging_steps=1,
        logging_nan_inf_filter=False,  # it would show the last good loss in place of one that is none
        save_strategy="no",
        save_total_limit=2,
        report_to="none",
        disable_tqdm=True,
        seed=plan.seed,
    )


def precision_of(model: Any) -> str:
    """What to compute in: bf16 where the hardware has it; else as the model was loaded (Gemma 2 overflows in fp16)."""
    import torch

    if model.device.type == "cpu":
        return "bf16" if torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported() else "fp32"
    if torch.cuda.is_bf16_supported(including_emulation=False):
        return "bf16"
    return "fp16" if model.dtype == torch.float16 else "fp32"


def _checkpointing(model: Any, plan: Recipe, length: int) -> bool:
    """Whether activations are computed twice instead of kept: where they would take more than half of what is free."""
    if plan.checkpointing is not None:
        return plan.checkpointing
    from fcutils.finetune.trainer import free_memory

    wide = 4 if precision_of(model) == "fp32" else 2
    return activations(model.config, length, checkpointing=False, wide=wide) > free_memory(model.device.type) / 2


@contextmanager
def _workplace(folder: str | Path | None, fingerprint: str) -> Iterator[Path]:
    """Where checkpoints go. One folder holds one run: another would go on from the wrong weights."""
    if folder is None:
        with tempfile.TemporaryDirectory() as place:
            yield Path(place)
        return
    kept, note = Path(folder) / CHECKPOINTS, Path(folder) / RUN
    kept.mkdir(parents=True, exist_ok=True)
    mine = json.dumps({"fingerprint": fingerprint})
    if note.is_file() and note.read_text(encoding="utf-8") != mine:
        raise FinetuneError(
            f"{folder} holds a run with other rows, another model or another recipe: name another folder, or delete it"
        )
    part = note.with_name(f"{RUN}.{os.getpid()}")  # several processes say the same at once
    part.write_text(mine, encoding="utf-8")
    part.replace(note)
    yield kept


def _fingerprint(origin: Base, dialect: Dialect, plan: Recipe, train: Prepared) -> str:
    told = [asdict(origin), dialect.name, asdict(plan), train.ids, train.labels]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16]


@contextmanager
def _as_it_was(model: Any) -> Iterator[None]:
    """TRL, accelerate and checkpointing put things into a model; afterwards they are out of it again."""
    inner = model.get_base_model()
    had, cached = [(one, one.__dict__.get("forward")) for one in (model, inner)], inner.config.use_cache
    try:
        yield
    finally:
        for one, forward in had:
            one.__dict__.pop("forward", None)
            if forward is not None:
                one.forward = forward
        inner.activation_checkpointing_disable()
        inner.config.use_cache = cached
        model.eval()


def _history(log: Sequence[Mapping[str, float]]) -> tuple[dict[str, float], ...]:
    """One entry a step, of everything that was logged at it."""
    steps: dict[float, dict[str, float]] = {}
    for entry in log:
        if "train_runtime" not in entry:
            found = {name: value for name, value in entry.items() if name not in NOISE}
            steps.setdefault(entry["step"], {}).update({name.replace("eval_", "validation_"): v for name, v in found.items()})
    return tuple(steps.values())


def _facts(trainer: Trainer, train: Prepared) -> dict[str, Any]:
    args: Any = trainer.args
    return {
        "steps": trainer.state.global_step,
        "seconds": round(trainer.clock.seconds, 1),
        "learnt_tokens_a_second": round(trainer.clock.learnt_a_second, 1),
        "rows": len(train.ids),
        "tokens": train.tokens,
        "learnt_tokens": train.learnt,
        "adapter_bytes": adapter.size(trainer.model),
        "learning_rate": trainer.clock.peak,
        "length": args.max_length,
        "precision": "bf16" if args.bf16 else "fp16" if args.fp16 else "fp32",
        "checkpointing": bool(args.activation_checkpointing),
        "device": str(args.device),
        "processes": args.world_size,
        "versions": {"python": platform.python_version()} | versions(),
    }
