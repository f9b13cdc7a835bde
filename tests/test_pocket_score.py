"""The table of a pocket model, end to end with a tiny one; the format that was never shown is read as it is written."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from random import Random

import pytest
import tiny

from fcutils.dataset import DATA
from fcutils.engines.base import Written
from fcutils.evaluate import Score, read_rows
from fcutils.messages import Message, ToolCall
from fcutils.models import ModelError, write_checksums
from fcutils.parsing import parse_reply
from fcutils.pocket import __main__ as command
from fcutils.pocket import score as scoring
from fcutils.pocket.formats import HELD_OUT, shown

CALLS = (ToolCall("find", {"tool": "a saw", "input": {"tool": "x"}}), ToolCall("stop", {}))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(command, "SHIPPED", tmp_path)
    engine = tiny.engine("llama")
    engine.model.save_pretrained(tmp_path / "pocket-hermes")
    engine.tokenizer.save_pretrained(tmp_path / "pocket-hermes")
    write_checksums(tmp_path / "pocket-hermes")
    return tmp_path / "pocket-hermes"


def test_the_command_writes_every_line_of_the_table_beside_the_weights(folder, monkeypatch, capsys):
    monkeypatch.setattr(scoring, "MAX_TOKENS", 4)
    monkeypatch.setattr(sys, "argv", ["pocket", "score", "pocket-hermes", "--limit", "1"])
    assert command.main() == 0
    found = json.loads((folder / "scores.json").read_text())
    assert found["model"] == "pocket-hermes" and "score pocket-hermes --limit 1" in found["command"] and found["date"]
    assert [line["name"] for line in found["table"]] == [measure.name for measure in scoring.TABLE]
    lines = {line["name"]: line["scores"] for line in found["table"]}
    assert lines["unseen phrasings"]["hermes"]["n"] == 1 and lines["unseen tools"]["held out"]["n"] == 1
    assert lines["must call: calls"]["openhermes"]["n"] >= 5
    assert set(lines["unseen phrasings"]) == {"hermes", "openhermes"}
    printed = capsys.readouterr().out
    assert all(measure.name in printed for measure in scoring.TABLE) and "held out" in printed
    assert "The two formats are" in printed


def test_a_damaged_model_is_not_scored(folder, monkeypatch):
    (folder / "model.safetensors").write_bytes(b"\0" * 64)
    monkeypatch.setattr(sys, "argv", ["pocket", "score", "pocket-hermes"])
    with pytest.raises(ModelError, match="damaged"):
        command.main()


@pytest.mark.parametrize("form", [HELD_OUT, *(shown(Random(seed)) for seed in range(12))])
def test_calls_in_a_made_up_format_are_read_as_they_were_meant(form):
    message = Message("assistant", "Let me see.", calls=CALLS)
    text = "".join(piece.text for piece in form.reply(message) if not piece.control)
    reply = parse_reply(scoring.as_hermes(text, form), "hermes")
    assert reply.calls == CALLS and reply.faults == () and reply.content.strip() == "Let me see."
    assert parse_reply(scoring.as_hermes("I cannot help with that.", form), "hermes").content == "I cannot help with that."


def test_a_call_that_is_cut_off_is_a_fault_in_any_format():
    reply = parse_reply(scoring.as_hermes('[USE_TOOL] {"tool": "find", "input": {"a": ', HELD_OUT), "hermes")
    assert not reply.calls and reply.faults


class Perfect(scoring.ShownEngine):
    """Says what gold says, in the held-out format."""

    def __init__(self, rows):
        super().__init__(tiny.engine("llama"), HELD_OUT)
        self._gold = {
            self.key(row.messages[:at]): message
            for row in rows
            for at, message in enumerate(row.messages)
            if message.role == "assistant"
        }

    @staticmethod
    def key(messages):
        return json.dumps([replace(message, thought="").to_openai() for message in messages])

    def reply_many(self, talks, *, on_reply=None, **settings):
        pieces = (HELD_OUT.reply(self._gold[self.key(talk.messages)]) for talk in talks)
        found = [self._read(Written("".join(p.text for p in reply if not p.control), 1)) for reply in pieces]
        for at, written in enumerate(found):
            on_reply(at, written)
        return found


@pytest.mark.parametrize(
    ("name", "mark"), [("unseen_tools", "whole call"), ("sequences", "sequence"), ("missing_information", "asks")]
)
def test_one_who_says_what_gold_says_has_every_point(name, mark):
    found = scoring._marks(Perfect(read_rows(DATA / f"test_{name}.jsonl", 20)), name, 20, False)
    assert found[mark] == Score(20, 20)
    assert name == "missing_information" or found["valid"].share == 1.0
