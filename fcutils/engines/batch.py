"""One reply to each of many conversations, side by side: what evaluation needs, and nothing that goes on afterwards.

Prompts are read one after another, sorted, so that what a prompt has in common with the one before it (the tools, earlier
turns) is not read again. Then the rows of a batch write together, padded on the left; when half of them have ended, the
batch shrinks.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
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

ROWS = 32  # in a batch
TOKENS = 32_768  # of prompts in a batch, padding included


Done = Callable[[int, Written], None]


@dataclass(slots=True)
class _Row:
    """One conversation: its prompt, and what is written so far."""

    index: int
    prompt: list[int]
    tools: Tools
    written: list[int] = field(default_factory=list)
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
    """See `Engine.reply_many`. A row's seconds are its share of its batch's: together they are what all took."""
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
    draw = Draw(sampling, engine.model.device)
    for some in _batches(rows):
        _write(engine, some, max_tokens, draw, constraint, done)
    return [out[index] for index in range(len(talks))]


def _prompt(engine: LocalEngine, talk: Conversation) -> list[int]:
    ids = engine.encode(engine.dialect.render(talk, generate=True))
    if len(ids) >= engine.context:
        raise ContextFull(len(ids) + 1, engine.context)
    return ids


def _batches(rows: Sequence[_Row]) -> Iterator[list[_Row]]:
    """In an order in which neighbours begin alike."""
    batch: list[_Row] = []
    for row in sorted(rows, key=lambda row: row.prompt):
        longest = max(len(other.prompt) for other in [*batch, row])
        if batch and (len(batch) == ROWS or (len(batch) + 1) * longest > TOKENS):
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


def _write(
    engine: LocalEngine, rows: list[_Row], max_tokens: int, draw: Draw, constraint: Constraint | None, done: Done
) -> None:
    """Writes these rows; if the model fails on them together (memory), in halves, and a row that fails alone has an error."""
    ready = [row for row in rows if _begin(row, constraint, done)]
    if not ready:
        return
    try:
        _write_together(engine, ready, max_tokens, draw, done)
    except EngineError as error:
        left = [row for row in ready if not row.ended]
        if len(left) == 1:
            done(left[0].index, Written(error=str(error)))
            return
        for half in (left[: len(left) // 2], left[len(left) // 2 :]):
            _write(engine, half, max_tokens, draw, constraint, done)


def _begin(row: _Row, constraint: Constraint | None, done: Done) -> bool:
    """At the beginning of its reply. False: the constraint has no guide for its tools, which is this row's error alone."""
    try:
        row.written, row.guide = [], constraint.guide(row.tools) if constraint else None
    except EngineError as error:
        done(row.index, Written(error=str(error)))
        return False
    return True


@torch.inference_mode()
def _write_together(engine: LocalEngine, rows: list[_Row], max_tokens: int, draw: Draw, done: Done) -> None:
    clock, seconds, waiting = time.perf_counter(), 0.0, len(rows)  # what one row has cost so far, of those not ended
    cache, logits, mask = _read(engine, rows)
    while True:
        tokens = _choose(rows, logits, draw)
        now = time.perf_counter()
        seconds, clock = seconds + (now - clock) / waiting, now
        for row, token in zip(rows, tokens, strict=True):
            if not row.ended and _ends(engine, row, token, max_tokens):
                row.ended = True
                done(row.index, Written(_text(engine, row), len(row.written), seconds))
        live = [place for place, row in enumerate(rows) if not row.ended]
        if not live:
            return
        waiting = len(live)
        if len(live) <= len(rows) // 2:
            rows, mask, tokens = [rows[i] for i in live], mask[live], [tokens[i] for i in live]
            cache.batch_select_indices(torch.tensor(live, device=mask.device))
        place = mask.sum(-1, keepdim=True)
        mask = torch.cat([mask, mask.new_ones(len(rows), 1)], -1)
        logits = _forward(engine, tokens, cache, attention_mask=mask, position_ids=place)


def _read(engine: LocalEngine, rows: Sequence[_Row]) -> tuple[Any, torch.Tensor, torch.Tensor]:
    """The prompts, read: what they leave in a cache, logits for each row's first token, and where each row has tokens."""
    width = max(len(row.prompt) for row in rows)
    batch, one = conversation_cache(engine.model), conversation_cache(engine.model)
    mask = torch.zeros(len(rows), width, dtype=torch.long, device=engine.model.device)
    logits: list[torch.Tensor] = []
    before: list[int] = []
    for place, row in enumerate(rows):
        known = min(_common(before, row.prompt), len(row.prompt) - 1)
        one.crop(known - len(before))
        logits.append(_forward(engine, row.prompt[known:], one))
        put(batch, place, len(rows), width, one)
        mask[place, width - len(row.prompt) :] = 1
        before = row.prompt
    return batch, torch.cat(logits), mask


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
