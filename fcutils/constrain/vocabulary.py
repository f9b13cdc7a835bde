"""A tokenizer as a grammar sees it: the bytes of every token, and which tokens are control tokens, whatever they spell.

A tag that is merely added to a tokenizer (`special=False`) is a control token here, too: no grammar can read it as text, so
that none can stand inside a string.

Where a tokenizer glues (the pocket models': a word's token says its space, but not behind a token that ends in a glue mark),
what a token says hangs on the one before it. Such a vocabulary has every token twice: as it is, and `size` further on as it
is behind glue.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from weakref import WeakKeyDictionary

import torch
from llguidance import LLTokenizer
from llguidance._tokenizer import TokenizerWrapper

from fcutils.dialects.encoding import control_tokens
from fcutils.engines.base import EngineError


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """`texts`: what each token says; `tokens`: the control tokens by their text."""

    tokenizer: LLTokenizer
    texts: tuple[bytes, ...]
    tokens: dict[str, int]
    size: int
    glue: frozenset[int] = frozenset()  # tokens that end in a glue mark
    silent: tuple[tuple[int, ...], tuple[int, ...]] = ((), ())  # tokens that say nothing: anywhere else, and behind glue
    controls: frozenset[int] = frozenset()

    def twin(self, token: int, behind_glue: bool) -> int:
        """The token as it is here: behind glue, or not."""
        return token + self.size if behind_glue and self.glue and token not in self.controls else token

    def half(self, mask: torch.Tensor, behind_glue: bool, silent: bool, amid: bool) -> torch.Tensor:
        """Of a mask over all twins: what holds for the tokens here. Those that say nothing may come, but neither on and
        on nor between the bytes of a character.
        """
        if not self.glue:
            return mask
        plain, behind = mask[: self.size], mask[self.size :]
        here, other = (behind, plain) if behind_glue else (plain, behind)
        here[list(self.controls)] = plain[list(self.controls)]
        if other.any() and not amid and (behind_glue or not silent):
            here[list(self.silent[behind_glue])] = True
        return here

    def begin_with(self, start: bytes) -> list[int]:
        return [token for token, text in enumerate(self.texts) if text.startswith(start)]

    def contain(self, part: bytes) -> list[int]:
        return [token for token, text in enumerate(self.texts) if part in text]

    def spell(self, text: bytes) -> list[int] | None:
        """Any tokens that say this, or None if there are none."""
        try:
            tokens = self.tokenizer.greedy_tokenize(text.decode())
        except UnicodeDecodeError:
            return None
        return tokens if b"".join(self.texts[token] for token in tokens) == text else None


_KNOWN: WeakKeyDictionary[Any, Vocabulary] = WeakKeyDictionary()


def vocabulary(tokenizer: Any, end: int) -> Vocabulary:
    """Made once a tokenizer (it takes a second for a large one), and again when tokens have been added. `end` ends a turn."""
    tokens = control_tokens(tokenizer)
    known = _KNOWN.get(tokenizer)
    if known is None or known.tokens != tokens:
        state = json.loads(tokenizer.backend_tokenizer.to_str()) | {"truncation": None, "padding": None}
        for token in state["added_tokens"]:
            token["special"] = token["content"] in tokens
        try:
            made = LLTokenizer(json.dumps(state), eos_token=end)
        except ValueError as error:
            raise EngineError(f"llguidance cannot read this tokenizer, so that no call can be constrained: {error}") from None
        texts = tuple(made.decode_bytes([token]) for token in range(made.vocab_size))
        known = Vocabulary(made, texts, tokens, len(texts), controls=frozenset(tokens.values()))
        if marks := _glue_and_word(state.get("decoder") or {}):
            known = _with_twins(known, tokenizer, *marks, end)
        _KNOWN[tokenizer] = known
    return known


def _glue_and_word(decoder: Mapping[str, Any]) -> tuple[str, str] | None:
    """The marks of a tokenizer that glues: both together say nothing, the word's alone a space, the glue alone nothing."""
    says = {step["pattern"].get("String"): step["content"] for step in decoder.get("decoders", ()) if step["type"] == "Replace"}
    pairs = [(mark[0], mark[1]) for mark, content in says.items() if mark and len(mark) == 2 and content == ""]
    return next((pair for pair in pairs if (says.get(pair[0]), says.get(pair[1])) == ("", " ")), None)


def _with_twins(plain: Vocabulary, tokenizer: Any, glue: str, word: str, end: int) -> Vocabulary:
    names = tokenizer.convert_ids_to_tokens(list(range(plain.size)))
    texts = [text.replace(glue.encode(), b"").replace(word.encode(), b" ") for text in plain.texts]
    words = [name.startswith(word) and token not in plain.controls for token, name in enumerate(names)]
    behind = [text[1:] if is_word else text for text, is_word in zip(texts, words, strict=True)]
    for token in plain.controls:
        behind[token] = b""
    ends = frozenset(token for token, name in enumerate(names) if name.endswith(glue))
    source = _Source((*texts, *behind), end, plain)
    return replace(
        plain,
        tokenizer=LLTokenizer(TokenizerWrapper(source), eos_token=end),
        texts=source.tokens,
        glue=ends,
        silent=(
            tuple(token for token in ends if not texts[token]),
            tuple(token for token, is_word in enumerate(words) if is_word and not behind[token]),
        ),
    )


class _Source:
    """What llguidance asks of a tokenizer that is not one of its own kinds."""

    bos_token_id = None

    def __init__(self, tokens: tuple[bytes, ...], end: int, plain: Vocabulary) -> None:
        self.tokens, self.eos_token_id, self.special_token_ids = tokens, end, sorted(plain.controls)
        self._plain = plain.tokenizer

    def __call__(self, text: bytes) -> list[int]:
        return self._plain.greedy_tokenize(text.decode(errors="replace"))
