"""What an engine is: something that writes the model's side of a conversation, piece by piece.

An engine turns messages into text that a model sampled, and nothing more: it parses no calls (`parsing/`), runs no tools
(`toolbox.py`) and decides nothing (`loop/`). `local.py` and `server.py` are the two there are.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, Self

from fcutils.dialects import Dialect
from fcutils.messages import Conversation, Message, Observation

Tools = Sequence[Mapping[str, Any]]  # in OpenAI's form
Ended = Literal[
    "",  # nothing was written yet
    "end",  # the model ended its turn
    "call",  # a call is complete; the turn is still open, and `write` goes on with it
    "length",  # max_tokens were written; the turn is still open
    "context",  # no room is left; the turn is still open
]


class EngineError(RuntimeError):
    """An engine that cannot go on: says why, and what to do. The conversation is as it was before."""


class ContextFull(EngineError):
    """More tokens than the model can hold. Raised before the model runs."""

    def __init__(self, needed: int, context: int) -> None:
        self.needed, self.context = needed, context
        super().__init__(
            f"the conversation has {needed} tokens, the model holds {context}: {needed - context} too many. "
            "Offer fewer tools, shorten results, or begin a new conversation"
        )


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the next token is drawn. The default is greedy: always the most likely one."""

    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    repetition_penalty: float = 1.0
    seed: int | None = None

    def __post_init__(self) -> None:
        right = self.temperature >= 0 and 0 < self.top_p <= 1 and self.top_k >= 0 and self.repetition_penalty > 0
        if not right:
            raise ValueError(f"temperature and top_k from 0 up, top_p above 0 and up to 1, repetition_penalty above 0: {self}")


GREEDY = Sampling()


class Guide(Protocol):
    """Watches one reply, token by token, and says what may come next."""

    @property
    def active(self) -> bool:
        """Whether the next token is restricted: True from where a call begins (or must begin) to where it ends."""
        ...

    def restrict(self, logits: Any) -> None:
        """Set the logits of all that may not come next to -inf, in place: a tensor [vocabulary]. Asked only while active."""
        ...

    def take(self, token: int) -> None:
        """This token was written. Told of every token, also of those that were free."""
        ...


class Constraint(Protocol):
    """A rule for what may be written, which gives every reply a guide of its own."""

    def guide(self, tools: Tools) -> Guide:
        """A guide that stands at the beginning of a reply, in a conversation with these tools; an `EngineError` if none can."""
        ...


@dataclass(frozen=True, slots=True)
class Written:
    """One reply of `reply_many`. With an `error` the engine failed on this row, and the rest says nothing."""

    text: str = ""
    tokens: int = 0
    seconds: float = 0.0
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in a chat to come back to. Made by `mark`, read by the chat that made it alone."""

    position: int
    state: Any = None


class Chat(ABC):
    """One conversation with a model: add what others say, then let the model write.

    `write` opens the model's turn, or goes on with one that is open. `add` closes an open turn first.
    """

    ended: Ended = ""  # why the last `write` ended
    sampled: int = 0  # tokens that the model wrote, in all
    forwarded: int = 0  # tokens that went through the model, in all

    @property
    @abstractmethod
    def ids(self) -> list[int]:
        """The conversation as the model sees it; empty where an engine cannot know."""

    @abstractmethod
    def add(self, *messages: Message) -> None:
        """Append messages: a user's, results, or what the assistant is to have said. Nothing runs before the next `write`."""

    def say(self, text: str) -> None:
        self.add(Message("user", text))

    def observe(self, observations: Iterable[Observation]) -> None:
        self.add(*(observation.to_message() for observation in observations))

    @abstractmethod
    def write(
        self,
        *,
        max_tokens: int = 512,
        sampling: Sampling = GREEDY,
        constraint: Constraint | None = None,
        stop_at_call: bool = False,
    ) -> Iterator[str]:
        """The model's turn as text, in pieces as they are sampled: no character is cut; the token that ends it is not shown.

        `stop_at_call`: pauses behind the end of every call. Afterwards `ended` says why it stopped.
        """

    @abstractmethod
    def mark(self) -> Mark:
        """Here."""

    @abstractmethod
    def rollback(self, mark: Mark) -> None:
        """Back to a mark: everything added or written since is gone."""


class Engine(ABC):
    """A model that can hold any number of conversations, one after another or several at once."""

    name: str
    dialect: Dialect

    @abstractmethod
    def chat(self, tools: Tools = (), system: str = "") -> Chat:
        """A new conversation."""

    def cost(self, tools: Tools) -> int | None:
        """How many tokens a prompt begins with that offers these tools; None where an engine cannot know."""
        return None

    def resume(self, talk: Conversation) -> Chat:
        """A chat that stands at the end of this conversation."""
        system = "\n\n".join(message.content for message in talk.messages if message.role == "system")
        chat = self.chat(talk.tools, system)
        chat.add(*(message for message in talk.messages if message.role != "system"))
        return chat

    @abstractmethod
    def speaking(self, dialect: str | Dialect) -> Self:
        """The same model, asked in another dialect."""

    @abstractmethod
    def reply_many(
        self,
        talks: Sequence[Conversation],
        *,
        max_tokens: int = 512,
        sampling: Sampling = GREEDY,
        constraint: Constraint | None = None,
        on_reply: Callable[[int, Written], None] | None = None,
    ) -> list[Written]:
        """One reply to each of many conversations, in their order; `on_reply(index, written)` is called as they come, in any.

        A row that fails gives a `Written` with an error; the others go on.
        """
