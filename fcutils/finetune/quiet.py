"""What the training stack says to stderr and nobody can act on is kept away; warnings that mean something are let through."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

_NOISE = (
    "`is_gradient_checkpointing` is deprecated",  # peft says it to transformers
    "Merge lora module to 4-bit linear may get different generations",  # `merge` measures how different
)
_LOUD = ("bitsandbytes", "transformers.trainer_utils")  # that there is no GPU; that a dialect ends turns with its own token


@contextmanager
def quiet() -> Iterator[None]:
    for name in _LOUD:
        logging.getLogger(name).setLevel(logging.ERROR)
    with ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        for words in _NOISE:
            warnings.filterwarnings("ignore", words)
        from datasets.utils import logging as data
        from transformers.utils import logging as models

        for bars in (data, models):  # they draw on stderr
            if bars.is_progress_bar_enabled():
                bars.disable_progress_bar()
                stack.callback(bars.enable_progress_bar)
        yield
