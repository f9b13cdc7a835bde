"""Small tokenizers of every kind that the families use, and conversations with everything that a dialect can say."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from fcutils.dialects import DIALECTS, Dialect
from fcutils.messages import Conversation, Message, ToolCall, conversation

TOKENS = tuple(dict.fromkeys(token for dialect in DIALECTS.values() for token in dialect.tokens))
UNKNOWN = "<unk>"
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
WORDS = r"\p{Lu}?\p{Ll}+|\p{N}|[^\p{L}\p{N}]{1,8}|\p{L}"  # runs of punctuation reach over line breaks, as in the pocket models


def tool(name: str, **properties: str) -> dict[str, Any]:
    schema = {key: {"type": "string", "description": words} for key, words in properties.items()}
    parameters = {"type": "object", "properties": schema, "required": list(properties)}
    return {
        "type": "function",
        "function": {"name": name, "description": f"What {name} does: ≤ 3 things", "parameters": parameters},
    }


TOOLS = [
    tool("weather", city="The city's name", day="as JJJJ-MM-DD"),
    tool("add_note", text="What to note, e.g. “héllo”", größe="1 < 2"),
]
OSLO = ToolCall("weather", {"city": "Oslo", "days": [1, 2.5], "now": True, "none": None}, "aB3dE6gH9")
NOTE = ToolCall(
    "add_note", {"text": 'say "hi"\n\tto <Åse & co> \\ 日本語 🙂', "größe": {"a": {}, "b": [[]]}}, "call_1234567890"
)
BARE, BACK = ToolCall("f", {"a": "x"}), Message("tool", "y", name="f")
EMPTY = ToolCall("weather", {}, "000000001")


def result(call: ToolCall, content: str) -> Message:
    return Message("tool", content, name=call.name, call_id=call.id)


ASK = Message("user", "What's the weather in Oslo? 1 < 2 & x")
ANSWER = Message("assistant", "It is 3 °C.\n\nTake a coat – 外套.", "cold, so advise")
FULL = [
    Message("system", "Be brief."),
    ASK,
    Message("assistant", "Let me look.", "The weather; and a note.\nTwo calls.", (OSLO, NOTE, EMPTY)),
    result(OSLO, '{"°C": 3, "list": [1, 2]}'),
    result(NOTE, "noted: “ok”\nline two"),
    result(EMPTY, ""),
    ANSWER,
    Message("user", "  And\n\n\ntomorrow?  \n"),
    Message("assistant", calls=(EMPTY,)),
    result(EMPTY, "[]"),
    Message("assistant", thought="done", content="Rain."),
]
TALKS: dict[str, Conversation] = {
    "everything": conversation(FULL, TOOLS),
    "no tools, no system": conversation([ASK, ANSWER, Message("user", "thanks"), Message("assistant", "Welcome.")]),
    "system without tools": conversation([Message("system", "Be brief."), Message("system", "Be kind."), ASK, ANSWER]),
    "tools without system": conversation([ASK, Message("assistant", calls=(OSLO,)), result(OSLO, "cold"), ANSWER], TOOLS[:1]),
    "content beside a call": conversation([ASK, Message("assistant", "Looking.", calls=(OSLO,))], TOOLS),
    "thought beside calls": conversation([ASK, Message("assistant", "", "hm", (OSLO, EMPTY))], TOOLS),
    "no ids": conversation(
        [ASK, Message("assistant", calls=(BARE, BARE, BARE)), BACK, BACK, Message("tool", "nameless"), ANSWER], TOOLS
    ),
    "not begun": conversation([Message("user", "hi")], TOOLS),
    "bits": conversation([Message("user", "\n"), Message("assistant", "-"), Message("user", ""), Message("assistant", "{}")]),
}


def texts() -> list[str]:
    rendered = [
        "".join(piece.text for piece in dialect.render(talk)) for dialect in DIALECTS.values() for talk in TALKS.values()
    ]
    return [*rendered, "the quick brown fox jumps over the lazy dog", "a\n\nb\n\n\nc", "</ s > <s [INST [/ ] tool_call"] * 2


@cache
def byte_level(pattern: str = "", prefix: bool = False) -> PreTrainedTokenizerFast:
    """As GPT-2, Llama 3, Qwen; with a pattern, as the pocket models."""
    own = pre_tokenizers.ByteLevel(add_prefix_space=prefix, use_regex=not pattern)
    split = pre_tokenizers.Split(Regex(pattern), "isolated") if pattern else None
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, own]) if split else own  # pyright: ignore[reportAttributeAccessIssue]
    tokenizer.decoder = decoders.ByteLevel()  # pyright: ignore[reportAttributeAccessIssue]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    # The control tokens lie in the model's vocabulary, as when a trainer is told of them.
    trainer = trainers.BpeTrainer(vocab_size=600, special_tokens=list(TOKENS), initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(texts(), trainer)
    return fast(tokenizer)


@cache
def sentence_piece(marker: str, model: str = "bpe") -> PreTrainedTokenizerFast:
    """As Llama 1 and Mistral: bytes for unknown characters; `▁` before text "first" or "always", by the normalizer, or not."""
    tokenizer = Tokenizer(models.BPE() if model == "bpe" else models.Unigram())
    replace = normalizers.Replace(" ", "▁")
    if marker == "normalizer":  # the tokenizer.json files of Llama 1 and Mistral
        tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), replace])  # pyright: ignore[reportAttributeAccessIssue]
    elif marker == "none":  # Gemma
        tokenizer.normalizer = replace  # pyright: ignore[reportAttributeAccessIssue]
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=marker)  # pyright: ignore[reportAttributeAccessIssue]
    if model == "bpe":
        trainer: Any = trainers.BpeTrainer(vocab_size=500, max_token_length=12, show_progress=False)
    else:
        trainer = trainers.UnigramTrainer(vocab_size=400, special_tokens=[UNKNOWN], unk_token=UNKNOWN, show_progress=False)
    tokenizer.train_from_iterator((line for text in texts() for line in text.splitlines(True)), trainer)
    return fast(_with_bytes_and_tokens(tokenizer, model))


def _with_bytes_and_tokens(trained: Tokenizer, model: str) -> Tokenizer:
    """The control tokens and the bytes in the model's own vocabulary, which is where SentencePiece keeps them."""
    state = json.loads(trained.to_str())
    old, state["added_tokens"] = state["model"]["vocab"], []
    if model == "bpe":
        words = dict.fromkeys([UNKNOWN, *TOKENS, *BYTES, *old])
        state["model"] |= {"vocab": {word: id_ for id_, word in enumerate(words)}, "byte_fallback": True, "unk_token": UNKNOWN}
    else:
        scores = {word: 0.0 for word in [UNKNOWN, *TOKENS]} | {word: -20.0 for word in BYTES} | dict(old)
        state["model"] |= {"vocab": [[word, score] for word, score in scores.items()], "byte_fallback": True, "unk_id": 0}
    return Tokenizer.from_str(json.dumps(state))


