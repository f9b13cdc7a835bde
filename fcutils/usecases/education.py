"""Education: finding something to learn from, planning, and being asked questions.

Knows the tables of `data/usecases/education/`. Planning is arithmetic over the resources; nothing is drawn by chance.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal, get_args

from pydantic import Field

from fcutils.messages import Message, ToolCall, dumps
from fcutils.ranking import rank
from fcutils.toolbox import Approver, Toolbox
from fcutils.usecases.database import Database, Row
from fcutils.usecases.values import Result, Text

Topic = Literal["geography", "history", "biology", "chemistry", "physics", "mathematics", "astronomy", "literature"]
Level = Literal["beginner", "intermediate", "advanced"]
Kind = Literal["course", "book", "video", "article"]
Letter = Literal["a", "b", "c", "d"]
LEVELS: tuple[Level, ...] = get_args(Level)
LETTERS: tuple[Letter, ...] = get_args(Letter)
_MOST_FOUND = 3
_MOST_PLANNED = 4


class Resource(Result):
    title: str
    kind: Kind
    topic: str
    level: Level
    minutes: int
    summary: str
    url: str


class Session(Result):
    date: dt.date
    task: str


class StudyPlan(Result):
    id: int
    topic: str
    minutes_per_day: int
    sessions: list[Session]


class Question(Result):
    level: Literal["easy", "medium", "hard"]
    question: str
    choices: dict[Letter, str]
    answer: Letter
    """For checking only: do not show it before the student has answered."""
    explanation: str


class Quiz(Result):
    topic: Topic
    questions: list[Question]


@dataclass(frozen=True)
class Education:
    """The tools of this use case, over one database."""

    db: Database

    def find_resource(self, topic: Text, kind: Literal["course", "book", "video", "article", "any"] = "any") -> list[Resource]:
        """Find courses, books, videos and articles on a topic, the best match first.

        Args:
            topic: What to learn about
            kind: Kind of resource
        """
        return [Resource(**row) for row in self._search(topic, kind)[:_MOST_FOUND]]

    def create_study_plan(
        self, topic: Text, days: Annotated[int, Field(ge=1, le=28)], minutes_per_day: Annotated[int, Field(ge=10, le=240)] = 60
    ) -> StudyPlan:
        """Create a study plan from today on, with a task for each day.

        Args:
            topic: What to learn
            days: Number of days, 1 to 28
            minutes_per_day: Minutes of study a day, 10 to 240
        """
        resources = sorted(self._search(topic)[:_MOST_PLANNED], key=lambda row: LEVELS.index(row["level"]))
        today = self.db.today
        tasks = list(_share_out(resources, days, minutes_per_day))
        sessions = [Session(date=today + dt.timedelta(days=number), task=task) for number, task in enumerate(tasks)]
        with self.db.transaction():
            statement = "INSERT INTO study_plans (topic, starts_on, days, minutes_per_day, sessions) VALUES (?, ?, ?, ?, ?)"
            number = self.db.write(statement, topic, today.isoformat(), days, minutes_per_day, dumps(tasks))
            return StudyPlan(id=number, topic=topic, minutes_per_day=minutes_per_day, sessions=sessions)

    def quiz_student(
        self,
        topic: Topic,
        level: Literal["easy", "medium", "hard", "any"] = "any",
        number_of_questions: Annotated[int, Field(ge=1, le=6)] = 1,
    ) -> Quiz:
        """Get questions with four choices to quiz a student, with the right answers for checking.

        Args:
            topic: Subject of the quiz
            level: How hard the questions are
            number_of_questions: How many questions at most, 1 to 6
        """
        query = "SELECT * FROM questions WHERE topic = ? AND (level = ? OR ? = 'any') ORDER BY id LIMIT ?"
        rows = self.db.rows(query, topic, level, level, number_of_questions)
        return Quiz(
            topic=topic, questions=[Question(choices={letter: row[letter] for letter in LETTERS}, **row) for row in rows]
        )

    def _search(self, topic: str, kind: str = "any") -> list[Row]:
        query = "SELECT title, kind, topic, level, minutes, summary, url FROM resources WHERE kind = ? OR ? = 'any'"
        rows = self.db.rows(query, kind, kind)
        found = rank(topic, [f"{row['topic']} {row['topic']} {row['title']} {row['title']} {row['summary']}" for row in rows])
        if not found:
            topics = sorted({row["topic"] for row in self.db.rows("SELECT topic FROM resources")})
            raise LookupError(f"there is nothing on '{topic}'; there are resources on {', '.join(topics)}")
        return [rows[place] for place, _ in found]


def _share_out(resources: list[Row], days: int, minutes_per_day: int) -> Iterator[str]:
    """What to do on each day: the resources one after the other, then going over them again."""
    left = [(row["title"], row["minutes"]) for row in resources]
    for _ in range(days):
        free, tasks = minutes_per_day, []
        while free and left:
            title, minutes = left.pop(0)
            spent = min(minutes, free)
            tasks.append(f"{title} ({spent} min)")
            free -= spent
            if minutes > spent:
                left.insert(0, (title, minutes - spent))
        yield ", ".join(tasks) or "Go over your notes, and over what was hard"


def toolbox(db: Database | None = None, *, on_approve: Approver | None = None) -> Toolbox:
    """The tutor's tools. What writes waits for `on_approve`."""
    education = Education(db or Database())
    tools = Toolbox(on_approve=on_approve)
    tools.add(education.find_resource)
    tools.add(education.create_study_plan, approve=True)
    tools.add(education.quiz_student)
    return tools


DIALOGUE = (
    Message("user", "I'd like to learn about genetics. Is there a course?"),
    Message("assistant", calls=(ToolCall("find_resource", {"topic": "genetics", "kind": "course"}),)),
    Message("assistant", "Genetics step by step: an intermediate course of 360 minutes, from Mendel's peas to DNA sequencing."),
    Message("user", "Make me a plan for it: six days, an hour a day."),
    Message("assistant", calls=(ToolCall("create_study_plan", {"topic": "genetics", "days": 6, "minutes_per_day": 60}),)),
    Message("assistant", "The plan is made: 60 minutes of Genetics step by step every day, from 2 March to 7 March 2026."),
    Message("user", "Ask me an easy question on biology first."),
    Message("assistant", calls=(ToolCall("quiz_student", {"topic": "biology", "level": "easy"}),)),
    Message("assistant", "Which organ pumps blood through the body? (a) Liver, (b) Lung, (c) Heart or (d) Kidney?"),
    Message("user", "The heart."),
    Message("assistant", "Right, it is c. The heart beats about 100,000 times a day."),
)
