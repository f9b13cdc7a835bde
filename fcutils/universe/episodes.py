"""One request and what follows from it: the messages of an episode, for one tool or one chain.

Knows how sentences, calls, results and answers are filled with values, and the slips of real typing. It does not know
which tools are on offer beside it, nor how episodes make a conversation (`writer.py`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from random import Random
from typing import Any

from fcutils.messages import Message, Observation, ToolCall
from fcutils.universe.files import HOLE, Chain, Domain, Phrasing, Tool
from fcutils.universe.values import day_apart, say_list
from fcutils.universe.worked import work_out

TYPO_RATE = 0.06  # a sentence with one slip of the fingers, outside the values
LOWER_RATE = 0.07  # a sentence without capitals, outside the values
BARE_RATE = 0.10  # a sentence without its final stop
APART = re.compile(r"(after|before)\(([\w.]+)\)")  # in results: a day after, or before, the one that an argument names


@dataclass(slots=True)
class Given:
    """What a request says: the arguments it implies, and how each value was said."""

    arguments: dict[str, Any]
    said: dict[str, str]
    text: str


def give(
    tool: Tool, phrasing: Phrasing, domain: Domain, rng: Random, split: str, fixed: Mapping[str, tuple[Any, str]] | None = None
) -> Given:
    """Fill a phrasing with values; `fixed` gives some of them."""
    record = rng.choice(domain.records[tool.record]) if tool.record else {}
    drawn: dict[str, tuple[Any, str]] = {}
    for hole in phrasing.holes:
        if fixed and hole in fixed:
            drawn[hole] = fixed[hole]
        elif hole in record:
            drawn[hole] = (record[hole], str(record[hole]))
        else:
            drawn[hole] = _draw_apart(tool, hole, drawn, rng, split)
    said = {hole: text for hole, (_, text) in drawn.items()}
    flat = {hole: value for hole, (value, _) in drawn.items()}
    flat |= {name: record[name] for name in tool.parameters if name in record}
    flat |= phrasing.set
    return Given(nest(tool, flat), said, _say(phrasing.text, said, rng))


def _draw_apart(tool: Tool, hole: str, drawn: Mapping[str, tuple[Any, str]], rng: Random, split: str) -> tuple[Any, str]:
    """A value that no other parameter of the request has already (nobody flies from Oslo to Oslo)."""
    pair = tool.draws[hole](rng, split)
    for _ in range(8):
        if not isinstance(pair[0], str) or all(pair[0] != other for other, _ in drawn.values()):
            break
        pair = tool.draws[hole](rng, split)
    return pair


def nest(tool: Tool, flat: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments in the schema's order, `address.street` put into its object."""
    out: dict[str, Any] = {}
    for name in tool.parameters:
        if name in flat:
            out[name] = flat[name]
        inside = {key[len(name) + 1 :]: value for key, value in flat.items() if key.startswith(name + ".")}
        if inside:
            out[name] = {key: inside[key] for key in tool.parameters[name].get("properties", {}) if key in inside}
    return out


@lru_cache(maxsize=100_000)
def _parts(text: str) -> tuple[str, ...]:
    """Literal text and holes, in turn."""
    return tuple(HOLE.split(text))


def _say(text: str, said: Mapping[str, str], rng: Random) -> str:
    parts = _parts(text)
    literals, holes = list(parts[0::2]), [said[hole] for hole in parts[1::2]]
    _slip(literals, rng)
    out = [literals[0]]
    for hole, literal in zip(holes, literals[1:], strict=True):
        out += [hole, literal]
    whole = "".join(out).strip()
    return (
        whole[:1].upper() + whole[1:]
        if literals[0] == "" and parts[0] == "" and whole[:1].islower() and rng.random() < 0.5
        else whole
    )


def _slip(literals: list[str], rng: Random) -> None:
    """Slips of real typing, in the literal pieces alone: values stay exact."""
    dice = rng.random()
    if dice < LOWER_RATE:
        literals[:] = [piece.lower() for piece in literals]
    elif dice < LOWER_RATE + BARE_RATE:
        literals[-1] = literals[-1].rstrip(".!?")
    elif dice < LOWER_RATE + BARE_RATE + TYPO_RATE:
        pieces = [piece.split(" ") for piece in literals]
        long = [(at, i) for at, words in enumerate(pieces) for i, word in enumerate(words) if len(word) > 4 and word.isalpha()]
        if long:
            at, i = rng.choice(long)
            pieces[at][i] = _mistyped(pieces[at][i], rng)
            literals[at] = " ".join(pieces[at])


