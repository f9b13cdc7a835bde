"""The figures of data/QUALITY.md: how varied the sentences are, and whether the stated rates are the real ones.

`python -m fcutils.universe quality` writes them again, between two markers; what stands around them, the notes of the
reading, is written by hand. Knows how to count; whether a sentence is good it cannot tell.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from random import Random
from statistics import mean, median

from fcutils.dataset import DATA, read_rows
from fcutils.messages import Conversation
from fcutils.universe import episodes, values
from fcutils.universe.course import FILES, RIGHT
from fcutils.universe.files import HOLE, Phrasing
from fcutils.universe.near import bare, sentences
from fcutils.universe.splits import Target, Universe, corner
from fcutils.universe.writer import SYSTEM_RATE

FILE = DATA / "QUALITY.md"
BEGIN, END = "<!-- figures: python -m fcutils.universe quality -->", "<!-- end of the figures -->"


def write_figures(universe: Universe, path: Path = FILE, folder: Path = DATA) -> None:
    """The figures into the file, between its markers."""
    text = path.read_text(encoding="utf-8")
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        raise ValueError(f"{path}: needs the lines {BEGIN!r} and {END!r}, once each; the figures go between them")
    before, after = text.split(BEGIN)[0], text.split(END)[1]
    rows = {wanted.file: read_rows(folder / wanted.file, check=False) for wanted in FILES}
    path.write_text(f"{before}{BEGIN}\n\n{figures(universe, rows)}\n\n{END}{after}", encoding="utf-8")


def figures(universe: Universe, rows: Mapping[str, Sequence[Conversation]]) -> str:
    parts = [
        ("What is authored", _authored(universe)),
        ("The files", _files(rows)),
        ("Kinds of requests in the training rows", _kinds(rows["train.jsonl"])),
        ("Tools on offer in the training rows", _offered(rows["train.jsonl"])),
        ("Different runs of words (n-grams)", _ngrams(universe, rows)),
        ("Rates, stated and measured", _rates(universe, rows["train.jsonl"])),
    ]
    return "\n\n".join(f"### {title}\n\n{table}" for title, table in parts)


def _table(head: Sequence[str], lines: Iterable[Sequence[object]]) -> str:
    cells = [head, ["---", *["--:"] * (len(head) - 1)], *lines]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in cells)


def _percent(part: float, whole: float) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "-"


def _authored(universe: Universe) -> str:
    tools = [tool for domain in universe.domains.values() for tool in domain.tools.values()]
    families = Counter((tool.domain, tool.family) for tool in tools if tool.family)
    near = {domain for (domain, _), members in families.items() if members > 1}
    texts = {
        "phrasings": [p.text for tool in tools for p in tool.phrasings],
        "vague requests": [p.text for tool in tools for p in tool.vague],
        "requests for two steps": [p.text for d in universe.domains.values() for chain in d.chains for p in chain.say],
        "requests beyond the tools": [text for d in universe.domains.values() for text in d.beyond],
        "off-topic requests": list(universe.talk["off_topic"]),
        "small talk": [said for said, _ in universe.talk["small_talk"]],
    }
    lines: list[tuple[str, int, object]] = [
        ("domains", len(universe.domains), ""),
        ("domains with near-miss families", len(near), ""),
    ]
    lines.append(("tools", len(tools), len({tool.name for tool in tools})))
    lines += [(name, len(found), len({bare(text) for text in found})) for name, found in texts.items()]
    fewest = min(len(tool.phrasings) for tool in tools)
    note = f"\n\nDifferent: by the words, without values, case and final stop. The fewest phrasings of a tool are {fewest}."
    return _table(("what", "count", "different"), lines) + note


def requests(rows: Iterable[Conversation]) -> list[str]:
    return [message.content for row in rows for message in row.messages if message.role == "user"]


def _files(rows: Mapping[str, Sequence[Conversation]]) -> str:
    lines = []
    for name, found in rows.items():
        said = requests(found)
        words = [len(text.split()) for text in said]
        calls = sum(len(message.calls) for row in found for message in row.messages)
        called = {call.name for row in found for message in row.messages for call in message.calls}
        tools = f"{mean(len(row.tools) for row in found):.1f}"
        length = f"{median(words):.0f} ({min(words)}-{max(words)})"
        lines.append((name, len(found), len(said), len(set(said)), calls, len(called), tools, length))
    head = ("file", "rows", "turns of the user", "different", "calls", "tools called", "tools a row", "words a turn")
    return (
        _table(head, lines)
        + "\n\nWords a turn: the median, the least and the most. Training rows call some tools by restyled names, too."
    )


def _kinds(rows: Sequence[Conversation]) -> str:
    found = Counter(kind for row in rows for kind in row.meta["kinds"])
    total = found.total()
    lines = [(kind, found[kind], _percent(found[kind], total), f"{100 * share:.0f} %") for kind, share in RIGHT.items()]
    calls = Counter(min(len(m.calls), 3) for row in rows for m in row.messages if m.calls)
    note = ", ".join(
        f"{calls[n]} messages with {n}{' or more' if n == 3 else ''} call{'s' if n > 1 else ''}" for n in (1, 2, 3)
    )
    gone = "A die that asks for what a corner cannot give is thrown away with its row, so shares differ a little."
    return _table(("kind", "requests", "share", "stated"), lines) + f"\n\n{note}. {gone}"


def _offered(rows: Sequence[Conversation]) -> str:
    found = Counter(len(row.tools) for row in rows)
    return _table(("tools", "rows", "share"), [(size, found[size], _percent(found[size], len(rows))) for size in sorted(found)])


def ngrams(texts: Iterable[str], size: int) -> Counter[tuple[str, ...]]:
    """Runs of `size` words, none across two texts."""
    found: Counter[tuple[str, ...]] = Counter()
    for text in texts:
        words = re.findall(r"\w+(?:['’-]\w+)*", text.lower())
        found.update(zip(*(words[start:] for start in range(size)), strict=False))
    return found


def _ngrams(universe: Universe, rows: Mapping[str, Sequence[Conversation]]) -> str:
    tests = [row for name, found in rows.items() if name.startswith("test_") for row in found]
    texts = {
        "authored sentences, without values": [HOLE.sub(" ", text) for text in sentences(corner(universe, "train"))],
        "turns of train.jsonl": requests(rows["train.jsonl"]),
        "turns of the seven test files": requests(tests),
    }
    lines = []
    for name, said in texts.items():
        counts = [ngrams(said, size) for size in (1, 2, 3)]
        lines.append((name, len(said), *(f"{len(found)} ({_percent(len(found), found.total())})" for found in counts)))
    return _table(("texts", "how many", "1 word", "2 words", "3 words"), lines) + "\n\nThe share: different ones of all."


@dataclass
class _Tally:
    """How often something could have happened, and did."""

    chances: Counter[str] = field(default_factory=Counter)
    times: Counter[str] = field(default_factory=Counter)

    def add(self, name: str, happened: bool) -> None:
        self.chances[name] += 1
        self.times[name] += happened

    def share(self, name: str) -> float:
        return self.times[name] / self.chances[name] if self.chances[name] else 0.0


def measured(universe: Universe, split: str = "train") -> _Tally:
    """Every sentence of a split said twice: how often it slips, and how its numbers are written."""
    tally, rng = _Tally(), Random(0)
    for target in corner(universe, split).everything:
        for phrasing in (*target.phrasings, *target.phrasings):
            _tally(tally, target, phrasing, rng, split)
    return tally


def _tally(tally: _Tally, target: Target, phrasing: Phrasing, rng: Random, split: str) -> None:
    given = episodes.give(target.tool, phrasing, target.domain, rng, split)
    clean = HOLE.sub(lambda hole: given.said[hole[1]], phrasing.text).strip()
    start = 1 if phrasing.text.startswith("{") else 0  # a value that opens a sentence may be capitalised: that is no slip
    lowered = given.text[start:] != clean[start:] and given.text.lower() == clean.lower()
    unstopped = given.text != clean and given.text == clean.rstrip(".!?")
    slipped = len(given.text) in (len(clean), len(clean) - 1) and given.text.lower() != clean.lower() and not unstopped
    for name, happened in (("typo", slipped), ("lower", lowered), ("bare", unstopped)):
        tally.add(name, happened)
    for hole, said in given.said.items():
        spec, value = target.tool.parameters.get(hole, {}), given.arguments.get(hole)
        if "range" not in spec or value is None:
            continue
        if spec["type"] == "integer" and 0 <= value < len(values.NUMBER_WORDS):
            tally.add("word", said.isalpha())
        if value >= 1000 and not 1900 <= value <= 2100:
            tally.add("comma", "," in said)


def _rates(universe: Universe, rows: Sequence[Conversation]) -> str:
    tally = measured(universe)
    names = {
        "typo": ("a slip of the fingers", episodes.TYPO_RATE),
        "lower": ("no capitals", episodes.LOWER_RATE),
        "bare": ("no final stop", episodes.BARE_RATE),
        "word": ("a whole number up to twelve as a word", values.WORD_RATE),
        "comma": ("a comma in a number of four or more digits", values.COMMA_RATE),
    }
    lines = [
        (text, f"{100 * stated:.0f} %", _percent(tally.times[name], tally.chances[name]), tally.chances[name])
        for name, (text, stated) in names.items()
    ]
    opened = sum(row.messages[0].role == "system" for row in rows)
    lines.append(("a system message opens the row", f"{100 * SYSTEM_RATE:.0f} %", _percent(opened, len(rows)), len(rows)))
    turns = sum(first.role == "assistant" and second.role == "user" for row in rows for first, second in pairwise(row.messages))
    lines.append(("a further turn of the user", "-", _percent(turns, len(rows)), len(rows)))
    note = "Of all sentences: one without a word of five letters cannot slip, one without a stop cannot lack it."
    return _table(("what", "stated", "measured", "of"), lines) + f"\n\n{note}"
