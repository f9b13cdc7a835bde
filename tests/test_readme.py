"""README.md says what is true: its made parts are those that the script makes, its messages are in the code, its code runs."""

from __future__ import annotations

import ast
import importlib
import re
import runpy
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from fcutils.models import CATALOGUE

ROOT = Path(__file__).resolve().parents[1]
READ_ME = (ROOT / "README.md").read_text(encoding="utf-8")
TROUBLES = READ_ME.partition("## When something goes wrong")[2].partition("\n## ")[0]
MESSAGES = re.findall(r"^\| `([^`]+)` \|", TROUBLES, re.MULTILINE)
BLOCKS = re.findall(r"^```python\n(.*?)^```", READ_ME, re.MULTILINE | re.DOTALL)


def test_it_is_short() -> None:
    assert len(READ_ME.splitlines()) < 250


def test_what_is_made_from_other_files_is_made_from_them() -> None:
    made = runpy.run_path(str(ROOT / "assets" / "readme.py"))["written"](READ_ME)
    assert made == READ_ME, "run python assets/readme.py"


def test_the_page_of_measurements_is_made_from_the_results(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    made = runpy.run_path(str(ROOT / "benchmarks" / "page.py"))
    found = made["results"]()
    assert made["page"](found) == (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8"), "python benchmarks/page.py"
    for result in found:
        assert result.findings or result.goals, f"results/{result.name}.json shows nothing: give it a function in reading.py"
        script = re.match(r"python (?:-m ([\w.]+)|(benchmarks/\w+\.py))", result.command)
        there = script and (find_spec(f"{script[1]}.__main__") if script[1] else (ROOT / script[2]).is_file())
        assert there, f"{result.name}: no such command: {result.command}"
        assert all(one.ours > 0 or one.unit == "%" for one in result.findings), "only a share may be 0"


def test_a_ratio_above_one_is_better(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    finding = runpy.run_path(str(ROOT / "benchmarks" / "reading.py"))["Finding"]
    values = {"ours": 2.0, "peer": 6.0, "another": 1.0}
    assert (finding("x", "s", values, "").times, finding("x", "rows/s", values, "", less=False).times) == ("3 ×", "0.333 ×")
    assert finding("x", "s", {"ours": 2.0}, "").times == "-"


def said_in_the_code() -> list[str]:
    """Every text in the package, with `…` for what is filled in."""
    texts = []
    for path in (ROOT / "fcutils").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = (part.value if isinstance(part, ast.Constant) else "…" for part in node.values)
                texts.append("".join(map(str, parts)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.append(node.value)
    return texts


@pytest.mark.parametrize("message", MESSAGES)
def test_each_message_is_one_that_the_code_says(message: str) -> None:
    pattern = re.compile(".*".join(map(re.escape, message.split("…"))), re.DOTALL)
    assert any(pattern.search(text) for text in said_in_the_code()), "no error says so"


def test_there_are_messages() -> None:
    assert len(MESSAGES) >= 10 and all(len(message.replace("…", "")) > 12 for message in MESSAGES)


def test_the_code_of_the_package_alone_runs_as_it_stands() -> None:
    (alone,) = [block for block in BLOCKS if "Toolbox()" in block]
    ran = subprocess.run([sys.executable, "-c", alone], capture_output=True, text=True, check=True)
    assert "'city': 'Oslo'" in ran.stdout and "kind='ok'" in ran.stdout


def test_other_code_names_what_exists() -> None:
    for block in BLOCKS:
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom):
                assert node.module
                module = importlib.import_module(node.module)
                assert all(hasattr(module, alias.name) or find_spec(f"{node.module}.{alias.name}") for alias in node.names)
    assert all(f"`{key}`" in READ_ME and entry.hub in READ_ME for key, entry in CATALOGUE.items())
