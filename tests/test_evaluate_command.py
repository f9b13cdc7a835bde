"""evaluate/command.py and open_engine.py: from a shell to a report, with a real model, an adapter, and a dead address."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tiny
from peft import LoraConfig, get_peft_model
from scripted import ROWS, Scripted, gold

from fcutils.__main__ import main
from fcutils.evaluate import Report, evaluate
from fcutils.evaluate.open_engine import OpenError, open_engine


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model that knows one conversation by heart, as a folder."""
    folder = tmp_path_factory.mktemp("models") / "taught"
    engine = tiny.taught()
    engine.model.save_pretrained(folder)
    engine.tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """That conversation, as a row; and one that it does not know."""
    rows = [tiny.TALK.to_dict(), ROWS[4].to_dict()]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return tmp_path / "rows.jsonl"


def run(*arguments: Any) -> int:
    return main([str(argument) for argument in arguments])


def test_a_model_in_a_folder_is_scored(model: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = data.with_name("report.json")
    code = run("evaluate", "--model", model, "--dialect", "hermes", "--data", data, "--max-tokens", 40, "--out", out)
    shown = capsys.readouterr().out
    assert code == 0
    report = Report.load(out)
    assert (report.scores["whole call"].hits, report.scores["whole call"].n) == (1, 1)
    assert report.outcomes[1].wrote == "It is cold in Oslo."
    assert report.name == "taught" and report.engine["weights"]
    assert "| whole call | 100.0% [20.7%, 100.0%] of 1 |" in shown
    assert out.with_suffix(".md").read_text().strip() in shown
    assert len(out.with_suffix(".replies.jsonl").read_text().splitlines()) == 3


def test_the_limit_and_a_second_run_that_asks_nothing_again(model: Path, data: Path) -> None:
    out = data.with_name("report.json")
    ask = ("evaluate", "--model", model, "--dialect", "hermes", "--data", data, "--limit", 1, "--out", out)
    assert run(*ask) == 0
    first = out.read_bytes()
    assert run(*ask) == 0
    assert out.read_bytes() == first  # the seconds, too: they are those of the first run
    assert Report.load(out).rows == 1


def test_dialogues_are_played_and_sampled_runs_counted(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "d.json"
    ask = ("evaluate", "--model", model, "--dialect", "hermes", "--dialogues", "--limit", 2, "--max-tokens", 6, "--out", out)
    assert run(*ask, "--runs", 2) == 0
    report = Report.load(out)
    assert [outcome.id.partition("#")[2] for outcome in report.outcomes] == ["0", "0", "1", "1"]
    assert (report.engine["runs"], report.data) == (2, "dialogues.yaml")
    assert "temperature=0.7" in report.engine["sampling"]
    assert "pass^1 0.0%, pass^2 0.0%" in capsys.readouterr().out


def test_an_adapter_changes_the_weights_and_so_the_replies_are_others(model: Path, data: Path) -> None:
    out = data.with_name("report.json")
    adapter = data.with_name("adapter")
    plain, _ = open_engine(str(model), dialect="hermes")
    wrapped: Any = get_peft_model(plain.model, LoraConfig(r=2, target_modules="all-linear", init_lora_weights=False))  # type: ignore[attr-defined]
    wrapped.save_pretrained(adapter)
    ask = ("evaluate", "--model", model, "--dialect", "hermes", "--data", data, "--max-tokens", 30, "--out", out)
    assert run(*ask) == 0
    before = Report.load(out)
    assert run(*ask, "--adapter", adapter) == 0
    after = Report.load(out)
    assert after.name == "taught + adapter"
    assert after.engine["weights"] != before.engine["weights"]
    assert [one.wrote for one in after.outcomes] != [one.wrote for one in before.outcomes]
    assert len(out.with_suffix(".replies.jsonl").read_text().splitlines()) == 6


def test_a_server_that_nobody_runs_fails_on_every_row_and_the_exit_code_says_so(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as taken:  # bound, and not listening
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        assert run("evaluate", "--model", "some", "--engine", url, "--data", data, "--limit", 1) == 1
    assert "failed on 1 of the rows" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--model", "hermes4", "--data", "{data}"), "neither a model's folder nor a key of the catalogue: openhermes"),
        (("--model", "{model}", "--data", "{data}"), "Say --dialect"),
        (("--model", "{model}", "--dialect", "klingon", "--data", "{data}"), "no dialect 'klingon'"),
        (("--model", "{model}", "--dialect", "hermes", "--adapter", "{folder}", "--data", "{data}"), "holds no adapter"),
        (("--model", "m", "--data", "{folder}/none.jsonl"), "cannot be read"),
        (("--model", "m", "--bfcl", "{folder}"), "no row could be read"),
        (("--model", "m", "--dialogues", "{data}"), "cannot be scored"),
        (("--model", "m", "--data", "{data}", "--out", "{folder}/none/r.json"), "there is no folder"),
        (("--model", "m", "--data", "{data}", "--out", "{folder}/r.md"), "name the report .json"),
        (("--model", "m", "--engine", "localhost", "--data", "{data}"), "not a server's address"),
        (("--model", "m", "--engine", "http://localhost/v1", "--constrained", "--data", "{data}"), "leave out --adapter"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(
    model: Path, data: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], words: str
) -> None:
    filled = [argument.format(model=model, data=data, folder=data.parent) for argument in arguments]
    assert run("evaluate", *filled) == 2
    said = capsys.readouterr().err
    assert said.startswith("evaluate: ") and words in said


def test_a_wrong_row_is_named_before_any_model_is_looked_for(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data.write_text(data.read_text() + "\n{")
    assert run("evaluate", "--model", "there is no such model", "--data", data) == 2
    assert "line 3: not JSON" in capsys.readouterr().err


@pytest.mark.parametrize("wrong", [("--limit", "0"), ("--runs", "-1"), ("--temperature", "-1"), ("--temperature", "nan")])
def test_numbers_that_make_no_sense_are_refused(data: Path, wrong: tuple[str, str]) -> None:
    with pytest.raises(SystemExit) as caught:
        run("evaluate", "--model", "m", "--data", data, *wrong)
    assert caught.value.code == 2


def test_a_broken_folder_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(OpenError, match="is it whole"):
        open_engine(str(tmp_path), dialect="hermes")


# ---- compare -------------------------------------------------------------------------------------------------------


@pytest.fixture
def reports(tmp_path: Path) -> tuple[Path, Path]:
    for name, script in (("never", lambda talk: "No."), ("right", gold(ROWS))):
        evaluate(Scripted(script, name=name), ROWS, progress=False).save(tmp_path / f"{name}.json")
    return tmp_path / "never.json", tmp_path / "right.json"


def test_compare_shows_both_and_the_difference(reports: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert run("compare", *reports) == 0
    shown = capsys.readouterr().out
    assert "|  | never | right | what earns it |" in shown
    assert "**never -> right**" in shown
    assert "| whole call | 6 | 0.0% | 100.0% | +100.0 points | 6 | 0 | 0.031 |" in shown


def test_reports_of_one_name_are_told_apart(reports: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert run("compare", reports[0], reports[0]) == 0
    assert "|  | never (1) | never (2) |" in capsys.readouterr().out


def test_what_a_terminal_cannot_show_is_shown_escaped(reports: tuple[Path, Path]) -> None:
    named = reports[0].rename(reports[0].with_name("café.json"))
    ask = [sys.executable, "-m", "fcutils", "compare", str(named), str(reports[1])]
    ran = subprocess.run(ask, capture_output=True, check=True, env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert rb"|  | caf\xe9 | right |" in ran.stdout


def test_compare_says_what_it_cannot_do(reports: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    other = reports[0].with_name("other.json")
    evaluate(Scripted(gold(ROWS)), ROWS[:2], progress=False).save(other)
    assert run("compare", reports[0], other) == 2
    assert "different rows" in capsys.readouterr().err
    assert run("compare", reports[0], reports[0].with_name("none.json")) == 2
    with pytest.raises(SystemExit):
        run("compare", reports[0])
