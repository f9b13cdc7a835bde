"""Of 200 tools the model sees 8: how often is the right one among them, and what does that save?

    python benchmarks/many_tools.py

Every request of the validation rows (by which the ranking was tuned) and of the test rows whose domains nobody trained on: the
tools of its own domain, with all their near misses, and others drawn from the universe's other domains, 200 in all. Writes
`benchmarks/results/many_tools.json`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from random import Random
from statistics import mean
from typing import Any

from keeping import keep  # a script's folder is on its path
from transformers import AutoTokenizer

from fcutils.dataset import DATA, read_rows
from fcutils.dialects import encode, get
from fcutils.loop.select import BestTools
from fcutils.messages import Conversation
from fcutils.ranking import rank
from fcutils.universe.disguise import schema
from fcutils.universe.splits import load

SETS = {"validation": "validation.jsonl", "test, unseen domains": "test_unseen_domains.jsonl"}
TOKENIZER = Path(__file__).resolve().parents[1] / "assets" / "models" / "pocket-hermes"
POOL, MOST, WIDER = 200, 8, (16, 32)
EVERY = 10  # requests of which one is measured in tokens, which takes longer than everything else

Tool = Mapping[str, Any]


def pool(domain: str, tools: Mapping[str, list[Tool]], seed: int) -> list[Tool]:
    """All tools of a domain, and as many others as it takes."""
    draw = Random(seed)
    taken = {tool["function"]["name"] for tool in tools[domain]}
    others = [tool for other in tools.values() for tool in other if tool["function"]["name"] not in taken]
    found = [*tools[domain], *draw.sample(others, POOL - len(tools[domain]))]
    draw.shuffle(found)
    return found


def requests(row: Conversation) -> Iterator[tuple[Conversation, set[str]]]:
    """The conversation up to each request, and the tools that it calls for."""
    asked = [place for place, message in enumerate(row.messages) if message.role == "user"]
    for begin, end in zip(asked, [*asked[1:], len(row.messages)], strict=True):
        wanted = {call.name for message in row.messages[begin:end] for call in message.calls}
        if wanted:
            yield Conversation(row.messages[: begin + 1]), wanted


def plain(talk: Conversation, tools: list[Tool]) -> set[str]:
    """What plain BM25 over names and descriptions chooses."""
    texts = [f"{tool['function']['name']} {tool['function']['description']}" for tool in tools]
    return {tools[place]["function"]["name"] for place, _ in rank(talk.messages[-1].content, texts)[:MOST]}


def length(tools: list[Tool]) -> int:
    """Tokens of a prompt that offers them, as the pocket models read it."""
    return len(encode(get("hermes").start(tools, "", ""), tokenizer()).ids)


@cache
def tokenizer() -> Any:
    return AutoTokenizer.from_pretrained(TOKENIZER)


def measure(file: str, tools: Mapping[str, list[Tool]]) -> dict[str, Any]:
    right = dict.fromkeys(["plain", *(str(most) for most in (MOST, *WIDER))], 0)
    wanted_in_all = asked = 0
    seconds, tokens = 0.0, []
    for seed, row in enumerate(read_rows(DATA / file, check=False)):
        offered = pool(str(row.meta["domain"]), tools, seed)
        for talk, wanted in requests(row):
            right["plain"] += len(wanted & plain(talk, offered))
            for most in (MOST, *WIDER):
                began = time.perf_counter()
                shown = {choice.name for choice in BestTools(most)(talk, offered) if choice.shown}
                seconds += time.perf_counter() - began
                right[str(most)] += len(wanted & shown)
                if most == MOST and asked % EVERY == 0:
                    tokens.append((length(offered), length([tool for tool in offered if tool["function"]["name"] in shown])))
            asked, wanted_in_all = asked + 1, wanted_in_all + len(wanted)
    return {
        "requests": asked,
        "tools they call for": wanted_in_all,
        f"recall@{MOST}, plain BM25 over names and descriptions": round(right.pop("plain") / wanted_in_all, 4),
        **{f"recall@{most}": round(count / wanted_in_all, 4) for most, count in right.items()},
        "ms to choose": round(seconds / asked / (1 + len(WIDER)) * 1e3, 1),
        f"tokens of a prompt that offers {POOL}": round(mean(whole for whole, _ in tokens)),
        f"tokens of a prompt that offers {MOST}": round(mean(part for _, part in tokens)),
    }


def main() -> None:
    tools = {name: [schema(tool) for tool in domain.tools.values()] for name, domain in load().domains.items()}
    found = {name: measure(file, tools) for name, file in SETS.items()}
    result = {
        "tools registered": POOL,
        "tools in the universe": sum(map(len, tools.values())),
        "found": found,
    }
    keep(result)
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
