"""Causal attention for training on a processor, some rows of the score matrix at a time: half the time of torch's own.

A block of queries meets only the keys up to its end, its scores stay in the cache, and the weights that the backward
pass needs are kept instead of made again. For padded batches of some thousand tokens; knows no cache and no padding
mask (what stands behind a row's end is never looked at).
"""

from __future__ import annotations

from typing import Any

import torch

BLOCK = 128
NAME = "fcutils_blocks"


class Blocks(torch.autograd.Function):
    """softmax(scale x QK', causal, within the window) V, with queries, keys and values as (rows, heads, places, numbers)."""

    @staticmethod
    def forward(ctx: Any, query: Any, key: Any, value: Any, scale: float, window: int | None) -> Any:
        out, kept, scaled = torch.empty_like(query), [], query * scale
        for start, end in _blocks(query):
            scores = scaled[:, :, start:end] @ key[:, :, :end].transpose(-1, -2)
            before = 0 if window else start  # what stands before the block is seen by all of it
            scores[..., before:].masked_fill_(_hidden(start, end, window)[:, before:], float("-inf"))
            shares = scores.softmax(-1)
            out[:, :, start:end] = shares @ value[:, :, :end]
            kept.append(shares)
        ctx.save_for_backward(query, key, value, out, *kept)
        ctx.scale = scale
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        query, key, value, out, *kept = ctx.saved_tensors
        to_query, grad = torch.empty_like(query), grads[0]
        to_key, to_value = (torch.zeros_like(each, dtype=torch.float32) for each in (key, value))
        shared = (grad * out).sum(-1, keepdim=True)
        for (start, end), shares in zip(_blocks(query), kept, strict=True):
            piece = grad[:, :, start:end]
            to_value[:, :, :end] += shares.transpose(-1, -2) @ piece
            slope = piece @ value[:, :, :end].transpose(-1, -2)
            slope -= shared[:, :, start:end]
            slope *= shares
            to_query[:, :, start:end] = (slope @ key[:, :, :end]) * ctx.scale
            to_key[:, :, :end] += slope.transpose(-1, -2) @ query[:, :, start:end]
        return to_query, (to_key * ctx.scale).to(key.dtype), to_value.to(value.dtype), None, None


def use(model: Any) -> None:
    """Let this model attend in blocks from now on."""
    from transformers import AttentionInterface

    AttentionInterface.register(NAME, _attend)
    model.set_attn_implementation(NAME)


def _attend(module: Any, query: Any, key: Any, value: Any, mask: Any = None, **how: Any) -> tuple[Any, None]:
    query, key = query.to(value.dtype), key.to(value.dtype)  # rotation may have widened them
    out = Blocks.apply(query, key, value, how["scaling"], how.get("sliding_window"))
    return out.transpose(1, 2).contiguous(), None


def _blocks(query: Any) -> list[tuple[int, int]]:
    length = query.shape[2]
    return [(start, min(start + BLOCK, length)) for start in range(0, length, BLOCK)]


def _hidden(start: int, end: int, window: int | None) -> Any:
    """Which keys a block of queries may not see."""
    query, key = torch.arange(start, end).unsqueeze(1), torch.arange(end)
    return (key > query) | (query - key >= window) if window else key > query
