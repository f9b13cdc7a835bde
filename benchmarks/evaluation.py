"""What it costs to evaluate: replies to many requests side by side, beside stock `generate`, and reading and judging them.

    python benchmarks/evaluation.py

Requests of the validation rows, each with its tools. The model is untrained, so that it writes on up to the limit, and both
write the same tokens: counted, and compared. Seconds are the process's own, of one thread. Writes
`benchmarks/results/evaluation.json`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from keeping import keep  # a script's folder is on its path
from transformers import AutoTokenizer, GenerationConfig

from fcutils.dataset import DATA
from fcutils.dialects import encode
from fcutils.engines.local import LocalEngine
from fcutils.evaluate import Ask, asks_of, judge, read_rows
from fcutils.messages import Conversation, Message
from fcutils.parsing import parse_reply
from fcutils.pocket.models import build

TOKENIZER = Path(__file__).resolve().parents[1] / "assets" / "models" / "pocket-hermes"
REQUESTS, NEW, ROWS = 64, 32, 32  # requests asked, tokens of a reply, rows of a stock batch
JUDGED, ROUNDS = 1_000, 3


def ours(engine: LocalEngine, talks: Sequence[Conversation]) -> int:
    return sum(written.tokens for written in engine.reply_many(talks, max_tokens=NEW))


def stock(engine: LocalEngine, talks: Sequence[Conversation], rows: int) -> int:
    """Padded on the left, sorted by length, as one does by hand."""
    prompts = sorted((encode(engine.dialect.render(talk, generate=True), engine.tokenizer).ids for talk in talks), key=len)
    ends = sorted(engine.stop_ids)
    config = GenerationConfig(max_new_tokens=NEW, do_sample=False, eos_token_id=ends, pad_token_id=ends[0])
    count = 0
    for begin in range(0, len(prompts), rows):
        batch = prompts[begin : begin + rows]
        width = max(map(len, batch))
        ids = torch.tensor([[ends[0]] * (width - len(prompt)) + prompt for prompt in batch])
        mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in batch])
        with torch.inference_mode():
            written = engine.model.generate(ids, attention_mask=mask, generation_config=config)[:, width:]
        count += sum(len(row) - sum(token in ends for token in row) for row in written.tolist())
    return count


def seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    began = time.process_time()
    made = work()
    return time.process_time() - began, made


def judging(asks: Sequence[Ask], engine: LocalEngine) -> dict[str, float]:
    """µs a reply: reading it alone, and reading and judging it. The replies are gold's, as the dialect writes them."""
    texts = [said(engine, ask.gold) for ask in asks]

    def read() -> list[Any]:
        return [parse_reply(text, "hermes", ask.prompt.tools) for text, ask in zip(texts, asks, strict=True)]

    reading, replies = min((seconds(read) for _ in range(ROUNDS)), key=lambda made: made[0])
    pairs = list(zip(asks, replies, strict=True))
    deciding, verdicts = min(
        (seconds(lambda: [judge(*pair) for pair in pairs]) for _ in range(ROUNDS)), key=lambda made: made[0]
    )
    right = sum(not verdict.misses for verdict in verdicts)
    assert right == len(asks), f"gold's own replies are right; {len(asks) - right} of {len(asks)} were not"
    return {"read": round(1e6 * reading / len(asks), 1), "read and judged": round(1e6 * (reading + deciding) / len(asks), 1)}


def said(engine: LocalEngine, message: Message) -> str:
    return "".join(piece.text for piece in engine.dialect.reply(message) if piece.text not in engine.dialect.ends)


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(TOKENIZER)
    engine = LocalEngine(build("pocket-hermes", len(tokenizer)), tokenizer, "hermes", name="pocket-hermes, untrained")
    asks = [ask for number, row in enumerate(read_rows(DATA / "validation.jsonl"), 1) for ask in asks_of(row, number)]
    talks = [ask.prompt for ask in asks[:: len(asks) // REQUESTS]][:REQUESTS]
    ways = {
        "fcutils": lambda: ours(engine, talks),
        "stock generate, 32 side by side": lambda: stock(engine, talks, ROWS),
        "stock generate, one by one": lambda: stock(engine, talks, 1),
    }
    asked = {name: seconds(work) for name, work in ways.items()}
    found = {
        "requests": len(talks),
        "seconds of CPU": {name: round(took, 2) for name, (took, _) in asked.items()},
        "tokens written": {name: count for name, (_, count) in asked.items()},
        "µs a reply": judging(asks[:JUDGED], engine),
    }
    keep(found, "torch", "transformers")
    print(json.dumps(found, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
