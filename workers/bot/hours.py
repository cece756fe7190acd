"""Business hours by the clock of a time zone, its summer time included, and holidays. No I/O."""

from __future__ import annotations

import datetime
import zoneinfo
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, field_validator, model_validator

from workers.bot.texts import Model

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
Span = Annotated[
    str,
    StringConstraints(
        pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]-(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$"
    ),
]
Date = Annotated[str, StringConstraints(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$")]
Spans = Annotated[tuple[Span, ...], Field(max_length=6)]


class Hours(Model):
    """When somebody is there. weekly: each day's spans, HH:MM-HH:MM, the end not included; a day
    that is missing is closed, and what goes past midnight is two spans. holidays: a date to its
    own spans, in place of those of the week; none: closed."""

    zone: str
    weekly: dict[Day, Spans] = Field(min_length=1)
    holidays: dict[Date, Spans] = Field(default_factory=dict, max_length=400)

    @field_validator("zone")
    @classmethod
    def _zone(cls, name: str) -> str:
        if name not in zoneinfo.available_timezones():
            raise ValueError(f"{name[:40]!a} is no time zone, as Europe/Berlin is one")
        return name

    @model_validator(mode="after")
    def _check(self) -> Self:
        for key, days in (("weekly", self.weekly), ("holidays", self.holidays)):
            for day, spans in days.items():
                last = ""
                for span in spans:
                    start, _, end = span.partition("-")
                    if start >= end:
                        raise ValueError(f"{key}.{day}: {span} ends before it begins")
                    if start < last:
                        raise ValueError(f"{key}.{day}: {span} begins before the last one ends")
                    last = end
        for day in self.holidays:
            try:
                datetime.date.fromisoformat(day)
            except ValueError:
                raise ValueError(f"holidays.{day}: is no day") from None
        return self

    def is_open(self, now: datetime.datetime) -> bool:
        """now: with its time zone."""
        there = now.astimezone(zoneinfo.ZoneInfo(self.zone))
        spans = self.holidays.get(there.date().isoformat())
        if spans is None:
            spans = self.weekly.get(DAYS[there.weekday()], ())  # type: ignore[call-overload]
        clock = there.strftime("%H:%M")
        return any(start <= clock < end for start, _, end in (s.partition("-") for s in spans))
