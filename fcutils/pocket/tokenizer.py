"""The pocket models' tokenizer: a word is the same token wherever it stands, in a sentence, in quotes, or inside a name.

Copying is the heart of a tool call. For an ordinary byte-level BPE ` Paris` (after a space) and `Paris` (after a quote) are
different tokens, and a small model must learn for each word that they are the same. Here every word wears the mark of a word's
start, and it is the punctuation before it that says "no space here" with a glue mark of its own: `from Paris` is `from`
`Paris`, and `"Paris"` is `"+glue` `Paris` `"`. So a sentence costs a token a word, and what is copied is the same ids. Digits
stand alone, a line break stands alone, unknown letters fall back to bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

CHATML = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
GEMMA = ("<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>")

BYTES = tuple(f"<0x{byte:02X}>" for byte in range(256))
WORD, GLUE = "\u2581", "\u2060"
# A word starts where letters follow something that is neither a letter nor a space, and at the humps of camelCase and
# HTTPServer.
GLUED = r"(?<![\p{L} ])(?=\p{L})|(?<=\p{Ll})(?=\p{Lu})|(?<=\p{Lu})(?=\p{Lu}\p{Ll})"
SPACED = r" (?=\p{L})"
SPLIT = (
    rf"{WORD}\p{{Lu}}?\p{{Ll}}+|{WORD}\p{{Lu}}+(?!\p{{Ll}})|{WORD}\p{{L}}|\p{{L}}|\p{{N}}|\n|[^\p{{L}}\p{{N}}{WORD}\n]{{1,8}}"
)


def train_tokenizer(texts: Iterable[str], size: int, special: tuple[str, ...] = CHATML) -> Any:
    """A BPE over the pieces that SPLIT finds; what it has never seen is spelt in bytes."""
    from tokenizers import Tokenizer, models, trainers

    learner = _around(Tokenizer(models.BPE()))
    room = size - len(special) - len(BYTES)
    learner.train_from_iterator(
        texts, trainers.BpeTrainer(vocab_size=room, min_frequency=3, limit_alphabet=400, show_progress=False)
    )
    learnt = json.loads(learner.to_str())["model"]
    words = sorted(learnt["vocab"], key=learnt["vocab"].get)
    vocabulary = {word: i for i, word in enumerate([*special, *BYTES, *words])}
    merges = [tuple(merge) for merge in learnt["merges"]]
    tokenizer = _around(Tokenizer(models.BPE(vocabulary, merges, byte_fallback=True, unk_token=special[0])))
    tokenizer.add_special_tokens(list(special))
    return tokenizer


def _around(tokenizer: Any) -> Any:
    """The marks before, and away with them after."""
    from tokenizers import Regex, decoders, normalizers, pre_tokenizers

    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.Replace(WORD, "_"),  # the two marks themselves are not text
            normalizers.Replace(GLUE, ""),
            normalizers.Replace(Regex(GLUED), GLUE + WORD),
            normalizers.Replace(Regex(SPACED), WORD),
        ]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(SPLIT), behavior="isolated")
    unmark = [decoders.Replace(GLUE + WORD, ""), decoders.Replace(WORD, " "), decoders.Replace(GLUE, "")]
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse(), *unmark])
    return tokenizer


def save_tokenizer(tokenizer: Any, folder: Path, *, family: str) -> None:
    """As a stock fast tokenizer that AutoTokenizer loads, with the family's special tokens named."""
    from transformers import PreTrainedTokenizerFast

    names = (
        {"pad_token": "<|endoftext|>", "eos_token": "<|im_end|>"}
        if family == "chatml"
        else {"pad_token": "<pad>", "eos_token": "<eos>", "bos_token": "<bos>", "unk_token": "<unk>"}
    )
    extra = [token for token in (CHATML if family == "chatml" else GEMMA) if token not in names.values()]
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, extra_special_tokens=extra, model_max_length=4096, **names)
    fast.clean_up_tokenization_spaces = False
    fast.save_pretrained(folder)
