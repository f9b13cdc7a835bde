"""A search engine over a small shipped index: some seventy short pages, written for this project.

Knows one table, `data/usecases/search/pages.csv`, and ranks it. It asks no network; the pages' addresses lead nowhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from fcutils.messages import Message, ToolCall
from fcutils.ranking import rank
from fcutils.toolbox import Approver, Toolbox
from fcutils.usecases.database import Database
from fcutils.usecases.values import Result, Text


class Page(Result):
    title: str
    url: str
    text: str


@dataclass(frozen=True)
class Search:
    """The tools of this use case, over one database."""

    db: Database

    def web_search(self, query: Text, max_results: Annotated[int, Field(ge=1, le=10)] = 3) -> list[Page]:
        """Search the web. Returns the best pages first, and an empty list where nothing fits.

        Args:
            query: Words to search for
            max_results: How many pages at most, 1 to 10
        """
        pages = self.db.rows("SELECT title, url, text FROM pages")
        found = rank(query, [f"{page['title']} {page['title']} {page['text']}" for page in pages])
        return [Page(**pages[place]) for place, _ in found[:max_results]]


def toolbox(db: Database | None = None, *, on_approve: Approver | None = None) -> Toolbox:
    """The search engine. It writes nothing."""
    tools = Toolbox(on_approve=on_approve)
    tools.add(Search(db or Database()).web_search)
    return tools


DIALOGUE = (
    Message("user", "How high is Mount Everest, and who climbed it first? Look it up."),
    Message("assistant", calls=(ToolCall("web_search", {"query": "height of Mount Everest first climbed", "max_results": 1}),)),
    Message(
        "assistant",
        "Mount Everest is 8,849 metres high. Tenzing Norgay and Edmund Hillary were the first to climb it, in 1953.",
    ),
    Message("user", "And what makes the sky blue?"),
    Message("assistant", calls=(ToolCall("web_search", {"query": "why is the sky blue", "max_results": 1}),)),
    Message("assistant", "Air scatters the short, blue wavelengths of sunlight more than the long, red ones."),
)