def _mistyped(word: str, rng: Random) -> str:
    """Two letters in the wrong order, or one left out; never the first or the last."""
    k = rng.randrange(1, len(word) - 2)
    return word[:k] + word[k + 1] + word[k] + word[k + 2 :] if rng.random() < 0.5 else word[:k] + word[k + 1 :]


def fill(template: Any, known: Mapping[str, Any], tool: Tool, domain: Domain, rng: Random, split: str) -> Any:
    """A result: holes echo what is known, or are drawn anew; a text that is one hole keeps the value's type."""
    if isinstance(template, Mapping):
        return {key: fill(value, known, tool, domain, rng, split) for key, value in template.items()}
    if isinstance(template, list):
        return [fill(value, known, tool, domain, rng, split) for value in template]
    if not isinstance(template, str) or "{" not in template:
        return template

    def value(hole: str) -> Any:
        if (found := look_up(known, hole)) is not None:
            return found
        if (apart := APART.fullmatch(hole)) is not None:
            return day_apart(look_up(known, apart[2]), apart[1] == "after", rng)
        if hole in tool.draws:
            return tool.draws[hole](rng, split)[0]
        if tool.parameters.get(hole, {}).get("type") == "boolean":
            return rng.random() < 0.5
        return domain.lists.computed(hole, rng, split)

    parts = _parts(template)
    if len(parts) == 3 and not parts[0] and not parts[2]:
        return value(parts[1])
    return "".join(part if i % 2 == 0 else plain(value(part)) for i, part in enumerate(parts))


def look_up(known: Any, path: str) -> Any:
    """`result.items.0.name` in nested maps and lists; None where there is nothing."""
    if isinstance(known, Mapping) and path in known:
        return known[path]
    for step in path.split("."):
        if isinstance(known, Mapping) and step in known:
            known = known[step]
        elif isinstance(known, list) and step.isdigit() and int(step) < len(known):
            known = known[int(step)]
        else:
            return None
    return known


def plain(value: Any) -> str:
    """A value as it stands in a sentence."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return say_list([plain(item) for item in value]) if value else "none"
    return str(int(value) if isinstance(value, float) and value.is_integer() else value)


def choose(templates: Sequence[str], known: Mapping[str, Any], rng: Random) -> str:
    """One of the templates for which everything is known, filled; '' where none is."""
    able = [text for text in templates if all(look_up(known, hole) is not None for hole in HOLE.findall(text))]
    if not able:
        return ""
    parts = _parts(rng.choice(able))
    return "".join(part if i % 2 == 0 else plain(look_up(known, part)) for i, part in enumerate(parts))


def answer_from(tool: Tool, given: Given, result: Any, rng: Random) -> str:
    return choose(tool.answers, {**given.arguments, **given.said, "result": result}, rng)


def call_of(tool: Tool, given: Given) -> ToolCall:
    return ToolCall(tool.name, given.arguments)


def result_of(tool: Tool, given: Given, domain: Domain, rng: Random, split: str) -> Any:
    """What the tool gives back: the template with its holes filled, and worked out where that can be."""
    result: Any = None
    for _ in range(6):
        result = fill(tool.result, flattened(given.arguments), tool, domain, rng, split)
        if not _twins(result):
            break
    return {**result, **work_out(tool.name, given.arguments)} if isinstance(result, Mapping) else result


def _twins(result: Any) -> bool:
    """Whether a list in the result has two entries that begin with the same value (two courses under one code)."""
    lists = [value for value in result.values() if isinstance(value, list)] if isinstance(result, Mapping) else []
    for entries in lists:
        firsts = [str(next(iter(entry.values()))) for entry in entries if isinstance(entry, Mapping) and entry]
        if len(set(firsts)) < len(firsts):
            return True
    return False


def flattened(arguments: Mapping[str, Any]) -> dict[str, Any]:
    out = dict(arguments)
    for name, value in arguments.items():
        if isinstance(value, Mapping):
            out |= {f"{name}.{key}": inner for key, inner in value.items()}
    return out


def observed(call: ToolCall, result: Any) -> Message:
    return Observation(result, name=call.name).to_message()


def called(tool: Tool, given: Given, rng: Random) -> Message:
    thought = choose(tool.thoughts, {**given.arguments, **given.said}, rng)
    return Message("assistant", thought=thought, calls=(call_of(tool, given),))


def single(tool: Tool, phrasing: Phrasing, domain: Domain, rng: Random, split: str) -> list[Message]:
    """Request, call, result, answer."""
    given = give(tool, phrasing, domain, rng, split)
    return [Message("user", given.text), *served(tool, given, domain, rng, split)]


def served(tool: Tool, given: Given, domain: Domain, rng: Random, split: str) -> list[Message]:
    """Call, result, answer, for a request that has been made."""
    act = called(tool, given, rng)
    result = result_of(tool, given, domain, rng, split)
    return [act, observed(act.calls[0], result), Message("assistant", answer_from(tool, given, result, rng))]


def failing(tool: Tool, phrasing: Phrasing, domain: Domain, rng: Random, split: str) -> list[Message]:
    """Request, call, the tool's refusal, and what the user is told."""
    given = give(tool, phrasing, domain, rng, split)
    act = called(tool, given, rng)
    known = {**given.arguments, **given.said}
    says = fill(tool.error["says"], flattened(given.arguments), tool, domain, rng, split)
    told = choose([tool.error["answer"]], known, rng) or f"That did not work: {says}"
    refusal = Observation(says, "failed", name=tool.name).to_message()
    return [Message("user", given.text), act, refusal, Message("assistant", told)]


