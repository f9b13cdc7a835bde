"""The rules of a lesson, over every notebook that exists; its solutions pass its checks, and all pages' links lead somewhere.

`pytest --nbval` compares outputs; it is content with a notebook whose outputs were cleared, and with a skipped cell. This file
is not. Cells say what they are by their tags: `set-up`, `exercise`, `check`, `nbval-ignore-output`, `raises-exception`.
"""

from __future__ import annotations

import ast
import itertools
import re
import runpy
import statistics
import subprocess
import sys
import tomllib
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "notebooks"
LESSONS = sorted(FOLDER.glob("*.ipynb"))
SOLUTIONS = sorted((FOLDER / "solutions").glob("*.ipynb"))
REPOSITORY = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["course"]["repository"]
MOST_LINES = 12
WIDEST = 100  # characters
TAGS = {"set-up", "exercise", "check", "nbval-ignore-output", "raises-exception"}
LINK = re.compile(r"\]\(([^)\s]+)\)|(?:src|href)=\"([^\"]+)\"")
IMAGE = re.compile(r"!\[([^\]]*)\]\(|<img\b([^>]*)>")
ABSOLUTE = re.compile(r"(?<![\w.:/~])/(?:home|root|Users|tmp|work|mnt|opt|var|usr|content)/|\b[A-Z]:\\")
TIME = re.compile(r"\*\*Time:\*\* [^\n]*CPU[^\n]*\(measured\)[^\n]*T4[^\n]*\(an estimate\)")


def read(path: Path) -> NotebookNode:
    return nbformat.read(path, as_version=4)


