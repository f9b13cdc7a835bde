"""The keys and values of everything that a model has read: grows without copying, and can go back to any length.

transformers' own layers copy all they hold for every token, and a sliding-window layer forgets what a rollback would
need. These keep the whole past in a buffer with room to spare, and show the model the part that it may see. Nothing here
knows of tokens or turns.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers.cache_utils import DynamicCache, DynamicLayer, DynamicSlidingWindowLayer

from fcutils.engines.base import EngineError

SPARE = 256  # positions that a buffer has free at least, when it is new


class KeptLayer(DynamicLayer):
    """One layer's keys and values, [batch, heads, length, width]. `window`: how many places a sliding layer sees."""

    def __init__(self, window: int | None = None) -> None:
        super().__init__()
        self.window, self.length = window, 0
        self.is_sliding = window is not None
        self._buffers: list[torch.Tensor] = []  # keys, values: longer than what they hold

    def update(self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        begin, end = self._seen_from(), self.length + key_states.shape[-2]
        new = (key_states, value_states)
        if not self._buffers or end > self._buffers[0].shape[-2]:
            self._buffers = [self._grown(place, states, end) for place, states in enumerate(new)]
        for buffer, states in zip(self._buffers, new, strict=True):
            buffer[:, :, self.length : end] = states
        self.length = end
        return tuple(buffer[:, :, begin:end] for buffer in self._buffers)

    def _grown(self, place: int, like: torch.Tensor, needed: int) -> torch.Tensor:
        room = needed + max(SPARE, needed // 2)
        grown = like.new_empty(*like.shape[:2], room, like.shape[-1])
        if self.length:
            grown[:, :, : self.length] = self._buffers[place][:, :, : self.length]
        return grown

    def _seen_from(self) -> int:
        """The first place that the next token may see."""
        return max(self.length - self.window + 1, 0) if self.window else 0

    def get_seq_length(self) -> int:
        return self.length

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        begin = self._seen_from()
        return self.length - begin + query_length, begin

    def crop(self, tokens_to_remove: int) -> None:
        """Forget the last tokens: a negative number, as in transformers."""
        self.length += tokens_to_remove

    def put(self, place: int, rows: int, width: int, one: KeptLayer) -> None:
        """See the function `put`."""
        held = self._buffers or [buffer[:0] for buffer in one._buffers]
        if (len(held[0]), self.length) != (rows, width):
            self._buffers, self.length = [self._refitted(buffer, rows, width) for buffer in held], width
        for buffer, new in zip(self._buffers, one._buffers, strict=True):
            buffer[place, :, width - one.length : width] = new[0, :, : one.length]

    def _refitted(self, buffer: torch.Tensor, rows: int, width: int) -> torch.Tensor:
        room, same = width + max(SPARE, width // 2), min(width, self.length)
        fitting = buffer.new_zeros(rows, buffer.shape[1], room, buffer.shape[3])
        fitting[: len(buffer), :, width - same : width] = buffer[:, :, self.length - same : self.length]
        return fitting

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        self._buffers = [buffer[indices] for buffer in self._buffers]


def conversation_cache(model: Any) -> DynamicCache:
    """An empty cache for this model, whose layers keep everything."""
    cache = DynamicCache(config=model.config)
    layers: list[Any] = []
    for layer in cache.layers:
        if type(layer) not in (DynamicLayer, DynamicSlidingWindowLayer):
            kind = type(layer).__name__
            raise EngineError(f"{type(model).__name__} has layers of a kind ({kind}) that cannot go back to an earlier turn")
        layers.append(KeptLayer(getattr(layer, "sliding_window", None)))
    cache.layers = layers
    return cache


def put(batch: DynamicCache, place: int, rows: int, width: int, one: DynamicCache) -> None:
    """Row `place` of a batch of `rows` becomes what `one` holds of a conversation, on the right of `width` positions.

    A batch of fewer rows, or of another width, is fitted to these first: its rows stay, and stay on the right.
    """
    for into, layer in zip(batch.layers, one.layers, strict=True):
        assert isinstance(into, KeptLayer) and isinstance(layer, KeptLayer)
        into.put(place, rows, width, layer)
