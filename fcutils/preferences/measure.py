"""Before and after: which of two refusals a model finds likelier, how it refuses when it writes, how many of its calls run.

Knows no trainer. Replies are greedy. A `Score` is a share with its 95 % interval, a `Mean` the same of numbers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import fmean, stdev
from typing import TYPE_CHECKING

from fcutils.dialects import encode
from fcutils.engines.base import EngineError, Written
from fcutils.evaluate.report import Score
from fcutils.messages import Conversation, Message
from fcutils.parsing import parse_reply
from fcutils.preferences.pairs import Pair, is_polite
from fcutils.preferences.reward import REWARDS, Task, judge

if TYPE_CHECKING:
    from fcutils.engines.local import LocalEngine

TOKENS = 96  # of a reply, at most
GUARD = "no call, where nothing fits"  # is to stay as it was, while manners get better


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean of n numbers, and how far it may be off because they are few."""

    value: float
    off: float  # to either side, at 95 %
    n: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Mean:
        return cls(fmean(values), 1.96 * stdev(values) / sqrt(len(values)), len(values))

    @property
    def interval(self) -> tuple[float, float]:
        return self.value - self.off, self.value + self.off

    def __str__(self) -> str:
        low, high = self.interval
        return f"{self.value:.3g} [{low:.3g}, {high:.3g}]"


@dataclass(frozen=True, slots=True)
class Found:
    """What was measured; of the replies themselves, each with its request, and what they came to."""

    figures: Mapping[str, Score | Mean]
    replies: tuple[tuple[str, str], ...]
    outcomes: Mapping[str, int]


def margins(engine: LocalEngine, pairs: Sequence[Pair]) -> list[float]:
    """By how much the polite reply of each pair is likelier than the blunt one, as a difference of log-probabilities."""
    return [said(engine, p.prompt, p.polite) - said(engine, p.prompt, p.blunt) for p in pairs]


def said(engine: LocalEngine, prompt: Conversation, reply: str) -> float:
    """The log-probability of one reply, in words."""
    return log_probability(engine, prompt.add(Message("assistant", reply)))


def log_probability(engine: LocalEngine, talk: Conversation) -> float:
    """Of everything that the model would have to say in this talk, the ends of its turns included."""
    import torch

    encoded = encode(engine.dialect.render(talk), engine.tokenizer)
    ids, learn = torch.tensor(encoded.ids), torch.tensor(encoded.learn)
    places = learn.nonzero()[:, 0]
    with torch.inference_mode():
        device = engine.model.device
        logits = engine.model(input_ids=ids[None].to(device), use_cache=False, logits_to_keep=(places - 1).to(device)).logits[0]
    return logits.float().log_softmax(-1).cpu().gather(1, ids[places][:, None]).sum().item()


def refusals(engine: LocalEngine, pairs: Sequence[Pair]) -> Found:
    """How a model answers requests that no tool meets."""
    found = margins(engine, pairs)
    replies = _replies(engine, [pair.prompt for pair in pairs])
    read = [parse_reply(one.text, engine.dialect.name, pair.prompt.tools) for one, pair in zip(replies, pairs, strict=True)]
    kinds = ["call" if one.calls or one.faults else "polite" if is_polite(one) else "other words" for one in read]
    return Found(
        {
            "polite likelier than blunt": _share(margin > 0 for margin in found),
            "log-probability of polite minus blunt, mean": Mean.of(found),
            "polite replies": _share(kind == "polite" for kind in kinds),
            GUARD: _share(kind != "call" for kind in kinds),
        },
        tuple((pair.prompt.messages[0].content, one.text) for pair, one in zip(pairs, read, strict=True)),
        Counter(kinds),
    )


def executed(engine: LocalEngine, tasks: Sequence[Task]) -> Found:
    """What came of a model's calls."""
    replies = _replies(engine, [task.prompt for task in tasks])
    ended = [one.text if one.tokens < TOKENS else None for one in replies]
    outcomes = [judge(text, task, engine.dialect.name) for text, task in zip(ended, tasks, strict=True)]
    return Found(
        {
            "done as asked": _share(outcome == "done" for outcome in outcomes),
            "executed": _share(outcome in ("ran", "done", "harm") for outcome in outcomes),
            "reward, mean": Mean.of([REWARDS[outcome] for outcome in outcomes]),
        },
        tuple((task.request, one.text) for task, one in zip(tasks, replies, strict=True)),
        Counter(outcomes),
    )


def _replies(engine: LocalEngine, prompts: Sequence[Conversation]) -> list[Written]:
    replies = engine.reply_many(prompts, max_tokens=TOKENS)
    if failed := [one.error for one in replies if one.error]:
        raise EngineError(f"{len(failed)} of {len(replies)} requests had no reply, the first one: {failed[0]}")
    return replies


def _share(hits: Iterable[bool]) -> Score:
    told = list(hits)
    return Score(sum(told), len(told))
