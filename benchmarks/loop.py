"""What a conversation with tools costs: this loop, beside stock `generate`, re-sending the history or reusing its own cache.

    python benchmarks/loop.py

Eight tool turns and an answer. What the model says is dictated, token by token and to all three alike, so that all do the same
work whatever the weights are worth; what went through the model is counted by a hook on the model itself. The loop reads the
calls as they are written, runs the tool and adds its result. The peers render the whole conversation with transformers' chat
template for every reply, as loops around `generate` do; they are spared the reading of calls and the tool.

One thread. Seconds are the process's own, which on an idle machine are the clock's; the clock's, which on a shared machine
count what others take, stand beside them. Writes `benchmarks/results/loop.json`.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
import torch
from dictated import TURNS, WORDS, Dictate, Dictation, Turn, sized, toolbox, turns
from keeping import keep  # a script's folder is on its path
from transformers import DynamicCache, GenerationConfig, LogitsProcessorList

from fcutils.engines.local import LocalEngine
from fcutils.loop import Answer, Observed, ToolLoop
from fcutils.messages import Conversation
from fcutils.models import load as load_model

ROOT = Path(__file__).parent.parent
LENGTHS = (1024, 2048, 4096)
REPEATS = 5
DECODED = 128  # tokens, where decoding is timed
LOOP, RESEND, REUSE = "this loop", "stock generate, re-sending", "stock generate, its own cache reused"


# ---- the three ways ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Run:
    """Seconds and tokens until the end of each turn, what of it was reading, the clock's seconds, and what was forwarded."""

    seconds: list[float]
    tokens: list[int]
    reading: float
    clock: float
    forwarded: list[int]


class Forwards:
    """What went through a model, in order, and when each forward and each turn began or ended."""

    def __init__(self) -> None:
        self._clock, self._began = time.perf_counter(), time.process_time()
        self._tokens: list[int] = []
        self._times: list[float] = []
        self._several: list[int] = []  # forwards of more than one token: what others said, not what the model did
        self._turns: list[tuple[float, int]] = []

    def __call__(self, _: Any, __: Any, given: dict[str, Any]) -> None:
        self._times.append(time.process_time())
        ids = given["input_ids"][0].tolist()
        if len(ids) > 1:
            self._several.append(len(self._times) - 1)
        self._tokens += ids

    def end_turn(self) -> None:
        self._turns.append((time.process_time() - self._began, len(self._tokens)))

    def run(self) -> Run:
        """Reading takes from the beginning of a forward of several tokens to that of the next."""
        seconds, tokens = (list(figures) for figures in zip(*self._turns, strict=True))
        reading = sum(self._times[place + 1] - self._times[place] for place in self._several)
        return Run(seconds, tokens, reading, time.perf_counter() - self._clock, self._tokens)

    @property
    def rate(self) -> float:
        """Tokens a second behind the first two: all that lies between one forward and the next is counted."""
        return (len(self._times) - 2) / (self._times[-1] - self._times[1])


@contextmanager
def watched(model: Any) -> Iterator[Forwards]:
    forwards = Forwards()
    hook = model.register_forward_pre_hook(forwards, with_kwargs=True)
    try:
        yield forwards
    finally:
        hook.remove()


def this_loop(engine: LocalEngine, talk: Conversation, work: Sequence[Turn]) -> Run:
    results = [message.content for message in talk.messages if message.role == "tool"]
    dictate = Dictate([turn.reply for turn in work])
    loop = ToolLoop(engine, toolbox(results), constraint=dictate, max_turns=TURNS + 1)
    with watched(engine.model) as forwards:
        for event in loop.run(talk.messages[0].content):
            if isinstance(event, Observed | Answer):
                forwards.end_turn()
                dictate.said += 1
    said = [(message.role, message.content) for message in loop.conversation.messages]
    assert said == [(message.role, message.content) for message in talk.messages], "the loop did the work as it was dictated"
    return forwards.run()


def generate(engine: LocalEngine, work: Sequence[Turn], cache: DynamicCache | None = None) -> Run:
    with watched(engine.model) as forwards:
        for turn in work:
            prompt = rendered(engine, turn.before)
            assert prompt == turn.prompt, "both are asked the same"
            assert stock(engine, prompt, turn.reply, past_key_values=cache) == turn.reply, "and say what was dictated"
            forwards.end_turn()
    return forwards.run()


