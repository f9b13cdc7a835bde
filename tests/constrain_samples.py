"""For the tests of constrain/: tools whose schemas have everything in them, and untrained models in every dialect."""

from __future__ import annotations

import json
import warnings
from datetime import date, datetime, time, timedelta
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, Literal
from uuid import UUID

import tiny
import torch
from dialect_samples import WORDS, byte_level, fast, texts
from pydantic import BaseModel, Field, HttpUrl
from tokenizers import Tokenizer
from transformers import AutoTokenizer

from fcutils.constrain import CallGuide, Calls, Caps
from fcutils.engines.base import Sampling
from fcutils.engines.local import LocalEngine
from fcutils.messages import Conversation, Message, ToolCall, conversation
from fcutils.pocket.tokenizer import save_tokenizer, train_tokenizer
from fcutils.toolbox import Toolbox

SHORT = Caps(string=10, items=2, depth=2, digits=5, fraction=3, thought=20)
HOT = Sampling(temperature=1.0, seed=1)


class Folder(BaseModel):
    title: str
    folders: list[Folder] = []


class Passenger(BaseModel):
    name: str = Field(min_length=1, max_length=8)
    age: int = Field(ge=0, le=120)


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int


class Dog(BaseModel):
    kind: Literal["dog"]
    breed: str | None


def book(city: str, day: date, passengers: list[Passenger], by: Literal["air", "rail"] = "rail", budget: float = 1.5) -> str:
    """A usual tool."""
    return "booked"


def label(text: Literal["</tool_call>", "<|im_end|>", "[TOOL_CALLS]", 'a "quoted" <function> é\n', "\u2028"]) -> str:
    """Marks in values."""
    return text


def file(folder: Folder, pet: Annotated[Cat | Dog, Field(discriminator="kind")], anything: Any) -> str:
    """Types inside themselves, and of no type."""
    return "filed"


def plan(when: datetime, at: time, span: timedelta, key: UUID, page: HttpUrl) -> str:
    """Formats."""
    return "planned"


def count(
    notes: dict[str, int],
    flags: dict[Literal["a", "b"], bool],
    code: Annotated[str, Field(pattern=r"^[A-Z]{2}-\d+$")],
    share: Annotated[float, Field(gt=0, lt=1)],
    pair: tuple[int, str],
    steps: Annotated[int, Field(multiple_of=5, ge=-20)] = 0,
) -> str:
    """Keys, patterns, bounds."""
    return "counted"


def nothing() -> str:
    """No arguments."""
    return "nothing"


def box(*functions: Any) -> Toolbox:
    made = Toolbox(max_repeats=10_000)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for function in functions or (book, label, file, plan, count, nothing):
            made.add(function)
    return made


@cache
def engine(family: str, dialect: str) -> LocalEngine:
    return tiny.engine(family, dialect)


@cache
def spelling() -> LocalEngine:
    """In `hermes`, with a tokenizer that has no token for a tag, and pieces that reach over the end of one."""
    trained = json.loads(byte_level.__wrapped__(WORDS).backend_tokenizer.to_str())
    tokens = ("<|im_start|>", "<|im_end|>")
    trained["added_tokens"] = [token for token in trained["added_tokens"] if token["content"] in tokens]
    made = fast.__globals__["PreTrainedTokenizerFast"](tokenizer_object=Tokenizer.from_str(json.dumps(trained)))
    return LocalEngine(tiny.model("llama", len(made)), made, "hermes")


@cache
def gluing() -> LocalEngine:
    """In `hermes`, with a tokenizer as the pocket models have: what a token says hangs on the one before it."""
    with TemporaryDirectory() as folder:
        save_tokenizer(train_tokenizer(texts(), 900), Path(folder), family="chatml")
        made = AutoTokenizer.from_pretrained(folder)
    return LocalEngine(tiny.model("llama", len(made)), made, "hermes")


ENGINES = {
    "hermes, gluing": gluing,
    "hermes, bytes, tags as tokens": lambda: engine("llama", "hermes"),
    "hermes, bytes, tags spelt": spelling,
    "openhermes, bytes": lambda: engine("llama", "openhermes"),
    "thought, bytes": lambda: engine("llama", "thought"),
    "gemma, SentencePiece": lambda: engine("gemma2", "gemma"),
    "mistral, SentencePiece": lambda: engine("mistral", "mistral"),
    "openhermes, SentencePiece": lambda: engine("mistral", "openhermes"),
}


def talks(toolbox: Toolbox, many: int) -> list[Conversation]:
    return [conversation([Message("user", f"Request {number}")], toolbox.tools) for number in range(many)]


def begun(engine: LocalEngine, toolbox: Toolbox, words: str = "hello") -> Any:
    chat = engine.chat(toolbox.tools)
    chat.say(words)
    return chat


def valid(call: ToolCall, toolbox: Toolbox) -> bool:
    observation = toolbox.call(call)
    assert observation.ok, (call, observation)
    return True


class Once(Calls):
    """And then the turn ends: what a model that knows nothing would write after its calls is no matter here."""

    def guide(self, tools: Any) -> Any:
        return _Once(super().guide(tools), self._end)


class _Once:
    def __init__(self, guide: CallGuide, end: int) -> None:
        self._guide, self._end, self._calling = guide, end, True

    @property
    def active(self) -> bool:
        return True

    def restrict(self, logits: torch.Tensor) -> None:
        if self._calling:
            self._guide.restrict(logits)
        else:
            logits.fill_(float("-inf"))
            logits[self._end] = 0

    def take(self, token: int) -> None:
        self._guide.take(token)
        self._calling = self._guide._matcher is not None
