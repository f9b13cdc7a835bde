"""toolbox.py: what is written down about a call, before it runs and after."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from fcutils.messages import ToolCall
from fcutils.toolbox import Toolbox

pytestmark = pytest.mark.filterwarnings("ignore::fcutils.schema.SchemaWarning")


def add(a: int, b: int = 1) -> int:
    return a + b


def test_a_line_before_and_a_line_after(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    box = Toolbox(journal=path)
    seen: list[int] = []

    @box.tool
    def look(a: int) -> str:
        seen.append(len(path.read_text(encoding="utf-8").splitlines()))
        return "x" * 10_000

    observations = [
        box.call(call)
        for call in [ToolCall("look", {"a": 1}, id="c0"), ToolCall("look", {"a": "x"}, id="c1"), ToolCall("nope")]
    ]
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert seen == [1]
    assert [line["event"] for line in lines] == ["call", "observation"] * 3
    assert [line["key"] for line in lines[::2]] == [line["key"] for line in lines[1::2]]
    assert (lines[0]["name"], lines[0]["arguments"], lines[0]["id"]) == ("look", {"a": 1}, "c0")
    assert [(line["kind"], line["content"]) for line in lines[1::2]] == [(o.kind, o.content) for o in observations]


def test_a_call_that_kills_everything_is_on_record(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    script = (
        "import os, sys; from fcutils.messages import ToolCall; from fcutils.toolbox import Toolbox\n"
        "box = Toolbox(journal=sys.argv[1]); box.add(lambda: os._exit(9), name='die'); box.call(ToolCall('die'))"
    )
    assert subprocess.run([sys.executable, "-W", "ignore", "-c", script, str(path)]).returncode == 9
    (line,) = path.read_text(encoding="utf-8").splitlines()
    assert json.loads(line)["name"] == "die"


def test_without_its_journal_nothing_runs(tmp_path: Path) -> None:
    ran: list[int] = []
    folder = tmp_path / "folder"
    folder.mkdir()
    box = Toolbox(journal=folder / "journal.jsonl")
    box.add(lambda a: ran.append(a), name="f")
    (folder / "journal.jsonl").unlink()
    folder.rmdir()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        observation = box.call(ToolCall("f", {"a": 1}, id="c0"))
    assert (observation.kind, ran) == ("failed", [])
    assert "for want of a journal" in observation.content
    assert "no line for what came of f" in str(caught[-1].message)
    with pytest.raises(OSError, match="journal"):
        Toolbox(journal=folder / "journal.jsonl")
