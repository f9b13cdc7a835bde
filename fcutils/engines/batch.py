"""One reply to each of many conversations, side by side: what evaluation needs, and nothing that goes on afterwards.

Prompts are read one after another, sorted, so that what a prompt has in common with the one before it (the tools, earlier
turns) is not read again. Rows write together, padded on the left; when half of them have ended, those that wait take their
places, so that one long reply does not hold up the others.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from fcutils.dialects import DialectError
from fcutils.engines.base import Constraint, ContextFull, EngineError, Guide, Sampling, Tools, Written
from fcutils.engines.cache import conversation_cache, put
from fcutils.engines.drawing import Draw, TextStream
from fcutils.messages import Conversation

if TYPE_CHECKING:
    from fcutils.engines.local import LocalEngine

ROWS = 32  # that write together
TOKENS = 32_768  # that they have read and written when one joins, padding included


Done = Callable[[int, Written], None]


@dataclass(slots=True)
class _Row:
    """One conversation: its prompt, and what is written so far."""

    index: int
    prompt: list[int]
    tools: Tools
    written: list[int] = field(default_factory=list)
    seconds: float = 0.0
    guide: Guide | None = None
    ended: bool = False
    cut: bool = False  # by a limit, not by the model


def reply_many(
    engine: LocalEngine,
    talks: Sequence[Conversation],
    max_tokens: int,
    sampling: Sampling,
    constraint: Constraint | None,
    on_reply: Done | None,
) -> list[Written]:
    """See `Engine.reply_many`. A row's seconds are its share of those that went by: together they are what all took."""
    out: dict[int, Written] = {}

    def done(index: int, written: Written) -> None:
        out[index] = written
        if on_reply is not None:
            on_reply(index, written)

    rows = []
    for index, talk in enumerate(talks):
        try:
            rows.append(_Row(index, _prompt(engine, talk), talk.tools))
        except (DialectError, ContextFull) as error:
            done(index, Written(error=str(error)))
    rows.sort(key=lambda row: row.prompt)  # neighbours begin alike
    _write(engine, rows, max_tokens, Draw(sampling, engine.model.device), constraint, done)
    return [out[index] for index in range(len(talks))]


def _prompt(engine: LocalEngine, talk: Conversation) -> list[int]:
    ids = engine.encode(engine.dialect.render(talk, generate=True))
    if len(ids) >= engine.context:
        raise ContextFull(len(ids) + 1, engine.context)
    return ids


