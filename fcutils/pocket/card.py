"""The model card: what a finished pocket model is, from its weights, its log and its scores, so that no figure is from memory.

`python -m fcutils.pocket card NAME` writes README.md and training.svg beside the weights. What the numbers cannot tell (what
the model read, what it is not good for) stands here, by corpus.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fcutils.models import CATALOGUE, SUMS
from fcutils.pocket.corpora import READS
from fcutils.pocket.export import CARD, LOG, PLOT, SCORES, read_log
from fcutils.pocket.train import Plan

FIRST = (Plan("", 0).muon, Plan("", 0).adam)  # the rates that a run has if none are given


@dataclass(frozen=True, slots=True)
class Words:
    """What the figures of a card cannot say."""

    what: str
    data: str
    limits: str


WORDS = {
    "calls": Words(
        """\
Calls tools in the format that its prompt asks for: chooses, calls several at once, goes on from results, declines, asks
for what is missing, mends a call that was refused.""",
        """\
Conversations of [data/universe](../../../data/universe/README.md), training split, streamed: two to nine requests over
up to ten tools, half of them under their own names, the others restyled or under made-up ones; in half of the conversations
words that request and schema share are exchanged ([exchange.py](../../../fcutils/universe/exchange.py)), so that they have to
be read. Among them drills with tools of random words ([drill.py](../../../fcutils/pocket/drill.py)), and before all that
strings of random tokens in which something is to be chosen ([strings.py](../../../fcutils/pocket/strings.py)). All in `hermes`,
`openhermes`, and formats that are made up on the spot and described in the prompt. Refused calls are shown and not learnt.""",
        """\
- It knows the manner of speaking of one authored corpus, in English. Other people's requests are harder.
- It is small: long values, unusual words and long lists of tools are where its copies stumble.
- It knows no facts and reasons over nothing. What it says beside calls is from results.
- A call is a wish: validate it, and ask a person where it changes the world, as `fcutils.toolbox` does.""",
    ),
    "prose": Words(
        """\
Says in plain words which tool it would use, with the values of the request, and has never seen a call written: what the
lesson on LoRA starts from.""",
        """\
Conversations of [data/universe](../../../data/universe/README.md), training split, streamed, with every call put into
plain words; in Gemma's turns, the tools shown as the `gemma` dialect shows them
([prose.py](../../../fcutils/pocket/prose.py)). Among them drills with tools of random words
([drill.py](../../../fcutils/pocket/drill.py)), and minutes of nothing but strings of random tokens in which something is to be
chosen ([strings.py](../../../fcutils/pocket/strings.py)).""",
        """\
- It writes no calls and is not meant to: teach it with LoRA.
- It knows the manner of speaking of one authored corpus, in English, and no facts.""",
    ),
    "documents": Words(
        """\
Goes on with plain text about tools. It has seen no turns and no instruction followed: the sibling of `pocket-gemma-it`
that is measured beside it, to see what an adapter owes to the conversations before it.""",
        """\
Plain text from [data/universe](../../../data/universe/README.md), training split, streamed: schemas, descriptions,
requests, uses, results and lists, without turns ([documents.py](../../../fcutils/pocket/documents.py)).""",
        """\
