"""LoRA and QLoRA, small enough to be read in one sitting, on TRL's trainer and PEFT's adapters.

`tune("gemma", rows)` trains and gives a `Tuned`; its `engine()` goes into the loop, `save` keeps it, `open_tuned` brings it
back, `merge` makes one model of it; `shipped` says which lie in this repository. `plan("hermes3", gpu_gib=16)` says beforehand
what memory that takes.

The way through the files: `train.py` (the order of things) -> `tokens.py` (new tokens) -> `rows.py` (ids and mask) ->
`adapter.py` (LoRA) -> `trainer.py` (a step) -> `saved.py` (what comes of it) -> `merged.py` (one model again). `plan.py` is
the memory bill; `recipe.py` every number that can be turned; `__main__.py` the same from a YAML file, for several GPUs.
"""

from fcutils.finetune.errors import FinetuneError
from fcutils.finetune.merged import Merged, merge
from fcutils.finetune.plan import four_bits, plan
from fcutils.finetune.recipe import Recipe
from fcutils.finetune.rows import BadRows, prepare
from fcutils.finetune.saved import Tuned, open_tuned, shipped
from fcutils.finetune.tokens import add_tokens, lacking, pieces
from fcutils.finetune.train import tune

__all__ = [
    "BadRows",
    "FinetuneError",
    "Merged",
    "Recipe",
    "Tuned",
    "add_tokens",
    "four_bits",
    "lacking",
    "merge",
    "open_tuned",
    "pieces",
    "plan",
    "prepare",
    "shipped",
    "tune",
]
