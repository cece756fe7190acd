"""A value in words, for an answer: "Monday, the third of May", "half past" never, "5 30 pm" always.

Figures are left to the voice, which knows the language; what a voice reads badly is in words.
"""

from __future__ import annotations

from workers.bot import Slot
from workers.bot.slot import iso_date
from workers.values import choices, english, german
from workers.values.lexicon import lexicon

_UNITS = {
    "en": {"USD": ("dollar", "dollars", "cents"), "EUR": ("euro", "euros", "cents"),
           "GBP": ("pound", "pounds", "pence")},
    "de": {"USD": ("Dollar", "Dollar", "Cent"), "EUR": ("Euro", "Euro", "Cent"),
           "GBP": ("Pfund", "Pfund", "Pence"), "CHF": ("Franken", "Franken", "Rappen")},
}  # fmt: skip


def said(slot: Slot, value: str, language: str, today: str = "") -> str:
    """Of a value that the slot accepts; of any other, the value itself."""
    if slot.type == "digits":
        return " ".join(value)
    if not slot.accepts(value):
        return value
    primary = language.lower().replace("_", "-").partition("-")[0]
    if slot.type == "date":
        return _date(value, primary, today)
    if slot.type == "time":
        return _time(value, primary)
    if slot.type == "amount":
        return _amount(value, primary)
    if slot.type == "choice":
        return choices.spoken(value, slot.options[value])
    return value


def _date(value: str, primary: str, today: str) -> str:
    date = iso_date(value)
    assert date is not None
    year = "" if today[:4] == value[:4] else f" {date.year}"
    if primary == "en":
        day = english.ordinal(date.day)
        name, month = english.WEEKDAYS[date.weekday()], english.MONTHS[date.month - 1]
        return f"{name}, the {day} of {month}{year}"
    if primary == "de":
        day = german.ordinal(date.day)
        name, month = german.WEEKDAYS[date.weekday()], german.MONTHS[date.month - 1]
        return f"{name}, der {day} {month}{year}"
    return f"{date.day}.{date.month}.{year.strip()}" if lexicon(primary).day_first else value


def _time(value: str, primary: str) -> str:
    hour, minute = int(value[:2]), int(value[3:])
    if primary == "de":
        part = "" if not 1 <= hour <= 6 else " nachts" if hour < 6 else " morgens"
        return f"{hour} Uhr {minute}{part}" if minute else f"{hour} Uhr{part}"
    if primary != "en":
        return value
    if (hour, minute) in ((0, 0), (12, 0)):
        return "noon" if hour else "midnight"
    part = "in the morning" if hour < 12 else "in the afternoon" if hour < 17 else "in the evening"
    told = hour % 12 or 12
    if not minute:
        return f"{told} o'clock {part}"
    return f"{told} {minute if minute >= 10 else f'oh {minute}'} {part}"


def _amount(value: str, primary: str) -> str:
    number, _, currency = value.partition(" ")
    units, _, cents = number.partition(".")
    names = _UNITS.get(primary, {}).get(currency)
    if names is None:
        plain = units if cents == "00" else number
        return f"{plain} {currency}".strip()
    one, many, small = names
    whole = f"{units} {one if units == '1' else many}"
    if cents == "00":
        return whole
    small = small if cents != "01" else small.rstrip("s")
    if primary == "de":
        return f"{whole} {int(cents)}"
    return f"{whole} and {int(cents)} {small}" if units != "0" else f"{int(cents)} {small}"


def spoken(kind: str, value: str, language: str, today: str = "") -> str:
    """A value of a type, written as a slot of that type has it."""
    primary = language.lower().replace("_", "-").partition("-")[0]
    if kind == "digits":
        return " ".join(value)
    if kind == "date":
        return _date(value, primary, today)
    if kind == "time":
        return _time(value, primary)
    return _amount(value, primary) if kind == "amount" else value
