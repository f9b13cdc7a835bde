"""The pocket model behind `transformers serve`: calls arrive parsed, and an evaluation says what it says without a server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from openai import OpenAI
from serving import serving

from fcutils.__main__ import main
from fcutils.dataset import write_rows
from fcutils.engines.server import ServerEngine
from fcutils.evaluate import Report, first_exchange
from fcutils.models import HOME
from fcutils.parsing import parse_reply
from fcutils.pocket.measures import rows_of
from fcutils.pocket.sample import prompt

FOLDER = HOME / "pocket-hermes"
ROWS = 4


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


def test_an_evaluation_of_a_server_agrees_with_one_of_the_model(address: str, tmp_path) -> None:
    """On rows that the model answers well: where a call's JSON is broken, this server breaks off its stream."""
    rows, reports = tmp_path / "rows.jsonl", []
    write_rows([first_exchange(rows_of(one["set"], one["row"] + 1)[one["row"]]) for one in kept()[:ROWS]], rows)
    for name, engine in {"served": ["--engine", address, "--model", str(FOLDER)], "here": ["--model", "hermes3"]}.items():
        out = tmp_path / f"{name}.json"
        assert main(["evaluate", *engine, "--data", str(rows), "--max-tokens", "96", "--out", str(out)]) == 0
        reports.append(Report.load(out))
    served, here = reports
    assert served.fingerprint == here.fingerprint and len(served.outcomes) == ROWS
    assert [one.marks for one in served.outcomes] == [one.marks for one in here.outcomes]
