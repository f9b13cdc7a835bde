"""`python -m fcutils.finetune` for `accelerate launch`, which cuts models over GPUs alone: two processors pass for two."""

from __future__ import annotations

import sys
from typing import Any

from accelerate.state import PartialState
from accelerate.utils import DistributedType
from torch.distributed.tensor import DTensor

from fcutils.finetune.__main__ import main

began = PartialState.__init__


def begin(self: PartialState, *args: Any, **how: Any) -> None:
    began(self, *args, **how)
    if self.distributed_type == DistributedType.MULTI_CPU:
        self.distributed_type = DistributedType.MULTI_GPU


def watch() -> None:
    """Says whether the model was cut while it was trained."""
    from fcutils.finetune.trainer import Trainer

    whole = Trainer.gathered

    def gathered(self: Trainer) -> Any:
        print("cut:", all(isinstance(one, DTensor) for one in self.model.parameters()))
        return whole(self)

    Trainer.gathered = gathered  # type: ignore[method-assign]


if __name__ == "__main__":
    PartialState.__init__ = begin  # type: ignore[method-assign]
    watch()
    sys.exit(main(sys.argv[1:]))
