"""Pieces -> ids and mask, so that text can never become a control token, and is encoded as it would be within the whole
conversation.

Control tokens are looked up. Text goes through the tokenizer's own normalizer, pre-tokenizer and model, past its added tokens:
not even those with `special=False` can be read out of it, which `split_special_tokens` would let through. Where the model
itself has a control token in its vocabulary (Unigram), the text is cut inside it. Only white space that a family keeps as
added tokens (Gemma's line breaks) is found in text.

SentencePiece marks the beginning of a stretch of text. Here a marker stands where the whole text would have one: behind a
control token if the tokenizer does so, never elsewhere. What is given and what is learnt are encoded apart, because at run
time they are: the model writes on from a prompt whose ids are fixed. Knows no dialect; needs a fast tokenizer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary

from fcutils.dialects.base import DialectError, Encoded, Part, Piece

Span = tuple[int, int]


def encode(pieces: Sequence[Piece], tokenizer: Any) -> Encoded:
    """Ids, mask and parts. Neighbouring pieces of text are encoded together; control tokens are looked up, never read in text.

    The pieces begin where a conversation does, or behind a control token.
    """
    reader = _reader(tokenizer)
    ids: list[int] = []
    learn: list[bool] = []
    parts: list[Part] = []
    inside = False  # whether other text stands right before
    for run, token in _runs(pieces, reader):
        if token is not None:
            found, owners, inside = [token], run, False
        else:
            found, spans = reader.read("".join(piece.text for piece in run), inside)
            owners, inside = _owners(run, spans), reader.spaces.isdisjoint(found[-1:])
        ids += found
        learn.extend(piece.learn for piece in owners)
        parts.extend(piece.part for piece in owners)
    return Encoded(ids, learn, parts)


def control_id(token: str, tokenizer: Any) -> int:
    """The id of a control token; an error where the tokenizer has none, or has it as an ordinary word."""
    return _reader(tokenizer).control(token)


def control_tokens(tokenizer: Any) -> dict[str, int]:
    """Every added token that is no white space, and its id: what text can never become."""
    reader = _reader(tokenizer)
    return {token: id_ for token, id_ in reader.added.items() if len(token) > 1 and id_ not in reader.spaces}


def _runs(pieces: Sequence[Piece], reader: _Reader) -> Iterator[tuple[list[Piece], int | None]]:
    """One token with its id, or pieces of text to be encoded together."""
    run: list[Piece] = []
    for piece in pieces:
        token = reader.control(piece.text) if piece.control else reader.added.get(piece.text) if piece.tag else None
        if run and (token is not None or (piece.text and piece.learn != run[0].learn)):
            yield run, None
            run = []
        if token is not None:
            yield [piece], token
        elif piece.text:
            run.append(piece)
    if run:
        yield run, None


def _owners(run: Sequence[Piece], spans: Sequence[Span]) -> list[Piece]:
    """The piece in which each token ends; a token that reaches over a border belongs to the later piece."""
    ends, total = [], 0
    for piece in run:
        total += len(piece.text)
        ends.append(total)
    out, at = [], 0
    for start, end in spans:
        while at < len(run) - 1 and max(end, start + 1) > ends[at]:
            at += 1
        out.append(run[at])
    return out


class _Reader:
    """One tokenizer's way of reading text, without its added tokens (`added`: their ids). `unknown` is no control token."""

    def __init__(self, backend: Any, added: Mapping[str, int], unknown: int | None) -> None:
        self.added = added
        self.spaces = {id_ for token, id_ in added.items() if _is_space(token)}
        self._model = backend.model
        self._space = re.compile("|".join(map(re.escape, sorted(filter(_is_space, added), key=len, reverse=True))) or "(?!)")
        self._controls = {id_ for token, id_ in added.items() if len(token) > 1} - self.spaces - {unknown}
        self._behind_token = _parts(backend, _not_just_at_the_start)
        self._inside_text = _parts(backend, _nowhere)

    def control(self, token: str) -> int:
        if self.added.get(token) not in self._controls:
            raise DialectError(
                f"the tokenizer has no control token {token!r}: add the dialect's tokens first (finetune.add_tokens)"
            )
        return self.added[token]

    def read(self, text: str, inside: bool) -> tuple[list[int], list[Span]]:
        """Ids, and where in the text each stands. `inside`: the text goes on from other text."""
        text = _HALF_A_PAIR.sub("\ufffd", text)
        ids: list[int] = []
        spans: list[Span] = []
        at = 0
        for space in [*self._space.finditer(text), None]:
            end = space.start() if space else len(text)
            if end > at:
                found = self._read_plain(text[at:end], inside and at == 0)
                ids += found.ids
                spans += [(at + first, at + last) for first, last in found.offsets]
            if space:
                ids.append(self.added[space.group()])
                spans.append(space.span())
                at = space.end()
        return ids, spans

    def _read_plain(self, text: str, inside: bool) -> Any:
        from tokenizers import PreTokenizedString

        normalizer, pre_tokenizer = self._inside_text if inside else self._behind_token
        whole = PreTokenizedString(text)
        if normalizer is not None:
            whole.normalize(normalizer.normalize)
        if pre_tokenizer is not None:
            pre_tokenizer.pre_tokenize(whole)
        whole.tokenize(self._words)
        return whole.to_encoding()

    def _words(self, text: str) -> list[Any]:
        """The model's tokens; where one of them would be a control token, the text is cut behind its first character."""
        words = self._model.tokenize(text)
        if self._controls.isdisjoint([word.id for word in words]):
            return words
        raw = text.encode()
        stretches = [(word.offsets[0], raw[slice(*word.offsets)].decode()) for word in words if word.id in self._controls]
        cuts = [start + len(stretch[0].encode()) for start, stretch in stretches if len(stretch) > 1]
        parts = zip([0, *cuts], [*cuts, len(raw)], strict=True) if cuts else ()
        return [_moved(word, start) for start, end in parts for word in self._words(raw[start:end].decode())] or words


