"""The course's commands: `python -m fcutils.course lab | test | run | demo | bench | bench-full | site | stamp OWNER/REPO`.

It makes the environment (`.venv`, from requirements.txt), then does the rest inside it. It knows the standard library
alone, because it runs before anything is installed, and only what a Python that is too old can read, so that it can say so;
what a command needs beyond that is started as a process of the environment. `check` and `versions` are for the notebooks,
which run inside it: they look at what is installed there.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
BUILD = ROOT / "build"
PYTHONS = ((3, 11), (3, 13))
GIB_NEEDED = 6
THAT_MATTER = ("fcutils", "pydantic", "torch", "transformers", "trl", "peft")
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
        ("unit tests and notebooks", ["-m", "pytest", "--nbval", "-n", "2", "--dist", "loadfile"]),
    ]
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
            _make_environment()
        print("installing what requirements.txt names", flush=True)
        _pip(python, "-r", str(ROOT / "requirements.txt"))
        _pip(python, "--no-deps", "-e", str(ROOT))
        mark.write_text(wanted)
    except OSError as error:
        raise CourseError(
            f"the environment could not be written ({error}): free some space or check the folder's rights, then run again"
        ) from None
    return python


@dataclass(frozen=True)
class Machine:
    """What `check` found. Memory and disk are what is free, in GiB; without a GPU `gpu` is empty."""

    python: str
    system: str
    cores: int
    memory_gib: float
    disk_gib: float
    gpu: str = ""
    gpu_gib: float = 0.0

    def __str__(self) -> str:
        gpu = f"{self.gpu}, {self.gpu_gib:.1f} GiB" if self.gpu else "none that torch can see"
        lines = {
            "python": self.python,
            "system": self.system,
            "cores": str(self.cores),
            "memory": f"{self.memory_gib:.1f} GiB free",
            "disk": f"{self.disk_gib:.0f} GiB free",
            "gpu": gpu,
        }
        return "\n".join(f"{name:<8}{value}" for name, value in lines.items())


def check() -> Machine:
    """The facts about this machine that decide what can be run on it."""
    import psutil

    gpu, gpu_gib = _gpu()
    return Machine(
        python=platform.python_version(),
        system=f"{platform.system()} {platform.machine()}",
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        memory_gib=psutil.virtual_memory().available / 2**30,
        disk_gib=shutil.disk_usage(ROOT).free / 2**30,
        gpu=gpu,
        gpu_gib=gpu_gib,
    )


def versions() -> str:
    """The versions that matter, in one line; an error where this Python cannot run the course."""
    _check_python("start JupyterLab with `make lab`, or choose another runtime")
    found = [f"{name} {importlib.metadata.version(name)}" for name in THAT_MATTER if importlib.util.find_spec(name)]
    return ", ".join([f"Python {platform.python_version()}", *found])


def _gpu() -> tuple[str, float]:
    """Name and memory of the first GPU, if torch is there and sees one."""
    if importlib.util.find_spec("torch") is None:
        return "", 0.0
    import torch

    if torch.cuda.is_available():
        found = torch.cuda.get_device_properties(0)
        return found.name, found.total_memory / 2**30
    return ("Apple GPU (mps), memory shared", 0.0) if torch.backends.mps.is_available() else ("", 0.0)


def _make_environment() -> None:
    """An empty environment with pip, or none at all."""
    print(f"making the environment in {VENV.name} (once; some minutes)", flush=True)
    try:
        venv.create(VENV, with_pip=True)
    except subprocess.CalledProcessError:
        shutil.rmtree(VENV, ignore_errors=True)
        raise CourseError(
            "this Python cannot make an environment with pip in it: install its venv package "
            "(on Debian and Ubuntu `apt install python3-venv`), or call another one, then run again"
        ) from None
    except BaseException:
        shutil.rmtree(VENV, ignore_errors=True)
        raise


def _fingerprint() -> str:
    """Changes whenever the environment must be completed: another requirement, another place. Not with the Python that asks."""
    digest = hashlib.sha256(str(ROOT).encode())
    for name in ("requirements.txt", "pyproject.toml"):
        digest.update((ROOT / name).read_bytes())
    return digest.hexdigest()


def _check_machine() -> None:
    _check_python("call another one, for example `make lab PYTHON=python3.12`")
    free = shutil.disk_usage(ROOT).free / 2**30
    if free < GIB_NEEDED:
        raise CourseError(
            f"{free:.1f} GiB free on this disk; the environment needs {GIB_NEEDED}: free some space, then run again"
        )


def _check_python(cure: str) -> None:
    low, high = PYTHONS
    if not low <= sys.version_info[:2] <= high:
        raise CourseError(
            f"this is Python {sys.version_info[0]}.{sys.version_info[1]}; "
            f"the course needs {low[0]}.{low[1]} to {high[0]}.{high[1]}: {cure}"
        )


def _pip(python: Path, *arguments: str) -> None:
    BUILD.mkdir(exist_ok=True)
    log = BUILD / "setup.log"
    command = [str(python), "-m", "pip", "install", "--disable-pip-version-check", *arguments]
    with log.open("w", encoding="utf-8") as out:
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


def _script(command: str) -> Callable[[Path], int]:
    scripts: dict[str, list[str]] = {
        "bench": ["benchmarks/run.py"],
        "bench-full": ["benchmarks/run.py", "--full"],
        "site": ["assets/site/build.py"],
    }
    return lambda python: _call(python, *scripts[command])


if __name__ == "__main__":
    sys.exit(main())