def _write(
    engine: LocalEngine, rows: Sequence[_Row], max_tokens: int, draw: Draw, constraint: Constraint | None, done: Done
) -> None:
    """Writes these rows; if the model fails on some together (memory), in halves, and a row that fails alone has an error."""
    waiting = deque(rows)
    while waiting:
        batch = _Batch(engine, waiting, constraint, done)
        try:
            batch.write(max_tokens, draw)
        except EngineError as error:
            left = [row for row in batch.rows if not row.ended]
            if len(left) == 1:
                done(left[0].index, Written(error=str(error)))
                continue
            for half in (left[: len(left) // 2], left[len(left) // 2 :]):
                _write(engine, half, max_tokens, draw, constraint, done)


class _Batch:
    """The rows that write together, and those that wait for a place."""

    def __init__(self, engine: LocalEngine, waiting: deque[_Row], constraint: Constraint | None, done: Done) -> None:
        self._engine, self._waiting, self._constraint, self._done = engine, waiting, constraint, done
        self.rows: list[_Row] = []
        self._cache, self._reader = conversation_cache(engine.model), conversation_cache(engine.model)
        self._read: list[int] = []  # what the reader holds
        self._mask = torch.zeros(0, 0, dtype=torch.long, device=engine.model.device)  # where each row has tokens

    @torch.inference_mode()
    def write(self, max_tokens: int, draw: Draw) -> None:
        clock, tokens = time.perf_counter(), list[int]()
        while True:
            live = [place for place, row in enumerate(self.rows) if not row.ended]
            few = len(live) <= len(self.rows) // 2
            if few:
                tokens = [tokens[place] for place in live]
                self._keep(live)
            logits = [self._next(tokens)] if self.rows else []
            if few:
                logits += self._join()
            if not self.rows:
                return
            tokens = _choose(self.rows, torch.cat(logits), draw)
            writing = [row for row in self.rows if not row.ended]
            now = time.perf_counter()
            for row in writing:
                row.seconds += (now - clock) / len(writing)
            clock = now
            for row, token in zip(self.rows, tokens, strict=True):
                if not row.ended and _ends(self._engine, row, token, max_tokens):
                    row.ended = True
                    self._done(row.index, Written(_text(self._engine, row), len(row.written), row.seconds))

    def _keep(self, live: list[int]) -> None:
        self.rows = [self.rows[place] for place in live]
        places = torch.tensor(live, dtype=torch.long, device=self._mask.device)
        self._mask = self._mask[places]
        self._cache.batch_select_indices(places)

    def _next(self, tokens: Sequence[int]) -> torch.Tensor:
        """Every row's last token is read: logits for its next."""
        place = self._mask.sum(-1, keepdim=True)
        self._mask = torch.cat([self._mask, self._mask.new_ones(len(self.rows), 1)], -1)
        return _forward(self._engine, tokens, self._cache, attention_mask=self._mask, position_ids=place)

    def _join(self) -> list[torch.Tensor]:
        """Those that wait come in, as many as there is room for: logits for each one's first token."""
        here = len(self.rows)
        width = max((len(row.prompt) + len(row.written) for row in self.rows), default=0)
        while self._waiting and len(self.rows) < ROWS:
            longest = max(width, len(self._waiting[0].prompt))
            if self.rows and (len(self.rows) + 1) * longest > TOKENS:
                break
            row = self._waiting.popleft()
            if _begin(row, self._constraint, self._done):
                self.rows.append(row)
                width = longest
        new = self.rows[here:]
        if new:
            before, self._mask = self._mask, self._mask.new_zeros(len(self.rows), width)
            same = min(width, before.shape[1])
            self._mask[:here, width - same :] = before[:, before.shape[1] - same :]
        return [self._read_prompt(place, row.prompt, width) for place, row in enumerate(new, start=here)]

    def _read_prompt(self, place: int, prompt: list[int], width: int) -> torch.Tensor:
        known = min(_common(self._read, prompt), len(prompt) - 1)
        self._reader.crop(known - len(self._read))
        self._read = prompt
        logits = _forward(self._engine, prompt[known:], self._reader)
        put(self._cache, place, len(self.rows), width, self._reader)
        self._mask[place, width - len(prompt) :] = 1
        return logits


def _begin(row: _Row, constraint: Constraint | None, done: Done) -> bool:
    """At the beginning of its reply. False: the constraint has no guide for its tools, which is this row's error alone."""
    try:
        row.written, row.guide = [], constraint.guide(row.tools) if constraint else None
    except EngineError as error:
        done(row.index, Written(error=str(error)))
        return False
    return True


def _common(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens they begin with alike."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((place for place, (a, b) in pairs if a != b), min(len(one), len(other)))


def _forward(engine: LocalEngine, tokens: Sequence[int], cache: Any, **where: torch.Tensor) -> torch.Tensor:
    """Logits behind the last token: of one row's next tokens, or (with a mask) of every row's next token."""
    ids = torch.tensor([tokens], device=engine.model.device)
    try:
        out = engine.model(input_ids=ids.T if where else ids, past_key_values=cache, use_cache=True, logits_to_keep=1, **where)
    except RuntimeError as error:
        raise EngineError(f"the model failed on these rows: {type(error).__name__}: {str(error)[:300]}") from error
    return out.logits[:, -1].float()


def _choose(rows: Sequence[_Row], logits: torch.Tensor, draw: Draw) -> list[int]:
    for place, row in enumerate(rows):
        if row.guide is not None and not row.ended and row.guide.active:
            row.guide.restrict(logits[place])
    return draw(logits, [row.prompt + row.written for row in rows])


def _ends(engine: LocalEngine, row: _Row, token: int, max_tokens: int) -> bool:
    """Takes the token down. Whether the row ends with it."""
    if row.guide is not None:
        row.guide.take(token)
    if token in engine.stop_ids:
        return True
    row.written.append(token)
    row.cut = len(row.written) >= max_tokens or len(row.prompt) + len(row.written) >= engine.context
    return row.cut


def _text(engine: LocalEngine, row: _Row) -> str:
    stream = TextStream(engine.tokenizer, row.prompt)
    text = "".join(map(stream.step, row.written))
    return text if row.cut else text + stream.rest()
