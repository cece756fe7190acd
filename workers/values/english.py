"""English numbers, days, hours and money, as said on the telephone."""

# ruff: noqa: SIM905 - words in a row are read more easily

from __future__ import annotations

import dataclasses
from typing import Final

from workers.values.lexicon import Lexicon

ONES: Final = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
    "fifteen sixteen seventeen eighteen nineteen"
).split()
TENS: Final = "twenty thirty forty fifty sixty seventy eighty ninety".split()
ORDINALS: Final = (
    "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth "
    "thirteenth fourteenth fifteenth sixteenth seventeenth eighteenth nineteenth twentieth"
).split()
MONTHS: Final = (
    "January February March April May June July August September October November December".split()
)
WEEKDAYS: Final = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()

_small = {word: n for n, word in enumerate(ONES)} | {w: 20 + 10 * n for n, w in enumerate(TENS)}
_small |= {"fourty": 40}

BRITISH: Final = Lexicon(
    small=_small,
    one=frozenset({"a", "an"}),
    oh=frozenset({"oh", "o", "zero", "nought"}),
    and_=frozenset({"and"}),
    hundred=frozenset({"hundred"}),
    thousand=frozenset({"thousand"}),
    point=frozenset({"point"}),
    ordinals={word: n for n, word in enumerate(ORDINALS, 1)} | {"thirtieth": 30},
    months={name.lower(): n for n, name in enumerate(MONTHS, 1)}
    | {name[:3].lower(): n for n, name in enumerate(MONTHS, 1)},
    weekdays={name.lower(): n for n, name in enumerate(WEEKDAYS)},
    days={
        ("today",): 0, ("tonight",): 0, ("tomorrow",): 1, ("yesterday",): -1,
        ("yesterday's",): -1, ("today's",): 0, ("tomorrow's",): 1,
        ("day", "after", "tomorrow"): 2, ("day", "before", "yesterday"): -2,
    },
    next_=frozenset({"next"}),
    last_=frozenset({"last", "past", "previous"}),
    units={"day": 1, "days": 1, "week": 7, "weeks": 7},
    in_=frozenset({"in"}),
    ago=frozenset({"ago"}),
    the=frozenset({"the"}),
    of=frozenset({"of"}),
    no_day=frozenset({"one", "time", "thing", "option", "choice", "floor", "half"}),
    at=frozenset({"at", "around", "about"}),
    o_clock=frozenset({"o'clock", "oclock"}),
    half_past=frozenset({"half"}),
    quarter=frozenset({"quarter"}),
    past=frozenset({"past", "after"}),
    to=frozenset({"to", "before", "till"}),
    minutes=frozenset({"minutes", "minute"}),
    hours={"noon": 12, "midday": 12, "midnight": 0},
    parts={
        "am": "am", "pm": "pm", "morning": "am", "afternoon": "pm", "evening": "evening",
        "tonight": "evening", "night": "night",
    },
    before_part=frozenset({"in", "the", "at", "this"}),
    currencies={
        "dollar": "USD", "dollars": "USD", "bucks": "USD", "$": "USD", "euro": "EUR",
        "euros": "EUR", "€": "EUR", "pound": "GBP", "pounds": "GBP", "quid": "GBP", "£": "GBP",
    },
    cents=frozenset({"cent", "cents", "penny", "pence", "p"}),
    last_one=frozenset({"last"}),
    number=frozenset({"number", "option"}),
    not_=frozenset({"not"}),
)  # fmt: skip
AMERICAN: Final = dataclasses.replace(BRITISH, day_first=False)


def ordinal(n: int) -> str:
    """ "twenty third", of 1 to 31."""
    if n <= 20:
        return ORDINALS[n - 1]
    if n == 30:
        return "thirtieth"
    return f"{TENS[n // 10 - 2]} {ORDINALS[n % 10 - 1]}"
