"""Times of day: "half past five", "quarter to six", "five thirty in the afternoon", 17:30.

Without "am" or the like, a time that can be two is the one within the slot's hours; where that
does not decide either, 1 to 6 are of the afternoon. The confirmation reads it back.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from workers.values.lexicon import Lexicon, Part
from workers.values.numbers import below_hundred, is_number

_CLOCK = re.compile(r"([0-9]{1,2})[:.]([0-9]{2})")


@dataclass(frozen=True, slots=True)
class _Said:
    """plain: only an hour, or two numbers: a time because one was asked for."""

    hour: int
    minute: int
    used: int
    plain: bool = False
    exact: bool = False


def read(lexicon: Lexicon, text: str, first: str, last: str, strict: bool = False) -> str | None:
    """HH:MM, or None where there is no time, or more than one. first, last: HH:MM, the slot's.

    strict: no time was asked for, so "five" and "five thirty" alone are none.
    """
    tokens = lexicon.tokens(text)
    found: list[str] = []
    at = 0
    while at < len(tokens):
        said = _said(lexicon, tokens, at)
        if said is None:
            at += 1
            continue
        end = at + said.used
        part, used = _part(lexicon, tokens, end)
        prefixed = at > 0 and tokens[at - 1] in lexicon.at
        if said.plain and part is None and not prefixed:
            alone = not is_number(lexicon, tokens[at - 1] if at else "")
            alone = alone and not is_number(lexicon, tokens[end] if end < len(tokens) else "")
            if strict or not alone:
                if not alone:
                    return None  # a number in many figures
                at = end
                continue
        found.append(_resolve(said, part or _anywhere(lexicon, tokens), first, last))
        at = end + used
    said_times = set(found)
    if len(said_times) != 1:
        return None
    value = said_times.pop()
    return value if first <= value <= last else None


def keyed(keys: str, first: str, last: str) -> str | None:
    """HHMM; three figures are an hour below ten."""
    found = re.fullmatch(r"([0-9]{1,2})([0-5][0-9])", keys)
    if not found or int(found[1]) > 23:
        return None
    value = f"{int(found[1]):02}:{found[2]}"
    return value if first <= value <= last else None


def _said(lexicon: Lexicon, tokens: list[str], at: int) -> _Said | None:
    token = tokens[at]
    if token in lexicon.hours:
        return _Said(lexicon.hours[token], 0, 1, exact=True)
    clock = _CLOCK.fullmatch(token)
    if clock and (":" in token or tokens[at + 1 : at + 2] == ["uhr"]):
        hour, minute = int(clock[1]), int(clock[2])
        if hour > 23 or minute > 59:
            return None
        named = tokens[at + 1 : at + 2]
        more = 1 if named and named[0] in lexicon.o_clock else 0
        return _Said(hour, minute, 1 + more, exact=clock[1].startswith("0"))
    return _around(lexicon, tokens, at) or _hour_and_minute(lexicon, tokens, at)


def _around(lexicon: Lexicon, tokens: list[str], at: int) -> _Said | None:
    """half past five, halb sechs, quarter to six, ten past five."""
    token = tokens[at]
    following = tokens[at + 1] if at + 1 < len(tokens) else ""
    if token in lexicon.half_to:
        hour = below_hundred(lexicon, tokens, at + 1)
        return _Said((hour[0] - 1) % 24, 30, 1 + hour[1]) if _is_hour(hour) and hour else None
    if token in lexicon.half_past and following in lexicon.past:
        hour = below_hundred(lexicon, tokens, at + 2)
        return _Said(hour[0], 30, 2 + hour[1]) if _is_hour(hour) and hour else None
    minutes = (15, 1) if token in lexicon.quarter else below_hundred(lexicon, tokens, at)
    if minutes is None or not 1 <= minutes[0] <= 59:
        return None
    end = at + minutes[1]
    if end < len(tokens) and tokens[end] in lexicon.minutes:
        end += 1
    if end >= len(tokens) or tokens[end] not in lexicon.past | lexicon.to:
        return None
    hour = below_hundred(lexicon, tokens, end + 1)
    if hour is None or not _is_hour(hour):
        return None
    used = end + 1 + hour[1] - at
    if tokens[end] in lexicon.past:
        return _Said(hour[0], minutes[0], used)
    return _Said((hour[0] - 1) % 24, 60 - minutes[0], used)


def _hour_and_minute(lexicon: Lexicon, tokens: list[str], at: int) -> _Said | None:
    """five o'clock, siebzehn Uhr dreißig, five thirty, five oh five, five."""
    hour = below_hundred(lexicon, tokens, at)
    if hour is None and tokens[at] in lexicon.one and tokens[at + 1 : at + 2]:
        hour = (1, 1) if tokens[at + 1] in lexicon.o_clock else None
    if hour is None or not _is_hour(hour):
        return None
    end = at + hour[1]
    named = end < len(tokens) and tokens[end] in lexicon.o_clock
    end += named
    if end + 1 < len(tokens) and tokens[end] in lexicon.oh:
        ones = below_hundred(lexicon, tokens, end + 1)
        if ones and 0 < ones[0] < 10:
            return _Said(hour[0], ones[0], end + 1 + ones[1] - at, plain=not named)
    minute = below_hundred(lexicon, tokens, end)
    if minute and (10 if not named else 0) <= minute[0] <= 59:
        return _Said(hour[0], minute[0], end + minute[1] - at, plain=not named)
    return _Said(hour[0], 0, end - at, plain=not named)


def _is_hour(found: tuple[int, int] | None) -> bool:
    return found is not None and 0 <= found[0] <= 24


def _part(lexicon: Lexicon, tokens: list[str], at: int) -> tuple[Part | None, int]:
    """ "in the afternoon" right after the time."""
    end = at
    while end < len(tokens) and end < at + 2 and tokens[end] in lexicon.before_part:
        if tokens[end] in lexicon.parts:
            break
        end += 1
    if end < len(tokens) and tokens[end] in lexicon.parts:
        return lexicon.parts[tokens[end]], end + 1 - at
    return None, 0


def _anywhere(lexicon: Lexicon, tokens: list[str]) -> Part | None:
    """ "Tomorrow afternoon at five": but "am" is a word of its own there."""
    found = {lexicon.parts[t] for t in tokens if t in lexicon.parts and t not in ("am", "pm")}
    return found.pop() if len(found) == 1 else None


def _resolve(said: _Said, part: Part | None, first: str, last: str) -> str:
    hour = said.hour % 24
    if part == "am":
        hour = 0 if hour == 12 else hour
    elif part == "pm":
        hour = hour + 12 if hour < 12 else hour
    elif part == "evening":
        hour = hour + 12 if 4 <= hour < 12 else hour
    elif part == "night":
        hour = 0 if hour == 12 else hour + 12 if 6 <= hour < 12 else hour
    elif not said.exact and 1 <= hour < 12:
        early, late = _clock(hour, said.minute), _clock(hour + 12, said.minute)
        if (first <= early <= last) != (first <= late <= last):
            return early if first <= early <= last else late
        hour = hour + 12 if hour <= 6 else hour
    return _clock(hour, said.minute)


def _clock(hour: int, minute: int) -> str:
    return f"{hour:02}:{minute:02}"
