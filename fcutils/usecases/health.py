"""Health: a diary of symptoms, facts about medicines, consultations with doctors.

Knows the tables of `data/usecases/health/`. It gives no medical advice, names no dose, judges no symptom, and every result
says so.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from fcutils.messages import Message, ToolCall
from fcutils.ranking import fold
from fcutils.toolbox import Approver, Toolbox
from fcutils.usecases.database import Database, Row
from fcutils.usecases.values import Clock, Day, Result, Text, not_past, pick

NOTICE = "This is no medical advice. Ask a doctor or pharmacist; in an emergency call the local emergency number."
_LAST = 5

Specialty = Literal[
    "general practice",
    "dermatology",
    "cardiology",
    "paediatrics",
    "orthopaedics",
    "neurology",
    "ophthalmology",
    "gynaecology",
    "psychotherapy",
]


class Entry(Result):
    date: dt.date
    symptom: str
    severity: int


class Diary(Result):
    written: Entry
    earlier: list[Entry]
    """The last entries on the same symptom, newest first."""
    notice: str


class Medicine(Result):
    name: str
    brands: list[str]
    used_for: str
    forms: list[str]
    prescription_needed: bool
    notice: str


class Consultation(Result):
    id: str
    doctor: str
    specialty: Specialty
    date: dt.date
    time: str
    notice: str


@dataclass(frozen=True)
class Health:
    """The tools of this use case, over one database."""

    db: Database

    def track_symptoms(self, symptom: Text, severity: Annotated[int, Field(ge=1, le=10)]) -> Diary:
        """Write a symptom into today's page of the diary. No diagnosis, no medical advice.

        Args:
            symptom: What the person feels, such as headache
            severity: How bad it is, from 1 (hardly felt) to 10 (unbearable)
        """
        today = self.db.today
        with self.db.transaction():
            rows = self.db.rows("SELECT date, symptom, severity FROM symptoms ORDER BY date DESC, id DESC")
            statement = "INSERT INTO symptoms (date, symptom, severity) VALUES (?, ?, ?)"
            self.db.write(statement, today.isoformat(), symptom, severity)
            earlier = [Entry(**row) for row in rows if fold(row["symptom"]) == fold(symptom)]
            written = Entry(date=today, symptom=symptom, severity=severity)
            return Diary(written=written, earlier=earlier[:_LAST], notice=NOTICE)

    def find_medication(self, name: Text) -> Medicine:
        """Look up what a medicine is commonly used for and whether it needs a prescription. No doses, no medical advice.

        Args:
            name: Name of the substance or brand, such as ibuprofen
        """
        medicines = {word: row for row in self.db.rows("SELECT * FROM medicines") for word in _words(row)}
        row = medicines[pick("medicine", name, medicines)]
        return Medicine(
            name=row["name"],
            brands=row["brands"].split(", "),
            used_for=row["used_for"],
            forms=row["forms"].split(", "),
            prescription_needed=row["prescription"] == "yes",
            notice=NOTICE,
        )

    def schedule_consultation(self, specialty: Specialty, date: Day, time: Clock) -> Consultation:
        """Schedule a consultation with a doctor. If the time is not free, the error names the next free ones.

        Args:
            specialty: The doctor's field
            date: Day of the consultation, YYYY-MM-DD
            time: Time of the consultation, HH:MM
        """
        not_past(date, self.db.today)
        query = (
            "SELECT slots.id, name AS doctor, specialty, date, time FROM slots JOIN doctors ON doctor_id = doctors.id "
            "WHERE specialty = ? AND NOT booked AND date >= ? ORDER BY date, time, slots.id"
        )
        with self.db.transaction():
            free = self.db.rows(query, specialty, self.db.today.isoformat())
            slot = next((row for row in free if (row["date"], row["time"]) == (date.isoformat(), time)), None)
            if slot is None:
                others = ", ".join(f"{row['date']} {row['time']}" for row in free[:_LAST]) or "none"
                raise ValueError(f"nothing is free in {specialty} on {date} at {time}; the next free times: {others}")
            self.db.write("UPDATE slots SET booked = 1 WHERE id = ?", slot["id"])
            return Consultation(notice=NOTICE, **slot)


def _words(medicine: Row) -> tuple[str, ...]:
    """All that a medicine is called."""
    return medicine["name"], *medicine["brands"].split(", ")


def toolbox(db: Database | None = None, *, on_approve: Approver | None = None) -> Toolbox:
    """The health tools. What writes waits for `on_approve`."""
    health = Health(db or Database())
    tools = Toolbox(on_approve=on_approve)
    tools.add(health.track_symptoms, approve=True)
    tools.add(health.find_medication)
    tools.add(health.schedule_consultation, approve=True)
    return tools


DIALOGUE = (
    Message("user", "My headache is back, I'd say a 5. Put that in my diary."),
    Message("assistant", calls=(ToolCall("track_symptoms", {"symptom": "headache", "severity": 5}),)),
    Message(
        "assistant",
        "I wrote it down for 2 March 2026. Your last headache in the diary is from 25 February, with a 3. I can give no "
        "medical advice; ask a doctor or pharmacist.",
    ),
    Message("user", "What is ibuprofen used for, and do I need a prescription?"),
    Message("assistant", calls=(ToolCall("find_medication", {"name": "ibuprofen"}),)),
    Message(
        "assistant",
        "It is commonly used for pain, fever and inflammation and needs no prescription. A pharmacist can advise you.",
    ),
    Message("user", "I'd rather see my GP. On 5 March at 10:20?"),
    Message(
        "assistant",
        calls=(ToolCall("schedule_consultation", {"specialty": "general practice", "date": "2026-03-05", "time": "10:20"}),),
    ),
    Message("assistant", "You can see Dr Hanna Lindqvist on 5 March 2026 at 10:20."),
)
