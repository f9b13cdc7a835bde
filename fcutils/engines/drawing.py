"""From logits to tokens, and from tokens to text: the two ends of a step of writing.

Knows nothing of conversations. The samplers are transformers' own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers import (
    LogitsProcessorList,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from fcutils.engines.base import Sampling

LEAD = 6  # tokens of what came before, for the first piece of text
LONGEST = 16  # tokens that may be held back; more that make no character are none


class Draw:
    """Chooses the next token of every row from logits [rows, vocabulary], as a `Sampling` says."""

    def __init__(self, sampling: Sampling, device: Any) -> None:
        self._greedy = sampling.temperature == 0
        self._random = None
        if sampling.seed is not None:
            self._random = torch.Generator(device).manual_seed(sampling.seed)
        self._rules = LogitsProcessorList()
        if sampling.repetition_penalty != 1:
            self._rules.append(RepetitionPenaltyLogitsProcessor(sampling.repetition_penalty))
        if self._greedy:
            return
        if sampling.temperature != 1:
            self._rules.append(TemperatureLogitsWarper(sampling.temperature))
        if sampling.top_k:
            self._rules.append(TopKLogitsWarper(sampling.top_k))
        if sampling.top_p < 1:
            self._rules.append(TopPLogitsWarper(sampling.top_p))

    def __call__(self, logits: torch.Tensor, written: Sequence[Sequence[int]]) -> list[int]:
        """`written`: each row's tokens so far, which a repetition penalty looks at."""
        if self._rules:
            logits = torch.cat([self._ruled(row, ids) for row, ids in zip(logits.split(1), written, strict=True)])
        if self._greedy:
            return logits.argmax(-1).tolist()
        return torch.multinomial(logits.softmax(-1), 1, generator=self._random).squeeze(1).tolist()

    def _ruled(self, row: Any, ids: Sequence[int]) -> torch.Tensor:
        so_far: Any = torch.tensor([ids], device=row.device)
        return self._rules(so_far, row)


class TextStream:
    """Tokens to text, one by one; a character that is spread over several tokens comes when it is whole.

    What a token says may hang on the one before it (whether a word begins), so that what was given last is decoded once more.
    """

    def __init__(self, tokenizer: Any, before: Sequence[int] = ()) -> None:
        self._decode = tokenizer.backend_tokenizer.decode
        self._known = list(before[-LEAD:])  # what was given last
        self._open: list[int] = []  # tokens whose text is not

    def step(self, token: int) -> str:
        self._open = [*self._open, token]  # a new list: a copy of this stream stays where it was
        text = self._text()
        return "" if text.endswith("\ufffd") and len(self._open) < LONGEST else self._give(text)

    def rest(self) -> str:
        """What was held back, at the end: a character that was never finished shows as U+FFFD."""
        return self._give(self._text())

    def _text(self) -> str:
        known = self._decode(self._known, skip_special_tokens=False)
        return self._decode(self._known + self._open, skip_special_tokens=False)[len(known) :]

    def _give(self, text: str) -> str:
        self._known, self._open = self._open or self._known, []
        return text
