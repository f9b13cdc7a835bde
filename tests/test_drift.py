"""Whatever the course uses of other libraries exists in those that are installed, and takes what it is given.

The list is no list: the package, the benchmarks and the notebooks are read, and every import, dotted name and call is looked
up. What cannot be seen in source (a method of something whose class nobody names, a keyword that a library passes on)
is for the other tests. The weekly workflow runs this against the newest releases.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[1]
LIBRARIES = (
    "transformers", "trl", "peft", "datasets", "bitsandbytes", "llguidance", "mcp", "mcp_types", "openai", "huggingface_hub",
)  # fmt: skip
TOKENIZERS = ("tokenizer", "loaded.tokenizer", "engine.tokenizer", "self._engine.tokenizer")  # so they are called all over
BEHIND = {"transformers.BitsAndBytesConfig": "bitsandbytes.nn.Linear4bit"}  # what a library loads without an import of ours


@dataclass(frozen=True, slots=True)
class Use:
    """A dotted name, and how it is called if it is. `method`: of an instance, so that `self` is given."""

    name: str
    where: str
    called: bool = False
    method: bool = False
    positional: int = 0
    keywords: tuple[str, ...] = ()
    open: bool = False  # `*` or `**` hides what else is given


class Reader(ast.NodeVisitor):
    """Collects the uses in one piece of source."""

    def __init__(self, where: str) -> None:
        self.where, self.uses = where, list[Use]()
        self._names: list[dict[str, str]] = [{}]  # local name -> dotted name, a scope each
        self._kinds: list[dict[str, str]] = [{}]  # variable -> dotted name of its class
        self._bases: list[str] = []

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self._names.append(dict(self._names[-1]))
        self._kinds.append(dict(self._kinds[-1]))
        self.generic_visit(node)
        self._names.pop()
        self._kinds.pop()

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        bases = [name for base in node.bases if (name := self._dotted(base))]
        self._bases.append(bases[0] if bases else "")
        if bases:
            events = [one for one in node.body if isinstance(one, ast.FunctionDef) and one.name.startswith("on_")]
            self.uses += [Use(f"{bases[0]}.{one.name}", self._at(one)) for one in events]
        self.generic_visit(node)
        self._bases.pop()

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            if alias.name.partition(".")[0] in LIBRARIES:
                bound = alias.name if alias.asname else alias.name.partition(".")[0]
                self._names[-1][alias.asname or bound] = bound
                self.uses.append(Use(alias.name, self._at(node)))

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        if node.level == 0 and (node.module or "").partition(".")[0] in LIBRARIES:
            for alias in node.names:
                self._names[-1][alias.asname or alias.name] = f"{node.module}.{alias.name}"
                self.uses.append(Use(f"{node.module}.{alias.name}", self._at(node)))

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if name := self._dotted(node):
            self.uses.append(Use(name, self._at(node)))
        else:
            self.visit(node.value)

    def visit_Assign(self, node: ast.Assign) -> None:
        kind = self._dotted(node.value.func) if isinstance(node.value, ast.Call) else None
        for target in node.targets:
            if isinstance(target, ast.Name):
                self._kinds[-1].pop(target.id, None)
                if kind:
                    self._kinds[-1][target.id] = kind
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        name, method = self._dotted(node.func), False
        if not name:
            self.visit(node.func)
            if isinstance(node.func, ast.Attribute):
                name, method = self._of_instance(node.func), True
        for given in (*node.args, *node.keywords):
            self.visit(given)
        if name:
            keywords = tuple(keyword.arg for keyword in node.keywords if keyword.arg)
            plain = [one for one in node.args if not isinstance(one, ast.Starred)]
            starred = len(keywords) < len(node.keywords) or len(plain) < len(node.args)
            self.uses.append(Use(name, self._at(node), True, method, len(plain), keywords, starred))

    def _dotted(self, node: ast.expr) -> str | None:
        if isinstance(node, ast.Name):
            return self._names[-1].get(node.id)
        before = self._dotted(node.value) if isinstance(node, ast.Attribute) else None
        return f"{before}.{node.attr}" if before and isinstance(node, ast.Attribute) else None

    def _of_instance(self, function: ast.Attribute) -> str | None:
        """`thing.method` where the class of the thing is known; `super().method` where the base is."""
        thing = function.value
        called = ast.unparse(thing.func) if isinstance(thing, ast.Call) else ""
        if called == "super" and self._bases and self._bases[-1]:
            return f"{self._bases[-1]}.{function.attr}"
        kind = self._kinds[-1].get(thing.id) if isinstance(thing, ast.Name) else None
        if ast.unparse(thing) in TOKENIZERS:
            kind = kind or "transformers.PreTrainedTokenizerFast"
        return f"{kind}.{function.attr}" if kind and inspect.isclass(found(kind)) else None

    def _at(self, node: Any) -> str:
        return f"{self.where}:{node.lineno}"


def found(name: str) -> Any:
    """What a dotted name stands for; an error that says which part of it is missing."""
    parts = name.split(".")
    thing, at = importlib.import_module(parts[0]), 1
    for at, part in enumerate(parts[1:], 1):
        if not hasattr(thing, part):
            try:
                importlib.import_module(".".join(parts[: at + 1]))
            except ModuleNotFoundError:
                raise AttributeError(f"{'.'.join(parts[:at])} has no {part}") from None
        thing = getattr(thing, part)
    return thing


def fault(use: Use) -> str | None:
    """Why this use fails, if it does."""
    try:
        thing = found(use.name)
    except (AttributeError, ImportError) as error:
        return f"{use.where}: {error}"
    if not use.called:
        return None
    if not callable(thing):
        return f"{use.where}: {use.name} cannot be called"
    if fields := getattr(thing, "model_fields", None):  # Pydantic's: by their own names or by those that travel
        unknown = set(use.keywords) - {name for key, one in fields.items() for name in (key, one.alias)}
        return f"{use.where}: {use.name} has no {', '.join(sorted(unknown))}" if unknown else None
    try:
        signature = inspect.signature(thing)
    except ValueError:  # written in C or Rust, and silent about it
        return None
    bind = signature.bind_partial if use.open else signature.bind
    try:
        bind(*[None] * (use.positional + needs_self(use, thing)), **dict.fromkeys(use.keywords))
    except TypeError as error:
        return f"{use.where}: {use.name}: {error}"
    unknown = [word for word in use.keywords if swallowed(thing, signature, word)]
    return f"{use.where}: {use.name} knows no {unknown[0]!r}" if unknown else None


def needs_self(use: Use, thing: Any) -> bool:
    owner, _, last = use.name.rpartition(".")
    given = inspect.isfunction(thing) or inspect.ismethoddescriptor(thing)
    return use.method and given and not isinstance(inspect.getattr_static(found(owner), last), staticmethod)


def swallowed(thing: Any, signature: inspect.Signature, keyword: str) -> bool:
    """Whether a class takes this keyword for no better reason than that it takes all: its instances have no such attribute."""
    if not inspect.isclass(thing) or keyword in signature.parameters:
        return False
    try:
        return not hasattr(thing(), keyword)
    except Exception:  # it cannot be made from nothing
        return False


def sources() -> Iterator[tuple[str, str]]:
    for path in sorted([*ROOT.glob("fcutils/**/*.py"), *ROOT.glob("benchmarks/*.py")]):
        yield str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")
    for path in sorted(ROOT.glob("notebooks/**/*.ipynb")):
        for number, cell in enumerate(nbformat.read(path, as_version=4).cells):
            if cell.cell_type == "code":
                yield f"{path.relative_to(ROOT)}, cell {number}", re.sub(r"^(\s*)[%!].*", r"\1pass", cell.source, flags=re.M)


def uses(where: str, source: str) -> list[Use]:
    reader = Reader(where)
    reader.visit(ast.parse(source))
    return reader.uses


@pytest.fixture(scope="module")
def all_uses() -> list[Use]:
    made = [use for where, source in sources() for use in uses(where, source)]
    return made + [Use(behind, use.where) for use in made for name, behind in BEHIND.items() if use.name == name]


@pytest.mark.parametrize("library", LIBRARIES)
def test_what_is_used_of_a_library_is_there(all_uses: list[Use], library: str) -> None:
    mine = [use for use in all_uses if use.name.partition(".")[0] == library]
    assert mine, f"nothing of {library} is used any more: take it out of the list"
    assert [why for use in mine if (why := fault(use))] == []


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("from transformers import AutoTokeniser", "transformers has no AutoTokeniser"),
        ("import openai\nopenai.Chat.create", "openai has no Chat"),
        ("from trl import SFTConfig\nSFTConfig(max_seq_length=3)", "max_seq_length"),
        ("def f():\n    from peft import LoraConfig\n    LoraConfig(rank=8)", "rank"),
        ("import peft\npeft.get_peft_model()", "missing a required argument: 'model'"),
        ("from transformers import GenerationConfig as G\nG(temprature=1)", "knows no 'temprature'"),
        ("from transformers import DynamicCache\nc = DynamicCache()\nc.crop(-1)\nc.crop(-1, length=1)", "length"),
        ("def f(loaded):\n    return loaded.tokenizer.convert(3)", "has no convert"),
        ("from trl import SFTTrainer\nclass T(SFTTrainer):\n    def f(self):\n        super().lose()", "has no lose"),
        ("from transformers import TrainerCallback\nclass T(TrainerCallback):\n    def on_stepp(self): ...", "has no on_stepp"),
        ("import transformers.no_such_module", "has no no_such_module"),
    ],
)
def test_drift_is_seen(source: str, why: str) -> None:
    faults = [found for use in uses("x", source) if (found := fault(use))]
    assert len(faults) == 1 and why in faults[0], faults


def test_scopes_and_stars_are_not_taken_for_faults() -> None:
    source = "def f():\n    from transformers.utils import logging\n    logging.disable_progress_bar()\nimport logging\n"
    source += "logging.getLogger('x')\nfrom peft import LoraConfig\nLoraConfig(**given)\nLoraConfig(*given, r=8)"
    assert [why for use in uses("x", source) if (why := fault(use))] == []
