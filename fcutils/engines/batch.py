"""One reply to each of many conversations, side by side: what evaluation needs, and nothing that goes on afterwards.

Rows of like length share a batch, padded on the left. A row that has ended leaves the batch when half of them have.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from fcutils.dialects import DialectError
from fcutils.engines.base import Constraint, ContextFull, EngineError, Guide, Sampling, Tools, Written
from fcutils.engines.cache import conversation_cache
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
    """See `Engine.reply_many`. A row's seconds are its share of its batch's."""
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
    """The longest first: what does not fit into memory shows at once."""
    batch: list[_Row] = []
    for row in sorted(rows, key=lambda row: -len(row.prompt)):
        if batch and (len(batch) == ROWS or (len(batch) + 1) * len(batch[0].prompt) > TOKENS):
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
    began, share = time.perf_counter(), len(rows)
    ids, mask = _padded(rows, engine.model.device)
    cache = conversation_cache(engine.model)
    while True:
        tokens = _choose(rows, _forward(engine.model, ids, mask, cache), draw)
        for row, token in zip(rows, tokens, strict=True):
            if not row.ended and _ends(engine, row, token, max_tokens):
                row.ended = True
                seconds = (time.perf_counter() - began) / share
                done(row.index, Written(_text(engine, row), len(row.written), seconds))
        live = [place for place, row in enumerate(rows) if not row.ended]
        if not live:
            return
        if len(live) <= len(rows) // 2:
            rows, mask, tokens = [rows[i] for i in live], mask[live], [tokens[i] for i in live]
            cache.batch_select_indices(torch.tensor(live, device=mask.device))
        ids = torch.tensor(tokens, device=mask.device).unsqueeze(1)
        mask = torch.cat([mask, mask.new_ones(len(rows), 1)], -1)


def _forward(model: Any, ids: torch.Tensor, mask: torch.Tensor, cache: Any) -> torch.Tensor:
    """Logits for every row's next token."""
    place = (mask.cumsum(-1)[:, -ids.shape[1] :] - 1).clamp(min=0)
    inputs = {"input_ids": ids, "attention_mask": mask, "position_ids": place, "past_key_values": cache}
    try:
        return model(**inputs, use_cache=True, logits_to_keep=1).logits[:, -1].float()
    except RuntimeError as error:
        raise EngineError(f"the model failed on these rows: {type(error).__name__}: {str(error)[:300]}") from error


def _padded(rows: Sequence[_Row], device: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Prompts and attention mask, [rows, length of the longest], the prompts on the right."""
    width = max(len(row.prompt) for row in rows)
    ids = torch.zeros(len(rows), width, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for place, row in enumerate(rows):
        ids[place, width - len(row.prompt) :] = torch.tensor(row.prompt)
        mask[place, width - len(row.prompt) :] = 1
    return ids.to(device), mask.to(device)


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