def code(notebook: NotebookNode, *tags: str) -> list[NotebookNode]:
    """The code cells, or those with one of these tags."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return [cell for cell in cells if not tags or tags_of(cell) & set(tags)]


def prose(notebook: NotebookNode) -> str:
    return "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


def tags_of(cell: NotebookNode) -> set[str]:
    return set(cell.metadata.get("tags", ()))


def name(path: Path) -> str:
    return str(path.relative_to(FOLDER).with_suffix(""))


every_lesson = pytest.mark.parametrize("path", LESSONS, ids=name)
every_solution = pytest.mark.parametrize("path", SOLUTIONS, ids=name)
every_notebook = pytest.mark.parametrize("path", [*LESSONS, *SOLUTIONS], ids=name)


def test_there_are_notebooks():
    assert LESSONS and SOLUTIONS, f"no notebooks in {FOLDER}: the tests below would test nothing"


# ---- how a lesson opens, goes on and closes ----------------------------------------------------------------------------


@every_lesson
def test_opening(path: Path):
    first = read(path).cells[0]
    assert first.cell_type == "markdown" and first.source.startswith(f"# {path.stem[:2]} · ")
    for part in ("**After this notebook you can**", "**You need:**"):
        assert part in first.source, f"the opening lacks {part}"
    assert TIME.search(first.source.replace("\n", " ")), "time on a CPU (measured), on a T4 (an estimate)"
    address = f"https://colab.research.google.com/github/{REPOSITORY}/blob/main/notebooks/{path.name}"
    assert f"[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]({address})" in first.source


@every_notebook
def test_set_up_is_the_first_code_and_the_same_everywhere(path: Path):
    cells = code(read(path))
    assert tags_of(cells[0]) == {"set-up", "nbval-ignore-output"}
    assert code(read(path), "set-up") == cells[:1]
    assert cells[0].source == code(read(LESSONS[0]))[0].source, f"copy the set-up cell from {LESSONS[0].name}"
    assert f"https://github.com/{REPOSITORY}" in cells[0].source


@every_notebook
def test_text_before_code(path: Path):
    cells = read(path).cells
    for before, cell in itertools.pairwise(cells):
        if cell.cell_type == "code" and before.cell_type == "code":
            pair = "check" in tags_of(cell) and "exercise" in tags_of(before)
            assert pair, f"two code cells with no text between them, the second one:\n{cell.source}"


@every_notebook
def test_cells_are_short(path: Path):
    lengths = {cell.source: sum(1 for line in cell.source.splitlines() if line.strip()) for cell in code(read(path))}
    for source, length in lengths.items():
        assert 1 <= length <= MOST_LINES, f"{length} lines; at most {MOST_LINES}, the rest belongs to fcutils:\n{source}"
        widest = max(source.splitlines(), key=len)
        assert len(widest) <= WIDEST, f"a page shows {WIDEST} characters a line; this one has {len(widest)}:\n{widest}"
    assert statistics.median(lengths.values()) >= 4, "most cells have fewer than 4 lines: join some"


@every_lesson
def test_the_reader_is_asked_to_predict(path: Path):
    """Before at least half of the cells that show something."""
    shown = [cell for cell in code(read(path)) if cell.outputs and not tags_of(cell) & {"set-up", "check"}]
    asked = prose(read(path)).count("**Before you run it:**")
    assert asked >= len(shown) / 2, f"{asked} predictions for {len(shown)} cells with outputs"


@every_lesson
def test_closing(path: Path):
    notebook = read(path)
    last = notebook.cells[-1]
    assert last.cell_type == "markdown"
    titles = re.findall(r"^## (.+)$", last.source, re.MULTILINE)
    assert titles == ["In five lines", "To read", "Next"], f"the last cell has the titles {titles}"
    summary = last.source.split("## To read")[0]
    assert len(re.findall(r"^- ", summary, re.MULTILINE)) == 5, "a summary of five points"
    for following in LESSONS[LESSONS.index(path) + 1 :][:1]:
        assert f"]({following.name})" in last.source.split("## Next")[1], f"link {following.name}, which exists now"


# ---- outputs: there, true, clean -----------------------------------------------------------------------------------------


@every_notebook
def test_it_was_run_from_top_to_bottom(path: Path):
    cells = code(read(path))
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    for cell in cells:
        assert cell.outputs or not speaks(cell.source), f"this cell prints something, and its output is missing:\n{cell.source}"
        counts = [output.execution_count for output in cell.outputs if output.output_type == "execute_result"]
        assert counts in ([], [cell.execution_count])


def speaks(source: str) -> bool:
    """Whether running a cell must show something: it prints, is a check, or ends with a value."""
    body = ast.parse(source).body
    defined = [node for node in body if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    checks = [node for node in defined if "exercise" in map(ast.unparse, node.decorator_list)]
    outside = [node for node in body if node not in defined or node in checks]
    calls = [node for part in outside for node in ast.walk(part) if isinstance(node, ast.Call)]
    prints = any(isinstance(call.func, ast.Name) and call.func.id == "print" for call in calls)
    return prints or bool(checks) or (isinstance(body[-1], ast.Expr) and not isinstance(body[-1].value, ast.Call))


@every_notebook
def test_outputs_are_clean(path: Path):
    for cell in code(read(path)):
        streams = [output.get("name") for output in cell.outputs]
        torn = any(one == other == "stdout" for one, other in itertools.pairwise(streams))
        assert not torn, "a torn output: jupyter nbconvert --to notebook --inplace --coalesce-streams"
        for output in cell.outputs:
            assert output.get("name") != "stderr", f"stderr: {output.text}"
            if output.output_type == "error":
                assert "raises-exception" in tags_of(cell), f"{output.ename} in:\n{cell.source}"


@every_notebook
def test_no_cell_is_skipped_and_no_output_ignored_without_an_assertion(path: Path):
    for cell in code(read(path)):
        assert tags_of(cell) <= TAGS, f"unknown tags {tags_of(cell) - TAGS} on:\n{cell.source}"
        assert "NBVAL" not in cell.source, f"tags say what nbval is to do, not comments:\n{cell.source}"
        if "nbval-ignore-output" in tags_of(cell) and "set-up" not in tags_of(cell):
            assert re.search(r"^\s*assert ", cell.source, re.MULTILINE), f"say what must hold:\n{cell.source}"


@every_notebook
def test_nothing_of_one_machine_is_kept(path: Path):
    text = path.read_text(encoding="utf-8")
    assert str(ROOT) not in text
    notebook = read(path)
    for cell in notebook.cells:
        found = ABSOLUTE.search(cell.source + "".join(map(str, cell.get("outputs", ()))))
        assert not found, f"an absolute path, {found and found[0]!r}, in:\n{cell.source}"
        assert "execution" not in cell.metadata, "times of the run: execute with --ExecutePreprocessor.record_timing=False"
    assert "widgets" not in notebook.metadata
    assert notebook.metadata.kernelspec.name == "python3"


# ---- links, images, figures ----------------------------------------------------------------------------------------------


ROOMS = ("notebooks", "assets", "benchmarks", "data", "configs")
PAGES = sorted([*ROOT.glob("*.md"), *(page for room in ROOMS for page in (ROOT / room).rglob("*.md"))])


@pytest.mark.parametrize("path", [*LESSONS, *SOLUTIONS, *PAGES], ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_inside_the_repository(path: Path):
    for markdown, html in LINK.findall(without_code(text_of(path))):
        target, _, anchor = (markdown or html).partition("#")
        if re.match(r"[a-z]+:", target):
            continue
        assert not target.startswith("/"), f"{target}: write links from the file's folder"
        there = (path.parent / target).resolve() if target else path
        assert there.is_relative_to(ROOT) and there.exists(), f"there is no {target}"
        assert not anchor or anchor in anchors(there), f"{target or 'this page'} has no heading #{anchor}"


def text_of(path: Path) -> str:
    return prose(read(path)) if path.suffix == ".ipynb" else path.read_text(encoding="utf-8")


def without_code(text: str) -> str:
    return re.sub(r"^```.*?^```|`[^`\n]+`", "", text, flags=re.MULTILINE | re.DOTALL)


def anchors(path: Path) -> set[str]:
    """What a link may name: a heading as Jupyter makes it an anchor, and as code hosts do."""
    text = re.sub(r"^```.*?^```", "", text_of(path), flags=re.MULTILINE | re.DOTALL)
    headings = [heading.strip() for heading in re.findall(r"^#{1,6} (.+)$", text, re.MULTILINE)]
    plain = [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]
    return {heading.replace(" ", "-") for heading in headings} | set(plain)


def test_a_link_that_leads_nowhere_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    page = tmp_path / "a.md"
    page.write_text(
        "# One `thing`, and\n\n```\n# no heading\n[x](nowhere)\n```\n[here](#one-thing-and) [b](a.md#one-thing-and)\n"
    )
    test_links_inside_the_repository(page)
    for link in ("[x](b.md)", "[x](#two)", "[x](#no-heading)", "[x](/a.md)", "[x](../outside.md)", '<img src="x.svg">'):
        page.write_text(f"# One\n{link}\n")
        with pytest.raises(AssertionError):
            test_links_inside_the_repository(page)


@every_notebook
def test_images_have_alternative_texts(path: Path):
    for words, attributes in IMAGE.findall(prose(read(path))):
        said = words or (re.search(r'alt="([^"]*)"', attributes) or ["", ""])[1]
        assert len(said) >= 40 or said == "Open in Colab", f"say what is to be seen, not only {said!r}"


FIGURES = [script for script in sorted((ROOT / "assets" / "figures").glob("*.py")) if script.stem not in ("drawing", "trace")]


@pytest.mark.parametrize("script", FIGURES, ids=lambda script: script.stem)
def test_a_figure_is_what_its_script_draws(script: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(script.parent)
    drawn = runpy.run_path(str(script))["draw"]()
    stored = script.with_suffix(".svg").read_text(encoding="utf-8")
    assert drawn == stored, f"run python assets/figures/{script.name}"
    assert "<title>" in drawn and "<desc>" in drawn and "prefers-color-scheme: dark" in drawn


def test_the_trace_is_a_run_of_the_model(monkeypatch: pytest.MonkeyPatch):
    """Not compared letter by letter: the answer's closest token wins by a hair, which another processor may split otherwise."""
    script = ROOT / "assets" / "figures" / "trace.py"
    monkeypatch.syspath_prepend(script.parent)
    stored = script.with_suffix(".svg").read_text(encoding="utf-8")
    for svg in (runpy.run_path(str(script))["draw"](), stored):
        assert re.findall(r">(you|the model|the toolbox)<", svg) == ["you", "the model", "the toolbox", "the model"]
        assert "set_reminder(" in svg and "call Anna" in svg and "08:00" in svg


