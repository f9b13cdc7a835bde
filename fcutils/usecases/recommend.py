"""Recommendations: Pydantic models as tools. The model brings the joke, the book or the song itself; the validators judge it.

Knows what such an answer must look like. Does not know jokes, books or songs.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from fcutils.messages import Message, ToolCall
from fcutils.ranking import fold
from fcutils.toolbox import Approver, Toolbox
from fcutils.usecases.database import Database
from fcutils.usecases.values import Text

Genre = Annotated[
    Literal[
        "pop",
        "rock",
        "jazz",
        "classical",
        "folk",
        "country",
        "blues",
        "soul",
        "hip hop",
        "electronic",
        "metal",
        "reggae",
        "inspirational",
        "love song",
        "children's song",
    ],
    BeforeValidator(lambda genre: fold(genre) if isinstance(genre, str) else genre),
]


class Recommendation(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Joke(Recommendation):
    """Tell a joke: a question that sets it up, and the punchline that answers it."""

    setup: Text = Field(description="Question that sets up the joke")
    punchline: Text = Field(description="Answer that resolves the joke")

    @field_validator("setup")
    @classmethod
    def setup_is_a_question(cls, setup: str) -> str:
        if not setup.endswith("?") or not setup.strip("? "):
            raise ValueError("it should be a question and end with a question mark")
        return setup

    @model_validator(mode="after")
    def punchline_is_new(self) -> Joke:
        _differ(self.setup, self.punchline, "the punchline only repeats the setup")
        return self


class BookRecommendation(Recommendation):
    """Recommend a book that fits an interest."""

    interest: Text = Field(description="What the reader is interested in, such as crime thrillers")
    recommended_book: Text = Field(description="Title of the recommended book")

    @model_validator(mode="after")
    def book_is_named(self) -> BookRecommendation:
        _differ(self.interest, self.recommended_book, "recommended_book only repeats the interest; name a book")
        return self


class SongRecommendation(Recommendation):
    """Recommend a song of a genre."""

    genre: Genre = Field(description="Genre of the song")
    song: Text = Field(description="Title of the recommended song")

    @model_validator(mode="after")
    def song_is_named(self) -> SongRecommendation:
        _differ(self.genre, self.song, "song only repeats the genre; name a song")
        return self


def _differ(question: str, answer: str, complaint: str) -> None:
    """Refuse an answer that echoes the question: what a small model does when it has nothing to say."""
    if fold(question).strip("?!. ") == fold(answer).strip("?!. "):
        raise ValueError(complaint)


def toolbox(db: Database | None = None, *, on_approve: Approver | None = None) -> Toolbox:
    """The three models as tools. They need no database and write nothing."""
    tools = Toolbox(on_approve=on_approve)
    for model in (Joke, BookRecommendation, SongRecommendation):
        tools.add(model)
    return tools


DIALOGUE = (
    Message("user", "Tell me a joke"),
    Message(
        "assistant",
        calls=(ToolCall("Joke", {"setup": "Why did the bicycle fall over?", "punchline": "Because it was two-tired."}),),
    ),
    Message("assistant", "Why did the bicycle fall over? Because it was two-tired."),
    Message("user", "Song for inspiration."),
    Message("assistant", calls=(ToolCall("SongRecommendation", {"genre": "inspirational", "song": "Here Comes the Sun"}),)),
    Message("assistant", "Try Here Comes the Sun."),
    Message("user", "Recommend me a book on Crime Thriller."),
    Message(
        "assistant",
        calls=(ToolCall("BookRecommendation", {"interest": "Crime Thriller", "recommended_book": "The Big Sleep"}),),
    ),
    Message("assistant", "You might like The Big Sleep."),
)