- It answers nobody: it goes on with whatever text it is given.
- It knows the manner of speaking of one authored corpus, in English, and no facts.""",
    ),
}


def write_card(name: str, folder: Path) -> Path:
    """README.md and the plot of the log, beside the weights."""
    from fcutils.show import training

    log = read_log(folder / LOG)
    score = "tokens" if READS[name] == "documents" else "call"
    training(log, score).savefig(folder / PLOT, metadata={"Date": None})
    scores = json.loads((folder / SCORES).read_text(encoding="utf-8")) if (folder / SCORES).exists() else None
    (folder / CARD).write_text(card(name, folder, log, scores), encoding="utf-8", newline="\n")
    return folder / CARD


def card(name: str, folder: Path, log: Sequence[Mapping[str, Any]], scores: Mapping[str, Any] | None) -> str:
    words = WORDS[READS[name]]
    parts = [
        f"# {name}",
        f"{words.what}\n\n{_build(folder)} Trained from nothing by this repository; licence Apache-2.0.",
        f'```python\nfrom fcutils.models import load\n\nloaded = load("{_key(name)}")\n```',
        f"## Data\n\n{words.data} Nothing of the test sets is in it: `tests/test_leakage.py`.",
        f"## Recipe and compute\n\n{_recipe(name, log)}\n\n![Loss and validation scores over the minutes]({PLOT})",
        f"## Scores\n\n{_scores(name, scores)}",
        f"## Validation at the end of training\n\n{_looks(log)}",
        f"## Limits\n\n{words.limits}",
        f"## Checksum\n\n{_checksums(folder)}",
    ]
    return "\n\n".join(parts) + "\n"


def _key(name: str) -> str:
    return next(key for key, entry in reversed(list(CATALOGUE.items())) if entry.pocket == name)


def _build(folder: Path) -> str:
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    size = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    return (
        f"`{config['architectures'][0]}`, {_parameters(folder) / 1e6:.1f}M parameters: {config['num_hidden_layers']} layers of "
        f"width {config['hidden_size']}, {config['num_attention_heads']} heads, {config['vocab_size']} tokens in the "
        f"vocabulary, a context of {config['max_position_embeddings']}; {size / 1e6:.1f} MB in bf16."
    )


def _parameters(folder: Path) -> int:
    from safetensors import safe_open

    count = 0
    for path in folder.glob("*.safetensors"):
        with safe_open(path, framework="pt") as tensors:
            for key in tensors.keys():  # noqa: SIM118 - it is no mapping
                count += math.prod(tensors.get_slice(key).get_shape())
    return count


def _recipe(name: str, log: Sequence[Mapping[str, Any]]) -> str:
    """Every start that the log tells of, and what it took in all."""
    last = next(line for line in reversed(log) if "loss" in line)
    lines, stages = [], 0
    for line in log:
        if "plan" in line:
            first = "from nothing" if line["fresh"] else "on from an earlier stage's weights (`--from` their folder)"
            stages += not line["resumed"]
            how = "resumed" if line["resumed"] else first
            where = f"on {line['device']}" + (f", {line['threads']} threads" if line["device"] == "cpu" else "")
            lines.append(f"- at step {line['step']}, {how}, {where}: {_ran(name, line)}")
    total = f"{last['step']} steps, {last['tokens'] / 1e6:.1f}M tokens, {last['seconds'] / 3600:.2f} hours"
    earlier = " An earlier stage ran as the recipe stood then, which the repository's history keeps." if stages > 1 else ""
    return "\n".join([*lines, "", f"{total}; last loss {last['loss']:.3f}.{earlier}"]).strip()


def _ran(name: str, line: Mapping[str, Any]) -> str:
    """The command; where a script of its own ran, what it did, since no command of the repository does the same."""
    plan = line["plan"]
    if "script" in line:
        return f"a script that is not kept, for {plan['minutes']:g} minutes: {line['script']}"
    more = f" --layers {plan['layers']}" if plan["layers"] else ""
    if (plan.get("muon"), plan.get("adam")) not in (FIRST, (None, None)):
        more += f" --rates {plan['muon']:g} {plan['adam']:g}"
    more += "".join(f" --{one} {plan[one]:g}" for one in ("decay", "strings", "short") if one in plan)
    command = f"train {name} --minutes {plan['minutes']:g} --budget {plan['budget']} --seed {plan['seed']}{more}"
    return f"`python -m fcutils.pocket {command}`"


def _scores(name: str, scores: Mapping[str, Any] | None) -> str:
    from fcutils.pocket.score import table

    if scores is None:
        return f"None yet: `python -m fcutils.pocket score {name}`, then write the card again."
    rows = "all rows" if scores["rows_a_set"] == "all" else f"the first {scores['rows_a_set']} rows of each set"
    return (
        f"Greedy, on the frozen test sets of [data/](../../../data/README.md) ({rows}), with 95 % intervals; "
        f"`{scores['command']}`, {scores['date'][:10]}.\n\n{table(scores)}"
    )


def _looks(log: Sequence[Mapping[str, Any]]) -> str:
    looks = [line["scores"] for line in log if "scores" in line]
    if not looks:
        return "The run did not look."
    parts = looks[-1]
    names = list(dict.fromkeys(name for scores in parts.values() for name in scores))
    rows = [f"| {name} | " + " | ".join(str(scores.get(name, "-")) for scores in parts.values()) + " |" for name in names]
    return "\n".join([f"| | {' | '.join(parts)} |", "|---|" + "---|" * len(parts), *rows])


def _checksums(folder: Path) -> str:
    lines = (folder / SUMS).read_text(encoding="utf-8").splitlines()
    weights = [line for line in lines if line.endswith(".safetensors")]
    return "sha256, checked by `fcutils.models.load` with all other files (`sha256sum -c SHA256SUMS`):\n\n" + "\n".join(
        f"    {line}" for line in weights
    )
