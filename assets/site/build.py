"""`make site`: gathers what there is to read in build/docs, and has MkDocs make a site of it in build/site.

Pages lie where they lie in the repository, so that links between them hold; a link to a file that is no page leads to the
repository's address. Notebooks are shown with their stored outputs; nothing is run. Pages of the package are made from its
docstrings. How it all looks is `mkdocs.yml`'s.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parents[2]
DOCS, SITE = ROOT / "build" / "docs", ROOT / "build" / "site"
PAGES = ("*.md", "notebooks/*.md", "notebooks/*.ipynb", "notebooks/solutions/*.ipynb", "data/*.md", "data/*/*.md")
MORE_PAGES = ("benchmarks/README.md", "configs/README.md", "configs/*/README.md", "assets/models/*/README.md")
PICTURES = ("assets/figures/*.svg", "benchmarks/results/*.svg", "assets/models/*/*.svg", "data/**/*.svg")
BADGE = re.compile(r"\[!\[([^\]]*)\]\(https?://[^)]*\)\]")  # a picture from elsewhere
HEADING = re.compile(r"^#{1,6} .*$", re.MULTILINE)
LINK = re.compile(r'(\]\(|(?:src|href)=")([^)"\s]+)([)"])')


def main() -> int:
    shutil.rmtree(DOCS, ignore_errors=True)
    pages = {path.relative_to(ROOT) for pattern in (*PAGES, *MORE_PAGES) for path in ROOT.glob(pattern)}
    pictures = {path.relative_to(ROOT) for pattern in PICTURES for path in ROOT.glob(pattern)}
    links = Links(pages | pictures)
    for page in sorted(pages):
        _write(page, links.in_notebook(page) if page.suffix == ".ipynb" else links.in_text(page))
    for picture in pictures:
        _write(picture, (ROOT / picture).read_text(encoding="utf-8"))
    _write(Path("style.css"), (Path(__file__).with_name("style.css")).read_text(encoding="utf-8"))
    rooms = list(_rooms())
    for room in rooms:
        _write(Path("api", f"{room}.md"), f"# fcutils.{room}\n\n::: fcutils.{room}\n")
    _build(_navigation(sorted(pages), rooms))
    print(f"{len(pages) + len(rooms)} pages in build/site; to search, too: python -m http.server --directory build/site")
    return 0


class Links:
    """Links as they must be on the site. `there`: what of the repository is on it."""

    def __init__(self, there: set[Path]) -> None:
        self._there = {path.as_posix() for path in there}
        project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
        self._address = f"https://github.com/{project['tool']['course']['repository']}/blob/main/"

    def in_text(self, page: Path) -> str:
        return self._changed((ROOT / page).read_text(encoding="utf-8"), page, lambda target: target)

    def in_notebook(self, page: Path) -> str:
        """MkDocs does not follow a notebook's links, so that they name the pages as they are called in the end; it loses the
        place of a heading with code in it, and nothing is to be fetched from elsewhere.
        """
        notebook = json.loads((ROOT / page).read_text(encoding="utf-8"))
        for cell in notebook["cells"]:
            if cell["cell_type"] == "markdown":
                text = BADGE.sub(r"[\1]", "".join(cell["source"]))
                text = HEADING.sub(lambda heading: heading[0].replace("`", ""), text)
                cell["source"] = self._changed(text, page, _made)
        return json.dumps(notebook, ensure_ascii=False)

    def _changed(self, text: str, page: Path, name: Callable[[str], str]) -> str:
        def change(match: re.Match[str]) -> str:
            target, mark, anchor = match[2].partition("#")
            if not target or re.match(r"[a-z]+:", target):
                return match[0]
            place = os.path.normpath(PurePosixPath(page.parent.as_posix(), target)).replace("\\", "/")
            new = name(target) + mark + anchor if place in self._there else self._address + place
            return match[1] + new + match[3]

        return LINK.sub(change, text)


def _made(target: str) -> str:
    path = PurePosixPath(target)
    if path.suffix not in (".md", ".ipynb"):
        return target
    return str(path.with_name("index.html") if path.name == "README.md" else path.with_suffix(".html"))


def _rooms() -> Iterator[str]:
    """Modules and packages of `fcutils`, in the order of CONTRIBUTING.md; the makers of the pocket models stay out."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").partition("## The rooms")[2]
    for room in re.findall(r"^(\w+)/?  ", text.partition("\n## ")[0], re.MULTILINE):
        if room != "pocket" and not room.startswith("_"):
            yield room


def _navigation(pages: list[Path], rooms: list[str]) -> list[dict[str, object]]:
    lessons = [page.as_posix() for page in pages if page.parent == Path("notebooks")]
    solutions = [page.as_posix() for page in pages if page.parent == Path("notebooks/solutions")]
    models = [page.as_posix() for page in pages if page.parts[:2] == ("assets", "models")]
    data = [page.as_posix() for page in pages if page.parts[0] == "data"]
    configs = [page.as_posix() for page in pages if page.parts[0] == "configs"]
    more = [*data, *models, *configs, "benchmarks/README.md", "CONTRIBUTING.md", "CHANGELOG.md"]
    return [
        {"Start": "README.md"},
        {"Lessons": lessons},
        {"Solutions": solutions},
        {"fcutils": [{room: f"api/{room}.md"} for room in rooms]},
        {"More": more},
    ]


def _write(page: Path, text: str) -> None:
    place = DOCS / page
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text, encoding="utf-8")


def _build(navigation: list[dict[str, object]]) -> None:
    os.environ.setdefault("NO_MKDOCS_2_WARNING", "1")
    from mkdocs.commands.build import build
    from mkdocs.config import load_config

    config = Path(__file__).with_name("mkdocs.yml")
    build(load_config(str(config), docs_dir=str(DOCS), site_dir=str(SITE), nav=navigation, strict=True))


if __name__ == "__main__":
    sys.exit(main())
