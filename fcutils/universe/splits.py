"""Who may use what: the splits of the universe, down to the single sentence.

Whole domains, single tools, and single sentences are held out (data/universe/splits.yaml); a `Corner` is what one
split, or one part of a test, may use. Values have splits of their own (`values.py`).
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Literal

from fcutils.universe.files import Chain, Domain, Fault, Phrasing, Tool, UniverseError, read_domain, read_yaml
from fcutils.universe.values import Lists

FOLDER = Path(__file__).resolve().parents[2] / "data" / "universe"
NOT_DOMAINS = ("values", "talk", "splits")


@dataclass(frozen=True)
class Universe:
    domains: Mapping[str, Domain]
    talk: Mapping[str, Any]
    held_out: Mapping[str, Sequence[str]]  # split -> names of whole domains
    held_tools: Mapping[str, Sequence[str]]  # split -> names of single tools in the training domains
    left_out: frozenset[str] = frozenset()  # sentences too near to a training sentence to be tested

    def home(self, domain: str) -> str:
        """The split of a whole domain."""
        return next((split for split, held in self.held_out.items() if domain in held), "train")

    def tool_home(self, tool: Tool) -> str:
        """The split of one tool: its domain's, or, in a training domain, the one that splits.yaml says."""
        home = self.home(tool.domain)
        return next((split for split, held in self.held_tools.items() if tool.name in held), home) if home == "train" else home

    __hash__ = object.__hash__


@cache
def load(folder: Path = FOLDER) -> Universe:
    """Every domain of the folder; one UniverseError with all faults of all files, and nothing half-built."""
    try:
        shared = Lists(read_yaml(folder / "values.yaml"))
        talk, splits = read_yaml(folder / "talk.yaml"), read_yaml(folder / "splits.yaml")
    except OSError as error:
        raise UniverseError([Fault(folder, 0, "universe", f"cannot be read: {error}")]) from None
    faults: list[Fault] = []
    domains: dict[str, Domain] = {}
    for path in sorted(folder.glob("*.yaml")):
        if path.stem in NOT_DOMAINS:
            continue
        try:
            domain = read_domain(path, shared)
            domains[domain.name] = domain
        except UniverseError as error:
            faults += error.faults
    owners: dict[str, str] = {}
    for domain in domains.values():
        for tool in domain.tools.values():
            if owners.setdefault(tool.name, domain.name) != domain.name:
                faults.append(Fault(domain.path, tool.line, tool.name, f"{owners[tool.name]} has a tool of this name"))
    if faults:
        raise UniverseError(faults)
    left_out = folder / "left_out.txt"
    lines = left_out.read_text(encoding="utf-8").splitlines() if left_out.exists() else []
    return Universe(domains, talk, splits["domains"], splits["tools"], frozenset(lines))


def _hash(text: str) -> int:
    return zlib.crc32(text.encode())


@dataclass(frozen=True)
class Target:
    """A tool that requests of this corner may ask for, with the sentences it may be asked in."""

    tool: Tool
    domain: Domain
    phrasings: tuple[Phrasing, ...]
    vague: tuple[Phrasing, ...]


@dataclass(frozen=True)
class Corner:
    """What one split, or one part of a test, may use; by domain."""

    split: str
    domains: dict[str, Domain]
    targets: dict[str, list[Target]]
    offered: dict[str, list[Tool]]  # what may stand in a list of tools
    talk: Mapping[str, Any]
    chains: dict[str, list[tuple[Chain, tuple[Phrasing, ...]]]]
    beyond: dict[str, tuple[str, ...]]

    @cached_property
    def everything(self) -> list[Target]:
        return [target for found in self.targets.values() for target in found]


Part = Literal["all", "phrasings", "tools", "domains"]


def corner(universe: Universe, split: str, part: Part = "all") -> Corner:
    """The tools, sentences and chains of a split.

    `part` narrows a test: unseen phrasings of seen tools, unseen tools of seen domains, or unseen domains.
    """
    found = Corner(split, {}, {}, {}, _talk(universe, split), {}, {})
    for name, domain in universe.domains.items():
        home = universe.home(name)
        if home not in ("train", split) or part not in (
            ("all", "domains") if home != "train" else ("all", "phrasings", "tools")
        ):
            continue
        whole = home == split and home != "train"
        found.domains[name] = domain
        found.offered[name] = [tool for tool in domain.tools.values() if universe.tool_home(tool) in ("train", split)]
        targets = [_target(universe, tool, domain, split, part) for tool in found.offered[name]]
        if able := [target for target in targets if target.phrasings]:
            found.targets[name] = able
        says = [(chain, _says(universe, chain, domain, split, whole)) for chain in domain.chains]
        found.chains[name] = [(chain, said) for chain, said in says if said]
        beyond = domain.beyond if whole else allot_shares(domain.beyond, split)
        found.beyond[name] = tuple(text for text in beyond if _fair(universe, split, text))
    return found


def _fair(universe: Universe, split: str, text: str) -> bool:
    """Not so near to a training sentence that a test would ask for what was trained."""
    return split == "train" or text not in universe.left_out


def _fair_ones(universe: Universe, split: str, phrasings: Sequence[Phrasing]) -> tuple[Phrasing, ...]:
    return tuple(phrasing for phrasing in phrasings if _fair(universe, split, phrasing.text))


def _talk(universe: Universe, split: str) -> dict[str, Any]:
    shared = ("small_talk", "off_topic")
    return {key: allot_shares(entries, split) if key in shared else entries for key, entries in universe.talk.items()}


def _target(universe: Universe, tool: Tool, domain: Domain, split: str, part: Part) -> Target:
    home = universe.tool_home(tool)
    if home == split != "train":
        phrasings, vague = (tool.phrasings, tool.vague) if part != "phrasings" else ((), ())
    elif part in ("tools", "domains"):
        phrasings, vague = (), ()
    else:
        phrasings, vague = (tuple(allot(some, split, lambda p: p.text)) for some in (tool.phrasings, tool.vague))
    return Target(tool, domain, _fair_ones(universe, split, phrasings), _fair_ones(universe, split, vague))


def _says(universe: Universe, chain: Chain, domain: Domain, split: str, whole: bool) -> tuple[Phrasing, ...]:
    homes = {universe.tool_home(domain.tools[step["tool"]]) for step in chain.steps}
    if whole or (homes <= {"train", split} and split in homes and split != "train"):
        return _fair_ones(universe, split, chain.say)
    return _fair_ones(universe, split, allot(chain.say, split, lambda p: p.text)) if homes == {"train"} else ()


def allot(items: Sequence[Any], split: str, text: Callable[[Any], str]) -> list[Any]:
    """The items of one split, by the order of their hashes: one for test, one for validation where there are four or more."""
    order = sorted(items, key=lambda item: _hash(text(item)))
    test, validation = (1, 1) if len(order) >= 4 else (1, 0) if len(order) == 3 else (0, 0)
    cuts = {"test": order[:test], "validation": order[test : test + validation], "train": order[test + validation :]}
    return cuts[split]


def allot_shares(items: Sequence[Any], split: str) -> list[Any]:
    """Of many alike items: a fifth to test, a tenth to validation, the rest to train."""
    order = sorted(items, key=lambda item: _hash(str(item)))
    test, validation = max(1, len(order) // 5), max(1, len(order) // 10)
    return {"test": order[:test], "validation": order[test : test + validation], "train": order[test + validation :]}[split]
