"""Training a pocket model from nothing, or on from weights: the same code on two cores and on a GPU.

The clock rules: `minutes` fixes the schedule (warm-up, constant, decay), so that a run ends finished wherever it runs.
A checkpoint is written every few minutes; a killed run goes on from it.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any

from fcutils.pocket import attention
from fcutils.pocket.batches import Batch, batches, in_parallel, states
from fcutils.pocket.corpora import CORPORA, DRILLS
from fcutils.pocket.corpus import Example
from fcutils.pocket.models import build, deepen
from fcutils.pocket.start import loudness, planted
from fcutils.pocket.strings import HARD, strings
from fcutils.universe import Corner, Recipe

BAR = "{desc} {percentage:3.0f}%|{bar:20}| {n:.0f} of {total:.0f} s{postfix}"
RUNS = Path(__file__).resolve().parents[2] / "runs"


@dataclass(frozen=True, slots=True)
class Plan:
    """One stage of training."""

    name: str
    minutes: float
    budget: int = 3072  # tokens a step while conversations are short; twice as many thereafter
    muon: float = 0.008
    shrink: float = 0.02  # weight decay of what Muon trains; ten times as much, at a higher rate, forgot tools within minutes
    adam: float = 1e-2  # of words and norms
    planted: float = 1e-3  # Muon's rate for the circuits of the start, which would be washed away before they are used
    warm_up: float = 0.01  # shares of the minutes
    decay: float = 0.35
    strings: float = 0.1  # share of the minutes until which nothing but choosing is learnt, where there is a choice
    short: float = 0.45  # until which there are requests and first replies over few tools
    layers: int | None = None
    seed: int = 0
    save_every: float = 4.0
    look_every: float = 5.0
    corpus: str = "calls"


@dataclass(slots=True)
class State:
    """What a checkpoint holds beside weights and optimisers."""

    step: int = 0
    tokens: int = 0
    seconds: float = 0.0


MODES = {"own": 0.5, "styled": 0.15, "made_up": 0.35}
SHORT = Recipe(modes=MODES, requests=(3, 9), tools=(2, 5), brief=True)  # many choices a token: choosing is what takes longest
FULL = Recipe(modes=MODES, requests=(2, 7), tools=(1, 10))


@dataclass(frozen=True, slots=True)
class Phase:
    """What is read, up to which length, and how much a step (in budgets of the plan)."""

    recipe: Recipe
    longest: int
    budgets: int
    strings: float  # shares of the examples that are not conversations of the universe
    drills: float
    hard: float = HARD


EASY = 0.4  # of the time for strings: choosing is found among easy ones, and all at once; hard ones then take minutes
PHASES = {
    "easy": Phase(SHORT, 1024, 1, 1.0, 0.0, hard=0.0),
    "strings": Phase(SHORT, 1024, 1, 1.0, 0.0),
    "short": Phase(SHORT, 1024, 1, 0.1, 0.4),
    "full": Phase(FULL, 2048, 2, 0.02, 0.12),
}


def rate(share: float, plan: Plan) -> float:
    """The learning rate at this share of the time, as a share of its peak."""
    if share < plan.warm_up:
        return (share + 1e-3) / (plan.warm_up + 1e-3)
    if share > 1 - plan.decay:
        return max(0.0, (1 - share) / plan.decay) * 0.98 + 0.02
    return 1.0


def optimisers(model: Any, plan: Plan) -> list[Any]:
    """Muon for the hidden matrices, AdamW for embeddings and norms."""
    import torch

    circuits, words = planted(model), model.get_input_embeddings().weight
    groups: dict[str, list[Any]] = {"matrices": [], "circuits": [], "norms": []}
    for name, parameter in model.named_parameters():
        if parameter is not words:
            groups["circuits" if name in circuits else "norms" if parameter.ndim < 2 else "matrices"].append(parameter)
    muon = [
        {"params": groups["matrices"], "lr": plan.muon, "weight_decay": plan.shrink},
        {"params": groups["circuits"], "lr": plan.planted, "weight_decay": 0.0},
    ]
    adam = [{"params": groups["norms"], "lr": plan.adam}, {"params": [words], "lr": plan.adam / loudness(model)}]
    found: list[Any] = [
        torch.optim.Muon([group for group in muon if group["params"]], adjust_lr_fn="original"),
        torch.optim.AdamW(adam, betas=(0.9, 0.95), weight_decay=0.0),
    ]
    for optimiser in found:
        for group in optimiser.param_groups:
            group["peak"] = group["lr"]
    return found


class Stream:
    """Batches of the phase in which the run is: choosing alone, requests and first replies over few tools, then everything."""

    def __init__(self, where: Corner, tokenizer: Any, plan: Plan, workers: int = 0) -> None:
        self._where, self._tokenizer, self._plan, self._workers = where, tokenizer, plan, workers
        self.phase = ""
        self._batches: Iterator[Batch] = iter(())

    def next(self, state: State, share: float) -> Batch:
        plan = self._plan
        alone = plan.strings if plan.corpus in DRILLS else 0.0
        ends = {"easy": EASY * alone, "strings": alone, "short": plan.short}
        due = next((phase for phase, end in ends.items() if share < end), "full")
        if due != self.phase:
            self.phase, self._batches = due, self._source(due, state)
        return next(self._batches)

    def _source(self, phase: str, state: State) -> Iterator[Batch]:
        seed = self._plan.seed * 1_000_003 + state.step  # a resumed run goes on with new text
        return in_parallel(lambda worker: self._made(phase, seed + 7_919 * worker), self._workers)

    def _made(self, name: str, seed: int) -> Iterator[Batch]:
        phase, corpus = PHASES[name], CORPORA[self._plan.corpus]
        found = corpus.examples(self._where, self._tokenizer, seed, phase.recipe, phase.longest)
        if self._plan.corpus in DRILLS:
            found = self._among(found, phase, Random(f"{name}/{seed}"))
        return batches(found, phase.budgets * self._plan.budget, Random(seed))

    def _among(self, found: Iterator[Example], phase: Phase, rng: Random) -> Iterator[Example]:
        """Drills among the conversations."""
        corpus, tokenizer = self._plan.corpus, self._tokenizer
        sources = (strings(tokenizer, rng, corpus, phase.hard), DRILLS[corpus](self._where, tokenizer, rng), found)
        shares = (phase.strings, phase.drills, 1 - phase.strings - phase.drills)
        while True:
            example = next(rng.choices(sources, shares)[0])
            if len(example.ids) <= phase.longest:
                yield example


def train(where: Corner, tokenizer: Any, plan: Plan, look: Any, *, start: Any = None, folder: Path | None = None) -> Any:
    """Train for `plan.minutes`; `look(model)` gives validation scores. `start`: a model to go on from."""
    import torch

    folder = folder or RUNS / plan.name
    folder.mkdir(parents=True, exist_ok=True)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(plan.seed)
    state, saved = State(), _restore(folder)
    model = start if start is not None else build(plan.name, len(tokenizer), layers=plan.layers)
    if plan.layers and plan.layers > model.config.num_hidden_layers:
        model = deepen(model, plan.layers)
    model.to(device).train()
    if device.type == "cpu":
        attention.use(model)
    found = optimisers(model, plan)
    if saved is not None:
        model.load_state_dict(saved["model"])
        for optimiser, held in zip(found, saved["optimisers"], strict=True):
            optimiser.load_state_dict(held)
        state = State(**saved["state"])
    _log(folder, state, plan=asdict(plan), device=str(device), threads=torch.get_num_threads(), fresh=start is None)
    workers = max(1, (os.cpu_count() or 2) - 2) if device.type == "cuda" else 0  # a GPU reads faster than one core writes
    _loop(model, found, Stream(where, tokenizer, plan, workers), plan, look, state, folder, device)
    return model


def _loop(model, found, stream: Stream, plan: Plan, look, state: State, folder: Path, device) -> None:
    import torch
    from tqdm import tqdm

    from fcutils.pocket.head import head_loss

    total, bf16, loss = plan.minutes * 60, _bf16(device), None
    clock, saved_at, looked_at = time.monotonic(), state.seconds, state.seconds
    bar = tqdm(total=total, initial=min(round(state.seconds), total), unit="s", desc=plan.name, mininterval=2, bar_format=BAR)
    while state.seconds < total:
        share = state.seconds / total
        batch = stream.next(state, share)
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            hidden = states(model, batch, device)
        matrix = model.get_output_embeddings().weight
        value = head_loss(hidden, matrix, batch.targets.to(device), batch.weights.to(device), bf16=bf16)
        value.backward()
        _step(model, found, rate(share, plan))
        state.step, state.tokens = state.step + 1, state.tokens + batch.tokens
        loss = value.item() if loss is None or state.step == 1 else 0.95 * loss + 0.05 * value.item()
        spent, clock = time.monotonic() - clock, time.monotonic()
        state.seconds += spent
        bar.update(min(spent, total - bar.n))
        bar.set_postfix(loss=f"{loss:.3f}", tokens=f"{state.tokens / 1e6:.1f}M", phase=stream.phase, refresh=False)
        last = state.seconds >= total
        if last or state.step % 20 == 0:
            _log(folder, state, loss=round(loss, 4), phase=stream.phase)
        if last or state.seconds - looked_at > plan.look_every * 60:
            looked_at, scores = state.seconds, look(model.eval())
            model.train()
            _log(folder, state, loss=round(loss, 4), phase=stream.phase, scores=scores)
            bar.write(f"{state.seconds / 60:.1f} min, {state.tokens / 1e6:.1f}M tokens, loss {loss:.3f}, {scores}")
        if last or state.seconds - saved_at > plan.save_every * 60:
            saved_at = state.seconds
            _save(folder, model, found, state, plan)
            clock = time.monotonic()
    bar.close()


def _step(model: Any, found: list[Any], share: float) -> None:
    import torch

    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    for optimiser in found:
        for group in optimiser.param_groups:
            group["lr"] = group["peak"] * share
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)


def _bf16(device: Any) -> bool:
    """bf16 where it is fast: any GPU that has it, and processors with the instructions for it."""
    import torch

    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    has = getattr(torch.backends.cpu, "get_cpu_capability", lambda: "")()
    return "AVX512" in has or "AMX" in has or bool(getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)())


def _log(folder: Path, state: State, **values: Any) -> None:
    with (folder / "log.jsonl").open("a", encoding="utf-8") as out:
        out.write(json.dumps({**asdict(state), **values}) + "\n")


def _save(folder: Path, model: Any, found: list[Any], state: State, plan: Plan) -> None:
    """Whole or not at all: written beside, then put in place."""
    import torch

    part = folder / "checkpoint.part"
    held = {
        "model": model.state_dict(),
        "optimisers": [o.state_dict() for o in found],
        "state": asdict(state),
        "plan": asdict(plan),
    }
    torch.save(held, part)
    os.replace(part, folder / "checkpoint.pt")


def _restore(folder: Path) -> dict[str, Any] | None:
    import torch

    path = folder / "checkpoint.pt"
    if not path.exists():
        return None
    return torch.load(path, map_location="cpu", weights_only=True)
