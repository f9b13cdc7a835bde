"""Importing the package is cheap, and its public names exist."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

import fcutils

HERE = Path(fcutils.__file__).parent


def test_import_loads_neither_torch_nor_pydantic_nor_jupyter():
    code = (
        "import sys, fcutils; print([m for m in ('torch', 'transformers', 'pydantic', 'IPython', 'numpy') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_every_public_name_can_be_had():
    assert all(getattr(fcutils, name) is not None for name in fcutils.__all__)


def rooms() -> list[str]:
    """The list in CONTRIBUTING.md, from the ground up."""
    text = (HERE.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
    return re.findall(r"^(\w+)/?  ", text.partition("## The rooms")[2].partition("\n## ")[0], re.MULTILINE)


def imported(path: Path) -> set[str]:
    """The rooms that a file imports from, also inside its functions."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name.split(".")[1] for name in names if name.startswith("fcutils.")}


def test_contributing_lists_every_room_in_the_order_in_which_they_may_import():
    listed = rooms()
    files = [path for path in HERE.rglob("*.py") if path != HERE / "__init__.py"]
    built = {path.relative_to(HERE).parts[0].removesuffix(".py") for path in files}
    assert sorted(built - set(listed)) == [], "add it to the list in CONTRIBUTING.md"
    upward = [
        f"{path.relative_to(HERE)} imports {name}"
        for path in files
        for name in sorted(imported(path) & built)
        if listed.index(name) > listed.index(path.relative_to(HERE).parts[0].removesuffix(".py"))
    ]
    assert upward == []
    assert sorted(set(listed) - built) == [], "the list names a room that is not there"


PROJECT = tomllib.loads((HERE.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PINNED = {
    canonicalize_name(requirement.name): requirement
    for line in (HERE.parent / "requirements.txt").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
    for requirement in [Requirement(line)]
}


def test_the_course_is_pinned():
    assert all([spec.operator for spec in one.specifier] == ["=="] for one in PINNED.values())
    assert str(PINNED["torch"]) == "torch==2.13.0"


def test_the_package_is_loose_so_that_an_environment_keeps_what_it_has():
    extras = PROJECT["optional-dependencies"]
    wanted = [Requirement(text) for text in [*PROJECT["dependencies"], *extras["train"], *extras["serve"], *extras["course"]]]
    wanted = [one for one in wanted if one.name != "fcutils"]
    assert all([spec.operator for spec in one.specifier] == [">="] for one in wanted)
    assert "torch" not in {one.name for one in map(Requirement, PROJECT["dependencies"])}
    for one in wanted:
        assert next(iter(PINNED[canonicalize_name(one.name)].specifier)).version in one.specifier


def test_conda_takes_the_same_requirements():
    steps = yaml.safe_load((HERE.parent / "environment.yml").read_text(encoding="utf-8"))["dependencies"]
    assert {"pip": ["-r requirements.txt", "-e ."]} in steps
    assert next(step for step in steps if str(step).startswith("python=")).removeprefix("python=") in SpecifierSet(
        PROJECT["requires-python"]
    )


def test_no_file_of_code_has_more_than_400_lines():
    folders = ("fcutils", "tests", "benchmarks", "assets")
    lengths = {
        path: path.read_text(encoding="utf-8").count("\n") for one in folders for path in (HERE.parent / one).rglob("*.py")
    }
    assert lengths and [f"{path.name}: {count}" for path, count in lengths.items() if count > 400] == [], "split it by purpose"
