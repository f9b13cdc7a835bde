"""The course's commands: `python -m fcutils.course lab | test | run | demo | bench | bench-full | site | stamp OWNER/REPO`.

It makes the environment (`.venv`, from requirements.txt), then does the rest inside it. It knows the standard library
alone, because it runs before anything is installed; what a command needs beyond that is started as a process of the
environment.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
BUILD = ROOT / "build"
PYTHONS = ((3, 11), (3, 13))
GIB_NEEDED = 6
COMMANDS = ("lab", "test", "run", "demo", "bench", "bench-full", "site", "stamp")


class CourseError(Exception):
    """One line that says what is wrong and what to do about it."""


def main(argv: list[str] | None = None) -> int:
    command, *rest = (sys.argv[1:] if argv is None else argv) or ["help"]
    try:
        if command not in COMMANDS:
            raise CourseError(f"usage: python -m fcutils.course {' | '.join(COMMANDS)}")
        if command == "stamp":
            return stamp(rest)
        python = set_up()
        return {"lab": lab, "test": test, "run": run, "demo": demo}.get(command, _script(command))(python)
    except CourseError as error:
        print(f"course: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def lab(python: Path) -> int:
    """Open the course in JupyterLab at the first notebook."""
    return _call(python, "-m", "jupyter", "lab", "--notebook-dir", ROOT, ROOT / "notebooks" / "00_start_here.ipynb")


def test(python: Path) -> int:
    """Lint, types, unit tests, and every notebook compared with its stored outputs. Every step runs; any failure fails."""
    steps: list[tuple[str, list[str | Path]]] = [
        ("ruff check", ["-m", "ruff", "check", "."]),
        ("ruff format", ["-m", "ruff", "format", "--check", "."]),
        ("mypy", ["-m", "mypy"]),
        ("unit tests", ["-m", "pytest", "tests"]),
    ]
    if any((ROOT / "notebooks").glob("*.ipynb")):
        steps.append(("notebooks", ["-m", "pytest", "--nbval", "notebooks", "-n", "2", "--dist", "loadfile"]))
    failed = []
    for name, arguments in steps:
        print(f"== {name}", flush=True)
        if _call(python, *arguments):
            failed.append(name)
    print(f"failed: {', '.join(failed)}" if failed else "all green", flush=True)
    return 1 if failed else 0


def run(python: Path) -> int:
    """Execute every notebook into build/notebooks, with a progress bar; one that fails does not stop the others."""
    notebooks = sorted((ROOT / "notebooks").glob("*.ipynb"))
    failed = []
    for done, path in enumerate(notebooks):
        bar = "#" * done + "-" * (len(notebooks) - done)
        print(f"[{bar}] {done}/{len(notebooks)} {path.stem}", flush=True)
        if _call(
            python,
            "-m",
            "nbconvert",
            "--to",
            "notebook",
            "--execute",
            "--log-level=ERROR",
            "--output-dir",
            BUILD / "notebooks",
            path,
        ):
            failed.append(path.stem)
    print(
        f"[{'#' * len(notebooks)}] "
        + (f"failed: {', '.join(failed)}" if failed else f"all {len(notebooks)} ran; see build/notebooks")
    )
    return 1 if failed else 0


def demo(python: Path) -> int:
    """One question in the terminal: the call, the result, the answer."""
    return _call(python, "-m", "fcutils", "demo")


def stamp(arguments: list[str]) -> int:
    """Write the repository's address (OWNER/REPO) into pyproject.toml and every notebook's badge and set-up cell."""
    import re

    if len(arguments) != 1 or not re.fullmatch(r"[\w.-]+/[\w.-]+", arguments[0]):
        raise CourseError("usage: python -m fcutils.course stamp OWNER/REPO")
    project = ROOT / "pyproject.toml"
    text = project.read_text(encoding="utf-8")
    match = re.search(r'^repository = "([^"]+)"', text, re.MULTILINE)
    if match is None:
        raise CourseError('pyproject.toml has no `repository = "OWNER/REPO"` under [tool.course]')
    old, new, changed = match[1], arguments[0], 0
    for path in [project, ROOT / "README.md", *sorted((ROOT / "notebooks").rglob("*.ipynb"))]:
        before = path.read_text(encoding="utf-8")
        if old in before:
            path.write_text(before.replace(old, new), encoding="utf-8", newline="\n")
            changed += 1
    print(f"{old} -> {new} in {changed} files")
    return 0


def set_up() -> Path:
    """The environment's Python; makes or completes the environment first when requirements.txt or pyproject.toml changed."""
    python = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    mark, wanted = VENV / "ready", _fingerprint()
    if python.exists() and mark.exists() and mark.read_text() == wanted:
        return python
    _check_machine()
    try:
        if not python.exists():
            print(f"making the environment in {VENV.name} (once; some minutes)", flush=True)
            venv.create(VENV, with_pip=True)
        print("installing what requirements.txt names", flush=True)
        _pip(python, "-r", str(ROOT / "requirements.txt"))
        _pip(python, "--no-deps", "-e", str(ROOT))
        mark.write_text(wanted)
    except OSError as error:
        raise CourseError(
            f"the environment could not be written ({error}): free some space or check the folder's rights, then run again"
        ) from None
    return python


def _fingerprint() -> str:
    """Changes whenever the environment must be completed: another Python, another requirement, another place."""
    digest = hashlib.sha256(f"{sys.version_info[:2]} {ROOT}".encode())
    for name in ("requirements.txt", "pyproject.toml"):
        digest.update((ROOT / name).read_bytes())
    return digest.hexdigest()


def _check_machine() -> None:
    low, high = PYTHONS
    if not low <= sys.version_info[:2] <= high:
        raise CourseError(
            f"this is Python {sys.version_info[0]}.{sys.version_info[1]}; "
            f"the course needs {low[0]}.{low[1]} to {high[0]}.{high[1]}: "
            "call another one, for example `make lab PYTHON=python3.12`"
        )
    free = shutil.disk_usage(ROOT).free / 2**30
    if free < GIB_NEEDED:
        raise CourseError(
            f"{free:.1f} GiB free on this disk; the environment needs {GIB_NEEDED}: free some space, then run again"
        )


def _pip(python: Path, *arguments: str) -> None:
    BUILD.mkdir(exist_ok=True)
    log = BUILD / "setup.log"
    command = [str(python), "-m", "pip", "install", "--disable-pip-version-check", *arguments]
    with log.open("a", encoding="utf-8") as out:
        code = subprocess.run(command, stdout=out, stderr=subprocess.STDOUT, cwd=ROOT).returncode
    if code == 0:
        return
    text = log.read_text(encoding="utf-8", errors="replace")[-4000:]
    where = f"(the log: {log.relative_to(ROOT)})"
    if "No space left" in text:
        raise CourseError(f"the disk is full: free {GIB_NEEDED} GiB, then run again {where}")
    if any(sign in text for sign in ("Connection", "Temporary failure", "Name or service", "timed out", "ProxyError")):
        raise CourseError(f"the package index cannot be reached: check the network, then run again {where}")
    raise CourseError(f"pip could not install the requirements {where}")


def _call(python: Path, *arguments: str | Path) -> int:
    return subprocess.run([str(python), *map(str, arguments)], cwd=ROOT).returncode


def _script(command: str):
    scripts: dict[str, list[str]] = {
        "bench": ["-m", "benchmarks"],
        "bench-full": ["-m", "benchmarks", "--full"],
        "site": ["-m", "mkdocs", "build", "--strict"],
    }
    return lambda python: _call(python, *scripts[command])


if __name__ == "__main__":
    sys.exit(main())
