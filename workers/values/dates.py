"""Dates, as people say them: "the third of May", "next Tuesday", "in two weeks", 3/5/2027.

Strict: two different dates in one answer are none, and so is a number without anything that makes
it a date. What is left open (the year, the month) follows from the slot's bounds: a delivery is
ahead, an order behind.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator
from dataclasses import dataclass

from workers.values.lexicon import Lexicon
from workers.values.numbers import cardinal, ordinal

Date = datetime.date
_FIGURES = re.compile(r"([0-9]{1,4})([/.-])([0-9]{1,2})(?:\2([0-9]{2,4}))?")


@dataclass(frozen=True, slots=True)
class Bounds:
    """The slot's first and last date, and the day of the call."""

    first: Date
    last: Date
    today: Date

    @property
    def behind(self) -> bool:
        return self.last <= self.today

    @property
    def needs_year(self) -> bool:
        """Whether a day and a month can be of several years behind us: a date of birth."""
        return self.behind and (self.last - self.first).days > 366

    def holds(self, date: Date) -> bool:
        return self.first <= date <= self.last


def read(lexicon: Lexicon, text: str, bounds: Bounds, strict: bool = False) -> Date | None:
    """The one date in a text that is within the bounds, or None.

    strict: no date was asked for, so "the third" alone is none.
    """
    tokens = lexicon.tokens(text)
    found: list[Date] = []
    weekdays: list[Date] = []
    at = 0
    while at < len(tokens):
        whole = _dated(lexicon, tokens, at, bounds, strict)
        if whole is None:
            day = _weekday(lexicon, tokens, at, bounds)
            if day:
                weekdays.append(day[0])
            at += day[1] if day else 1
            continue
        if whole[0] is None:
            return None  # the thirty first of June
        found.append(whole[0])
        at += whole[1]
    said = set(found or weekdays)
    if len(said) != 1:
        return None
    date = said.pop()
    # "Tuesday, the third of May": when the two do not agree, one of them was misheard.
    if found and any(day.weekday() != date.weekday() for day in weekdays):
        return None
    return date if bounds.holds(date) else None


def keyed(lexicon: Lexicon, keys: str, bounds: Bounds) -> Date | None:
    """DDMM or MMDD, and with a year of four digits after it."""
    if not re.fullmatch(r"[0-9]{4}([0-9]{4})?", keys):
        return None
    one, two = int(keys[:2]), int(keys[2:4])
    day, month = (one, two) if lexicon.day_first else (two, one)
    date = _resolve(day, month, int(keys[4:]) if keys[4:] else None, bounds)
    return date if date and bounds.holds(date) else None


Dated = tuple[Date | None, int]


def _dated(
    lexicon: Lexicon, tokens: list[str], at: int, bounds: Bounds, strict: bool
) -> Dated | None:
    """A date that begins here, and how many tokens it is; None for the date: no such day."""
    for read_one in (_figures, _relative, _distance, _day_month, _month_day):
        found = read_one(lexicon, tokens, at, bounds)
        if found:
            return found
    return None if strict else _day(lexicon, tokens, at, bounds)


def _figures(lexicon: Lexicon, tokens: list[str], at: int, bounds: Bounds) -> Dated | None:
    """2027-05-03, 3/5/2027, 3.5.2027, 3/5."""
    found = _FIGURES.fullmatch(tokens[at])
    if not found:
        return None
    one, mark, two, three = found.groups()
    if len(one) == 4:
        return (_resolve(int(three), int(two), int(one), bounds), 1) if three else None
    if mark == "." and not lexicon.day_first:
        return None  # an amount
    if mark == "-" and not three:
        return None
    year = None if not three else int(three) + (2000 if len(three) == 2 else 0)
    day, month = (one, two) if lexicon.day_first or mark == "." else (two, one)
    if len(day) > 2:
        return None
    return _resolve(int(day), int(month), year, bounds), 1


def _relative(lexicon: Lexicon, tokens: list[str], at: int, bounds: Bounds) -> Dated | None:
    """today, the day after tomorrow."""
    for length in (3, 1):
        words = tuple(tokens[at : at + length])
        if words in lexicon.days:
            return _plus(bounds.today, lexicon.days[words]), length
    return None


def _distance(lexicon: Lexicon, tokens: list[str], at: int, bounds: Bounds) -> Dated | None:
    """in two weeks, three days ago, vor drei Tagen, a week from tomorrow."""
    before = tokens[at] in lexicon.in_ or tokens[at] in lexicon.ago
    start = at + 1 if before else at
    number = cardinal(lexicon, tokens, start)
    if number is None and tokens[start : start + 1] and tokens[start] in lexicon.one:
        number = (1, 1)
    if number is None or number[0] > 1000:
        return None
    end = start + number[1]
    if end >= len(tokens) or tokens[end] not in lexicon.units:
        return None
    days = number[0] * lexicon.units[tokens[end]]
    end += 1
    if before:
        return _plus(bounds.today, -days if tokens[at] in lexicon.ago else days), end - at
    if end < len(tokens) and tokens[end] in lexicon.ago:
        return _plus(bounds.today, -days), end + 1 - at
    if end + 1 < len(tokens) and tokens[end] == "from":
        base = _relative(lexicon, tokens, end + 1, bounds) or _weekday(
            lexicon, tokens, end + 1, bounds
        )
        if base and base[0]:
            return _plus(base[0], days), end + 1 + base[1] - at
    return None


