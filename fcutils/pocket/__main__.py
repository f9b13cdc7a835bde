"""`python -m fcutils.pocket tokenizer | train | export NAME`: the pocket models, made again from nothing.

`train pocket-hermes --minutes 120` goes on from the last checkpoint in runs/; `--from FOLDER` starts a new stage from
weights alone. With a GPU the same command uses it.
"""

from __future__ import annotations

import argparse
import sys
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

from fcutils.pocket import train as training
from fcutils.pocket.export import SHIPPED, export
from fcutils.pocket.models import SHAPES

TOKENIZER_ROWS = 7000
LOOK_ROWS = 60


def main() -> int:
    options = _options()
    run = options.run or training.RUNS / options.name
    tokenizer = options.tokenizer or SHIPPED / options.name
    if options.command == "tokenizer":
        make_tokenizer(options.name, tokenizer)
    elif options.command == "train":
        train(options, run, tokenizer)
    else:
        print(export(options.name, run, tokenizer))
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m fcutils.pocket", description=__doc__)
    parser.add_argument("command", choices=["tokenizer", "train", "export"])
    parser.add_argument("name", choices=list(SHAPES))
    parser.add_argument("--minutes", type=float, default=120.0)
    parser.add_argument("--layers", type=int, help="more layers than the weights have: they are added as identities")
    parser.add_argument("--from", dest="start", type=Path, help="a folder of weights to start a new stage from")
    parser.add_argument("--run", type=Path, help="where checkpoints and log are kept (runs/NAME)")
    parser.add_argument("--tokenizer", type=Path, help="folder of the tokenizer (assets/models/NAME)")
    parser.add_argument("--budget", type=int, default=6144, help="tokens a step")
    parser.add_argument("--threads", type=int, help="threads on a processor")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def make_tokenizer(name: str, folder: Path) -> None:
    """From the training split alone."""
    from fcutils.pocket.corpus import FORMATS, dialect_for
    from fcutils.pocket.tokenizer import CHATML, GEMMA, save_tokenizer, train_tokenizer
    from fcutils.universe import conversations, corner, load

    rng = Random(name)
    talks = islice(conversations(corner(load(), "train"), 7), TOKENIZER_ROWS)
    texts = ("".join(piece.text for piece in dialect_for(rng, FORMATS).render(talk)) for talk in talks)
    chatml = SHAPES[name]["family"] == "llama"
    words = train_tokenizer(texts, SHAPES[name]["vocabulary"], CHATML if chatml else GEMMA)
    save_tokenizer(words, folder, family="chatml" if chatml else "gemma")
    print(f"{words.get_vocab_size()} tokens in {folder}")


def train(options: argparse.Namespace, run: Path, tokenizer: Path) -> Any:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from fcutils.universe import corner, load

    if options.threads:
        torch.set_num_threads(options.threads)
    words = AutoTokenizer.from_pretrained(tokenizer)
    universe = load()
    start = AutoModelForCausalLM.from_pretrained(options.start, dtype=torch.float32) if options.start else None
    plan = training.Plan(options.name, options.minutes, budget=options.budget, layers=options.layers, seed=options.seed)
    return training.train(corner(universe, "train"), words, plan, looker(universe, words), start=start, folder=run)


def looker(universe: Any, words: Any) -> Any:
    """Validation scores, a table a part: unseen phrasings, unseen tools, unseen domains."""
    from fcutils.pocket.validate import rows, validate
    from fcutils.universe import corner

    parts: tuple[Any, ...] = ("phrasings", "tools", "domains")
    data = {part: rows(corner(universe, "validation", part), words, LOOK_ROWS) for part in parts}

    def look(model: Any) -> dict[str, dict[str, float]]:
        return {part: validate(model, found, next(model.parameters()).device) for part, found in data.items()}

    return look


if __name__ == "__main__":
    sys.exit(main())