def missing_in(tool: Tool, phrasing: Phrasing) -> list[str]:
    """The required parameters that a sentence does not give; an object counts when each of its required fields is there."""
    given = set(phrasing.holes) | set(phrasing.set)
    missing = []
    for name in tool.required:
        inside = tool.parameters[name].get("properties")
        needed = [f"{name}.{key}" for key, spec in inside.items() if not spec.get("optional")] if inside else [name]
        if name not in given and not set(needed) <= given:
            missing.append(name)
    return missing


def asking(tool: Tool, phrasing: Phrasing, domain: Domain, rng: Random, split: str, follow: bool) -> list[Message]:
    """A request that lacks something, and the question; with `follow`, the user's answer, and the call after all."""
    given = give(tool, phrasing, domain, rng, split)
    missing = missing_in(tool, phrasing)
    question = " ".join(tool.ask[name] for name in missing)
    messages = [Message("user", given.text), Message("assistant", question)]
    if not follow or any(name not in tool.draws for name in missing):
        return messages
    drawn = {name: (value, "") for name, value in flattened(given.arguments).items()}
    drawn = {name: _draw_apart(tool, name, drawn, rng, split) for name in missing}
    said = [text for _, text in drawn.values()]
    texts = ("{}", "{}.", "{}, please.", "Oh, right: {}.", "Sorry: {}.", "I forgot to say: {}")
    listed = any(" and " in text for text in said)  # "1, 2 and 3; 4, 5 and 6", not "1, 2 and 3 and 4, 5 and 6"
    reply = rng.choice(texts).format("; ".join(said) if listed else say_list(said))
    flat = {**flattened(given.arguments), **{name: value for name, (value, _) in drawn.items()}}
    full = Given(nest(tool, flat), given.said | {name: text for name, (_, text) in drawn.items()}, "")
    return [*messages, Message("user", reply), *served(tool, full, domain, rng, split)]


def chained(chain: Chain, phrasing: Phrasing, domain: Domain, rng: Random, split: str) -> list[Message]:
    """A request that takes several calls, each later one using what an earlier one gave."""
    tools = [domain.tools[step["tool"]] for step in chain.steps]
    drawn: dict[str, tuple[Any, str]] = {}
    for hole in phrasing.holes:
        owner = next(tool for tool in tools if hole in tool.draws)
        drawn[hole] = _draw_apart(owner, hole, drawn, rng, split)
    said = {hole: text for hole, (_, text) in drawn.items()}
    known: dict[str, Any] = {hole: value for hole, (value, _) in drawn.items()} | dict(phrasing.set)
    messages = [Message("user", _say(phrasing.text, said, rng))]
    for number, (step, tool) in enumerate(zip(chain.steps, tools, strict=True), start=1):
        flat = {key: value for key, value in known.items() if key.split(".")[0] in tool.parameters}
        flat |= {key: _argument(value, known, tool, domain, rng, split) for key, value in (step.get("args") or {}).items()}
        given = Given(nest(tool, flat), said, "")
        result = result_of(tool, given, domain, rng, split)
        thought = choose(chain.thoughts[number - 1 : number], {**known, **said}, rng)
        messages.append(Message("assistant", thought=thought, calls=(call_of(tool, given),)))
        messages.append(observed(call_of(tool, given), result))
        known[str(number)] = result
    messages.append(Message("assistant", choose([chain.answer], {**known, **said}, rng)))
    return messages


def _argument(value: Any, known: Mapping[str, Any], tool: Tool, domain: Domain, rng: Random, split: str) -> Any:
    if isinstance(value, str) and (hole := HOLE.fullmatch(value)) and hole[1][0].isdigit():
        return look_up(known, hole[1])
    return fill(value, known, tool, domain, rng, split)
