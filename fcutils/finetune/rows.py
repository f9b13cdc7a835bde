"""Conversations into what is trained on: ids, and a mask that says which of them the model must learn to say.

Ids and mask are the dialect's own rendering, the same that the engine asks with. Every row is checked before anything is
trained: its calls against their schemas, its mask, its length. Knows nothing of models beyond how many tokens they hold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike

from fcutils.dataset import row_faults
from fcutils.dialects import Dialect, DialectError, encode, get
from fcutils.finetune.errors import FinetuneError
from fcutils.messages import Conversation

IGNORED = -100  # a label that no loss is taken of


class BadRows(FinetuneError):
    """Rows that cannot be trained on: each with its number, counted from 1, and the reason."""

    def __init__(self, faults: Sequence[tuple[int, str]], total: int, cure: str, what: str = "rows") -> None:
        self.faults = tuple(faults)
        lines = [f"  row {number}: {reason}" for number, reason in faults[:10]]
        lines += [f"  and {len(faults) - 10} more"] if len(faults) > 10 else []
        count = len({number for number, _ in faults})
        super().__init__("\n".join([f"{count} of {total} {what} cannot be trained on; {cure}", *lines]))


@dataclass(frozen=True, slots=True)
class Prepared:
    """Rows as ids and labels. `left_out`: those that were too long, with their number and their tokens."""

    ids: tuple[list[int], ...]
    labels: tuple[list[int], ...]
    left_out: tuple[tuple[int, int], ...] = ()

    @property
    def longest(self) -> int:
        return max(map(len, self.ids))

    @property
    def tokens(self) -> int:
        return sum(map(len, self.ids))

    @property
    def learnt(self) -> int:
        """Tokens that the loss looks at: a row's first token is never predicted."""
        return sum(label != IGNORED for labels in self.labels for label in labels[1:])

    def dataset(self) -> object:
        """For TRL, which takes a `labels` column as it is."""
        from datasets import Dataset

        return Dataset.from_dict({"input_ids": list(self.ids), "labels": list(self.labels)})


def prepare(
    rows: Sequence[Conversation],
    dialect: str | Dialect,
    tokenizer: object,
    longest: int,
    *,
    answers_only: bool = True,
    leave_out_long: bool = False,
    what: str = "rows",
) -> Prepared:
    """Ids and labels of every row; one BadRows names all that cannot be used.

    `answers_only`: the loss looks at what the model says; False: at every token. `leave_out_long`: rows of more than `longest`
    tokens are left out and counted, instead of refused; no row is ever cut. `what` they are called in errors.
    """
    if isinstance(rows, (str, PathLike)) or not all(isinstance(row, Conversation) for row in rows):
        raise FinetuneError(f"{what} are conversations, as fcutils.dataset.read_rows(path) gives them")
    if not rows:
        raise FinetuneError(f"there are no {what} to train on")
    ids, labels, faults, long = [], [], [], []
    for number, row in enumerate(rows, start=1):
        faults += [(number, fault) for fault in row_faults(row)]
        try:
            encoded = encode(get(dialect).render(row), tokenizer)
        except DialectError as error:
            faults.append((number, str(error)))
            continue
        if not any(encoded.learn[1:]):
            faults.append((number, "nothing in it is learnt: there is no assistant's message"))
        if len(encoded.ids) > longest:
            long.append((number, len(encoded.ids)))
            continue
        ids.append(encoded.ids)
        learn = encoded.learn if answers_only else [True] * len(encoded.ids)
        labels.append([id_ if learnt else IGNORED for id_, learnt in zip(encoded.ids, learn, strict=True)])
    if faults:
        raise BadRows(faults, len(rows), "mend or remove them:", what)
    if long and not leave_out_long:
        told = [(number, f"{tokens} tokens, {tokens - longest} too many") for number, tokens in long]
        cure = f"more than {longest} tokens: raise `length` where the model reads more, or leave_out_long=True does without:"
        raise BadRows(told, len(rows), cure, what)
    if not ids:
        raise FinetuneError(f"all {len(rows)} {what} are longer than {longest} tokens: nothing is left to train on")
    return Prepared(tuple(ids), tuple(labels), tuple(long))
