"""Examples into padded batches of about equal size. Lengths are bucketed, so that little is padding."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

from fcutils.pocket.corpus import Example


@dataclass(frozen=True, slots=True)
class Batch:
    ids: Any  # (rows, length)
    rows: Any  # which row and
    columns: Any  # which column is predicted from, where the weight is not zero
    targets: Any
    weights: Any
    tokens: int  # without padding


def batches(source: Iterator[Example], budget: int, rng: Random, ahead: int = 8) -> Iterator[Batch]:
    """Without end; each batch holds at most `budget` tokens, padding counted."""
    pool: list[Example] = []
    while True:
        while sum(len(example.ids) for example in pool) < ahead * budget:
            pool.append(next(source))
        pool.sort(key=lambda example: len(example.ids))
        groups: list[list[Example]] = []
        group: list[Example] = []
        for example in pool:
            if group and len(example.ids) * (len(group) + 1) > budget:
                groups.append(group)
                group = []
            group.append(example)
        pool = group  # the longest, unfinished group waits for company
        rng.shuffle(groups)
        yield from (collate(group) for group in groups)


def collate(group: list[Example]) -> Batch:
    import torch

    length = max(len(example.ids) for example in group)
    ids = torch.zeros(len(group), length, dtype=torch.long)
    rows, columns, targets, weights = [], [], [], []
    for row, example in enumerate(group):
        ids[row, : len(example.ids)] = torch.tensor(example.ids)
        for at in range(1, len(example.ids)):
            if example.weights[at]:
                rows.append(row)
                columns.append(at - 1)
                targets.append(example.ids[at])
                weights.append(example.weights[at])
    return Batch(
        ids,
        torch.tensor(rows),
        torch.tensor(columns),
        torch.tensor(targets),
        torch.tensor(weights),
        sum(len(example.ids) for example in group),
    )


def states(model: Any, batch: Batch, device: Any) -> Any:
    """Hidden states from which something is to be predicted, and those alone."""
    hidden = model.model(input_ids=batch.ids.to(device), use_cache=False).last_hidden_state
    return hidden[batch.rows.to(device), batch.columns.to(device)]


def in_parallel(make: Callable[[int], Iterator[Batch]], workers: int) -> Iterator[Batch]:
    """The batches of `make(0)`; or those of `workers` processes, each with its own."""
    if not workers:
        return make(0)
    from torch.utils.data import DataLoader, IterableDataset, get_worker_info

    class Made(IterableDataset):
        def __iter__(self) -> Iterator[Batch]:
            info = get_worker_info()
            return make(info.id + 1 if info else 0)

    return iter(DataLoader(Made(), batch_size=None, num_workers=workers, prefetch_factor=8))
