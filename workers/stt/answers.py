"""How callers answer: freely, with digits, yes or no, a day, a time, a sum, or one of several; and
the language model of each."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Final

from workers.stt.engine import Expect, Hints
from workers.stt.language_model import English, Phrases, mixture
from workers.stt.vocabulary import DIGITS, Dictionary, sentences
from workers.values.english import MONTHS, ONES, TENS, WEEKDAYS, ordinal

Weighted = dict[tuple[str, ...], float]

MAX_PHRASES: Final = 5000
# How much of a language model is phrases; English has the rest.
_SHARE: Final[dict[Expect, float]] = {
    "text": 0.5, "digits": 0.85, "yes_no": 0.7, "date": 0.7, "time": 0.7, "amount": 0.7,
    "choice": 0.7,
}  # fmt: skip
# The bot's own phrases, when something else is expected, against the answers expected.
_BESIDE: Final = 0.3
# After a digit comes another one or the end: "four two family one" is never meant.
_AFTER_DIGIT: Final = 0.99

_YES_NO: Final = {
    "yes": 20, "yeah": 6, "yep": 3, "yes please": 3, "yes it is": 2, "yes that's right": 3,
    "that's right": 3, "that's correct": 2, "correct": 3, "right": 1, "sure": 1, "okay": 1,
    "yes that is right": 1, "yes that is correct": 1, "yes correct": 1, "exactly": 1,
    "no": 20, "nope": 3, "no thank you": 3, "no thanks": 2, "no it isn't": 1, "no it is not": 1,
    "no that's wrong": 3, "that's wrong": 2, "that's not right": 2, "no that's not right": 2,
    "wrong": 1, "no that is wrong": 1, "that is not correct": 1, "not correct": 1,
    "no never mind": 1, "never mind": 1, "no the other one": 1,
}  # fmt: skip


_BEFORE_DIGITS: Final = {
    "": 1.0, "it's": 0.05, "it is": 0.05, "my account number is": 0.05, "my number is": 0.03,
    "the number is": 0.03, "yes it's": 0.01, "that's": 0.01,
}  # fmt: skip


_BEFORE: Final[dict[str, dict[str, float]]] = {
    "date": {"": 1.0, "on": 0.3, "it's": 0.03, "please": 0.02},
    "time": {"": 1.0, "at": 0.5, "around": 0.03},
    "amount": {"": 1.0, "i want to pay": 0.03, "it's": 0.03},
    "choice": {"": 1.0, "the": 0.5, "a": 0.3, "i want the": 0.05, "i'd like the": 0.05},
}
_AFTER: Final[dict[str, dict[str, float]]] = {
    "date": {"": 1.0, "please": 0.05},
    "time": {"": 1.0, "please": 0.05},
    "amount": {"": 1.0, "please": 0.05},
    "choice": {"": 1.0, "one": 0.5, "please": 0.2, "one please": 0.1},
}
# The other kinds of answer together weigh about as much as those of yes and no.
_TOTAL: Final = 100.0


def expected(hints: Hints) -> Weighted:
    """The answers a question of this kind has, each with a weight; none for "text"."""
    kind = hints.expect
    if kind == "yes_no":
        return {tuple(answer.split()): float(weight) for answer, weight in _YES_NO.items()}
    if kind == "digits":
        return _digits()
    if kind == "choice":
        said = [" ".join(words) for words in sentences(hints.options)]
        return _wrapped("choice", [*said, "other one", "first one", "second one"])
    if kind == "text":
        return {}
    return _wrapped(kind, {"date": _dates, "time": _times, "amount": _amounts}[kind]())


def _wrapped(kind: str, answers: Iterable[str]) -> Weighted:
    """Each answer as callers begin and end it."""
    rows: Weighted = {}
    for answer in answers:
        around = itertools.product(_BEFORE[kind].items(), _AFTER[kind].items())
        for (before, one), (after, two) in around:
            row = (*before.split(), *answer.split(), *after.split())
            rows[row] = rows.get(row, 0.0) + one * two
    total = sum(rows.values())
    return {row: weight * _TOTAL / total for row, weight in rows.items()} if total else {}


def _below_hundred(first: int, last: int) -> list[str]:
    tens = [*TENS, *(f"{ten} {one}" for ten in TENS for one in ONES[1:10])]
    every = {**dict(enumerate(ONES)), **{20 + 10 * n: ten for n, ten in enumerate(TENS)}}
    for words in tens[len(TENS) :]:
        ten, one = words.split()
        every[20 + 10 * TENS.index(ten) + ONES.index(one)] = words
    return [every[n] for n in range(first, last + 1)]


def _dates() -> list[str]:
    months = [month.lower() for month in MONTHS]
    days = [ordinal(day) for day in range(1, 32)]
    names = [name.lower() for name in WEEKDAYS]
    found = [f"the {day} of {month}" for day in days for month in months]
    found += [f"{month} {day}" for day in days for month in months]
    # Days by their own are said most of all.
    near = ["today", "tomorrow", "the day after tomorrow", "yesterday", "next week"]
    near += [f"{which}{name}" for name in names for which in ("", "next ", "this ", "last ")]
    near += [f"in {n} {unit}" for n in ONES[2:11] for unit in ("days", "weeks")]
    near += ["in a week", "a week from today", *(f"the {day}" for day in days)]
    near += [f"{name} the {day}" for name in names for day in days]
    return found + near * 3


def _times() -> list[str]:
    hours = _below_hundred(1, 12)
    minutes = _below_hundred(10, 59)
    round_ = ["fifteen", "thirty", "forty five", "twenty", "ten"]
    parts = ["", " in the morning", " in the afternoon", " in the evening", " p m", " a m"]
    found = [f"{hour}{part}" for hour in hours for part in parts] * 4
    found += [f"{hour} o'clock{part}" for hour in hours for part in parts[:4]] * 2
    found += [f"{hour} {minute}{part}" for hour in hours for minute in round_ for part in parts]
    found += [f"{hour} {minute}" for hour in hours for minute in minutes]
    found += [f"half past {hour}" for hour in hours] * 6
    found += [f"quarter {side} {hour}" for hour in hours for side in ("past", "to")] * 4
    found += [f"{n} {side} {hour}" for n in ("five", "ten", "twenty") for hour in hours
              for side in ("past", "to")]  # fmt: skip
    return [*found, "noon", "midnight"]


def _amounts() -> list[str]:
    small = _below_hundred(1, 99)
    cents = ["fifty", "twenty five", "ninety nine", "ninety five", "seventy five", "twenty", "ten"]
    found = [*small, *(f"{n} dollars" for n in small), *(f"{n} euros" for n in small)]
    found += [f"{n} dollars and {c} cents" for n in small for c in cents]
    found += [f"{n} {c}" for n in small for c in cents]
    large = [f"{n} hundred{rest}" for n in ("a", *ONES[1:10]) for rest in ("", " and fifty")]
    large += [f"{n} hundred and {two}" for n in ("a", "one", "two") for two in small]
    found += [*large, *(f"{n} dollars" for n in large)]
    return [*found, *(f"{n} thousand dollars" for n in ONES[1:11])]


def _digits() -> Weighted:
    said = (*DIGITS, "oh")
    count = len(said)
    rows: Weighted = {}
    # Steps modulo 11, which is prime: each digit follows each one equally often.
    for first in range(count):
        for step in range(count):
            row = tuple(said[(first + step * at) % count] for at in range(6))
            for before, weight in _BEFORE_DIGITS.items():
                rows[(*before.split(), *row)] = weight
    return rows


def model_text(
    hints: Hints, english: English, dictionary: Dictionary
) -> tuple[str, dict[str, str]]:
    """The language model in ARPA's format, and how the words sound that the dictionary lacks."""
    phrases = sentences(hints.phrases[:MAX_PHRASES])
    weighted = expected(hints)
    each = _BESIDE * sum(weighted.values()) / max(1, len(phrases)) if weighted else 1.0
    for phrase in phrases:
        weighted[phrase] = weighted.get(phrase, 0.0) + each
    lacking = {word for phrase in weighted for word in phrase if word not in dictionary}
    digits = hints.expect == "digits"
    # Digits say nothing about the next but one.
    model = Phrases(weighted, order=2 if digits else 3)
    after = dict.fromkeys((*DIGITS, "oh"), _AFTER_DIGIT) if digits else {}
    text = mixture(english, model, _SHARE[hints.expect], after)
    return text, {word: dictionary.guess(word) for word in sorted(lacking)}
