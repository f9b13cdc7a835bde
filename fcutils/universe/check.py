"""Is a domain's file good? What a reader of YAML cannot see: too few or too similar sentences, values that nobody
gives, chains that do not fit.

`files.py` refuses what cannot be read; this file holds the house's measure of quality, and tries every sentence out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from difflib import SequenceMatcher
from random import Random
from typing import Any

from fcutils.universe.episodes import asking, chained, failing, look_up, missing_in, single
from fcutils.universe.files import HOLE, Domain, Fault, Tool
from fcutils.universe.values import SPLITS, Lists

TOOLS = (8, 14)
PHRASINGS = 10
SIMILAR = 0.86  # two sentences of one tool more alike than this are one sentence


def check(domain: Domain) -> list[Fault]:
    """Everything that falls short, tool by tool."""
    faults = [Fault(domain.path, line, where, what) for line, where, what in _domain(domain)]
    for tool in domain.tools.values():
        faults += [Fault(domain.path, tool.line, tool.name, what) for what in _tool(tool, domain)]
    return faults


def _domain(domain: Domain) -> Iterator[tuple[int, str, str]]:
    if not TOOLS[0] <= len(domain.tools) <= TOOLS[1]:
        yield 1, "tools", f"{len(domain.tools)} tools; {TOOLS[0]} to {TOOLS[1]} make a domain"
    if len(domain.chains) < 2:
        yield 1, "chains", "fewer than two"
    if len(domain.beyond) < 6:
        yield 1, "beyond", "fewer than six"
    for name in domain.lists.names():
        yield from _list(name, domain.lists)
    for chain in domain.chains:
        if len(chain.say) < 4:
            yield chain.line, "chain", "fewer than four ways to say it"
        if len(chain.thoughts) != len(chain.steps):
            yield chain.line, "chain", f"{len(chain.steps)} steps and {len(chain.thoughts)} thoughts"
        for phrasing in chain.say:
            yield from ((chain.line, "chain", what) for what in _try_chain(chain, phrasing, domain))
    seen: dict[str, str] = {}
    for tool in domain.tools.values():
        for phrasing in tool.phrasings + tool.vague:
            key = " ".join(re.findall(r"\w+", HOLE.sub("_", phrasing.text).lower()))
            if seen.setdefault(key, tool.name) != tool.name:
                yield tool.line, tool.name, f"{seen[key]} is asked for in the same words: {phrasing.text}"


def _list(name: str, lists: Lists) -> Iterator[tuple[int, str, str]]:
    for split in SPLITS:
        if lists.size(name, split) < 1:
            yield 1, f"values.{name}", f"nothing falls to {split}: add entries"


def _try_chain(chain: Any, phrasing: Any, domain: Domain) -> Iterator[str]:
    try:
        messages = chained(chain, phrasing, domain, Random(1), "train")
    except Exception as error:
        yield f"cannot be played ({error}): {phrasing.text}"
        return
    for message in messages:
        for call in message.calls:
            tool = domain.tools[call.name]
            lacking = [name for name in tool.required if call.arguments.get(name) is None]
            if lacking:
                yield f"{tool.name} lacks {', '.join(lacking)} in: {phrasing.text}"
            unset = [name for name, value in call.arguments.items() if value is None]
            if unset:
                yield f"{tool.name}.{unset[0]} comes out empty (is the path right?)"
    if not messages[-1].content:
        yield f"the answer names something that is not there: {chain.answer}"


def _tool(tool: Tool, domain: Domain) -> Iterator[str]:
    if len(tool.phrasings) < PHRASINGS:
        yield f"{len(tool.phrasings)} phrasings; {PHRASINGS} at least"
    for phrasing in tool.phrasings:
        for name in missing_in(tool, phrasing):
            if not (tool.record and name in domain.records[tool.record][0]):
                yield f"{name!r} is required and not given in: {phrasing.text}"
    yield from _vague(tool)
    yield from _similar(tool)
    for name in tool.parameters:
        uses = sum(name in {h.split(".")[0] for h in p.holes} | {k.split(".")[0] for k in p.set} for p in tool.phrasings)
        if name not in tool.required and uses < 2:
            yield f"optional {name!r} is used by {uses} phrasings; two at least"
    if len(tool.thoughts) < 2 or len(tool.answers) < 2:
        yield "needs two thoughts and two answers at least"
    yield from _holes(tool, domain)
    yield from _play(tool, domain)


def _vague(tool: Tool) -> Iterator[str]:
    if tool.required and not tool.record and len(tool.vague) < 2:
        yield f"{len(tool.vague)} vague phrasings; two at least"
    for phrasing in tool.vague:
        if not missing_in(tool, phrasing):
            yield f"nothing is missing in the vague: {phrasing.text}"
    for name in tool.required:
        if name not in tool.ask and tool.vague:
            yield f"no question in `ask` for {name!r}"


def _similar(tool: Tool) -> Iterator[str]:
    bare = [HOLE.sub("_", phrasing.text).lower() for phrasing in tool.phrasings]
    for i, one in enumerate(bare):
        for other in bare[:i]:
            if SequenceMatcher(None, one, other).ratio() > SIMILAR:
                yield f"two phrasings are nearly the same: {one!r} and {other!r}"


def _holes(tool: Tool, domain: Domain) -> Iterator[str]:
    """Holes in thoughts, answers and plain sentences must name something."""
    fields = set(domain.records[tool.record][0]) if tool.record else set()
    known = set(tool.draws) | set(tool.parameters) | fields
    for text in (*tool.thoughts, *tool.plain, *tool.answers, tool.error.get("answer", "")):
        for hole in HOLE.findall(text):
            inside = hole.startswith("result.") and look_up({"result": tool.result}, hole) is not None
            if hole not in known and not inside:
                yield f"{{{hole}}} names nothing in: {text}"
    certain = set(tool.required) | {f"{n}.{k}" for n in tool.required for k in tool.parameters[n].get("properties", {})}
    if tool.thoughts and not any(set(HOLE.findall(text)) <= certain | fields for text in tool.thoughts):
        yield "no thought can be used when only the required values are given"
    if not any({h for h in HOLE.findall(t) if not h.startswith("result.")} <= certain | fields for t in tool.answers):
        yield "no answer can be used when only the required values are given"
    if tool.plain and not all(set(HOLE.findall(text)) <= certain | fields for text in tool.plain):
        yield "a `plain` names an optional value, which may not be there"
    unsaid = [n for n in certain & set(tool.draws) if not any(n in text for text in tool.plain)]
    if tool.plain and unsaid:
        yield f"no `plain` gives the required {unsaid[0]!r}"


def _play(tool: Tool, domain: Domain) -> Iterator[str]:
    for number, phrasing in enumerate(tool.phrasings + tool.vague):
        play = single if phrasing in tool.phrasings else asking
        more: tuple[Any, ...] = () if play is single else (True,)
        try:
            for split in SPLITS:
                messages = play(tool, phrasing, domain, Random(number), split, *more)
                if any(message.role == "assistant" and not message.content and not message.calls for message in messages):
                    yield f"no answer can be made for: {phrasing.text}"
            failing(tool, phrasing, domain, Random(number), "train")
        except Exception as error:
            yield f"cannot be played ({type(error).__name__}: {error}): {phrasing.text}"


def show(domain: Domain, count: int) -> Iterator[str]:
    """Requests with their calls, results and answers, to be read."""
    rng = Random(0)
    tools = list(domain.tools.values())
    for number in range(count):
        tool = tools[number % len(tools)]
        dice = number // len(tools) % 5
        if dice == 4 and domain.chains:
            chain = rng.choice(domain.chains)
            messages = chained(chain, rng.choice(chain.say), domain, rng, "train")
        elif dice == 3 and tool.vague:
            messages = asking(tool, rng.choice(tool.vague), domain, rng, "train", True)
        elif dice == 2:
            messages = failing(tool, rng.choice(tool.phrasings), domain, rng, "train")
        else:
            messages = single(tool, rng.choice(tool.phrasings), domain, rng, "train")
        yield "\n".join(_line(message) for message in messages) + "\n"


def _line(message: Any) -> str:
    if message.role == "user":
        return f"USER      {message.content}"
    if message.role == "tool":
        return f"  result  {message.content}"
    said: list[str] = []
    if message.thought:
        said.append(f"  thought {message.thought}")
    said += [f"  call    {call.name} {_arguments(call.arguments)}" for call in message.calls]
    return "\n".join(said + ([f"  answer  {message.content}"] if message.content else []))


def _arguments(arguments: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}={value!r}" for key, value in arguments.items())