def rendered(engine: LocalEngine, talk: Conversation) -> list[int]:
    row = talk.to_dict()
    return engine.tokenizer.apply_chat_template(
        row["messages"], row["tools"], chat_template=engine.dialect.template, add_generation_prompt=True, return_dict=False
    )


def stock(engine: LocalEngine, prompt: list[int], reply: list[int], **options: Any) -> list[int]:
    config = GenerationConfig(
        do_sample=False, max_new_tokens=len(reply), eos_token_id=engine.end_id, pad_token_id=engine.end_id
    )
    ids = torch.tensor([prompt], device=engine.model.device)
    dictated = LogitsProcessorList([Dictation(reply)])
    with torch.inference_mode():
        out = engine.model.generate(
            ids, attention_mask=torch.ones_like(ids), generation_config=config, logits_processor=dictated, **options
        )
    return out[0, len(prompt) :].tolist()


def compare(engine: LocalEngine, length: int) -> dict[str, Any]:
    """One length: every way in turn, again and again; medians."""
    talk = sized(engine, length)
    work = turns(engine, talk)
    needed = work[-1].prompt + work[-1].reply[:-1]  # the last token of all is said, and never read
    ways: dict[str, Callable[[], Run]] = {
        LOOP: lambda: this_loop(engine, talk, work),
        RESEND: lambda: generate(engine, work),
        REUSE: lambda: generate(engine, work, DynamicCache(config=engine.model.config)),
    }
    runs: dict[str, list[Run]] = {name: [] for name in ways}
    for _ in range(1 + REPEATS):  # the first one warms up
        for name, way in ways.items():
            runs[name].append(way())
    assert runs[LOOP][0].forwarded == needed == runs[REUSE][0].forwarded, "the same tokens, in the same order"
    figures = {name: summary(found[1:]) for name, found in runs.items()}
    mine = figures[LOOP]["seconds"]
    clocks = {name: figure["seconds by the clock"] for name, figure in figures.items()}
    return {
        "tokens in the end": len(needed) + 1,
        "tokens written": sum(len(turn.reply) for turn in work),
        "the fewest tokens that can be forwarded": len(needed),
        **figures,
        "re-sending, times this loop's seconds": round(figures[RESEND]["seconds"] / mine, 2),
        "re-sending, times this loop's seconds by the clock": round(clocks[RESEND] / clocks[LOOP], 2),
        "cache reuse, times this loop's seconds": round(figures[REUSE]["seconds"] / mine, 2),
    }


def summary(runs: Sequence[Run]) -> dict[str, Any]:
    after = [round(statistics.median(turn), 3) for turn in zip(*(run.seconds for run in runs), strict=True)]
    tokens = runs[0].tokens
    costs = [[end - begin for begin, end in pairwise(so_far)] for so_far in (tokens, after)]  # of the turns behind the first
    assert all(run.tokens == tokens for run in runs)
    return {
        "tokens forwarded": tokens[-1],
        "seconds": after[-1],
        "seconds by the clock": round(statistics.median(run.clock for run in runs), 3),
        "seconds reading what others said": round(statistics.median(run.reading for run in runs), 3),
        "tokens after each turn": tokens,
        "seconds after each turn": after,
        "the eighth turn over the second": {
            "tokens": round(costs[0][6] / costs[0][0], 2),
            "seconds": round(costs[1][6] / costs[1][0], 2),
        },
    }


# ---- decoding ----------------------------------------------------------------------------------------------------------