_HALF_A_PAIR = re.compile("[\ud800-\udfff]")  # no tokenizer takes half of a surrogate pair
_READERS: WeakKeyDictionary[Any, _Reader] = WeakKeyDictionary()


def _reader(tokenizer: Any) -> _Reader:
    """The tokenizer's reader, made anew when tokens have been added."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise DialectError(f"a {type(tokenizer).__name__} cannot keep text and control tokens apart: load a fast tokenizer")
    added = {token.content: id_ for id_, token in backend.get_added_tokens_decoder().items()}
    reader = _READERS.get(tokenizer)
    if reader is None or reader.added != added:
        reader = _READERS[tokenizer] = _Reader(backend, added, tokenizer.unk_token_id)
    return reader


def _is_space(token: str) -> bool:
    return not token.replace("▁", " ").strip()


def _moved(word: Any, by: int) -> Any:
    from tokenizers import Token

    return Token(word.id, word.value, (word.offsets[0] + by, word.offsets[1] + by))


Rule = Callable[[str, Any], Any]  # a setting's name and value -> the value that it shall have


def _not_just_at_the_start(name: str, value: Any) -> Any:
    """A marker for the very first text is none here: a conversation begins with a control token."""
    return "never" if (name, value) == ("prepend_scheme", "first") else value


def _nowhere(name: str, value: Any) -> Any:
    return {"prepend_scheme": "never", "add_prefix_space": False, "prepend": ""}.get(name, value)


def _parts(backend: Any, rule: Rule) -> tuple[Any, Any]:
    """The tokenizer's normalizer and pre-tokenizer, with another rule for SentencePiece's marker."""
    from tokenizers import normalizers, pre_tokenizers

    return _copy(backend.normalizer, normalizers.Sequence([]), rule), _copy(
        backend.pre_tokenizer, pre_tokenizers.Sequence([]), rule
    )


def _copy(part: Any, into: Any, rule: Rule) -> Any:
    if part is None:
        return None
    into.__setstate__(json.dumps(_changed(json.loads(part.__getstate__()), rule)).encode())
    return into


def _changed(state: Any, rule: Rule) -> Any:
    if isinstance(state, list):
        return [_changed(one, rule) for one in state]
    if not isinstance(state, dict):
        return state
    return {name: rule(name, _changed(value, rule)) for name, value in state.items()}
