"""The work that `loop.py` measures: a conversation of a wanted length, and a model that says what it is told to say.

Knows what is said, and dictates it to our engine (as a constraint) and to `generate` (as a logits processor) alike. Measures
nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from fcutils.engines.base import Tools
from fcutils.engines.local import LocalEngine
from fcutils.messages import Conversation, Message, ToolCall
from fcutils.toolbox import Toolbox

TURNS = 8  # with a tool; then an answer
WORDS = ("the", "printer", "in", "room", "two", "is", "offline", "since", "monday", "and", "nobody", "knows", "why")


@dataclass(frozen=True, slots=True)
class Turn:
    """What the model is asked with, from the beginning of the conversation on, and what it is to say."""

    before: Conversation
    prompt: list[int]  # what `before` becomes
    reply: list[int]


class Dictation:
    """Leaves the model one token to choose: for the engine a guide, for `generate` a logits processor."""

    active = True

    def __init__(self, reply: Sequence[int]) -> None:
        self._reply, self._at = reply, 0

    def restrict(self, logits: torch.Tensor) -> None:
        logits.fill_(float("-inf"))
        logits[self._reply[self._at]] = 0.0

    def take(self, token: int) -> None:
        self._at += 1

    def __call__(self, ids: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
        self.restrict(logits[0])
        self._at += 1
        return logits


class Dictate:
    """A constraint: the reply that comes next is dictated."""

    def __init__(self, replies: Sequence[Sequence[int]]) -> None:
        self._replies = replies
        self.said = 0  # replies that are whole

    def guide(self, tools: Tools) -> Dictation:
        return Dictation(self._replies[self.said])


def toolbox(results: Sequence[str]) -> Toolbox:
    box = Toolbox()

    @box.tool
    def read_ticket(number: int) -> str:
        """Read what was written about a ticket.

        Args:
            number: The ticket's number
        """
        return results[number]

    return box


REPLIES = (
    *(Message("assistant", calls=(ToolCall("read_ticket", {"number": number}),)) for number in range(TURNS)),
    Message("assistant", "The printer in the second room has been offline since Monday."),
)


def conversation(words: int, more: int, tools: Tools) -> Conversation:
    """With this many words in every result, and some more in the last."""
    messages = [Message("user", "What do the tickets 0 to 7 say? Read them one by one.")]
    for number, reply in enumerate(REPLIES):
        messages.append(reply)
        if reply.calls:
            count = words + (more if number == TURNS - 1 else 0)
            text = " ".join(WORDS[(number + place) % len(WORDS)] for place in range(count))
            messages.append(Message("tool", text, name="read_ticket"))
    return Conversation(tuple(messages), tuple(tools))


def sized(engine: LocalEngine, length: int) -> Conversation:
    """The conversation that fills a context of this length, to a word; what ends the last turn is part of it."""
    tools = toolbox(()).tools

    def size(words: int, more: int = 0) -> int:
        return len(engine.encode(engine.dialect.render(conversation(words, more, tools))))

    words = more = 0
    while size(words + 1) <= length:
        words += 1
    while size(words, more + 1) <= length:
        more += 1
    return conversation(words, more, tools)


def turns(engine: LocalEngine, talk: Conversation) -> list[Turn]:
    found = []
    for place, message in enumerate(talk.messages):
        if message.role == "assistant":
            before = Conversation(talk.messages[:place], talk.tools)
            prompt = engine.encode(engine.dialect.render(before, generate=True))
            found.append(Turn(before, prompt, engine.encode(engine.dialect.reply(message))))
    return found
