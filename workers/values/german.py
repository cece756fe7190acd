"""German numbers, days, hours and money, as said on the telephone."""

# ruff: noqa: SIM905 - words in a row are read more easily

from __future__ import annotations

import re
from typing import Final

from workers.values.lexicon import Lexicon

_ONES: Final = (
    "null eins zwei drei vier fünf sechs sieben acht neun zehn elf zwölf dreizehn vierzehn "
    "fünfzehn sechzehn siebzehn achtzehn neunzehn"
).split()
_TENS: Final = "zwanzig dreißig vierzig fünfzig sechzig siebzig achtzig neunzig".split()
MONTHS: Final = (
    "Januar Februar März April Mai Juni Juli August September Oktober November Dezember".split()
)
WEEKDAYS: Final = "Montag Dienstag Mittwoch Donnerstag Freitag Samstag Sonntag".split()


def _small() -> dict[str, int]:
    found = {word: n for n, word in enumerate(_ONES)} | {"zwo": 2}
    for ten, word in enumerate(_TENS, 2):
        found[word] = 10 * ten
        for one, first in enumerate(["ein", *_ONES[2:10]], 1):
            found[f"{first}und{word}"] = 10 * ten + one
    return found | {word.replace("ß", "ss"): n for word, n in found.items()}


_SMALL: Final = _small()
NUMBERS: Final = {word: str(n) for word, n in _SMALL.items()}


def ordinal(n: int) -> str:
    """ "dreiundzwanzigste", of 1 to 31."""
    odd = {1: "erste", 3: "dritte", 7: "siebte", 8: "achte"}
    if n in odd:
        return odd[n]
    word = next(w for w, held in _SMALL.items() if held == n and w != "zwo")
    return f"{word}{'te' if n < 20 else 'ste'}"


def _split(word: str) -> list[str]:
    """ "einhundertzwanzig" in its parts; other words as they are."""
    if "hundert" not in word and "tausend" not in word:
        return [word]
    parts = [part for part in re.split("(hundert|tausend)", word) if part]
    parts = [part.removeprefix("und") or part for part in parts]
    known = all(part in _SMALL or part in ("ein", "hundert", "tausend") for part in parts)
    return parts if known else [word]


_ordinals = {ordinal(n) + end: n for n in range(1, 32) for end in ("", "n", "r", "s")}
_ordinals |= {"siebente": 7, "siebenten": 7}
_months = {name.lower(): n for n, name in enumerate(MONTHS, 1)}
_months |= {"jänner": 1, "feber": 2, "juno": 6, "julei": 7, "maerz": 3}
_weekdays = {name.lower(): n for n, name in enumerate(WEEKDAYS)} | {"sonnabend": 5}

GERMAN: Final = Lexicon(
    small=_SMALL,
    one=frozenset({"ein", "eine", "einer", "einem", "einen"}),
    oh=frozenset({"null"}),
    and_=frozenset({"und"}),
    hundred=frozenset({"hundert"}),
    thousand=frozenset({"tausend"}),
    point=frozenset({"komma"}),
    ordinals=_ordinals | {word.replace("ß", "ss"): n for word, n in _ordinals.items()},
    months=_months,
    weekdays=_weekdays,
    days={("heute",): 0, ("morgen",): 1, ("übermorgen",): 2, ("gestern",): -1, ("vorgestern",): -2},
    next_=frozenset({"nächste", "nächsten", "nächster", "nächstes"}),
    last_=frozenset({"letzte", "letzten", "letzter", "vergangenen", "vorigen"}),
    units={"tag": 1, "tage": 1, "tagen": 1, "woche": 7, "wochen": 7},
    in_=frozenset({"in"}),
    ago=frozenset({"vor"}),
    the=frozenset({"der", "den", "dem", "am"}),
    of=frozenset(),
    no_day=frozenset({"mal", "option", "stock"}),
    at=frozenset({"um", "gegen", "ab"}),
    o_clock=frozenset({"uhr"}),
    half_to=frozenset({"halb"}),
    quarter=frozenset({"viertel"}),
    past=frozenset({"nach"}),
    to=frozenset({"vor"}),
    minutes=frozenset({"minuten", "minute"}),
    hours={"mittag": 12, "mittags": 12, "mitternacht": 0},
    parts={
        "früh": "am", "morgens": "am", "vormittags": "am", "vormittag": "am", "nachmittags": "pm",
        "nachmittag": "pm", "abends": "evening", "abend": "evening", "nachts": "night",
    },
    before_part=frozenset({"am", "in", "der"}),
    currencies={
        "euro": "EUR", "euros": "EUR", "€": "EUR", "dollar": "USD", "$": "USD", "pfund": "GBP",
        "£": "GBP", "franken": "CHF",
    },
    cents=frozenset({"cent", "cents", "rappen", "penny", "pence"}),
    last_one=frozenset({"letzte", "letzten"}),
    number=frozenset({"nummer", "option"}),
    not_=frozenset({"nicht"}),
    split=_split,
)  # fmt: skip
