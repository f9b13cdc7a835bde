"""Preferences and rewards: DPO for manners, GRPO for calls that really run, both by TRL's own trainers.

`dpo` makes polite refusals likelier than blunt ones (`pairs.py`), `grpo` pays a call by what came of it when it was run
(`reward.py`); both are in `train.py`, which is loaded when one of them is first named. `measure.py` says what either changed;
`python -m fcutils.preferences dpo|grpo` does it all.
"""

from typing import TYPE_CHECKING, Any

from fcutils.preferences.measure import executed, log_probability, margins, refusals
from fcutils.preferences.pairs import Pair, is_polite, pairs
from fcutils.preferences.reward import REWARDS, Reward, Task, judge, pay, tasks

if TYPE_CHECKING:
    from fcutils.preferences.train import dpo, grpo

__all__ = [
    "REWARDS",
    "Pair",
    "Reward",
    "Task",
    "dpo",
    "executed",
    "grpo",
    "is_polite",
    "judge",
    "log_probability",
    "margins",
    "pairs",
    "pay",
    "refusals",
    "tasks",
]


def __getattr__(name: str) -> Any:
    if name not in ("dpo", "grpo"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from fcutils.finetune.quiet import quiet

    with quiet():
        from fcutils.preferences import train
    return getattr(train, name)
