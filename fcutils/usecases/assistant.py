"""The personal assistant: weather, reminders, appointments.

Knows the tables of `data/usecases/assistant/`. The weather is frozen and carries its date; nothing here asks a clock.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from fcutils.messages import Message, ToolCall
from fcutils.toolbox import Approver, Toolbox
from fcutils.usecases.database import Database, Row
from fcutils.usecases.values import Clock, Day, Result, Text, not_past, pick

Service = Literal["haircut", "dentist", "massage", "car service", "eye test", "vet"]
Sky = Literal["clear", "partly cloudy", "cloudy", "rain", "snow", "fog", "thunderstorm"]


class Weather(Result):
    city: str
    country: str
    date: dt.date
    temperature: float
    unit: Literal["celsius", "fahrenheit"]
    sky: Sky
    humidity_percent: int
    wind_kmh: int


class Reminder(Result):
    id: int
    text: str
    date: dt.date
    time: str


class Appointment(Result):
    id: int
    service: Service
    provider: str
    date: dt.date
    time: str


@dataclass(frozen=True)
class Assistant:
    """The tools of this use case, over one database."""

    db: Database

    def get_weather(self, city: Text, unit: Literal["celsius", "fahrenheit"] = "celsius") -> Weather:
        """Get the weather in a city.

        Args:
            city: Name of the city, such as Paris
            unit: Unit of the temperature
        """
        stations = {row["city"]: row for row in self.db.rows("SELECT * FROM weather")}
        row = stations[pick("city", city, stations)]
        celsius = row.pop("celsius")
        temperature = celsius if unit == "celsius" else round(celsius * 9 / 5 + 32, 1)
        return Weather(date=row.pop("measured_on"), temperature=temperature, unit=unit, **row)

    def set_reminder(self, text: Text, date: Day, time: Clock = "09:00") -> Reminder:
        """Set a reminder for a day and a time.

        Args:
            text: What to be reminded of
            date: Day of the reminder, YYYY-MM-DD
            time: Time of the reminder, HH:MM
        """
        not_past(date, self.db.today)
        with self.db.transaction():
            statement = "INSERT INTO reminders (text, date, time) VALUES (?, ?, ?)"
            number = self.db.write(statement, text, date.isoformat(), time)
            return Reminder(id=number, text=text, date=date, time=time)

    def book_appointment(self, service: Service, date: Day, time: Clock) -> Appointment:
        """Book an appointment. If the time is taken, the error names the free ones.

        Args:
            service: What the appointment is for
            date: Day of the appointment, YYYY-MM-DD
            time: Time of the appointment, HH:MM
        """
        not_past(date, self.db.today)
        with self.db.transaction():
            offer = self.db.row("SELECT * FROM services WHERE name = ?", service)
            assert offer is not None
            free = [] if date.weekday() == 6 else self._free_times(offer, date)
            if time not in free:
                others = f"free times that day: {', '.join(free)}" if free else "nothing is free that day"
                raise ValueError(f"{offer['provider']} has no {service} at {time} on {date:%A}, {date}; {others}")
            statement = "INSERT INTO appointments (service, date, time) VALUES (?, ?, ?)"
            number = self.db.write(statement, service, date.isoformat(), time)
            return Appointment(id=number, service=service, provider=offer["provider"], date=date, time=time)

    def _free_times(self, offer: Row, date: dt.date) -> list[str]:
        query = "SELECT time FROM appointments WHERE service = ? AND date = ?"
        taken = {row["time"] for row in self.db.rows(query, offer["name"], date.isoformat())}
        return [time for time in _times(offer) if time not in taken]


def _times(offer: Row) -> Iterator[str]:
    """When a provider's appointments begin."""
    step = dt.timedelta(minutes=offer["minutes"])
    begin, end = (dt.datetime.strptime(offer[edge], "%H:%M") for edge in ("opens", "closes"))
    while begin + step <= end:
        yield f"{begin:%H:%M}"
        begin += step


def toolbox(db: Database | None = None, *, on_approve: Approver | None = None) -> Toolbox:
    """The assistant's tools. What writes waits for `on_approve`."""
    assistant = Assistant(db or Database())
    tools = Toolbox(on_approve=on_approve)
    tools.add(assistant.get_weather)
    tools.add(assistant.set_reminder, approve=True)
    tools.add(assistant.book_appointment, approve=True)
    return tools


DIALOGUE = (
    Message("user", "What's the weather in Paris and in Oslo?"),
    Message("assistant", calls=(ToolCall("get_weather", {"city": "Paris"}), ToolCall("get_weather", {"city": "Oslo"}))),
    Message("assistant", "Paris has 11 degrees and is partly cloudy. In Oslo it is snowing at -1 degree."),
    Message("user", "Remind me on 5 March 2026 at 18:30 to water the lemon tree."),
    Message(
        "assistant",
        calls=(ToolCall("set_reminder", {"text": "water the lemon tree", "date": "2026-03-05", "time": "18:30"}),),
    ),
    Message("assistant", "I will remind you on 5 March 2026 at 18:30 to water the lemon tree."),
    Message("user", "And book the dentist for that day, half past two."),
    Message("assistant", calls=(ToolCall("book_appointment", {"service": "dentist", "date": "2026-03-05", "time": "14:30"}),)),
    Message("assistant", "14:30 is taken at the dentist's. 15:00 would be free; shall I take that?"),
    Message("user", "Yes, please."),
    Message("assistant", calls=(ToolCall("book_appointment", {"service": "dentist", "date": "2026-03-05", "time": "15:00"}),)),
    Message("assistant", "Your dentist's appointment is on 5 March 2026 at 15:00."),
)
