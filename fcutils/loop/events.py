"""What a loop tells as it goes. Data only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fcutils.loop.select import Choice
from fcutils.messages import Conversation, Fault, Observation, ToolCall

StopReason = Literal[
    "answered",  # the model said something and called nothing
    "asked",  # the same, and it ends with a question
    "turns",  # max_turns replies were written
    "tokens",  # max_tokens were written; a reply that was cut off by this is not kept
    "context",  # the conversation does not fit into the model any more
    "repeated",  # the same call again and again
    "refused",  # a person said no to a call
    "mending",  # max_tries times in a row nothing but bad calls
    "engine",  # the engine failed
]


@dataclass(frozen=True, slots=True)
class Offered:
    """The tools that the model sees, out of how many, why these, and how many tokens of the prompt the others would have taken
    (None where an engine cannot know).
    """

    names: tuple[str, ...]
    of: int
    saved: int | None
    choices: tuple[Choice, ...]


@dataclass(frozen=True, slots=True)
class Thought:
    """More of what the model thinks."""

    text: str


@dataclass(frozen=True, slots=True)
class Text:
    """More of what it says."""

    text: str


@dataclass(frozen=True, slots=True)
class Call:
    """A call that is whole. It runs when the reply has ended."""

    call: ToolCall


@dataclass(frozen=True, slots=True)
class BadCall:
    """Something that should have been a call and cannot be read."""

    fault: Fault


@dataclass(frozen=True, slots=True)
class Observed:
    """What came of a call. There is none where it could not be read."""

    observation: Observation
    call: ToolCall | None = None


@dataclass(frozen=True, slots=True)
class Shortened:
    """A result was cut to make room: which message it is, and how many characters are gone. The model begins its reply anew."""

    message: int
    characters: int


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model said in the end, whole."""

    text: str


@dataclass(frozen=True, slots=True)
class Stop:
    """Why the run ended, and what it took: replies, tokens written, tokens that went through the model, seconds."""

    reason: StopReason
    detail: str
    conversation: Conversation
    turns: int
    sampled: int
    forwarded: int
    seconds: float


Event = Offered | Thought | Text | Call | BadCall | Observed | Shortened | Answer | Stop
