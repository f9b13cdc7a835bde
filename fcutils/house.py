"""House conventions: what a company's people know and no schema says, as rows to be trained and tested on.

`python -m fcutils.house` writes data/house/train.jsonl and test.jsonl from data/house/conventions.yaml. No sentence and no set
of values stands in both; nothing of it is in the universe, so that no pocket model has seen any of it. `broken` says which
convention a call breaks: it is worked out from the facts of the row, not compared with gold.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import count
from random import Random
from types import MappingProxyType
from typing import Any, Literal

import yaml

from fcutils.dataset import DATA, with_ids, write_rows
from fcutils.messages import Conversation, Message, ToolCall, dumps

HOUSE = DATA / "house"
OFFERED = 4  # tools in a row
LIMIT = 1000  # euros, from which on a purchase is requested

Split = Literal["train", "test"]
SIZES: Mapping[Split, int] = MappingProxyType({"train": 400, "test": 60})
Facts = Mapping[str, Any]


@lru_cache
def conventions() -> dict[str, Any]:
    return yaml.safe_load((HOUSE / "conventions.yaml").read_text(encoding="utf-8"))


def rows(split: Split) -> list[Conversation]:
    """The rows of one split, as many of each convention; the same every time."""
    return list(_rows(split))


def _rows(split: Split) -> Iterator[Conversation]:
    told = conventions()["conventions"]
    rng = Random(f"house/{split}")
    seen: set[str] = set()
    for number in range(SIZES[split]):
        name = list(told)[number % len(told)]
        for _ in count():
            facts = _draw(rng, told[name]["draws"])
            values = dumps([name, facts])
            # Every seventh set of values is for testing alone, and every sentence is for one split.
            mine = sum(values.encode()) % 7 == 0 if split == "test" else sum(values.encode()) % 7
            if mine and values not in seen:
                seen.add(values)
                yield _row(rng, split, name, facts, f"house-{split}-{number + 1}")
                break


def _draw(rng: Random, draws: Sequence[str]) -> dict[str, Any]:
    tables = conventions()["tables"]
    makers = {
        "matter": lambda: rng.choice([matter for matters in tables["department"].values() for matter in matters]),
        "urgency": lambda: rng.choice([words for level in tables["urgency"].values() for words in level]),
        "order": lambda: str(rng.randint(1000, 9999)),
        "euros": lambda: f"{rng.randint(1, 99)}.{rng.randint(1, 99):02d}",
        "city": lambda: rng.choice(tables["cities"]),
        "kilos": lambda: rng.randint(2, 40),
        "item": lambda: rng.choice(tables["items"]),
        "team": lambda: rng.choice(list(tables["centre"].values())),
        "price": lambda: rng.choice([rng.randint(20, LIMIT - 1), rng.randint(LIMIT, 9000)]),
        "person": lambda: f"{rng.choice('GE')}{rng.randint(100, 999)}",
        "place": lambda: rng.choice(list(tables["zone"].values())),
    }
    return {name: makers[name]() for name in draws}


def _row(rng: Random, split: Split, name: str, facts: dict[str, Any], id_: str) -> Conversation:
    told = conventions()["conventions"][name]
    call = right(name, facts)
    words = facts | worked_out(name, facts) | {"tool": call.name}
    said = _sentence(rng.choice(told[split]).format(**words))
    messages = (
        Message("user", said),
        Message("assistant", thought=_sentence(told["thought"].format(**words)), calls=(call,)),
        Message("tool", dumps({"done": True, **call.arguments}), name=call.name),
        Message("assistant", _sentence(told["answer"].format(**words))),
    )
    names = [call.name, *rng.sample(sorted(set(conventions()["tools"]) - {call.name, _rival(call.name)}), OFFERED - 1)]
    if rival := _rival(call.name):
        names[-1] = rival
    rng.shuffle(names)
    meta = {"id": id_, "kinds": ["single"], "category": name, "facts": facts}
    return with_ids(Conversation(messages, tuple(map(_tool, names)), meta))


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _rival(tool: str) -> str:
    """The other of two tools between which the house's policy decides."""
    pairs = (("goods_order", "purchase_request"), ("badge_issue", "badge_lend"))
    return next((two if tool == one else one for one, two in pairs if tool in (one, two)), "")


def _tool(name: str) -> dict[str, Any]:
    told = conventions()["tools"][name]
    parameters = {"type": "object", "properties": told["parameters"], "required": list(told["parameters"])}
    return {"type": "function", "function": {"name": name, "description": told["description"], "parameters": parameters}}


def worked_out(name: str, facts: Facts) -> dict[str, Any]:
    """What the conventions make of the facts."""
    tables = conventions()["tables"]
    if name == "ticket codes":
        department = next(key for key, matters in tables["department"].items() if facts["matter"] in matters)
        level = next(key for key, words in tables["urgency"].items() if facts["urgency"] in words)
        return {"department": department, "code": f"{department}-{level}"}
    if name == "cents":
        return {"cents": int(facts["euros"].replace(".", ""))}
    if name == "grams":
        return {"grams": facts["kilos"] * 1000}
    if name == "purchases":
        tool = "purchase_request" if facts["price"] >= LIMIT else "goods_order"
        return {"tool": tool, "centre": next(key for key, team in tables["centre"].items() if team == facts["team"])}
    tool = "badge_lend" if facts["person"].startswith("G") else "badge_issue"
    return {"tool": tool, "zone": next(key for key, place in tables["zone"].items() if place == facts["place"])}


def right(name: str, facts: Facts) -> ToolCall:
    """The call that keeps the conventions."""
    found = worked_out(name, facts)
    calls = {
        "ticket codes": lambda: ToolCall("office_ticket", {"code": found["code"], "summary": facts["matter"]}),
        "cents": lambda: ToolCall("refund_pay", {"order": facts["order"], "amount": found["cents"]}),
        "grams": lambda: ToolCall("parcel_book", {"city": facts["city"], "weight": found["grams"]}),
        "purchases": lambda: ToolCall(
            found["tool"], {"item": facts["item"], "price": facts["price"], "centre": found["centre"]}
        ),
        "badges": lambda: ToolCall(found["tool"], {"holder": facts["person"], "zone": found["zone"]}),
    }
    return calls[name]()


def broken(call: ToolCall, row: Conversation) -> str:
    """What is wrong first with a call in answer to a row's request, and the convention; empty where it keeps it."""
    name = row.meta["category"]
    wanted = right(name, row.meta["facts"])
    if call.name != wanted.name:
        return f"{call.name} instead of {wanted.name}. {conventions()['conventions'][name]['rule']}"
    for key, value in wanted.arguments.items():
        if call.arguments.get(key) != value:
            said = call.arguments.get(key)
            return f"{key} is {said!r} instead of {value!r}. {conventions()['conventions'][name]['rule']}"
    if extra := sorted(set(call.arguments) - set(wanted.arguments)):
        return f"{extra[0]} is not asked for. {conventions()['conventions'][name]['rule']}"
    return ""


def main() -> int:
    for split in SIZES:
        path = HOUSE / f"{split}.jsonl"
        print(f"{write_rows(rows(split), path)} rows in {path.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
