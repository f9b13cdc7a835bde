"""`python -m fcutils.pocket sample NAME`: forty replies of a shipped model, kept beside its weights to be written again.

Whoever runs the weights anywhere must get these replies to the letter, so only such are kept whose every token won by
a clear margin: another processor rounds otherwise. Written by stock `generate`, in fp32, greedy; the rows are the first of
each frozen test set.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from fcutils.engines.local import LocalEngine
from fcutils.evaluate import first_exchange
from fcutils.messages import Conversation
from fcutils.pocket.corpora import READS
from fcutils.pocket.export import REPLIES
from fcutils.pocket.measures import SETS, open_model, rows_of
from fcutils.pocket.prose_score import DIALECT

COUNT, TRIED, LONGEST = 40, 30, 96  # replies kept; rows looked at in each set; tokens of a reply
MARGIN = 0.1  # between the best token's logit and the next; processors differ by a thousandth


def sample(name: str, folder: Path) -> list[dict[str, Any]]:
    """The replies whose every token won clearly."""
    engine = open_model(folder, dialect_of(name))
    found: list[dict[str, Any]] = []
    for one, row, talk in _asked():
        text, margin = reply(engine, talk)
        if margin >= MARGIN:
            found.append({"set": one, "row": row, "reply": text, "margin": round(margin, 3)})
        if len(found) == COUNT:
            break
    return found


def dialect_of(name: str) -> Any:
    return "hermes" if READS[name] == "calls" else DIALECT


def prompt(one: str, row: int) -> Conversation:
    """The request of a row, with what comes before it and its tools."""
    talk = first_exchange(rows_of(one, row + 1)[row])
    return replace(talk, messages=talk.messages[:-1])


def reply(engine: LocalEngine, talk: Conversation) -> tuple[str, float]:
    """What stock `generate` writes, and by how much its least certain token won."""
    import torch

    ids = torch.tensor([engine.encode(engine.dialect.render(talk, generate=True))])
    said = engine.model.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        do_sample=False,
        max_new_tokens=LONGEST,
        return_dict_in_generate=True,
        output_logits=True,
    )
    best = torch.cat(said.logits).float().topk(2).values
    return engine.tokenizer.decode(said.sequences[0, ids.shape[1] :]), float((best[:, 0] - best[:, 1]).min())


def write(name: str, folder: Path) -> None:
    rows, path = sample(name, folder), folder / REPLIES
    path.write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n", encoding="utf-8", newline="\n")
    print(f"{len(rows)} replies, each token ahead by {MARGIN:g} at least, in {path}")


def _asked() -> Iterator[tuple[str, int, Conversation]]:
    """A row of every set in turn."""
    return ((one, row, prompt(one, row)) for row in range(TRIED) for one in SETS)
