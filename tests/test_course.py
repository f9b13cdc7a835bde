"""The course's commands: what they refuse, in one line, and what they leave alone. They run before anything is installed."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from fcutils import course
from fcutils.demo import QUESTION

ROOT = Path(course.__file__).resolve().parents[1]


def run(*arguments, python=sys.executable, cwd=ROOT, **environment):
    import os

    env = {**os.environ, **environment}
    return subprocess.run([python, *arguments], cwd=cwd, env=env, capture_output=True, text=True)


def test_it_needs_the_standard_library_alone():
    """-S leaves out site-packages: nothing that was installed can be imported."""
    done = run("-S", "-m", "fcutils.course", "nonsense")
    assert done.returncode == 2 and done.stderr.startswith("course: usage:") and done.stderr.count("\n") == 1


def test_a_python_that_is_too_old_can_read_it_so_as_to_say_so():
    for name in ("__init__.py", "course.py"):
        source = (ROOT / "fcutils" / name).read_text(encoding="utf-8")
        ast.parse(source, feature_version=(3, 8))
        assert "slots=" not in source, "a dataclass has them since 3.10"


def test_make_says_so_of_one_that_is_even_older():
    line = next(line for line in (ROOT / "Makefile").read_text().splitlines() if "version_info" in line)
    code = re.search("'(.*)'", line)[1].replace("(3, 8)", "(9, 0)")
    done = run("-c", code)
    assert (done.returncode, done.stderr.strip()) == (1, "$(OLD)")


def test_an_environment_that_cannot_be_made_is_one_line_and_leaves_nothing(tmp_path, monkeypatch):
    """Debian's python3 comes without the package that puts pip into an environment."""

    def half_made(place, with_pip):
        place.mkdir()
        raise subprocess.CalledProcessError(1, "ensurepip")

    monkeypatch.setattr(course, "VENV", tmp_path / "venv")
    monkeypatch.setattr(course.venv, "create", half_made)
    with pytest.raises(course.CourseError, match="apt install python3-venv"):
        course.set_up()
    assert not (tmp_path / "venv").exists()


def test_a_full_disk_is_one_line(tmp_path, monkeypatch):
    """What pip says then stands in a source that it builds here."""
    (tmp_path / "setup.py").write_text("raise OSError(28, 'No space left on device')")
    monkeypatch.setattr(course, "BUILD", tmp_path / "build")
    monkeypatch.setattr(course, "ROOT", tmp_path)
    with pytest.raises(course.CourseError, match="the disk is full: free"):
        course._pip(Path(sys.executable), "--no-build-isolation", "--no-deps", str(tmp_path))


def test_with_the_environment_ready_nothing_is_done_again(tmp_path, monkeypatch):
    monkeypatch.setattr(course, "VENV", tmp_path)
    python = tmp_path / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    python.parent.mkdir(parents=True)
    python.touch()
    (tmp_path / "ready").write_text(course._fingerprint())
    monkeypatch.setattr(course, "_pip", lambda *_: pytest.fail("pip was called"))
    assert course.set_up() == python


@pytest.mark.parametrize(
    ("break_it", "says"),
    [
        (lambda patch: patch.setattr(course, "PYTHONS", ((3, 98), (3, 99))), "the course needs 3.98 to 3.99"),
        (lambda patch: patch.setattr(course, "GIB_NEEDED", 10**9), "GiB free on this disk"),
    ],
)
def test_an_unfit_machine_is_told_what_to_do_before_anything_is_made(tmp_path, monkeypatch, capsys, break_it, says):
    monkeypatch.setattr(course, "VENV", tmp_path / "venv")
    break_it(monkeypatch)
    assert course.main(["test"]) == 2
    said = capsys.readouterr().err
    assert says in said and said.count("\n") == 1 and not (tmp_path / "venv").exists()


def test_no_network_is_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(course, "BUILD", tmp_path)
    monkeypatch.setattr(course, "ROOT", tmp_path)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")  # nothing listens there
    for name in ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null" if sys.platform != "win32" else "NUL")
    monkeypatch.setenv("PIP_RETRIES", "1")
    with pytest.raises(course.CourseError, match="index cannot be reached"):
        course._pip(Path(sys.executable), "a-package-that-is-not-there==1.0")


def test_stamp_names_the_repository_everywhere(tmp_path, monkeypatch):
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "pyproject.toml").write_text('[tool.course]\nrepository = "OWNER/REPO"\n')
    (tmp_path / "README.md").write_text("see OWNER/REPO")
    (tmp_path / "notebooks" / "a.ipynb").write_text(json.dumps({"badge": "github/OWNER/REPO/blob"}))
    monkeypatch.setattr(course, "ROOT", tmp_path)
    assert course.main(["stamp", "ada/engine"]) == 0 and course.main(["stamp", "no slash"]) == 2
    for path in ("pyproject.toml", "README.md", "notebooks/a.ipynb"):
        text = (tmp_path / path).read_text()
        assert "ada/engine" in text and "OWNER/REPO" not in text


def test_the_demo_asks_the_model_that_lies_here():
    """What it answers is a matter of its weights: 0 if it does, 1 if it does not."""
    done = run("-m", "fcutils", "demo")
    assert done.returncode in (0, 1) and done.stderr == ""
    card, _, question, *rest = done.stdout.splitlines()
    assert card.startswith("hermes3: pocket-hermes") and question == f"you> {QUESTION}"
    assert rest[-1].startswith("(") and "tokens" in rest[-1], "how it ended, and how long it took"


def test_make_knows_every_command():
    rule = next(line for line in (ROOT / "Makefile").read_text().splitlines() if line.startswith(".PHONY:"))
    assert set(rule.split()[1:]) == set(course.COMMANDS) - {"stamp"}


def test_every_command_that_is_a_script_leads_somewhere(monkeypatch):
    called = []
    monkeypatch.setattr(course, "_call", lambda python, *arguments: called.append(arguments[0]) or 0)
    for command in ("bench", "bench-full", "site"):
        assert course._script(command)(Path(sys.executable)) == 0
    assert [(ROOT / script).is_file() for script in called] == [True] * 3
