"""What it costs to hold calls to a grammar: decoding with and without, on the shape of pocket-hermes, beside a naive peer.

    python benchmarks/constrained.py

Weights are drawn at random (speed does not hang on them), and every way writes the same tokens: a call with lists and text,
dictated. Seconds are the processor's, on one thread, so that other work does not count.
Prints the costs and writes `benchmarks/results/constrained.json`; the goal is held against the best round.
The peer asks, for every token of the vocabulary, whether the text so far with it could still become JSON.
"""

from __future__ import annotations

import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import torch
from keeping import keep  # a script's folder is on its path
from pydantic import BaseModel, Field
from pydantic_core import from_json
from transformers import AutoTokenizer

from fcutils.constrain import Calls
from fcutils.engines.local import LocalEngine
from fcutils.messages import Message, ToolCall
from fcutils.parsing import parse_reply
from fcutils.pocket.models import build
from fcutils.toolbox import Toolbox

ROOT = Path(__file__).parents[1]
TOKENIZER = ROOT / "assets" / "models" / "pocket-hermes"
GOAL, ROUNDS = 15.0, 7


class Passenger(BaseModel):
    """Who travels."""

    name: str = Field(description="the full name")
    age: int = Field(ge=0, le=130, description="in years")


def book(city: str, day: str, passengers: list[Passenger], budget: float = 100.0, note: str = "") -> str:
    """Book a journey."""
    return "booked"


PEOPLE = [{"name": name, "age": 30 + place} for place, name in enumerate(("Ada", "Grace", "Alan", "Edsger", "Barbara"))]
NOTE = "They would like to sit together, near a window, in the quiet part of the train; two of them bring a bicycle."
CALL = ToolCall("book", {"city": "Oslo", "day": "2026-01-31", "passengers": PEOPLE, "budget": 250.0, "note": NOTE})


class Dictated:
    """Any constraint, and then one token: what is compared writes the same. Without one it costs what dictating costs."""

    def __init__(self, ids: list[int], held: Calls | None) -> None:
        self.ids, self.held = ids, held
        self.seconds = 0.0

    def guide(self, tools: Any) -> Dictated:
        self.at, self.inner = 0, self.held.guide(tools) if self.held else None
        return self

    active = True

    def restrict(self, logits: torch.Tensor) -> None:
        began = time.process_time()
        if self.inner is not None and self.inner.active:
            self.inner.restrict(logits)
        self.seconds += time.process_time() - began
        token = self.ids[self.at]
        assert torch.isfinite(logits[token]), "the grammar allows what the dialect writes"
        logits[token] = 1e9

    def take(self, token: int) -> None:
        began = time.process_time()
        if self.inner is not None:
            self.inner.take(token)
        self.seconds += time.process_time() - began
        self.at += 1


def decode(engine: LocalEngine, toolbox: Toolbox, constraint: Any, many: int) -> float:
    """Seconds for so many tokens, the prompt not counted."""
    chat = engine.chat(toolbox.tools)
    chat.say("Book a journey for all of us.")
    pieces = chat.write(max_tokens=1, constraint=constraint)
    list(pieces)
    began = time.process_time()
    list(chat.write(max_tokens=many - 1, constraint=constraint))
    return time.process_time() - began


def naive(engine: LocalEngine, ids: list[int], steps: int) -> float:
    """Seconds a token for the check of a whole vocabulary, as `prefix_allowed_tokens_fn` has it, amid a call."""
    decode_text = engine.tokenizer.backend_tokenizer.decode
    begun, began = ids[:], time.process_time()
    for step in range(steps):
        so_far = begun[: len(begun) // 2 + step]
        allowed = []
        for token in range(len(engine.tokenizer)):
            text = decode_text([*so_far, token], skip_special_tokens=False).removeprefix("<tool_call>\n")
            try:
                from_json(text, allow_partial=True)
                allowed.append(token)
            except ValueError:
                pass
        assert allowed
    return (time.process_time() - began) / steps


def rounds(ways: dict[str, Callable[[], float]]) -> dict[str, dict[str, float]]:
    """Each way in turn, so that what else the machine does falls on all alike."""
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            taken[name].append(way())
    return {name: {"best": min(times), "median": statistics.median(times)} for name, times in taken.items()}


def main() -> None:
    warnings.simplefilter("ignore")
    load = f"{psutil.getloadavg()[0]:.1f} processes at the start"
    torch.manual_seed(0)
    torch.set_num_threads(1)
    tokenizer = AutoTokenizer.from_pretrained(TOKENIZER)
    engine = LocalEngine(build("pocket-hermes", len(tokenizer)), tokenizer, "hermes", name="pocket-hermes, untrained")
    toolbox = Toolbox()
    toolbox.add(book)
    ids = engine.encode(engine.dialect.reply(Message("assistant", calls=(CALL,))))[:-1]
    began = time.process_time()
    held = Calls(engine)
    vocabulary = time.process_time() - began
    began = time.process_time()
    held.guide(toolbox.tools)
    grammar = time.process_time() - began
    assert parse_reply(tokenizer.decode(ids), "hermes").calls[0].arguments == CALL.arguments
    free, guided = Dictated(ids, None), Dictated(ids, held)
    decode(engine, toolbox, guided, len(ids))
    guided.seconds = 0.0
    times = rounds(
        {
            "free": lambda: decode(engine, toolbox, free, len(ids)),
            "constrained": lambda: decode(engine, toolbox, guided, len(ids)),
        }
    )
    per_token = guided.seconds / ROUNDS / len(ids)
    best = {name: figures["best"] / (len(ids) - 1) for name, figures in times.items()}
    peer = naive(engine, ids, 3)
    share = 100 * (best["constrained"] / best["free"] - 1)
    middle = 100 * (times["constrained"]["median"] / times["free"]["median"] - 1)
    result = {
        "load": load,
        "threads": torch.get_num_threads(),
        "model": {"shape": "pocket-hermes", "vocabulary": len(tokenizer), "weights": "random"},
        "tokens in a call": len(ids),
        "tokens a second": {name: round(1 / seconds, 1) for name, seconds in best.items()},
        "ms a token": {
            **{name: round(1000 * seconds, 3) for name, seconds in best.items()},
            "of these in the guide": round(1000 * per_token, 3),
            "naive whole-vocabulary JSON check, on top": round(1000 * peer, 1),
        },
        "once, in ms": {"the vocabulary": round(1000 * vocabulary, 1), "the grammar": round(1000 * grammar, 1)},
        "goal, % of decoding time": {"goal": GOAL, "best round": round(share, 1), "middle round": round(middle, 1)},
        "bound": "llguidance's mask over the vocabulary (here every token twice: it says something else behind glue) and its "
        "application to the logits: no more for a larger model, whose share of the time it is then smaller",
    }
    keep(result, "llguidance", "torch", "transformers")
    for name in ("tokens in a call", "tokens a second", "ms a token", "once, in ms", "goal, % of decoding time", "bound"):
        print(f"{name}: {result[name]}")


if __name__ == "__main__":
    main()
