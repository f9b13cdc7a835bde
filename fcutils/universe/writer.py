"""Conversations from the universe: streamed, seeded, the same bytes for the same seed.

Knows how episodes over one list of tools make a conversation. What may be used is a `Corner` (`splits.py`); how one
episode goes is `episodes.py`; how tools are named is `disguise.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, Literal

from fcutils.messages import Conversation, Message
from fcutils.universe import episodes, mending
from fcutils.universe.disguise import names
from fcutils.universe.files import Chain, Domain, Phrasing, Tool
from fcutils.universe.splits import Corner, Target

Kind = Literal["single", "parallel", "sequence", "nothing", "missing", "failing", "mending"]
MIX: Mapping[str, float] = {
    "single": 0.47,
    "parallel": 0.14,
    "sequence": 0.1,
    "nothing": 0.13,
    "missing": 0.11,
    "failing": 0.05,
    "mending": 0.04,
}
MODES: Mapping[str, float] = {"own": 0.5, "styled": 0.25, "made_up": 0.25}
SYSTEM_RATE = 0.2  # conversations that open with a system message
TERSE_RATE = 0.1  # conversations whose parameters have no description (never under made-up names)


@dataclass(frozen=True, slots=True)
class Recipe:
    """How conversations are to be: kinds and their shares (of the sum), requests a conversation, tools on offer, names."""

    mix: Mapping[str, float] = field(default_factory=lambda: MIX)
    modes: Mapping[str, float] = field(default_factory=lambda: MODES)
    requests: tuple[int, int] = (1, 5)
    tools: tuple[int, int] = (1, 10)
    follow: bool = True  # after a question, the user answers and the call is made
    brief: bool = False  # requests and the first reply to each, without what follows from it


def conversations(where: Corner, seed: int, recipe: Recipe | None = None) -> Iterator[Conversation]:
    """Without end; the n-th conversation depends on the seed and n alone."""
    recipe = recipe or Recipe()
    number = 0
    while True:
        rng = Random(f"{seed}/{where.split}/{number}")
        made = conversation(where, rng, recipe)
        number += 1
        if made is not None:
            yield made


def conversation(where: Corner, rng: Random, recipe: Recipe) -> Conversation | None:
    """One conversation; None where the dice fell on something that this corner cannot give."""
    kinds = rng.choices(list(recipe.mix), list(recipe.mix.values()), k=rng.randint(*recipe.requests))
    domain = rng.choice(where.everything).domain
    size = rng.randint(*recipe.tools)
    stage = _stage(where, domain, kinds, size, rng)
    if stage is None:
        return None
    messages: list[Message] = []
    mended: list[int] = []  # calls that are to be wrong at first
    for kind in kinds:
        made = _EPISODES[kind](where, stage, rng, recipe)
        if made is None:
            return None
        mended += [len(messages) + 1] if kind == "mending" else []
        messages += made[:2] if recipe.brief else made
    asked = [message.content.casefold() for message in messages if message.role == "user"]
    if len(set(asked)) < len(asked):
        return None  # nobody asks the same thing twice
    return _finish(where, stage, messages, kinds, mended, rng, recipe)


@dataclass(slots=True)
class _Stage:
    """The tools on offer in one conversation, and those that its requests may ask for."""

    domain: Domain
    offered: list[Tool]
    targets: list[Target]
    chains: list[tuple[Chain, tuple[Phrasing, ...]]]


def _stage(where: Corner, domain: Domain, kinds: Sequence[str], size: int, rng: Random) -> _Stage | None:
    chains = where.chains.get(domain.name, [])
    chosen: list[Tool] = []
    if "sequence" in kinds:
        if not chains:
            return None
        chain = rng.choice(chains)
        chains = [chain]
        chosen = list({step["tool"]: domain.tools[step["tool"]] for step in chain[0].steps}.values())
    targets = where.targets[domain.name]
    wanted = {"parallel": rng.randint(1, 3)}.get("parallel" if "parallel" in kinds else "", 1)
    for target in rng.sample(targets, min(len(targets), max(wanted, rng.randint(1, 3)))):
        if len(chosen) < max(size, wanted, 1) and target.tool not in chosen:
            chosen.append(target.tool)
    families = {tool.family for tool in chosen if tool.family}
    mates = [tool for tool in where.offered[domain.name] if tool not in chosen]
    near = [tool for tool in mates if tool.family in families]
    far = [tool for tool in mates if tool.family not in families]
    rng.shuffle(near)
    rng.shuffle(far)
    others = rng.choice(list(where.offered.values()))
    pool = near + far if rng.random() < 0.75 else near + rng.sample(others, len(others)) + far
    for tool in pool:
        if len(chosen) >= size:
            break
        if tool not in chosen:
            chosen.append(tool)
    rng.shuffle(chosen)
    on_offer = [target for target in targets if target.tool in chosen]
    return _Stage(domain, chosen, on_offer, chains) if on_offer else None


def _single(where: Corner, stage: _Stage, rng: Random, recipe: Recipe) -> list[Message] | None:
    target = rng.choice(stage.targets)
    return episodes.single(target.tool, rng.choice(target.phrasings), target.domain, rng, where.split)


def _failing(where: Corner, stage: _Stage, rng: Random, recipe: Recipe) -> list[Message] | None:
    target = rng.choice(stage.targets)
    return episodes.failing(target.tool, rng.choice(target.phrasings), target.domain, rng, where.split)


def _missing(where: Corner, stage: _Stage, rng: Random, recipe: Recipe) -> list[Message] | None:
    able = [(t, v) for t in stage.targets for v in t.vague if episodes.missing_in(t.tool, v)]
    if not able:
        return None
    target, vague = rng.choice(able)
    return episodes.asking(target.tool, vague, target.domain, rng, where.split, recipe.follow and rng.random() < 0.5)


def _sequence(where: Corner, stage: _Stage, rng: Random, recipe: Recipe) -> list[Message] | None:
    chain, says = rng.choice(stage.chains)
    return episodes.chained(chain, rng.choice(says), stage.domain, rng, where.split)


def _parallel(where: Corner, stage: _Stage, rng: Random, recipe: Recipe) -> list[Message] | None:
    several = [t for t in stage.targets if any(p.each for p in t.phrasings)]
    if several and rng.random() < 0.4:
        return _parallel_values(where, rng.choice(several), rng)
    count = rng.choice((2, 2, 2, 3))
    picked = rng.sample(stage.targets, min(count, len(stage.targets)))
    picked += [rng.choice(stage.targets) for _ in range(2 - len(picked))]
    asked = [(t, rng.choice(t.phrasings)) for t in picked]
    givens = [(t, episodes.give(t.tool, phrasing, t.domain, rng, where.split)) for t, phrasing in asked]
    if _clash(givens):
        return None
    text = givens[0][1].text
    for (_, phrasing), (_, given) in list(zip(asked, givens, strict=True))[1:]:
        stays = given.text[:2] in ("I ", "I'") or phrasing.text.startswith("{")  # a value keeps its capital
        low = given.text if stays else given.text[:1].lower() + given.text[1:]
        text = rng.choice(where.talk["joins"]).format(a=_stopped(text), b=given.text, b_low=low)
    return [Message("user", text), *_served_together(givens, where, rng)]


def _clash(givens: Sequence[tuple[Target, episodes.Given]]) -> bool:
    """Whether one tool is asked for the same thing twice (the same blinds, at 55 and at 60 percent)."""
    seen = [(t.tool.name, v) for t, g in givens for v in g.arguments.values() if isinstance(v, str)]
    whole = [(t.tool.name, str(g.arguments)) for t, g in givens]
    return len(set(seen)) < len(seen) or len(set(whole)) < len(whole)


def _stopped(text: str) -> str:
    return text if text[-1:] in ".!?" else text + "."


def _parallel_values(where: Corner, target: Target, rng: Random) -> list[Message] | None:
    """One sentence that names several things ("the weather in Paris and Rome"), a call each."""
    phrasing = rng.choice([p for p in target.phrasings if p.each])
    assert phrasing.each is not None
    drawn: dict[Any, str] = {}
    wanted = rng.choice((2, 2, 3))
    for _ in range(20):
        value, said = target.tool.draws[phrasing.each](rng, where.split)
        if " and " not in said:
            drawn[value] = said
        if len(drawn) == wanted:
            break
    if len(drawn) < 2:
        return None
    fixed = {phrasing.each: (None, episodes.say_list(list(drawn.values())))}
    base = episodes.give(target.tool, phrasing, target.domain, rng, where.split, fixed)
    givens = []
    for value, said in drawn.items():
        arguments = {name: (value if name == phrasing.each else kept) for name, kept in base.arguments.items()}
        givens.append((target, episodes.Given(arguments, {**base.said, phrasing.each: said}, base.text)))
    if len({str(given.arguments) for _, given in givens}) < len(givens):
        return None
    return [Message("user", base.text), *_served_together(givens, where, rng)]


def _served_together(givens: Sequence[tuple[Target, episodes.Given]], where: Corner, rng: Random) -> list[Message]:
    """All calls in one message, their results in order, and one answer."""
    calls = tuple(episodes.call_of(t.tool, g) for t, g in givens)
    results = [episodes.result_of(t.tool, g, t.domain, rng, where.split) for t, g in givens]
    thoughts = dict.fromkeys(filter(None, (episodes.called(t.tool, g, rng).thought for t, g in givens)))
    observed = [episodes.observed(call, result) for call, result in zip(calls, results, strict=True)]
    answers = dict.fromkeys(_telling(t.tool, g, r, rng) for (t, g), r in zip(givens, results, strict=True))
    return [Message("assistant", thought=" ".join(thoughts), calls=calls), *observed, Message("assistant", " ".join(answers))]


def _telling(tool: Tool, given: episodes.Given, result: Any, rng: Random) -> str:
    """An answer that names what was asked for, where the tool has one: "That is Irish. That is Basque." tells nobody which."""
    text = ""
    for _ in range(6):
        text = episodes.answer_from(tool, given, result, rng)
        if any(said in text for said in given.said.values()):
            break
    return text


def _nothing(where: Corner, stage: _Stage, rng: Random, recipe: Recipe) -> list[Message] | None:
    dice = rng.random()
    if dice < 0.2:
        said, reply = rng.choice(where.talk["small_talk"])
        return [Message("user", said), Message("assistant", reply)]
    if dice < 0.4:
        text = rng.choice(where.talk["off_topic"])
    elif dice < 0.7 and where.beyond[stage.domain.name]:
        text = rng.choice(where.beyond[stage.domain.name])
    else:
        families, offered = {tool.family or tool.name for tool in stage.offered}, {tool.name for tool in stage.offered}
        pool = where.targets[stage.domain.name] if rng.random() < 0.5 else where.everything
        absent = [t for t in pool if t.tool.name not in offered and (t.tool.family or t.tool.name) not in families]
        if not absent:
            return None
        target = rng.choice(absent)
        text = episodes.give(target.tool, rng.choice(target.phrasings), target.domain, rng, where.split).text
    return [Message("user", text), Message("assistant", _decline(where, stage, rng))]


def _decline(where: Corner, stage: _Stage, rng: Random) -> str:
    said = rng.choice(where.talk["declines"])
    about = {tool.domain for tool in stage.offered}
    if len(about) == 1 and rng.random() < 0.4:
        text = stage.domain.about.rstrip(".")
        said += " " + rng.choice(where.talk["offers"]).format(about=text[:1].lower() + text[1:] + ".")
    return said


_EPISODES = {
    "single": _single,
    "parallel": _parallel,
    "sequence": _sequence,
    "nothing": _nothing,
    "missing": _missing,
    "failing": _failing,
    "mending": _single,  # the refused call comes before it when the tools have their names
}


def _finish(
    where: Corner,
    stage: _Stage,
    messages: list[Message],
    kinds: Sequence[str],
    mended: Sequence[int],
    rng: Random,
    recipe: Recipe,
) -> Conversation | None:
    mode: Any = rng.choices(list(recipe.modes), list(recipe.modes.values()))[0]
    new = names(stage.offered, mode, rng)
    full = mode == "made_up" or rng.random() >= TERSE_RATE
    opening = [Message("system", rng.choice(where.talk["systems"]))] if rng.random() < SYSTEM_RATE else []
    used = [call.name for message in messages for call in message.calls]
    tools = tuple(new.offer(tool, full) for tool in stage.offered)
    said = [*opening, *map(new.message, messages)]
    meta: dict[str, Any] = {"kinds": list(kinds), "domain": stage.domain.name, "targets": used, "names": mode}
    if mended:
        meta["refused"] = _refuse(said, [at + len(opening) for at in mended], tools, rng)
        if len(meta["refused"]) < len(mended):
            return None
    return Conversation(tuple(said), tools, meta)


def _refuse(said: list[Message], mended: Sequence[int], tools: Sequence[Mapping[str, Any]], rng: Random) -> list[int]:
    """Put a faulty call, and what the toolbox says of it, before each of these; gives back where the faulty ones stand.

    They are there to be mended, and never to be learnt: whoever trains on the conversation leaves those messages out.
    """
    places: list[int] = []
    for at in mended:
        found = mending.refused(said[at + 2 * len(places)].calls[0], tools, rng)
        if found is not None:
            bad, observation = found
            place = at + 2 * len(places)
            said[place:place] = [Message("assistant", calls=(bad,)), observation.to_message()]
            places.append(place)
    return places
