"""The pocket models' tokenizer: words, single digits, and runs of everything else, as byte-level pieces.

Copying is the heart of a tool call, and copying wants the same word to be the same token wherever it stands: in a sentence, in
quotes, at the start of a line. So a space never belongs to a word, and JSON's runs of punctuation (`": "`, `"}`) become tokens.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

CHATML = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
SPLIT = r"\p{Lu}?\p{Ll}+|\p{Lu}+(?!\p{Ll})|\p{N}|[^\p{L}\p{N}]{1,8}|\p{L}"
GEMMA = ("<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>")


def train_tokenizer(texts: Iterable[str], size: int, special: tuple[str, ...] = CHATML) -> Any:
    """A byte-level BPE over the pieces that SPLIT finds."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=list(special),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        min_frequency=3,
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
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
