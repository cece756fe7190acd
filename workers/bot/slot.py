"""Slots: what can be asked for, of which type, within which bounds.

    type      the caller says            the caller keys in        the value, on the channel
    digits    four two seven one         4271                      4271
    yes_no    yes please                 1, 2                      yes, no
    text      five main street           -                         five main street
    date      the third of May           0305 or 0503, 03052027    2027-05-03
    time      half past five             1730                      17:30
    amount    twelve dollars fifty       12*50                     12.50, 12.50 USD
    choice    the large one              its number                the option's name

What a text says is read in workers/values/; here stands only what a value looks like.
"""

from __future__ import annotations

import datetime
import re
from decimal import Decimal
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from workers.bot.texts import Model, Name, Phrase, Variable

SlotType = Literal["digits", "yes_no", "text", "date", "time", "amount", "choice"]
# Of a date: an ISO date, or days, weeks, months, years from the day of the call. Of a time: HH:MM.
Bound = Annotated[
    str,
    StringConstraints(
        pattern=r"^(today|[+-][0-9]{1,4}[dwmy]|[0-9]{4}-[0-9]{2}-[0-9]{2}|[0-2][0-9]:[0-5][0-9])$"
    ),
]
Currency = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]
Money = Annotated[Decimal, Field(ge=0, le=Decimal("9999999.99"), decimal_places=2)]

MAX_OPTIONS = 9  # a key each
MAX_TEXT = 200  # characters of what a caller says for a slot of text
TIME = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])")
AMOUNT = re.compile(r"(0|[1-9][0-9]{0,6})\.([0-9]{2})")
_DAYS = {"d": 1, "w": 7, "m": 30, "y": 365}


class Slot(Model):
    """Something to be asked for.

    called: words that callers have for it, "post code": so it is known which one is wrong.
    retry: said in place of the question when the answer was none; it should say what is expected.
    keep_turns: for how many turns of the caller a value serves other intents as well. None: digits
    for the whole call, all else not at all.
    secret: keyed in only; its digits stay between the caller, the listener and the channel.
    """

    type: SlotType
    ask: Phrase
    ask_keypad: Phrase | None = None
    retry: Phrase | None = None
    called: tuple[Phrase, ...] = Field((), max_length=10)
    variable: Variable
    keep_turns: int | None = Field(None, ge=0, le=100)
    # digits
    min_digits: int = Field(1, ge=1, le=32)
    max_digits: int = Field(16, ge=1, le=32)
    secret: bool = False
    # date, time
    earliest: Bound | None = None
    latest: Bound | None = None
    # amount
    min_amount: Money | None = None
    max_amount: Money | None = None
    currency: Currency | None = None
    # choice: name to the words that stand for it, the first of them said back
    options: dict[Name, tuple[Phrase, ...]] = Field(default_factory=dict, max_length=MAX_OPTIONS)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.min_digits > self.max_digits:
            raise ValueError("min_digits is greater than max_digits")
        if self.type == "digits" and self.ask_keypad is None:
            raise ValueError("a digits slot needs ask_keypad, the question of the DTMF menu")
        if self.secret and self.type != "digits":
            raise ValueError("only a digits slot can be secret: it has to be keyed in")
        if (self.type == "choice") != bool(self.options):
            raise ValueError("a choice slot has options, at least two, and no other has any")
        if len(self.options) == 1:
            raise ValueError("a choice slot has options, at least two")
        self._bounds()
        return self

    def _bounds(self) -> None:
        for key in ("earliest", "latest"):
            bound = getattr(self, key)
            if bound is None:
                continue
            if self.type not in ("date", "time"):
                raise ValueError(f"{key} belongs to a date or a time")
            if (":" in bound) != (self.type == "time"):
                raise ValueError(f"{key}: {bound} is no {self.type}")
            if self.type == "time" and not TIME.fullmatch(bound):
                raise ValueError(f"{key}: {bound} is no time")
            if self.type == "date":
                bound_date(bound, datetime.date(2000, 1, 1))
        money = (self.min_amount, self.max_amount, self.currency)
        if self.type != "amount" and any(one is not None for one in money):
            raise ValueError("min_amount, max_amount and currency belong to an amount")
        if None not in money[:2] and self.min_amount > self.max_amount:  # type: ignore[operator]
            raise ValueError("min_amount is greater than max_amount")
        if self.earliest and self.latest and self.type == "time" and self.earliest > self.latest:
            raise ValueError("earliest is later than latest")

    @property
    def question(self) -> str:
        """What the assistant asks; of a secret, to key it in."""
        return self.ask_keypad if self.secret and self.ask_keypad else self.ask

    @property
    def in_menus(self) -> bool:
        """Whether both DTMF menus ask for it; a person asks for the others.

        A menu in FreeSWITCH's dialplan compares keys with a pattern: it knows neither a calendar
        nor what is more than what.
        """
        if self.ask_keypad is None or self.type in ("text", "date"):
            return False
        return not (self.earliest or self.latest or self.min_amount or self.max_amount)

    def accepts(self, value: str) -> bool:
        """Whether a channel variable's value can be this slot's, apart from bounds that depend on
        the day."""
        if self.type == "digits":
            fits = self.min_digits <= len(value) <= self.max_digits
            return fits and value.isascii() and value.isdigit()
        if self.type == "yes_no":
            return value in ("yes", "no")
        if self.type == "date":
            return iso_date(value) is not None
        if self.type == "time":
            return bool(TIME.fullmatch(value)) and self._within_hours(value)
        if self.type == "amount":
            return self._is_amount(value)
        if self.type == "choice":
            return value in self.options
        return 0 < len(value) <= MAX_TEXT and value.isprintable()

    def _within_hours(self, value: str) -> bool:
        return (self.earliest or "00:00") <= value <= (self.latest or "23:59")

    def _is_amount(self, value: str) -> bool:
        number, _, currency = value.partition(" ")
        if not AMOUNT.fullmatch(number) or currency != (self.currency or ""):
            return False
        amount = Decimal(number)
        if self.min_amount is not None and amount < self.min_amount:
            return False
        return self.max_amount is None or amount <= self.max_amount

    def dates(self, today: datetime.date) -> tuple[datetime.date, datetime.date]:
        """First and last date that it takes, on this day."""
        first = bound_date(self.earliest, today) if self.earliest else datetime.date.min
        last = bound_date(self.latest, today) if self.latest else datetime.date.max
        return first, last


def iso_date(text: str) -> datetime.date | None:
    """Of YYYY-MM-DD, and of nothing else."""
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        return None
    try:
        return datetime.date.fromisoformat(text)
    except ValueError:
        return None


def bound_date(bound: str, today: datetime.date) -> datetime.date:
    """The date that a bound stands for. Raises ValueError: no such day."""
    if bound == "today":
        return today
    if bound[0] in "+-":
        days = int(bound[1:-1]) * _DAYS[bound[-1]] * (1 if bound[0] == "+" else -1)
        try:
            return today + datetime.timedelta(days)
        except OverflowError:
            return datetime.date.max if days > 0 else datetime.date.min
    found = iso_date(bound)
    if found is None:
        raise ValueError(f"{bound} is no day")
    return found
