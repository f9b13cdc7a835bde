"""What `pocket-gemma-it` reads: the universe's conversations with every call put into plain words.

"I would look up the current weather in Paris, with units celsius": a tool's authored `plain:` phrase with the values that the
call would have had. The tools stand in the prompt exactly as the `gemma` dialect shows them, but no call is ever written, and
what the prompt asks for is prose. So the model learns to read schemas and to take values from a request, and has never seen a
call. `corpus.py` weighs what is made here; `documents.py` is what its sibling reads.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any, Literal

from fcutils.dialects import Piece
from fcutils.dialects.base import learnt, tool_lines
from fcutils.dialects.gemma import HEAD, Gemma
from fcutils.messages import Conversation, Message, ToolCall
from fcutils.pocket.corpus import EXCHANGED, Example, written
from fcutils.pocket.formats import LISTED, LISTINGS, drawn
from fcutils.universe import Corner, Recipe, Tool
from fcutils.universe.disguise import words_of
from fcutils.universe.episodes import flattened, plain
from fcutils.universe.exchange import exchanged, words
from fcutils.universe.files import HOLE
from fcutils.universe.values import say_list
from fcutils.universe.writer import MIX, conversation

PLAINLY = (  # what the prompt asks for: to say what one would do,
    "",
    "Say in a sentence what you would do.",
    "Answer in plain words. When no tool fits, say so; when a value is missing, ask for it.",
    "Tell the user what you would do with these tools.",
    "Think first. Then say what you would do.",
)
NAMING = (  # or to say which tool one would take, too
    "Say which tool you would use, and what for.",
    "Name the tool that you would use. When no tool fits, say so; when a value is missing, ask for it.",
    "Think first. Then say what you would do, and with which tool.",
)
DETAILED = (  # or which parameter gets which value: still prose, and all that a call will need.
    "Say which tool you would use, and which parameter is set to what.",
    "Name the tool and the value of each parameter. When no tool fits, say so; when a value is missing, ask for it.",
    "Think first. Then say which tool you would use, and which parameter is set to what.",
)
STYLES = (PLAINLY, NAMING, DETAILED, DETAILED)  # one is drawn, and then one of its instructions
RESULTS = ("Result:", "This is what came back:", "It says:")
SHOWN_RESULT = 0.6  # of the calls; the others end with what the model would do
KINDS = {kind: share for kind, share in MIX.items() if kind != "mending"}  # nothing is called, so nothing is refused
OPENING = "I would "
SET = " set to "
Style = Literal["plain", "naming", "detailed"]


@dataclass(frozen=True)
class Prose(Gemma):
    """Gemma's turns, the tools shown as in `gemma`, and replies in plain words. A message's calls are what its words mean."""

    instruction: str = NAMING[0]
    result: str = RESULTS[0]
    listing: str = "json"

    name = "prose"
    added = ()  # type: ignore[assignment]
    tokens = ("<bos>", "<start_of_turn>", "<end_of_turn>")  # type: ignore[assignment]
    thought_open = thought_close = call_open = call_close = result_open = result_close = ""

    @property
    def style(self) -> Style:
        return "naming" if self.instruction in NAMING else "detailed" if self.instruction in DETAILED else "plain"

    @property
    def thinks(self) -> bool:
        return self.instruction.startswith("Think first.")

    def start(self, tools: Sequence[Mapping[str, Any]], system: str, user: str) -> list[Piece]:
        functions = [LISTINGS[self.listing](tool["function"]) for tool in tools if self.listing != "json"]
        listed = "\n".join(functions) or tool_lines(tools)
        lead = [*self.own(HEAD), Piece(self.escape(listed)), Piece("\n\n")] if tools else []
        said = [f"{text}\n\n" for text in (self.instruction if tools else "", system) if text]
        return [*self.own("<bos><start_of_turn>user\n"), *lead, *map(Piece, said), Piece(user), *self.own("<end_of_turn>\n")]

    def results(self, messages: Sequence[Message]) -> list[Piece]:
        return self.user("\n".join([self.result, *(self.escape(message.content) for message in messages)]))

    def reply(self, message: Message) -> list[Piece]:
        return [*_parts(message), *self.says(self.ends[0])]


def _parts(message: Message) -> list[Piece]:
    """The words, with names and values of the calls they stand for as parts of their own: they weigh more."""
    marks: dict[str, Any] = {call.name: "name" for call in message.calls}
    marks |= {f"{key}{SET}": "name" for call in message.calls for key in leaves(call.arguments)}
    marks |= {text: "value" for call in message.calls for text in values_of(call)}
    left, pieces = message.content, []
    while found := [(at, -len(mark), mark) for mark in marks if (at := left.find(mark)) >= 0]:
        at, _, mark = min(found)
        pieces += [learnt(left[:at]), learnt(mark, marks[mark])]
        left = left[at + len(mark) :]
    return [piece for piece in [*pieces, learnt(left)] if piece.text]


def values_of(call: ToolCall) -> list[str]:
    """The values of a call as they stand in a sentence; a boolean is said by naming its parameter."""
    return [plain(v) for v in leaves(call.arguments).values() if not isinstance(v, bool) and plain(v)]


def settings(call: ToolCall) -> list[str]:
    """Each parameter with its value, as the detailed style says it."""
    return [f"{key}{SET}{plain(value)}" for key, value in leaves(call.arguments).items()]


def leaves(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """`{"address.street": …}`: objects by their fields."""
    return {key: value for key, value in flattened(arguments).items() if not isinstance(value, Mapping)}


def prose(talk: Conversation, tools: Mapping[str, Tool], rng: Random, dialect: Prose) -> Conversation:
    """The conversation in plain words: each call said in a sentence, beside which it is kept, and behind what was thought where
    that is asked for; some results left out.

    `tools`: the authored tools by their own names, in which `meta.targets` names the calls.
    """
    targets = iter(talk.meta["targets"])
    offered = {tool["function"]["name"]: tool["function"]["parameters"]["properties"] for tool in talk.tools}
    messages: list[Message] = []
    skipping = False  # the result that nobody asked to see, and the answer from it
    for at, message in enumerate(talk.messages):
        if message.role == "user":
            skipping = False
        if message.calls:
            steps = [step(tools[next(targets)], call, list(offered[call.name]), dialect.style) for call in message.calls]
            more, before = _next_call(talk, at), bool(messages) and messages[-1].role == "tool"
            text = sentence(steps, more, before)
            text = f"{message.thought} {text}" if dialect.thinks and message.thought else text
            skipping = not more and not before and rng.random() >= SHOWN_RESULT
            messages.append(replace(message, content=text, thought=""))
        elif not skipping:
            messages.append(message)
    return replace(talk, messages=tuple(messages))


def _next_call(talk: Conversation, at: int) -> str:
    """The tool of the next call that serves the same request; empty where there is none."""
    for message in talk.messages[at + 1 :]:
        if message.role == "user":
            break
        if message.calls:
            return message.calls[0].name
    return ""


def step(tool: Tool, call: ToolCall, keys: Sequence[str], style: Style) -> str:
    """What follows "I would" for one call."""
    if style == "detailed":
        return detailed(call)
    doing = phrase(tool, call, keys)
    return f"use {call.name} to {doing}" if style == "naming" else doing


def detailed(call: ToolCall) -> str:
    values = settings(call)
    return f"use {call.name} with {say_list(values)}" if values else f"use {call.name}"


def phrase(tool: Tool, call: ToolCall, keys: Sequence[str]) -> str:
    """What the call does, with all its values: the authored phrase that says most, then what it leaves unsaid.

    `keys`: the parameters as they are offered, in the order of the tool's own.
    """
    own = dict(zip(keys, tool.parameters, strict=True))
    known = leaves({own[key]: value for key, value in call.arguments.items()})
    able = [text for text in tool.plain if set(HOLE.findall(text)) <= set(known)]
    template = max(able, key=lambda text: len(HOLE.findall(text)))
    parts = HOLE.split(template)
    text = "".join(part if i % 2 == 0 else plain(known[part]) for i, part in enumerate(parts))
    new = {name: key for key, name in own.items()}
    rest = {name: value for name, value in known.items() if name not in parts[1::2]}
    extras = [_extra(".".join([new[name.split(".")[0]], *name.split(".")[1:]]), value) for name, value in rest.items()]
    return ", ".join([text, *extras])


def _extra(key: str, value: Any) -> str:
    said = " ".join(words_of(key))
    if isinstance(value, bool):
        return f"{'with' if value else 'without'} {said}"
    return f"with {said} {plain(value)}"


def sentence(steps: Sequence[str], more: str = "", before: bool = False) -> str:
    """Steps as a sentence. `more`: the tool that is to follow; `before`: something has been done already."""
    whole = ", and ".join(steps)
    if more:
        return f"First {OPENING}{whole}; then {OPENING}use {more} with what that gives."
    return f"{'Now ' if before else ''}{OPENING}{whole}."


def authored(where: Corner) -> dict[str, Tool]:
    """The tools of a corner, by name."""
    return {tool.name: tool for tools in where.offered.values() for tool in tools}


def talks(where: Corner, seed: Any, recipe: Recipe) -> Iterator[tuple[Conversation, Prose, Random]]:
    """Without end: conversations in plain words, and the way each is asked for."""
    tools, number = authored(where), 0
    recipe = replace(recipe, mix=KINDS)
    while True:
        rng = Random(f"prose/{seed}/{number}")
        number += 1
        talk = conversation(where, rng, recipe)
        if talk is None:
            continue
        asked = rng.choice(rng.choice(STYLES))
        dialect = Prose(asked, rng.choice(RESULTS), drawn(rng, LISTED))
        yield prose(talk, tools, rng, dialect), dialect, rng


def examples(where: Corner, tokenizer: Any, seed: int, recipe: Recipe, longest: int) -> Iterator[Example]:
    """Without end: ids and weights, none longer than `longest`."""
    pool = words(where)
    for talk, dialect, rng in talks(where, seed, recipe):
        if rng.random() < EXCHANGED:
            talk = exchanged(talk, pool, rng)
        example = written(talk, dialect, tokenizer, rng)
        if len(example.ids) <= longest:
            yield example
