"""A copy of the course in an awkward place: a path with spaces and other letters, nothing but loopback to be reached, two
notebooks at once, and not a file changed in it or elsewhere, but for the usual caches.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PARTS = ("fcutils", "notebooks", "assets", "data")
CACHES = (".cache", ".ipython", ".jupyter", ".local", ".config", "Library", "AppData", ".matplotlib")
REFUSING = """
import socket

def refuse(connect):
    def checked(self, address):
        inside = self.family not in (socket.AF_INET, socket.AF_INET6) or address[0] in ("127.0.0.1", "::1", "localhost")
        if not inside:
            raise ConnectionRefusedError(f"no network in this test: {address}")
        return connect(self, address)
    return checked

socket.socket.connect = refuse(socket.socket.connect)
socket.socket.connect_ex = refuse(socket.socket.connect_ex)
"""
EXECUTE = """
import sys, nbformat
from nbclient import NotebookClient
for name in sys.argv[2:]:
    NotebookClient(nbformat.read(name, as_version=4), timeout=240, resources={"metadata": {"path": sys.argv[1]}}).execute()
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The copy, which nobody may write to; root may all the same, so that its files are compared, too."""
    copy = tmp_path_factory.mktemp("Kurs für Ärzte – 外套") / "function calling"
    ignored = shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints", "*.safetensors")
    for part in PARTS:
        shutil.copytree(ROOT / part, copy / part, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", copy)
    every = [copy, *copy.rglob("*")]
    for path in every:
        path.chmod(path.stat().st_mode & ~0o222)
    yield copy
    for path in every:
        path.chmod(path.stat().st_mode | 0o200)


@pytest.fixture(scope="module")
def surroundings(tmp_path_factory: pytest.TempPathFactory, place: Path) -> dict[str, str]:
    """An environment with an empty home, this copy of the package, and no network."""
    away = tmp_path_factory.mktemp("refusing")
    (away / "sitecustomize.py").write_text(REFUSING)
    home = tmp_path_factory.mktemp("home")
    paths = os.pathsep.join([str(away), str(place)])
    ours = ("HF_", "XDG_", "JUPYTER", "IPYTHON", "FC_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return {**kept, "HOME": str(home), "USERPROFILE": str(home), "PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1"}


def look(place: Path) -> dict[str, tuple[int, int]]:
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in place.rglob("*") if path.is_file()}


def run(surroundings: dict[str, str], where: Path, *arguments: str | Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *map(str, arguments)],
        cwd=where,
        env=surroundings,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
    )


def test_two_notebooks_at_once_in_an_awkward_read_only_place_without_network(
    place: Path, surroundings: dict[str, str], tmp_path: Path
) -> None:
    before = look(place)
    lessons = sorted((place / "notebooks").glob("0[01]_*.ipynb"))
    elsewhere = tmp_path / "work"
    elsewhere.mkdir()
    running = [run(surroundings, elsewhere, "-c", EXECUTE, lesson.parent, lesson) for lesson in lessons]
    said = [process.communicate(timeout=280)[0] for process in running]
    assert [process.returncode for process in running] == [0, 0], "\n".join(said)
    assert look(place) == before
    assert list(elsewhere.iterdir()) == []
    home = Path(surroundings["HOME"])
    assert [path.name for path in home.iterdir() if path.name not in CACHES] == []


def test_it_is_this_copy_that_ran(place: Path, surroundings: dict[str, str], tmp_path: Path) -> None:
    code = "import fcutils, fcutils.course; print(fcutils.__file__, fcutils.course.ROOT, sep='\\n')"
    out, _ = run({**surroundings, "PYTHONIOENCODING": "utf-8"}, tmp_path, "-c", code).communicate(timeout=60)
    assert out.splitlines() == [str(place / "fcutils" / "__init__.py"), str(place)]


def test_a_tool_runs_in_a_process_of_its_own_there(place: Path, surroundings: dict[str, str], tmp_path: Path) -> None:
    script = tmp_path / "größer.py"
    lines = [
        "from fcutils import Toolbox, ToolCall",
        "def double(number: int) -> int:",
        '    """Twice as much.\n\n    Args:\n        number: any\n    """',
        "    return 2 * number",
        "if __name__ == '__main__':",
        "    tools = Toolbox()",
        "    tools.add(double, timeout=60)",
        "    print(tools.call(ToolCall('double', {'number': 21})).content)",
    ]
    script.write_text("\n".join(lines), encoding="utf-8")
    out, _ = run(surroundings, tmp_path, script).communicate(timeout=120)
    assert out.strip() == "42"


def test_the_network_is_really_refused(surroundings: dict[str, str], tmp_path: Path) -> None:
    code = "import urllib.request; urllib.request.urlopen('http://192.0.2.1', timeout=5)"
    out, _ = run(surroundings, tmp_path, "-c", code).communicate(timeout=60)
    assert "no network in this test" in out
