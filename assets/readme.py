"""What in README.md is made from other files: `python assets/readme.py` writes the map of lessons and the table of results.

The map is read from the first cell of every notebook, the table from `benchmarks/results/*.json` and the pocket models'
`scores.json`. A test says when the read-me is no longer what this writes.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))

from reading import results  # noqa: E402 (a script's folder is its only path)

READ_ME = ROOT / "README.md"
TITLE = re.compile(r"^# (\w\d) · (.+)$", re.MULTILINE)
TIME = re.compile(r"\*\*Time:\*\* (.+?)(?: to run)? on a laptop's CPU \(measured\), (.+?) \(an estimate\)")
ABLE = re.compile(r"\*\*After this notebook you can\*\* (.+?)\.(?:\s|$)")
ON_T4 = re.compile(r" on (?:a|Colab's) T4")


def main() -> None:
    READ_ME.write_text(written(READ_ME.read_text(encoding="utf-8")), encoding="utf-8", newline="\n")


def written(text: str) -> str:
    """The read-me with the parts between its markers made anew."""
    for name, lines in {"lessons": lessons(), "results": measured()}.items():
        before, mark, rest = text.partition(f"<!-- {name}: python assets/readme.py -->")
        _, end, after = rest.partition(f"<!-- end of {name} -->")
        if not (mark and end):
            raise ValueError(f"README.md needs the lines <!-- {name}: python assets/readme.py --> and <!-- end of {name} -->")
        text = "\n".join([before + mark, *lines, end + after])
    return text


def lessons() -> Iterator[str]:
    yield "| lesson | afterwards you can | CPU, measured | T4, an estimate |"
    yield "|---|---|---|---|"
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        first = "".join(json.loads(path.read_text(encoding="utf-8"))["cells"][0]["source"])
        title, text = TITLE.search(first), " ".join(first.split())
        time, able = TIME.search(text), ABLE.search(text)
        if not (title and time and able):
            raise ValueError(f"the first cell of {path.name} lacks its title, its time or what one can do afterwards")
        cells = (f"[{title[1]} · {title[2]}](notebooks/{path.name})", able[1], time[1], ON_T4.sub("", time[2]))
        yield f"| {' | '.join(cells)} |"


def measured() -> Iterator[str]:
    found = results()
    yield "| measured | here | peer | ratio | date |"
    yield "|---|---|---|---|---|"
    for result in found:
        for one in result.findings:
            yield f"| {one.what} | {one.here} | {one.beside} | {one.times} | {result.date} |"
    yield ""
    machines = "; ".join(
        sorted({re.sub(r" \(shared\)|, \d+ threads", "", result.machine) for result in found if result.findings})
    )
    yield f"On: {machines}. What bounds each, and plots: [benchmarks](benchmarks/README.md)."
    yield from pocket_scores()


def pocket_scores() -> Iterator[str]:
    """The table that every pocket model with scores has in its card."""
    for path in sorted(ROOT.glob("assets/models/*/scores.json")):
        from fcutils.pocket.score import table  # loads torch

        found = json.loads(path.read_text(encoding="utf-8"))
        link = f"[{found['model']}](assets/models/{path.parent.name}/README.md)"
        yield from ("", f"**{link}**, {found['date'][:10]}, {found['machine']}:", "", *table(found).splitlines())


if __name__ == "__main__":
    main()
