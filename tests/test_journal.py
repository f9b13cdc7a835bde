"""journal.py: what was written stays written, whatever happens next."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from fcutils.journal import Journal


def lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_it_only_ever_adds(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    Journal(path).write({"a": "é\n\ud800"})
    before = path.read_bytes()
    Journal(path).write({"b": 1})
    assert path.read_bytes().startswith(before)
    assert lines(path) == [{"a": "é\n\ud800"}, {"b": 1}]


def test_a_line_cut_short_by_a_crash_spoils_no_other(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_bytes(b'{"a": 1}\n{"event": "ca')
    Journal(path).write({"b": 1})
    assert path.read_text(encoding="utf-8").splitlines() == ['{"a": 1}', '{"event": "ca', '{"b": 1}']


def test_many_threads_and_journals_at_once(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    journals = [Journal(path), Journal(path)]

    def work(n: int) -> None:
        for _ in range(5):
            journals[n % 2].write({"n": n, "x": "x" * 5000})

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(work, range(8)))
    assert sorted(line["n"] for line in lines(path)) == sorted(list(range(8)) * 5)


def test_what_json_cannot_hold_is_written_as_python_shows_it(tmp_path: Path) -> None:
    circle: dict[str, Any] = {}
    circle["self"] = circle
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    journal = Journal(tmp_path / "journal.jsonl")
    for value in (circle, float("nan"), {1, 2}, deep):
        journal.write({"name": "f", "arguments": value})
    shown = lines(journal.path)
    assert [line["name"] for line in shown] == ["f"] * 4
    assert [line["arguments"] for line in shown] == ["{'self': {...}}", "nan", "{1, 2}", "a list"]


def test_a_place_that_cannot_be_written_is_known_at_once(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="nowhere"):
        Journal(tmp_path / "nowhere" / "journal.jsonl")