def fast(tokenizer: Tokenizer, special: bool = True, more: Sequence[str] = ()) -> PreTrainedTokenizerFast:
    """A stock tokenizer; half of the control tokens are special, half are merely added, as the families have it."""
    tokenizer.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in TOKENS[::2]])
    tokenizer.add_tokens([AddedToken(token, normalized=False, special=False) for token in (*TOKENS[1::2], *more)])
    unknown = {"unk_token": UNKNOWN} if tokenizer.token_to_id(UNKNOWN) is not None else {}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, clean_up_tokenization_spaces=False, **unknown)


@cache
def with_more(name: str, *more: str) -> PreTrainedTokenizerFast:
    """One of the tokenizers, with more tokens added that are not special."""
    copied = Tokenizer.from_str(KINDS[name]().backend_tokenizer.to_str())
    return fast(copied, more=more)


KINDS = {
    "byte-level": byte_level,
    "byte-level, prefix space": lambda: byte_level(prefix=True),
    "sentencepiece, marker always": lambda: sentence_piece("always"),
    "sentencepiece, marker first": lambda: sentence_piece("first"),
    "sentencepiece, marker by the normalizer": lambda: sentence_piece("normalizer"),
    "sentencepiece, no marker": lambda: sentence_piece("none"),
    "unigram, marker always": lambda: sentence_piece("always", "unigram"),
    "unigram, marker first": lambda: sentence_piece("first", "unigram"),
}


def written(dialect: Dialect, talk: Conversation) -> str:
    return "".join(piece.text for piece in dialect.render(talk))
