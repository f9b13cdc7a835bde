"""What the benchmarks found, in one shape: each measurement beside its peer, with what bounds it.

Knows what stands where in `results/*.json`, and nothing else: a benchmark is added with one function here. A result without
one is shown by its `goals`. Numbers are taken over as they are.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keeping import FOLDER


@dataclass(frozen=True, slots=True)
class Finding:
    """One measurement. `values`: ours first, then the peer it is held against, then others; a limit may stand among them."""

    what: str
    unit: str
    values: Mapping[str, float]
    limit: str  # what bounds it
    less: bool = True  # is better
    wanted: str = ""

    @property
    def ours(self) -> float:
        return next(iter(self.values.values()))

    @property
    def peer(self) -> str:
        return list(self.values)[1] if len(self.values) > 1 else ""

    @property
    def ratio(self) -> float | None:
        """How many times better than the peer."""
        if not self.peer:
            return None
        theirs = self.values[self.peer]
        if not (theirs and self.ours):
            return None  # nothing is so many times nothing
        return theirs / self.ours if self.less else self.ours / theirs

    @property
    def here(self) -> str:
        return f"{figure(self.ours)} {self.unit}"

    @property
    def beside(self) -> str:
        return f"{self.peer}: {figure(self.values[self.peer])}" if self.peer else "-"

    @property
    def times(self) -> str:
        return "-" if self.ratio is None else f"{figure(self.ratio)} ×"


@dataclass(frozen=True, slots=True)
class Result:
    """One file of results. `goals` are those that it states itself: a text each for what was wanted, and what was reached."""

    name: str
    command: str
    date: str
    machine: str
    findings: tuple[Finding, ...]
    goals: Mapping[str, tuple[str, str]]


def results() -> list[Result]:
    """Every file of results that there is, by name."""
    return [read(path) for path in sorted(FOLDER.glob("*.json"))]


def read(path: Path) -> Result:
    found = json.loads(path.read_text(encoding="utf-8"))
    try:
        findings = tuple(READERS[path.stem](found)) if path.stem in READERS else ()
        return Result(path.stem, found["command"], found["date"][:10], found["machine"], findings, _goals(found))
    except (KeyError, IndexError, TypeError) as error:
        raise ValueError(
            f"results/{path.name} is not what benchmarks/reading.py expects ({error!r}): adapt {path.stem}()"
        ) from error


def parsing(found: Mapping[str, Any]) -> Iterator[Finding]:
    reply, streamed, floors = found["one_reply_us"], found["streamed"], found["floors"]
    yield Finding(
        "one reply with a tagged call, read",
        "µs",
        {"fcutils": reply["fcutils"], "transformers": reply["transformers"]},
        f"reading the JSON alone, without looking for it, takes json_repair {reply['json_repair']:.1f} µs",
    )
    size = str(32 * 1024)
    ends = {name: one["seconds"][size] * 1000 for name, one in streamed.items() if size in one["seconds"]}
    over = [f"{name} is given up at {one['over']['size'] // 1024} kB" for name, one in streamed.items() if "over" in one]
    yield Finding(
        "an argument of 32 kB, streamed",
        "ms",
        {name: ends[name] for name in ("fcutils", "transformers") if name in ends},
        "; ".join(["one walk over the text, in Python", *over]),
        wanted=f"under {floors['streamed_32kB_ms']:g}",
    )
    worst = max(max(row["fcutils"]["seconds"].values()) for row in found["adversarial"].values())
    peers = {name for row in found["adversarial"].values() for name in row} - {"fcutils"}
    lost = {
        name: sum(bool({"over", "error"} & set(row.get(name, ()))) for row in found["adversarial"].values()) for name in peers
    }
    said = ", ".join(f"{name} on {count}" for name, count in sorted(lost.items()))
    yield Finding(
        "the slowest of the texts made to be slow, 1 MB",
        "s",
        {"fcutils": worst},
        f"of {len(found['adversarial'])} texts, peers are given up or fail: {said}",
        wanted=f"under {floors['seconds_for_1MB']:g}",
    )


def toolbox(found: Mapping[str, Any]) -> Iterator[Finding]:
    one = {name: figures["best"] for name, figures in found["one call, in µs"].items()}
    peer = "langchain-core StructuredTool"
    yield Finding(
        "a call: arguments checked, run, result checked",
        "µs",
        {"toolbox": one["toolbox"], peer: one[peer], "pydantic validate_call": one["pydantic validate_call"]},
        f"Pydantic's check of the arguments alone: {one['pydantic validate_call']:.1f} µs",
    )
    yield Finding(
        "the same in a process that can be killed",
        "µs",
        {"toolbox, warm process": one["toolbox, warm process"]},
        "two trips through a pipe",
    )


def loop(found: Mapping[str, Any]) -> Iterator[Finding]:
    length, work = max(found["context"].items(), key=lambda item: int(item[0]))
    ways = ("this loop", "stock generate, re-sending", "stock generate, its own cache reused")
    yield Finding(
        f"eight tool turns that fill {length} tokens",
        "s of CPU",
        {way: work[way]["seconds"] for way in ways},
        f"{work['the fewest tokens that can be forwarded']} tokens at the fewest; forwarded: "
        f"{work[ways[0]]['tokens forwarded']}, re-sending {work[ways[1]]['tokens forwarded']}; stock generate with its cache "
        f"kept by hand: {work[ways[2]]['seconds']:.3g} s",
    )
    length, speed = max(found["decoding behind a context of"].items(), key=lambda item: int(item[0]))
    yield Finding(
        f"decoding behind {speed['tokens before']} tokens",
        "tokens/s",
        {"this engine": speed["this engine, tokens/s"], "stock generate": speed["stock generate, tokens/s"]},
        f"memory bandwidth: {speed['bound, tokens/s']:.0f} tokens/s if weights and cache were only read",
        less=False,
    )


def constrained(found: Mapping[str, Any]) -> Iterator[Finding]:
    cost = found["ms a token"]
    yield Finding(
        "holding a call to its schema, on top of a token",
        "ms",
        {
            "llguidance, as used here": cost["of these in the guide"],
            "a naive check of the vocabulary": cost["naive whole-vocabulary JSON check, on top"],
        },
        found["bound"],
        wanted=f"under {found['goal, % of decoding time']['goal']:g} % of decoding time; "
        f"{found['goal, % of decoding time']['best round']:g} %",
    )


def many_tools(found: Mapping[str, Any]) -> Iterator[Finding]:
    for name, one in found["found"].items():
        yield Finding(
            f"the tool that is called for is among the 8 shown of {found['tools registered']} ({name})",
            "of 1",
            {"BestTools": one["recall@8"], "plain BM25": one["recall@8, plain BM25 over names and descriptions"]},
            f"words alone; 32 shown: {one['recall@32']:.2f}. "
            f"A prompt has {one['tokens of a prompt that offers 8']} tokens for {one['tokens of a prompt that offers 200']}",
            less=False,
        )


def universe(found: Mapping[str, Any]) -> Iterator[Finding]:
    speed = found["rows_a_second"]
    yield Finding(
        "conversations written on one core",
        "rows/s",
        {"the universe": speed["best"]},
        "Python itself, drawing and joining strings; other corpora are files, so that there is no peer",
        less=False,
        wanted=f"at least {speed['wanted']}",
    )


def finetune(found: Mapping[str, Any]) -> Iterator[Finding]:
    ways = found["ways"]
    times = {way: one["seconds_to_same"] for way, one in ways.items() if one["seconds_to_same"] is not None}
    speeds = {way: one["answer_tokens_a_second"] for way, one in ways.items()}
    bound = "forwards and backwards through the weights"
    yield Finding(
        f"fine-tuning until the right reply costs {found['same_nats']:.1f} nats",
        "s",
        times,
        bound,
        wanted="a third of published",
    )
    yield Finding("answer tokens learnt", "tokens/s", speeds, bound, less=False)


def ablations(found: Mapping[str, Any]) -> Iterator[Finding]:
    nats = {name: one["nats a reply"] for name, one in found["variants"].items()}
    what = f"what the right reply costs after {found['settings']['steps']} steps of LoRA, one choice changed at a time"
    yield Finding(what, "nats", nats, f"{found['settings']['validation rows']} validation rows; a perfect model: 0")


HOUSE = (("house", "whole call", ""),)
TUNED = (("unseen_tools", "whole call", "70"), ("unseen_tools", "right tool", ""), ("nothing_to_call", "holds back", "80"))
DUE = {"nothing_to_call": "holds back", "missing_information": "asks"}  # elsewhere a call, and a whole one


def tuned(found: Mapping[str, Any]) -> Iterator[Finding]:
    for name, run in found["runs"].items():
        bound = f"{run['facts']['rows']} rows trained on, {run['facts']['steps']} steps"
        for one, score, wanted in HOUSE if "house" in run["after"] else TUNED:
            values = {when: 100 * run[when][one][score]["share"] for when in ("after", "before")}
            what, asked = f"{name}: {score} on {one.replace('_', ' ')}", run["after"][one][score]["n"]
            yield Finding(what, "%", values, f"{bound}; {asked} asked", less=False, wanted=wanted)
        if "house" in run["after"]:
            yield from _elsewhere(name, run, bound)


def _elsewhere(name: str, run: Mapping[str, Any], bound: str) -> Iterator[Finding]:
    """What became of all that was not trained: every set together, and the one that lost most."""
    sets = [one for one in run["after"] if one != "house"]
    after, before = ([run[when][one][DUE.get(one, "whole call")] for one in sets] for when in ("after", "before"))
    lost = [was["share"] - now["share"] for now, was in zip(after, before, strict=True)]
    worst = lost.index(max(lost))
    shown = {f"{len(sets)} other sets together": range(len(sets)), f"the one that lost most, {sets[worst]}": [worst]}
    for what, some in shown.items():
        asked = sum(after[one]["n"] for one in some)
        values = {
            when: 100 * sum(scores[one]["hits"] for one in some) / asked
            for when, scores in (("after", after), ("before", before))
        }
        what = f"{name}: done right on {what.replace('_', ' ')}"
        yield Finding(what, "%", values, f"{bound}; {asked} asked", less=False, wanted="3 points less at most")


def evaluation(found: Mapping[str, Any]) -> Iterator[Finding]:
    took, each = found["seconds of CPU"], found["µs a reply"]
    ways = ("fcutils", "stock generate, 32 side by side", "stock generate, one by one")
    bound = "forwards: what prompts have in common, the tools say, is read once; padding is not"
    yield Finding(f"replies to {found['requests']} requests with tools", "s of CPU", {way: took[way] for way in ways}, bound)
    limit = f"reading the reply alone: {each['read']:.0f} µs; evaluating is sampling"
    yield Finding("a reply read and judged", "µs of CPU", {"fcutils": each["read and judged"]}, limit)


def start(found: Mapping[str, Any]) -> Iterator[Finding]:
    took = found["import, in ms"]
    own = f"Python's own start: {took['nothing']:.0f} ms; what is imported is loaded when it is first used"
    yield Finding("`import fcutils`, in a new process", "ms of CPU", {"fcutils": took["fcutils"]}, own, wanted="under 300")
    ways = ("fcutils, a toolbox and a parser", "langchain-core, a tool", "openai")
    bound = f"Pydantic alone: {took['pydantic']:.0f} ms"
    yield Finding("a toolbox and a parser, imported", "ms of CPU", {way: took[way] for way in ways}, bound)
    ready = found["`make`, environment ready, in ms"]
    yield Finding("`make` finds the environment ready", "ms of CPU", {"fcutils": ready}, "starting Python")
    if (first := found.get("`make demo` in a fresh clone, in s")) is not None:
        bound = "the network and the disk: requirements.txt is installed once"
        yield Finding("from a fresh clone to the demo's answer", "s", {"fcutils": first}, bound)


READERS: Mapping[str, Callable[[Mapping[str, Any]], Iterator[Finding]]] = {
    one.__name__: one
    for one in (parsing, toolbox, loop, constrained, many_tools, universe, finetune, ablations, tuned, evaluation, start)
}


def figure(value: float) -> str:
    """Three digits that count."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _goals(found: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """`goals` as some benchmarks state them: `{name: {"goal": ..., "reached": ...}}`."""
    return {name: (_words(one["goal"]), _words(one["reached"])) for name, one in found.get("goals", {}).items()}


def _words(value: Any) -> str:
    return "; ".join(f"{name}: {one}" for name, one in value.items()) if isinstance(value, dict) else str(value)
