"""What must not be kept: where it stands in a text, and what it is. No I/O.

    card         13 to 19 figures that pass Luhn's check and begin as cards do
    iban         by its country's form and check (python-stdnum)
    national_id  of the countries named, each by its own check (python-stdnum)
    phone        valid in the region, or with a country code (phonenumbers)
    email        written, or with "at" and "dot"
    number       any other run of seven figures or more: half a card's number, an order's

Figures may be written or said. The longest and most certain kind wins.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import phonenumbers
from stdnum import iban, luhn

from workers.bot.redaction import Kind, Redaction
from workers.redaction.numbers import Said, numbers
from workers.redaction.spoken import FIGURES, Item, mixed_runs, runs

Fits = Callable[[str], bool]
MIN_NUMBER = 7
MAX_TEXT = 4000
CARD_LENGTHS = range(19, 12, -1)
IDS_OF = {
    "AT": ("at.vnr",), "BE": ("be.nn",), "BR": ("br.cpf",), "CA": ("ca.sin",), "CH": ("ch.ssn",),
    "DE": ("de.idnr",), "DK": ("dk.cpr",), "ES": ("es.dni", "es.nie"), "FI": ("fi.hetu",),
    "FR": ("fr.nir",), "GB": ("gb.nhs", "gb.utr"), "IE": ("ie.pps",), "IN": ("in_.aadhaar",),
    "IT": ("it.codicefiscale",), "NL": ("nl.bsn",), "NO": ("no.fodselsnummer",),
    "PL": ("pl.pesel",), "PT": ("pt.nif",), "SE": ("se.personnummer",), "US": ("us.ssn",),
}  # fmt: skip
_DATE = re.compile(r"\d{4}-\d{1,2}-\d{1,2}|\d{1,2}[./]\d{1,2}[./]\d{2,4}")
# Blanks are taken whole and from their beginning: a row of them is looked at once.
_AT = (
    r"(?:(?:(?<!\s)\s++)?@\s*+"
    r"|(?<!\s)\s++(?:at|ät|ett|arroba|arobase|chiocciola|klammeraffe)\s++)"
)
_DOT = r"(?:\s*\.\s*|\s+(?:dot|punkt|point|punto|ponto)\s+)"
_JOIN = (
    r"(?:\.|\s+(?:dot|punkt|point|punto|ponto|dash|hyphen|minus|underscore|unterstrich|plus)\s+)"
)
# A name spelled out comes letter by letter: "j o h n". No word fits two ways ("o" is a letter), and
# a pause is taken whole: with either, a row of the same word would be tried in every combination.
_TEENS = (
    "ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen zehn elf zwölf"
    " dreizehn vierzehn fünfzehn sechzehn siebzehn achtzehn neunzehn dix onze douze treize quatorze"
    " quinze seize diez once doce trece catorce dieci undici dodici tredici dez doze treze"
)
_LONG = "|".join(sorted({w for w in (*FIGURES, *_TEENS.split()) if len(w) > 1}, reverse=True))
_SPELLED = rf"(?:(?:\b(?:[^\W_]|{_LONG})\s++){{1,30}})?"
_LABEL = r"[^\W_][\w-]{0,62}"
_EMAIL = re.compile(
    rf"{_SPELLED}[\w%+-]{{1,64}}(?:{_JOIN}[\w%+-]{{1,64}}){{0,6}}{_AT}"
    rf"(?:{_LABEL}{_DOT}){{1,4}}(?:[^\W\d_]{{2,24}})\b",
    re.IGNORECASE,
)
_AT_SIGN = re.compile(_AT, re.IGNORECASE)
_SAID = {"dot": ".", "punkt": ".", "point": ".", "punto": ".", "ponto": ".", "dash": "-",
         "hyphen": "-", "minus": "-", "underscore": "_", "unterstrich": "_",
         "plus": "+"}  # fmt: skip
_WORD = re.compile(r"[^\W\d_]+")
# Without any of these, a number, a figure or an @ there is nothing to look for.
_WORDS = {*FIGURES, "at", "ät", "ett", "arroba", "arobase", "chiocciola", "klammeraffe"}


def _never(_: str) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Found:
    """text[start:end] is of this kind; value: as a machine would write it."""

    kind: Kind
    value: str
    start: int
    end: int


def find(text: str, rules: Redaction, needed: Fits = _never) -> list[Found]:
    """All of it, in order, none over another.

    needed(figures): some wish of the bot needs a number like this one, so that it is no `number`.
    """
    text = text[:MAX_TEXT]
    some = any(c.isdigit() or c == "@" for c in text)
    said = numbers(text)
    if not some and not said and not _WORDS.intersection(_WORD.findall(text.lower())):
        return []
    found: list[Found] = []
    for one in _all(text, said, rules, needed):
        if not any(one.start < other.end and other.start < one.end for other in found):
            found.append(one)
    return sorted((f for f in found if f.kind not in rules.allow), key=lambda f: f.start)


def cards(figures: str) -> Iterator[tuple[int, int]]:
    """Where card numbers stand in a row of figures; none over another."""
    at = 0
    while at + min(CARD_LENGTHS) <= len(figures):
        length = next((n for n in CARD_LENGTHS if _card(figures[at : at + n], n)), 0)
        if length:
            yield at, at + length
        at += length or 1


def _card(figures: str, length: int) -> bool:
    return (
        len(figures) == length
        and figures[0] in "23456"
        and len(set(figures)) > 1
        and bool(luhn.is_valid(figures))
    )


def _all(text: str, said: list[Said], rules: Redaction, needed: Fits) -> Iterator[Found]:
    """The most certain first."""
    for match in _EMAIL.finditer(text) if _AT_SIGN.search(text) else ():
        yield Found("email", _address(match.group()), match.start(), match.end())
    mixed = mixed_runs(text, said)
    for run in mixed:
        yield from _windows(run, "iban", range(34, 14, -1), _iban)
    plain = runs(text, said)
    rest: list[list[Item]] = []
    for run in plain:
        at = 0
        spans = list(cards("".join(i.char for i in run)))
        for start, end in spans:
            yield _found("card", run[start:end])
            # What stands beside a card in the same breath is its date or its check value.
            yield from (_found("number", part) for part in (run[at:start],) if part)
            at = end
        if spans and run[at:]:
            yield _found("number", run[at:])
        if not spans:
            rest.append(run)
    names = rules.national_ids
    checks = [_check(name) for name in (IDS_OF.get(rules.region, ()) if names is None else names)]
    for run in rest:
        figures = "".join(i.char for i in run)
        if _DATE.fullmatch(text[run[0].start : run[-1].end]):
            continue
        plus = text[: run[0].start].rstrip().lower().endswith(("+", "plus"))
        if any(check(figures) for check in checks):
            yield _found("national_id", run)
        elif _phone(("+" if plus else "") + figures, rules.region):
            yield _found("phone", run)
    for run in mixed:
        if any(i.char.isalpha() for i in run):
            for check in checks:
                yield from _windows(run, "national_id", range(16, 7, -1), check)
    for run in rest:
        figures = "".join(i.char for i in run)
        dated = _DATE.fullmatch(text[run[0].start : run[-1].end])
        if len(figures) < MIN_NUMBER or needed(figures) or dated:
            continue
        yield _found("number", run)


def _found(kind: Kind, run: list[Item]) -> Found:
    return Found(kind, "".join(i.char for i in run), run[0].start, run[-1].end)


def _windows(
    run: list[Item], kind: Kind, lengths: range, check: Callable[[str], bool]
) -> Iterator[Found]:
    chars = "".join(i.char for i in run)[:200]
    at = 0
    while at + lengths[-1] <= len(chars):
        length = next((n for n in lengths if at + n <= len(chars) and check(chars[at : at + n])), 0)
        if length:
            yield _found(kind, run[at : at + length])
        at += length or 1


def _iban(chars: str) -> bool:
    return chars[:2].isalpha() and chars[2:4].isdigit() and bool(iban.is_valid(chars))


def _phone(figures: str, region: str) -> bool:
    if not 7 <= len(figures) <= 16:
        return False
    try:
        return phonenumbers.is_valid_number(phonenumbers.parse(figures, region))
    except phonenumbers.NumberParseException:
        return False


@cache
def _check(name: str) -> Callable[[str], bool]:
    module: Any = importlib.import_module(f"stdnum.{name}")
    return lambda chars: len(chars) >= MIN_NUMBER and bool(module.is_valid(chars))


def _address(text: str) -> str:
    """As it would be written: "j o h n at gmail dot com" is john@gmail.com."""
    words = []
    local, _, domain = _halves(text)
    for half in (local, domain):
        for one in reversed(numbers(half)):
            half = half[: one.start] + one.figures + half[one.end :]
        parts = re.findall(r"[^\W_]+|[^\s\w]|_", half.lower())
        words.append("".join(_SAID.get(p, FIGURES.get(p, p) if len(p) > 1 else p) for p in parts))
    return "@".join(words)


def _halves(text: str) -> tuple[str, str, str]:
    at = list(_AT_SIGN.finditer(text))[-1]
    return text[: at.start()], at.group(), text[at.end() :]
