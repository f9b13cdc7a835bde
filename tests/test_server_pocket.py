"""The pocket model behind `transformers serve`: calls arrive parsed, and an evaluation says what it says without a server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from openai import OpenAI
from serving import serving

from fcutils.__main__ import main
from fcutils.dataset import DATA
from fcutils.engines.server import ServerEngine
from fcutils.evaluate import Report
from fcutils.models import HOME
from fcutils.parsing import parse_reply
from fcutils.pocket.sample import prompt

FOLDER = HOME / "pocket-hermes"
ROWS = 6


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with serving(FOLDER) as found:
        yield found


def kept() -> list[dict[str, Any]]:
    """Of the replies that every machine must get, those that call."""
    found = json.loads((FOLDER / "replies.json").read_text(encoding="utf-8"))
    return [one for one in found if parse_reply(one["reply"], "hermes").calls]


def test_the_server_itself_reads_the_calls(address: str) -> None:
    one = next(one for one in kept() if one["reply"].endswith("<|im_end|>"))
    talk = prompt(one["set"], one["row"]).to_dict()
    asked = {"messages": talk["messages"], "tools": talk["tools"], "temperature": 0, "max_tokens": 120}
    reply = OpenAI(base_url=address, api_key="none").chat.completions.create(model=str(FOLDER), **asked).choices[0]
    wanted = parse_reply(one["reply"], "hermes").calls
    got = [(call.function.name, json.loads(call.function.arguments)) for call in reply.message.tool_calls]
    assert got == [(call.name, dict(call.arguments)) for call in wanted]
    assert reply.finish_reason == "tool_calls" and not reply.message.content


def test_our_engine_gets_the_same_calls(address: str) -> None:
    engine, some = ServerEngine(address, str(FOLDER)), kept()[:3]
    written = engine.reply_many([prompt(one["set"], one["row"]) for one in some], max_tokens=120)
    for one, reply in zip(some, written, strict=True):
        got, wanted = (parse_reply(text, "hermes").calls for text in (reply.text, one["reply"]))
        assert [(call.name, call.arguments) for call in got] == [(call.name, call.arguments) for call in wanted]


def test_an_evaluation_of_a_server_agrees_with_one_of_the_model(address: str, tmp_path, capsys) -> None:
    reports = []
    for name, engine in {"served": ["--engine", address, "--model", str(FOLDER)], "here": ["--model", "hermes3"]}.items():
        out = tmp_path / f"{name}.json"
        rows = ["--data", str(DATA / "test_unseen_phrasings.jsonl"), "--limit", str(ROWS)]
        assert main(["evaluate", *engine, *rows, "--out", str(out)]) == 0
        reports.append(Report.load(out))
    served, here = reports
    assert served.fingerprint == here.fingerprint and not served.failed
    agree = [one.marks == other.marks for one, other in zip(served.outcomes, here.outcomes, strict=True)]
    assert sum(agree) >= len(agree) - 1, "but for one narrow choice, perhaps"
