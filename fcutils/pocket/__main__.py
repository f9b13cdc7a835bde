"""`python -m fcutils.pocket tokenizer|train|export|score|sample|card NAME`: the pocket models, made again from nothing.

`train pocket-hermes --minutes 120` goes on from the last checkpoint in runs/; `--from FOLDER` starts a new stage from
weights alone, a run's or exported ones; to go on with the same text, give lower `--rates`, too (a first run's would undo
what was learnt). With a GPU the same command uses it. On Linux, two cores read about a tenth faster with large pages:
`THP_MEM_ALLOC_ENABLE=1` in the environment.
`score` asks the model in assets/models/NAME, or with `--run FOLDER` a run's last checkpoint, and keeps the table beside the
weights; `sample` keeps forty replies that every machine must get; `card` writes the model card from weights, log and scores.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

from fcutils.pocket import train as training
from fcutils.pocket.card import write_card
from fcutils.pocket.corpora import READS, looker
from fcutils.pocket.export import SCORES, SHIPPED, export, restored, take_log
from fcutils.pocket.models import SHAPES
from fcutils.pocket.sample import write

TOKENIZER_ROWS = 7000
TOKENIZERS = {"pocket-gemma-it": "pocket-gemma"}  # one for both


def main() -> int:
    options = _options()
    run = options.run or training.RUNS / options.name
    tokenizer = options.tokenizer or SHIPPED / TOKENIZERS.get(options.name, options.name)
    if options.command == "tokenizer":
        make_tokenizer(options.name, tokenizer)
    elif options.command == "train":
        train(options, run, tokenizer)
    elif options.command == "score":
        folder = export(options.name, run, tokenizer, run / "exported") if options.run else SHIPPED / options.name
        score(options.name, folder, options.limit)
    elif options.command == "sample":
        write(options.name, SHIPPED / options.name)
    elif options.command == "card":
        print(write_card(options.name, SHIPPED / options.name))
    else:
        print(export(options.name, run, tokenizer))
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m fcutils.pocket", description=__doc__)
    parser.add_argument("command", choices=["tokenizer", "train", "export", "score", "sample", "card"])
    parser.add_argument("name", choices=list(SHAPES))
    parser.add_argument("--minutes", type=float, default=120.0)
    parser.add_argument("--layers", type=int, help="more layers than the weights have: they are added as identities")
    parser.add_argument("--from", dest="start", type=Path, help="a run, or a folder of weights, to start a new stage from")
    parser.add_argument("--run", type=Path, help="where checkpoints and log are kept (runs/NAME)")
    parser.add_argument("--tokenizer", type=Path, help="folder of the tokenizer (assets/models/NAME)")
    parser.add_argument("--budget", type=int, default=3072, help="tokens a step at first; twice as many later")
    parser.add_argument("--short", type=float, default=0.45, help="share of the minutes for short lists of tools; 0 to go on")
    parser.add_argument("--strings", type=float, default=0.1, help="share of the minutes for choosing alone; 0 to go on")
    parser.add_argument("--rates", type=float, nargs=2, metavar=("MUON", "ADAM"), help="to go on: 0.003 0.001, say")
    parser.add_argument("--decay", type=float, default=0.35, help="share of the minutes over which rates fall to nothing")
    parser.add_argument("--threads", type=int, help="threads on a processor")
    parser.add_argument("--limit", type=int, help="score the first so many rows of each test set")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def make_tokenizer(name: str, folder: Path) -> None:
    """From the training split alone."""
    from fcutils.pocket.tokenizer import CHATML, GEMMA, save_tokenizer, train_tokenizer

    chatml = SHAPES[name]["family"] == "llama"
    texts = islice(_chats(name) if chatml else _prose(), TOKENIZER_ROWS)
    words = train_tokenizer(texts, SHAPES[name]["vocabulary"], CHATML if chatml else GEMMA)
    save_tokenizer(words, folder, family="chatml" if chatml else "gemma")
    print(f"{words.get_vocab_size()} tokens in {folder}")


def _chats(name: str) -> Iterator[str]:
    from fcutils.pocket.formats import dialect_for
    from fcutils.universe import conversations, corner, load

    rng = Random(name)
    for talk in conversations(corner(load(), "train"), 7):
        yield "".join(piece.text for piece in dialect_for(rng).render(talk))


def _prose() -> Iterator[str]:
    """Both stages in turn: they share the tokenizer."""
    from fcutils.pocket.documents import documents
    from fcutils.pocket.prose import talks
    from fcutils.universe import Recipe, corner, load

    where = corner(load(), "train")
    for (text, _), (talk, dialect, _) in zip(documents(where, 7), talks(where, 7, Recipe()), strict=False):
        yield text
        yield "".join(piece.text for piece in dialect.render(talk))


def train(options: argparse.Namespace, run: Path, tokenizer: Path) -> Any:
    import torch
    from transformers import AutoTokenizer

    from fcutils.universe import corner, load

    if options.threads:
        torch.set_num_threads(options.threads)
    words = AutoTokenizer.from_pretrained(tokenizer)
    universe = load()
    start = _weights(options.name, options.start, len(words)) if options.start else None
    rates = dict(zip(("muon", "adam"), options.rates, strict=True)) if options.rates else {}
    rates |= {"planted": rates["muon"]} if rates else {}  # circuits that were trained for long are weights like others
    plan = training.Plan(
        options.name,
        options.minutes,
        budget=options.budget,
        strings=options.strings,
        short=options.short,
        layers=options.layers,
        seed=options.seed,
        decay=options.decay,
        corpus=READS[options.name],
        **rates,
    )
    if options.start:
        take_log(options.start, run, options.name)
    look = looker(universe, words, plan.corpus)
    return training.train(corner(universe, "train"), words, plan, look, start=start, folder=run)


def _weights(name: str, folder: Path, vocabulary: int) -> Any:
    """A model to go on from: a run's last checkpoint, or a folder that was exported."""
    import torch
    from transformers import AutoModelForCausalLM

    if (folder / "checkpoint.pt").exists():
        return restored(name, folder, vocabulary)
    if not (folder / "config.json").exists():
        sys.exit(f"{folder} holds neither checkpoint.pt nor an exported model: give --from the folder of a run, or of weights")
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)


def score(name: str, folder: Path, limit: int | None) -> None:
    from fcutils.models import check_files
    from fcutils.pocket.score import score as ask
    from fcutils.pocket.score import table

    check_files(folder)
    found = ask(name, folder, limit)
    (folder / SCORES).write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8", newline="\n")
    print(table(found))


if __name__ == "__main__":
    sys.exit(main())
