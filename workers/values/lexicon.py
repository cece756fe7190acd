"""The words of a language for numbers, days, hours and money.

    words ─▶ figures      small, hundred, thousand, ordinals
    words ─▶ days         months, weekdays, days, next_, last_
    words ─▶ hours        half, quarter, past, to, part
    words ─▶ money        currencies, cents

A language that is not here is understood as far as its recogniser writes figures.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

MAX_TOKENS = 60
Part = Literal["am", "pm", "evening", "night"]

_TOKEN = re.compile(
    r"\d+(?:[.,:/-]\d+)*(?:st|nd|rd|th)?|[$€£]|[^\W\d_]+(?:'[^\W\d_]+)*", re.IGNORECASE
)
_SHORT_PARTS = re.compile(r"\b([ap])\.?\s?m\b\.?")  # "p.m.", "p m"


@dataclass(frozen=True, slots=True)
class Lexicon:
    """All words in lower case. day_first: whether 3/5 is the third of May."""

    day_first: bool = True
    small: dict[str, int] = field(default_factory=dict)  # 0 to 99; what is in two words by its ten
    one: frozenset[str] = frozenset()  # "a" hundred
    oh: frozenset[str] = frozenset()  # "five oh five"
    and_: frozenset[str] = frozenset()
    hundred: frozenset[str] = frozenset()
    thousand: frozenset[str] = frozenset()
    point: frozenset[str] = frozenset()
    ordinals: dict[str, int] = field(default_factory=dict)  # in one word, 1 to 31
    months: dict[str, int] = field(default_factory=dict)
    weekdays: dict[str, int] = field(default_factory=dict)  # Monday is 0
    days: dict[tuple[str, ...], int] = field(default_factory=dict)  # from today
    next_: frozenset[str] = frozenset()
    last_: frozenset[str] = frozenset()
    units: dict[str, int] = field(default_factory=dict)  # days
    in_: frozenset[str] = frozenset()
    ago: frozenset[str] = frozenset()  # after it, or before it
    the: frozenset[str] = frozenset()
    of: frozenset[str] = frozenset()
    no_day: frozenset[str] = frozenset()  # "the first one"
    at: frozenset[str] = frozenset()
    o_clock: frozenset[str] = frozenset()
    half_past: frozenset[str] = frozenset()
    half_to: frozenset[str] = frozenset()  # "halb sechs"
    quarter: frozenset[str] = frozenset()
    past: frozenset[str] = frozenset()
    to: frozenset[str] = frozenset()
    minutes: frozenset[str] = frozenset()
    hours: dict[str, int] = field(default_factory=dict)  # noon, midnight
    parts: dict[str, Part] = field(default_factory=dict)
    before_part: frozenset[str] = frozenset()  # "in the" morning
    currencies: dict[str, str] = field(default_factory=dict)
    cents: frozenset[str] = frozenset()
    last_one: frozenset[str] = frozenset()
    number: frozenset[str] = frozenset()  # "number two"
    not_: frozenset[str] = frozenset()
    split: Callable[[str], list[str]] | None = None  # words that are written as one

    def tokens(self, text: str) -> list[str]:
        """Lower-case words and figures, marks left out."""
        lowered = _SHORT_PARTS.sub(r"\1m", text[:600].lower().replace("’", "'"))
        found = _TOKEN.findall(lowered)[:MAX_TOKENS]
        if self.split is None:
            return found
        return [part for word in found for part in self.split(word)][:MAX_TOKENS]


@functools.cache
def lexicon(language: str) -> Lexicon:
    """Of a language, as "en" or "en-GB"; an empty one where there is none."""
    from workers.values import english, german

    code = language.lower().replace("_", "-")
    primary = code.partition("-")[0]
    if primary == "en":
        return english.AMERICAN if code in ("en", "en-us") else english.BRITISH
    return german.GERMAN if primary == "de" else Lexicon()
