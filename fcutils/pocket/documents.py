"""What `pocket-gemma` reads: plain text about the universe, in which nobody is asked anything and nobody answers.

Schemas, what a tool is for and what it takes, what people say when they want something, what comes back and what it means,
lists that repeat themselves. There are no turns: a model that has read this writes such text on, knows words, schemas and
copying, and has never seen an instruction followed. Everything comes from one corner of the universe, as in `prose.py`, which
its sibling reads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random
from typing import Any

from fcutils.dialects import Piece, encode
from fcutils.dialects.base import tool_lines
from fcutils.messages import ToolCall, dumps
from fcutils.pocket.corpus import Example
from fcutils.pocket.prose import phrase
from fcutils.universe import Corner, Recipe, Tool
from fcutils.universe.disguise import Names, names, words_of
from fcutils.universe.episodes import Given, answer_from, give, result_of
from fcutils.universe.splits import Target
from fcutils.universe.writer import MODES

PARAGRAPHS = (3, 8)  # in a document
TOGETHER = 2  # the least number of things in a list


def documents(where: Corner, seed: Any) -> Iterator[tuple[str, Random]]:
    """Without end: texts about some tools of one domain."""
    number = 0
    while True:
        rng = Random(f"documents/{seed}/{number}")
        number += 1
        yield document(where, rng), rng


def document(where: Corner, rng: Random) -> str:
    """Paragraphs about a few tools, first what they are, then this and that about them."""
    domain = where.domains[rng.choice(where.everything).domain.name]
    targets = rng.sample(where.targets[domain.name], min(rng.randint(2, 6), len(where.targets[domain.name])))
    mode: Any = rng.choices(list(MODES), list(MODES.values()))[0]
    new = names([target.tool for target in targets], mode, rng)
    paragraphs = [f"{domain.about.rstrip('.')}."]
    kinds = rng.choices(list(PARTS), list(PARTS.values()), k=rng.randint(*PARAGRAPHS))
    paragraphs += [kind(where, targets, new, rng) for kind in kinds]
    return "\n\n".join(paragraphs)


def _schemas(where: Corner, targets: list[Target], new: Names, rng: Random) -> str:
    chosen = rng.sample(targets, rng.randint(1, len(targets)))
    return tool_lines(new.offer(target.tool) for target in chosen)


def _described(where: Corner, targets: list[Target], new: Names, rng: Random) -> str:
    """A schema in words."""
    tool = rng.choice(targets).tool
    function = new.offer(tool)["function"]
    lines = [f"{function['name']}: {function['description']}"]
    for key, spec in function["parameters"]["properties"].items():
        needed = "required" if key in function["parameters"].get("required", ()) else "optional"
        choices = f", one of {', '.join(map(str, spec['enum']))}" if "enum" in spec else ""
        lines.append(f"- {key} ({spec['type']}, {needed}{choices}): {spec.get('description', ' '.join(words_of(key)))}")
    return "\n".join(lines)


def _requests(where: Corner, targets: list[Target], new: Names, rng: Random) -> str:
    """What is said when one thing is wanted, in several ways; nobody answers."""
    target = rng.choice(targets)
    said = rng.sample(target.phrasings, min(len(target.phrasings), rng.randint(TOGETHER, 5)))
    texts = [give(target.tool, phrasing, target.domain, rng, where.split).text for phrasing in said]
    return "\n".join([f"Heard where {_name(target.tool, new)} is used:", *(f"- {text}" for text in texts)])


def _uses(where: Corner, targets: list[Target], new: Names, rng: Random) -> str:
    """What tools were used for, and with which values."""
    lines = []
    for _ in range(rng.randint(TOGETHER, 6)):
        target, given = _given(where, targets, rng)
        doing = _phrase(target.tool, given, new)
        lines.append(
            rng.choice(("{name} was used to {doing}.", "To {doing}, there is {name}.")).format(
                name=_name(target.tool, new), doing=doing
            )
        )
    return "\n".join(lines)


def _results(where: Corner, targets: list[Target], new: Names, rng: Random) -> str:
    """What came back from a tool, and what that means."""
    lines = []
    for _ in range(rng.randint(1, 3)):
        target, given = _given(where, targets, rng)
        result = result_of(target.tool, given, target.domain, rng, where.split)
        lines += [f"{_name(target.tool, new)} returned {dumps(result)}", answer_from(target.tool, given, result, rng)]
    return "\n".join(filter(None, lines))


def _values(where: Corner, targets: list[Target], new: Names, rng: Random) -> str:
    """Values of one parameter, and the same in another order."""
    able = [(target.tool, hole) for target in targets for hole in target.tool.draws]
    if not able:
        return _schemas(where, targets, new, rng)
    tool, hole = rng.choice(able)
    said = list(dict.fromkeys(tool.draws[hole](rng, where.split)[1] for _ in range(rng.randint(3, 9))))
    again = rng.sample(said, len(said))
    return f"{_name(tool, new)} was given {'; '.join(said)}.\nIn another order: {'; '.join(again)}."


PARTS: dict[Callable[[Corner, list[Target], Names, Random], str], float] = {
    _schemas: 0.2,
    _described: 0.15,
    _requests: 0.2,
    _uses: 0.2,
    _results: 0.15,
    _values: 0.1,
}


def _given(where: Corner, targets: list[Target], rng: Random) -> tuple[Target, Given]:
    target = rng.choice(targets)
    return target, give(target.tool, rng.choice(target.phrasings), target.domain, rng, where.split)


def _phrase(tool: Tool, given: Given, new: Names) -> str:
    keys = [new.parameters.get(tool.name, {}).get(key, key) for key in tool.parameters]
    return phrase(tool, new.call(ToolCall(tool.name, given.arguments)), keys)


def _name(tool: Tool, new: Names) -> str:
    return new.tools.get(tool.name, tool.name)


def examples(where: Corner, tokenizer: Any, seed: int, recipe: Recipe, longest: int) -> Iterator[Example]:
    """Without end: ids and weights, cut at `longest`. `recipe` speaks of conversations, and says nothing here."""
    for text, _ in documents(where, seed):
        yield encoded(text, tokenizer, longest)


def encoded(text: str, tokenizer: Any, longest: int) -> Example:
    """A document from beginning to end; every token counts alike, since all of it is to be written on."""
    pieces = [Piece("<bos>", control=True), Piece(text, learn=True), Piece("<eos>", control=True, learn=True)]
    ids = encode(pieces, tokenizer).ids[:longest]
    return Example(ids, [0.0, *[1.0] * (len(ids) - 1)])
