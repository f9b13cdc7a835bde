"""A transformers model in this process: every token goes through it once, however long the conversation.

A chat keeps the ids of the whole conversation, as they were sampled or encoded, and the model's keys and values for a
beginning of them. What others say is appended and waits; the next `write` forwards what waits, once, and goes on token by
token. Many conversations at once are `batch.py`'s; which token is chosen, and what text it makes, is `drawing.py`'s.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Self

import torch

from fcutils.dialects import Dialect, DialectError, Piece, control_id, encode, get
from fcutils.engines.base import (
    GREEDY,
    Chat,
    Constraint,
    ContextFull,
    Engine,
    EngineError,
    Guide,
    Mark,
    Sampling,
    Tools,
    Written,
)
from fcutils.engines.cache import conversation_cache
from fcutils.engines.drawing import Draw, TextStream
from fcutils.messages import Conversation, Message
from fcutils.parsing import CallDone, FaultFound, ReplyStream


class LocalEngine(Engine):
    """A model and its tokenizer, asked in one dialect."""

    def __init__(self, model: Any, tokenizer: Any, dialect: str | Dialect, *, name: str = "") -> None:
        self.model, self.tokenizer, self.dialect = model.eval(), tokenizer, get(dialect)
        self.name = name or getattr(model.config, "_name_or_path", "") or type(model).__name__
        self.context: int = model.config.get_text_config().max_position_embeddings
        if not self.dialect.ends:
            raise DialectError(f"{self.dialect.name}: nothing in this dialect ends a turn; it is one for servers")
        for token in self.dialect.tokens:
            control_id(token, tokenizer)
        self.end_id = control_id(self.dialect.ends[0], tokenizer)
        self.stop_ids = self._stop_ids()

    def chat(self, tools: Tools = (), system: str = "") -> LocalChat:
        return LocalChat(self, tools, system)

    def speaking(self, dialect: str | Dialect) -> Self:
        return type(self)(self.model, self.tokenizer, dialect, name=self.name)

    def reply_many(
        self,
        talks: Sequence[Conversation],
        *,
        max_tokens: int = 512,
        sampling: Sampling = GREEDY,
        constraint: Constraint | None = None,
        on_reply: Callable[[int, Written], None] | None = None,
    ) -> list[Written]:
        from fcutils.engines.batch import reply_many

        return reply_many(self, talks, max_tokens, sampling, constraint, on_reply)

    def cost(self, tools: Tools) -> int:
        return len(self.encode(self.dialect.start(tools, "", "")))

    def encode(self, pieces: Sequence[Piece]) -> list[int]:
        return encode(pieces, self.tokenizer).ids

    def _stop_ids(self) -> frozenset[int]:
        """What ends a turn, in the dialect's, the tokenizer's and the model's view: ends, and control tokens of no reply."""
        dialect, tokenizer = self.dialect, self.tokenizer
        said = {dialect.thought_open, dialect.thought_close, dialect.call_open, dialect.call_close, dialect.quote}
        said -= set(dialect.ends)
        found = {control_id(token, tokenizer) for token in dialect.tokens if token not in said}
        own = getattr(self.model.generation_config, "eos_token_id", None)
        found |= {*(own if isinstance(own, list) else [own])}
        found |= {tokenizer.eos_token_id, tokenizer.bos_token_id, tokenizer.pad_token_id}
        return frozenset(token for token in found if token is not None)