# ---- exercises and solutions -----------------------------------------------------------------------------------------------


def exercises(notebook: NotebookNode) -> list[tuple[NotebookNode, NotebookNode]]:
    """Each exercise's cell and the check behind it."""
    pairs = itertools.pairwise(notebook.cells)
    return [(cell, check) for cell, check in pairs if "exercise" in tags_of(cell) and "check" in tags_of(check)]


@every_lesson
def test_exercises(path: Path):
    notebook = read(path)
    found = exercises(notebook)
    titles = re.findall(r"^### Exercise (\d)", prose(notebook), re.MULTILINE)
    assert titles == [str(number) for number in range(1, len(found) + 1)] and 2 <= len(found) <= 4
    assert len(found) == len(code(notebook, "exercise")) == len(code(notebook, "check")), "a check behind each exercise"
    for _, check in found:
        said = "".join(output.get("text", "") for output in check.outputs)
        assert said.startswith("Not yet: "), f"an exercise is stored unsolved:\n{check.source}"
    solution = FOLDER / "solutions" / path.name
    assert solution in SOLUTIONS and f"](solutions/{path.name})" in prose(notebook)
    checks = [check.source for _, check in exercises(read(solution))]
    assert checks == [check.source for _, check in found], "a solution is checked by the lesson's own checks"


@every_solution
def test_solutions_pass(path: Path, tmp_path: Path):
    """Executed anew: every check says "Solved.", as its stored output does."""
    notebook = read(path)
    stored = [check.outputs for check in code(notebook, "check")]
    NotebookClient(notebook, timeout=240, resources={"metadata": {"path": str(tmp_path)}}).execute()
    checks = code(notebook, "check")
    assert checks, "no check in it"
    for check, before in zip(checks, stored, strict=True):
        now, then = ("".join(output.text for output in outputs) for outputs in (check.outputs, before))
        assert now == then == "Solved.\n", check.source


# ---- the comparison itself ---------------------------------------------------------------------------------------------------


def test_a_changed_output_fails(tmp_path: Path):
    """One character in each of ten stored outputs: nbval must find all ten."""
    notebook = read(FOLDER / "01_function_calling_concepts.ipynb")
    cells = [cell for cell in code(notebook) if cell.outputs and "nbval-ignore-output" not in tags_of(cell)][:10]
    for cell in cells:
        text = cell.outputs[0].text
        place = next(place for place in range(len(text) // 2, len(text)) if text[place].isalnum())
        cell.outputs[0].text = text[:place] + ("x" if text[place] != "x" else "y") + text[place + 1 :]
    changed = tmp_path / "changed.ipynb"
    nbformat.write(notebook, changed)
    command = [sys.executable, "-m", "pytest", "--nbval", "-p", "no:cacheprovider", "-q", changed]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert f"{len(cells)} failed" in done.stdout and len(cells) == 10, done.stdout[-2000:]