def _day_month(lexicon: Lexicon, tokens: list[str], at: int, bounds: Bounds) -> Dated | None:
    """third of May, 3 May, dritter Mai, with a year or without, or dritter fünfter."""
    day = ordinal(lexicon, tokens, at) or cardinal(lexicon, tokens, at)
    if day is None or not 1 <= day[0] <= 31:
        return None
    end = at + day[1]
    if end < len(tokens) and tokens[end] in lexicon.of:
        end += 1
    if end >= len(tokens):
        return None
    month = lexicon.months.get(tokens[end])
    if month is None and lexicon.day_first and tokens[at] in lexicon.ordinals:
        month = lexicon.ordinals.get(tokens[end], 13)
        month = month if month <= 12 else None
    if month is None:
        return None
    year, used = _year(lexicon, tokens, end + 1)
    return _resolve(day[0], month, year, bounds), end + 1 + used - at


def _month_day(lexicon: Lexicon, tokens: list[str], at: int, bounds: Bounds) -> Dated | None:
    """May third, May the third, May 3."""
    month = lexicon.months.get(tokens[at])
    if month is None:
        return None
    start = at + 1
    if start < len(tokens) and tokens[start] in lexicon.the:
        start += 1
    day = ordinal(lexicon, tokens, start) or cardinal(lexicon, tokens, start)
    if day is None or not 1 <= day[0] <= 31:
        return None
    year, used = _year(lexicon, tokens, start + day[1])
    return _resolve(day[0], month, year, bounds), start + day[1] + used - at


def _day(lexicon: Lexicon, tokens: list[str], at: int, bounds: Bounds) -> Dated | None:
    """the third: of this month or the next."""
    if tokens[at] not in lexicon.the:
        return None
    day = ordinal(lexicon, tokens, at + 1)
    if day is None:
        return None
    end = at + 1 + day[1]
    following = tokens[end] if end < len(tokens) else ""
    if following in lexicon.no_day | lexicon.of or following in lexicon.months:
        return None  # "the first one"; or the month follows
    if lexicon.day_first and lexicon.ordinals.get(following, 13) <= 12:
        return None
    return _resolve(day[0], None, None, bounds), end - at


def _weekday(
    lexicon: Lexicon, tokens: list[str], at: int, bounds: Bounds
) -> tuple[Date, int] | None:
    """Tuesday, next Tuesday, last Tuesday: "next" is of next week, plain is the closest one."""
    how = tokens[at] if tokens[at] in lexicon.next_ or tokens[at] in lexicon.last_ else None
    name = at + 1 if how else at
    if name >= len(tokens) or tokens[name] not in lexicon.weekdays:
        return None
    wanted = lexicon.weekdays[tokens[name]]
    today = bounds.today
    if how in lexicon.last_ or (how is None and bounds.behind):
        days = -((today.weekday() - wanted) % 7 or 7)
    elif how:
        days = 7 - today.weekday() + wanted
    else:
        days = (wanted - today.weekday()) % 7 or 7
    return _plus(today, days), name + 1 - at


def _year(lexicon: Lexicon, tokens: list[str], at: int) -> tuple[int | None, int]:
    """2027, twenty twenty seven, nineteen eighty four, two thousand and six; none: (None, 0)."""
    if at < len(tokens) and re.fullmatch(r"(19|20)[0-9]{2}", tokens[at]):
        return int(tokens[at]), 1
    century = lexicon.small.get(tokens[at]) if at < len(tokens) else None
    if century in (19, 20):
        rest = cardinal(lexicon, tokens, at + 1)
        if rest and 10 <= rest[0] <= 99:
            return century * 100 + rest[0], 1 + rest[1]
    number = cardinal(lexicon, tokens, at)
    if number and 1900 <= number[0] <= 2100:
        return number
    return None, 0


def _resolve(day: int, month: int | None, year: int | None, bounds: Bounds) -> Date | None:
    """The date that is meant; None: there is none such, or it needs a year."""
    if year is not None:
        return _date(year, month or 0, day)
    if month is not None and bounds.needs_year:
        return None
    candidates = list(_candidates(day, month, bounds.today))
    within = [date for date in candidates if bounds.holds(date)] or candidates
    ahead = [date for date in within if date >= bounds.today]
    behind = [date for date in within if date <= bounds.today]
    if bounds.behind:
        return max(behind, default=None) or min(ahead, default=None)
    return min(ahead, default=None) or max(behind, default=None)


def _candidates(day: int, month: int | None, today: Date) -> Iterator[Date]:
    months = [month] if month else list(range(1, 13))
    # Eight years: from one 29th of February to the next, over the end of a century.
    for year in range(today.year - 8, today.year + 9):
        for one in months:
            date = _date(year, one, day)
            if date:
                yield date


def _date(year: int, month: int, day: int) -> Date | None:
    try:
        return Date(year, month, day)
    except ValueError:
        return None


def _plus(date: Date, days: int) -> Date:
    try:
        return date + datetime.timedelta(days)
    except OverflowError:
        return date
