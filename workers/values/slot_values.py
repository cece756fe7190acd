"""Values of slots: from what a caller says or keys in, from what a model offers, and back to words.

    said ──read────┐
    keyed ─keyed───┼──▶ value, as bot/slot.py has it ──said──▶ words of an answer
    model ─offered─┘

No I/O, and no clock: `today` is the day of the call.
"""

from __future__ import annotations

import re
import unicodedata
from decimal import Decimal

from workers.bot import Slot
from workers.bot.slot import MAX_TEXT, iso_date
from workers.spoken import digits, yes_or_no
from workers.values import amounts, choices, dates, times
from workers.values.lexicon import lexicon
from workers.values.say import said

__all__ = ["complete", "keyed", "keys_end", "offered", "one_line", "read", "said"]

YES_NO_KEYS = {"1": "yes", "2": "no"}
POINT_KEY = "*"
# A time is complete as soon as it has minutes, a date as soon as it has a day and a month.
_SURE_LENGTH = {"time": 4, "choice": 1, "yes_no": 1}


def read(slot: Slot, text: str, language: str, today: str, strict: bool = False) -> str | None:
    """The value in what was said, or None.

    today: ISO 8601; without it no date is understood. strict: this slot was not asked for, so only
    what can be nothing else is taken.
    """
    if slot.secret:
        return None  # said aloud, it is none
    value = _read(slot, text, language, today, strict)
    return value if value is not None and slot.accepts(value) else None


def _read(slot: Slot, text: str, language: str, today: str, strict: bool) -> str | None:
    words = lexicon(language)
    if slot.type == "digits":
        return digits(text, language)
    if slot.type == "yes_no":
        return None if strict else yes_or_no(text, language)
    if slot.type == "date":
        bounds = _bounds(slot, today)
        date = dates.read(words, text, bounds, strict) if bounds else None
        return date.isoformat() if date else None
    if slot.type == "time":
        return times.read(words, text, *_hours(slot), strict)
    if slot.type == "amount":
        low, high = _money(slot)
        return _amount(slot, amounts.read(words, text, low, high, slot.currency, strict))
    if slot.type == "choice":
        return choices.read(words, text, slot.options, strict)
    return None if strict else one_line(text)


def keyed(slot: Slot, keys: str, language: str, today: str) -> str | None:
    """The value that was keyed in, or None: keys are 0-9, of an amount also *."""
    if slot.type == "yes_no":
        value = YES_NO_KEYS.get(keys)
    elif slot.type == "date":
        bounds = _bounds(slot, today)
        date = dates.keyed(lexicon(language), keys, bounds) if bounds else None
        value = date.isoformat() if date else None
    elif slot.type == "time":
        value = times.keyed(keys, *_hours(slot))
    elif slot.type == "amount":
        value = _amount(slot, amounts.keyed(keys, *_money(slot)))
    elif slot.type == "choice":
        value = choices.keyed(keys, slot.options)
    else:
        value = keys if slot.type == "digits" else None
    return value if value is not None and slot.accepts(value) else None


def keys_end(slot: Slot, keys: str, today: str) -> bool:
    """Whether nothing can follow these keys."""
    if slot.type == "digits":
        return len(keys) >= slot.max_digits
    if slot.type == "date":
        bounds = _bounds(slot, today)
        year = bounds is None or (bounds.last - bounds.first).days > 366
        return len(keys) >= (8 if year else 4)
    if slot.type == "amount":
        return bool(re.search(r"[*][0-9]{2}$", keys))
    return len(keys) >= _SURE_LENGTH.get(slot.type, 99)


def offered(slot: Slot, value: object, language: str, today: str) -> str | None:
    """The value that a slot takes from a model, which may offer anything, or None.

    "4271" and "42-71" are digits, "four" is not: a model that was told of digits writes them.
    """
    if slot.secret or not isinstance(value, str):
        return None
    value = one_line(value)
    if slot.type == "digits":
        value = re.sub("[ -]", "", value)
    elif slot.type in ("yes_no", "choice"):
        value = value.lower()
    elif slot.type == "amount":
        figures = re.fullmatch(r"([0-9]{1,7})(?:[.,]([0-9]{1,2}))?(?: ?([A-Z]{3}))?", value)
        if not figures or (figures[3] and figures[3] != slot.currency):
            return None
        value = _amount(slot, Decimal(f"{figures[1]}.{figures[2] or 0}")) or ""
    elif slot.type == "date":
        date, bounds = iso_date(value), _bounds(slot, today)
        if date is None or (bounds and not bounds.holds(date)):
            return None
    return value if slot.accepts(value) else None


def complete(slot: Slot, text: str, language: str, today: str) -> bool:
    """Whether the caller has said all of the value: nothing that belongs to it can follow."""
    if slot.type == "digits":
        return len(digits(text, language)) >= slot.max_digits
    if slot.type in ("date", "choice"):
        return read(slot, text, language, today, strict=True) is not None
    if slot.type == "amount":
        value = read(slot, text, language, today)
        return value is not None and ".00" not in value
    return False


def one_line(text: str) -> str:
    """Without control characters, line breaks and lone surrogates: this goes on the channel."""
    printable = (" " if unicodedata.category(c)[0] in "CZ" else c for c in text[: 4 * MAX_TEXT])
    return " ".join("".join(printable).split())[:MAX_TEXT].strip()


def _bounds(slot: Slot, today: str) -> dates.Bounds | None:
    day = iso_date(today)
    if day is None:
        return None
    first, last = slot.dates(day)
    return dates.Bounds(first, last, day)


def _hours(slot: Slot) -> tuple[str, str]:
    return slot.earliest or "00:00", slot.latest or "23:59"


def _money(slot: Slot) -> tuple[Decimal, Decimal]:
    low = slot.min_amount if slot.min_amount is not None else Decimal(0)
    return low, slot.max_amount if slot.max_amount is not None else amounts.MOST


def _amount(slot: Slot, amount: Decimal | None) -> str | None:
    if amount is None:
        return None
    return f"{amount:.2f}" + (f" {slot.currency}" if slot.currency else "")