class LocalChat(Chat):
    """One conversation over one cache, which holds a beginning of `ids`; the rest waits."""

    def __init__(self, engine: LocalEngine, tools: Tools, system: str) -> None:
        self._engine, self._tools, self._system = engine, tools, system
        self._ids: list[int] = []
        self._cache: Any = None
        self._turn: int | None = None  # where the model's open turn begins
        self._text = TextStream(engine.tokenizer)

    @property
    def ids(self) -> list[int]:
        return list(self._ids)

    def add(self, *messages: Message) -> None:
        self._close()
        pieces, at = self._pieces(messages), len(self._ids)
        try:
            for turn in pieces:
                self._ids += self._engine.encode(turn)
        except BaseException:
            del self._ids[at:]
            raise

    def write(
        self,
        *,
        max_tokens: int = 512,
        sampling: Sampling = GREEDY,
        constraint: Constraint | None = None,
        stop_at_call: bool = False,
    ) -> Iterator[str]:
        engine = self._engine
        self._open()
        if len(self._ids) >= engine.context:
            raise ContextFull(len(self._ids) + 1, engine.context)
        draw, guide, pause = Draw(sampling, engine.model.device), self._guide(constraint), self._pause(stop_at_call)
        self.ended = "length"
        for _ in range(max_tokens):
            if len(self._ids) >= engine.context:
                self.ended = "context"
                return
            token = self._next(draw, guide)
            if token in engine.stop_ids:
                self._end()
                yield from filter(None, [self._text.rest()])
                return
            self._ids.append(token)
            self.sampled += 1
            piece = self._text.step(token)
            if pause is not None and pause(token, piece):
                self.ended = "call"
            if piece:
                yield piece
            if self.ended == "call":
                return

    def mark(self) -> Mark:
        return Mark(len(self._ids), (self._turn, copy.copy(self._text)))

    def rollback(self, mark: Mark) -> None:
        if mark.position > len(self._ids):
            raise EngineError("this mark is of another chat, or of something that was rolled back before")
        del self._ids[mark.position :]
        self._forget(mark.position)
        self._turn, self._text = mark.state[0], copy.copy(mark.state[1])

    # ---- turns ---------------------------------------------------------------------------------------------------------

    def _pieces(self, messages: Sequence[Message]) -> list[list[Piece]]:
        """The turns that these messages make, behind what is there already."""
        dialect = self._engine.dialect
        turns: list[list[Piece]] = []
        results: list[Message] = []
        for message, following in zip(messages, [*messages[1:], None], strict=True):
            if not self._ids and not turns:
                if message.role != "user":
                    raise DialectError(f"{dialect.name}: a conversation begins with a user's message")
                turns.append(dialect.start(self._tools, self._system, message.content))
            elif message.role == "tool":
                results.append(message)
                if following is None or following.role != "tool":
                    turns.append(dialect.results(results))
                    results = []
            elif message.role == "user":
                turns.append(dialect.user(message.content))
            elif message.role == "assistant":
                turns.append([*dialect.prompt(), *dialect.reply(message), *dialect.after()])
            else:
                raise DialectError("system text stands at the beginning of a conversation: give it to chat(tools, system)")
        return turns

    def _open(self) -> None:
        """The model's turn begins, if it has not."""
        if not self._ids:
            raise EngineError("there is nothing to reply to: say something first")
        if self._turn is None:
            self._ids += self._engine.encode(self._engine.dialect.prompt())
            self._turn = len(self._ids)
            self._text = TextStream(self._engine.tokenizer, self._ids)

    def _end(self) -> None:
        """The model's turn ends, as the dialect writes it, whatever the model ended it with."""
        self.ended = "end"
        self._close()

    def _close(self) -> None:
        if self._turn is not None:
            self._ids += [self._engine.end_id, *self._engine.encode(self._engine.dialect.after())]
            self._turn = None

    # ---- tokens --------------------------------------------------------------------------------------------------------

    @torch.inference_mode()
    def _next(self, draw: Draw, guide: Guide | None) -> int:
        """The next token. What waits goes through the model first."""
        logits = self._forward().float()
        if guide is not None and guide.active:
            guide.restrict(logits[0])
        token = draw(logits, [self._ids])[0]
        if guide is not None:
            guide.take(token)
        return token

    def _forward(self) -> torch.Tensor:
        """Logits for the next token, [1, vocabulary]."""
        if self._cache is None:
            self._cache = conversation_cache(self._engine.model)
        self._forget(len(self._ids) - 1)
        waiting = torch.tensor([self._ids[self._cache.get_seq_length() :]], device=self._engine.model.device)
        try:
            out = self._engine.model(input_ids=waiting, past_key_values=self._cache, use_cache=True, logits_to_keep=1)
        except BaseException as error:  # some layers may have taken these tokens and some not: begin anew the next time
            self._cache = None
            if isinstance(error, RuntimeError):
                raise EngineError(f"the model failed: {type(error).__name__}: {str(error)[:300]}") from error
            raise
        self.forwarded += waiting.shape[1]
        return out.logits[:, -1]

    def _forget(self, position: int) -> None:
        """What the model has read from here on."""
        if self._cache is not None:
            self._cache.crop(min(0, position - self._cache.get_seq_length()))

    def _guide(self, constraint: Constraint | None) -> Guide | None:
        if constraint is None:
            return None
        guide = constraint.guide(self._tools)
        for token in self._ids[self._turn :]:
            guide.take(token)
        return guide

    def _pause(self, wanted: bool) -> Callable[[int, str], bool] | None:
        """Whether a call ends with this token, whose text is this piece."""
        if not wanted:
            return None
        dialect, tokenizer = self._engine.dialect, self._engine.tokenizer
        if dialect.call_close in dialect.tokens:
            close = control_id(dialect.call_close, tokenizer)
            return lambda token, piece: token == close
        written = tokenizer.backend_tokenizer.decode(self._ids[self._turn :], skip_special_tokens=False)
        return _CallEnd(dialect, written)


class _CallEnd:
    """Finds the end of a call in text: its closing tag, but not one inside a string."""

    def __init__(self, dialect: Dialect, written: str) -> None:
        self._close = dialect.call_close
        self._stream = ReplyStream(dialect.name)
        self._stream.feed(written)
        self._behind: str | None = None  # what follows a call that is read, as long as its tag has not come

    def __call__(self, token: int, piece: str) -> bool:
        if any(isinstance(event, CallDone | FaultFound) for event in self._stream.feed(piece)):
            self._behind = ""
        if self._behind is None:
            return False
        self._behind += piece
        return self._close in self._behind
