"""New tokens: what a dialect needs and a tokenizer lacks, and where their rows come from.

A new token begins as the mean of the pieces that its text was until now, so that the model meets something it half knows. A
row that still is that mean was never trained: that is how `new_rows` knows which rows are to be, with no list to be kept.
Knows tokenizers and embedding matrices; not LoRA, and not training.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fcutils.dialects import Dialect, Piece, encode, get


def lacking(tokenizer: Any, dialect: str | Dialect) -> list[str]:
    """The dialect's control tokens that this tokenizer does not have."""
    had = _added(tokenizer)
    return [token for token in get(dialect).tokens if token not in had]


def add_tokens(model: Any, tokenizer: Any, dialect: str | Dialect) -> dict[str, int]:
    """Gives tokenizer and model what they lack of a dialect, and says which tokens have rows that are still to be trained.

    Each new row, of the embedding and of the head, is the mean of the rows of the pieces that the token's text was.
    """
    dialect = get(dialect)
    missing = lacking(tokenizer, dialect)
    words = tokenizer.get_vocab()
    if missing:
        _extend(tokenizer, missing, dialect)
        if len(tokenizer) > model.get_input_embeddings().num_embeddings:
            model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
        _set_rows(model, tokenizer, [token for token in missing if token not in words])
    return new_rows(model, tokenizer, dialect)


def new_rows(model: Any, tokenizer: Any, dialect: str | Dialect) -> dict[str, int]:
    """The dialect's tokens whose rows were never trained, each with its id: they are still the mean of their pieces."""
    had = _added(tokenizer)
    found = {token: had[token] for token in get(dialect).tokens if token in had}
    embedding = model.get_input_embeddings().weight
    return {token: id_ for token, id_ in found.items() if _is_mean(embedding, id_, pieces(token, tokenizer))}


def pieces(token: str, tokenizer: Any) -> list[int]:
    """The ids that a token's text has where it is only text."""
    return encode([Piece(token)], tokenizer).ids


def _extend(tokenizer: Any, missing: list[str], dialect: Dialect) -> None:
    """Markers that the model says stay visible in decoded text, as a server has to find them; the others are special."""
    from tokenizers import AddedToken

    said = {dialect.thought_open, dialect.thought_close, dialect.call_open, dialect.call_close}
    said |= {dialect.result_open, dialect.result_close}
    tokenizer.add_tokens([AddedToken(token, normalized=False, special=token not in said) for token in missing])


def _set_rows(model: Any, tokenizer: Any, tokens: list[str]) -> None:
    import torch

    had = _added(tokenizer)
    for matrix in _matrices(model):
        with torch.no_grad():
            for token in tokens:
                matrix[had[token]] = _mean(matrix, pieces(token, tokenizer))


def _matrices(model: Any) -> list[Any]:
    """The embedding, and the head where it is not the same matrix."""
    one, two = model.get_input_embeddings().weight, model.get_output_embeddings().weight
    return [one] if one is two else [one, two]


def _mean(matrix: Any, ids: list[int]) -> Any:
    return matrix[ids].float().mean(0).to(matrix.dtype)


def _is_mean(matrix: Any, id_: int, ids: list[int]) -> bool:
    import torch

    return id_ not in ids and torch.equal(matrix[id_], _mean(matrix, ids))


def _added(tokenizer: Any) -> Mapping[str, int]:
    return {token.content: id_ for id_, token in tokenizer.backend_tokenizer.get_added_tokens_decoder().items()}
