"""An utterance of several wishes, taken apart at its conjunctions.

    "change my shipping address for yesterday's order, but keep billing the same"
     └──────────────── a wish ─────────────────────┘  └──── what shall stay ───┘

Where to cut is not seen in the words alone ("bed and breakfast"): who calls tries each part on the
matcher, and takes only a cut whose parts are both understood. What shall stay as it is, is no wish:
its words ("billing") must not lead anywhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from workers.bot.languages import primary

MAX_CUTS = 8

# Blanks, taken whole and from their beginning: a row of them is looked at once.
_PAUSE: Final = r"(?:(?<!\s)\s++)?"
_CONJUNCTION: Final = {
    "en": re.compile(
        rf"{_PAUSE}(?:[,;.!?]++\s++)?\b(?:and then|and also|and after that|and|then|also|"
        rf"but also|but|as well as|plus|after that|oh and)\b[ ,]*|{_PAUSE}[;.!?]\s+|{_PAUSE},\s+"
        r"|(?<!\s)\s++(?=without\b)"
    ),
    "de": re.compile(
        rf"{_PAUSE}(?:[,;.!?]++\s++)?\b(?:und dann|und auch|und|danach|außerdem|"
        rf"aber auch|aber|sowie)\b[ ,]*|{_PAUSE}[;.!?]\s+|{_PAUSE},\s+|(?<!\s)\s++(?=ohne\b)"
    ),
}
_STAYS: Final = {
    "en": re.compile(
        r"\b(?:keep|keeping|leave|leaving)\b.{0,60}\b(?:same|as (?:it|they) (?:is|are|was|were)|"
        r"unchanged|alone|is|are)\b"
        r"|\b(?:keep|leave)\b.{1,60}$"
        r"|\b(?:don't|do not|without|not|never)\b.{0,12}\b(?:chang|touch|alter)\w*\b"
        r"|\b(?:stays?|remains?)\b.{0,20}\b(?:same|unchanged|as (?:it|they))\b"
    ),
    "de": re.compile(
        r"\b(?:lass|lassen|behalt|behalten|belassen)\b|\b(?:bleibt|bleiben|bleib)\b"
        r"|\b(?:nicht|ohne)\b.{0,40}\bänder\w*\b|\bunverändert\b"
    ),
}
_NEVER: Final = re.compile(r"(?!)")


def without_stays(text: str, language: str) -> tuple[str, bool]:
    """The text without the clauses that say what shall stay, and whether there were any.

    A text that is nothing but such a clause is left as it is: that is a wish of its own.
    """
    stays = _STAYS.get(primary(language), _NEVER)
    parts = list(_pieces(text, language))
    kept = [part for part in parts if not stays.search(part[1].lower())]
    if not kept or len(kept) == len(parts):
        return text, False
    whole = "".join(before + part for before, part in kept)
    return whole.strip(" ,;.").removeprefix(kept[0][0]).strip(), True


def cuts(text: str, language: str) -> list[tuple[str, str]]:
    """Where it may be cut in two, in order; each with what is before and after the conjunction."""
    pattern = _CONJUNCTION.get(primary(language), _NEVER)
    found = []
    for mark in pattern.finditer(text.lower()):
        before, after = text[: mark.start()].strip(), text[mark.end() :].strip()
        if before and after:
            found.append((before, after))
    return found[:MAX_CUTS]


def _pieces(text: str, language: str) -> Iterator[tuple[str, str]]:
    """All clauses, each with the conjunction before it."""
    pattern = _CONJUNCTION.get(primary(language), _NEVER)
    at, mark = 0, ""
    lowered = text.lower()
    if len(lowered) != len(text):  # a letter that has none of its own: positions would be wrong
        text = lowered
    for found in pattern.finditer(lowered):
        if text[at : found.start()].strip():
            yield mark, text[at : found.start()]
            mark, at = text[found.start() : found.end()], found.end()
    if text[at:].strip():
        yield mark, text[at:]
