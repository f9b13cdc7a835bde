"""The site: it is made without a warning, every link leads to a page and a place there, nothing is fetched from elsewhere."""

from __future__ import annotations

import os
import runpy
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = ROOT / "assets" / "site" / "build.py"
FETCHED = {"img": "src", "script": "src", "link": "href", "iframe": "src", "source": "src"}


class Page(HTMLParser):
    """What one page links to, what it fetches, and the places in it."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links, self.fetched, self.places = list[str](), list[str](), set[str]()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.places |= {found.get("id", ""), found.get("name", "")}
        if tag == "a" and "href" in found:
            self.links.append(found["href"])
        if tag in FETCHED and FETCHED[tag] in found and found.get("rel") != "canonical":
            self.fetched.append(found[FETCHED[tag]])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, Page]:
    place = tmp_path_factory.mktemp("site")
    made = runpy.run_path(str(SCRIPT))
    main = made["main"]
    main.__globals__.update(DOCS=place / "docs", SITE=place / "site")
    assert main() == 0
    return {path: Page(path) for path in (place / "site").rglob("*.html")}


def inside(links: list[str]) -> list[str]:
    return [link for link in links if not link.startswith(("http:", "https:", "mailto:", "data:", "javascript:"))]


def test_every_lesson_and_every_room_is_a_page(site: dict[Path, Page]) -> None:
    names = {path.name for path in site}
    assert {lesson.with_suffix(".html").name for lesson in (ROOT / "notebooks").glob("*.ipynb")} <= names
    assert {"toolbox.html", "parsing.html", "loop.html", "index.html", "CONTRIBUTING.html"} <= names


def test_every_link_leads_to_a_page_and_a_place(site: dict[Path, Page]) -> None:
    dead = []
    for path, page in site.items():
        if path.name == "404.html":
            continue  # its links are those of a server's root
        for link in {*inside(page.links), *inside(page.fetched)}:
            target, _, place = unquote(link).partition("#")
            there = Path(os.path.normpath(path.parent / target.partition("?")[0])) if target else path
            there = there / "index.html" if there.is_dir() else there
            known = site.get(there)
            if not there.is_file() or (place and known and place not in known.places and not place.startswith("__")):
                dead.append(f"{path.name}: {link}")
    assert sorted(set(dead)) == []


def test_nothing_is_fetched_from_elsewhere(site: dict[Path, Page]) -> None:
    outside = {link for page in site.values() for link in page.fetched if link.startswith(("http:", "https:", "//"))}
    assert outside == set()


def test_links_to_what_is_no_page_lead_to_the_repository() -> None:
    made = runpy.run_path(str(SCRIPT))
    links = made["Links"]({Path("README.md"), Path("notebooks/a.ipynb"), Path("data/README.md")})
    change = links._changed
    text = "[a](notebooks/a.ipynb#x) [b](LICENSE) [c](https://x.y) [d](#here)"
    changed = change(text, Path("README.md"), lambda target: target)
    address = links._address
    assert changed == f"[a](notebooks/a.ipynb#x) [b]({address}LICENSE) [c](https://x.y) [d](#here)"
    text = '[a](a.ipynb#x) [b](../data/README.md) <img src="../assets/none.svg">'
    changed = change(text, Path("notebooks/b.ipynb"), made["_made"])
    assert changed == f'[a](a.html#x) [b](../data/index.html) <img src="{address}assets/none.svg">'