def decoding(engine: LocalEngine, context: int) -> dict[str, float]:
    """Tokens a second at the end of a context of this length: the engine, stock `generate`, and what the memory allows."""
    said = [*engine.encode(engine.dialect.says(" ".join(WORDS * DECODED)))[: DECODED - 1], engine.end_id]
    chat = engine.chat()
    chat.say("word " * (context - DECODED - 32))
    mark, prompt = chat.mark(), [*chat.ids, *engine.encode(engine.dialect.prompt())]
    rates: dict[str, list[float]] = {"this engine": [], "stock generate": []}
    for _ in range(1 + REPEATS):
        with watched(engine.model) as forwards:
            list(chat.write(max_tokens=DECODED, constraint=Dictate([said])))
        rates["this engine"].append(forwards.rate)
        chat.rollback(mark)
        with watched(engine.model) as forwards:
            stock(engine, prompt, said)
        rates["stock generate"].append(forwards.rate)
    mine, theirs = (statistics.median(found[1:]) for found in rates.values())
    size = bytes_a_token(engine.model, len(prompt) + DECODED // 2)
    bound = 1 / seconds_to_read(size)
    return {
        "tokens before": len(prompt),
        "this engine, tokens/s": round(mine, 1),
        "stock generate, tokens/s": round(theirs, 1),
        "share of stock": round(mine / theirs, 3),
        "MB a token": round(size / 1e6, 1),
        "GB/s": round(size * bound / 1e9, 1),
        "bound, tokens/s": round(bound, 1),
        "share of the bound": round(mine / bound, 3),
    }


def bytes_a_token(model: Any, context: int) -> int:
    """Every weight once, and every key and value of the context once."""
    weights = sum(parameter.numel() * parameter.element_size() for parameter in model.parameters())
    shape = model.config.get_text_config()
    held = 2 * shape.num_hidden_layers * shape.num_key_value_heads * shape.head_dim * context
    return weights + held * model.dtype.itemsize


def seconds_to_read(size: int) -> float:
    """Products of a matrix of this size with a vector, as a layer reads its weights, without Python between; the median."""
    matrix, vector = torch.ones(size // 4 // 1024, 1024), torch.ones(1024)
    times = []
    for _ in range(100):
        began = time.process_time()
        torch.mv(matrix, vector)
        times.append(time.process_time() - began)
    return statistics.median(times)


# ---- the report --------------------------------------------------------------------------------------------------------


def goals(lengths: dict[int, dict[str, Any]], speeds: dict[int, dict[str, float]]) -> dict[str, dict[str, Any]]:
    extra = max(one[LOOP]["tokens forwarded"] - one["the fewest tokens that can be forwarded"] for one in lengths.values())
    ahead = [one["re-sending, times this loop's seconds"] for one in lengths.values()]
    share = min(one["share of stock"] for one in speeds.values())
    growth = {name: lengths[max(lengths)][name]["the eighth turn over the second"]["tokens"] for name in (LOOP, RESEND)}
    return {
        "tokens forwarded beyond the fewest possible": {"goal": "0", "reached": extra, "met": extra == 0},
        "re-sending, times this loop's seconds, at every length": {"goal": "> 1", "reached": min(ahead), "met": min(ahead) > 1},
        "the same at the longest": {"goal": "≥ 3", "reached": ahead[-1], "met": ahead[-1] >= 3},
        "tokens of the eighth turn over the second's": {
            "goal": "1 (linear in all), where re-sending grows with every turn (quadratic in all)",
            "reached": growth,
            "met": growth[LOOP] == 1 < 2 < growth[RESEND],
        },
        "decoding, share of stock generate's tokens/s": {"goal": "≥ 0.9", "reached": share, "met": share >= 0.9},
    }


def main() -> None:
    load = f"{psutil.getloadavg()[0]:.1f} processes at the start; on a machine that is shared, the figures rise with it"
    torch.set_num_threads(1)
    loaded = load_model("hermes3", full=False)
    engine = LocalEngine(loaded.model, loaded.tokenizer, loaded.dialect, name=loaded.name)
    lengths = {length: compare(engine, length) for length in LENGTHS}
    speeds = {context: decoding(engine, context) for context in (256, 2048, 4096)}
    result = {
        "load": load,
        "threads": torch.get_num_threads(),
        "model": loaded.name,
        "turns": f"{TURNS} with a tool, and an answer; every token of the model's is dictated, to all three alike",
        "repeats": f"{REPEATS}, interleaved, behind one that warms up; medians",
        "context": lengths,
        "decoding behind a context of": speeds,
        "goals": goals(lengths, speeds),
    }
    keep(result, "torch", "transformers")
    show(result)


def show(result: dict[str, Any]) -> None:
    print(result["model"])
    for length, figures in result["context"].items():
        for name in (LOOP, RESEND, REUSE):
            one = figures[name]
            ratio = one["seconds"] / figures[LOOP]["seconds"]
            reading = one["seconds reading what others said"]
            tokens = f"{length:>6} tokens  {one['tokens forwarded']:>7,} forwarded"
            print(f"{tokens} {one['seconds']:8.2f} s ({reading:6.2f} s reading) {ratio:6.2f} ×  {name}")
    for context, one in result["decoding behind a context of"].items():
        print(f"{context:>6} tokens  " + ", ".join(f"{name}: {value:,}" for name, value in one.items()))
    for name, goal in result["goals"].items():
        print(f"{'met' if goal['met'] else 'NOT met':<8} {name}: {goal['reached']} (goal: {goal['goal']})")


if __name__ == "__main__":
    main()
