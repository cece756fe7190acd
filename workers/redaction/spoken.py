"""What was said, read as figures, with the way back to the words they came from. No I/O.

"my card is four two, forty two"      →  figures 4 2 4 2, each with its place in the text
"D E eight nine 3704"                 →  letters and figures, the same
"""

from __future__ import annotations

import re
from dataclasses import dataclass

# English, German, Spanish and French: a word that is a figure in one of them.
FIGURES = {
    "zero": "0", "oh": "0", "o": "0", "nought": "0", "null": "0", "cero": "0", "zéro": "0",
    "one": "1", "eins": "1", "uno": "1", "un": "1", "won": "1",
    "two": "2", "zwei": "2", "zwo": "2", "dos": "2", "deux": "2",
    "three": "3", "drei": "3", "tres": "3", "trois": "3",
    "four": "4", "vier": "4", "cuatro": "4", "quatre": "4",
    "five": "5", "fünf": "5", "cinco": "5", "cinq": "5",
    "six": "6", "sechs": "6", "seis": "6",
    "seven": "7", "sieben": "7", "siete": "7", "sept": "7",
    "eight": "8", "acht": "8", "ocho": "8", "huit": "8", "ate": "8",
    "nine": "9", "neun": "9", "nueve": "9", "neuf": "9",
    "ten": "10", "eleven": "11", "twelve": "12", "thirteen": "13", "fourteen": "14",
    "fifteen": "15", "sixteen": "16", "seventeen": "17", "eighteen": "18", "nineteen": "19",
    "zehn": "10", "elf": "11", "zwölf": "12", "dreizehn": "13", "vierzehn": "14",
    "fünfzehn": "15", "sechzehn": "16", "siebzehn": "17", "achtzehn": "18", "neunzehn": "19",
}  # fmt: skip
TENS = {
    "twenty": "2", "thirty": "3", "forty": "4", "fourty": "4", "fifty": "5", "sixty": "6",
    "seventy": "7", "eighty": "8", "ninety": "9",
}  # fmt: skip
ZEROS = {"hundred": "00", "thousand": "000"}
GERMAN_TENS = {"zwanzig": "2", "dreißig": "3", "dreissig": "3", "vierzig": "4", "fünfzig": "5",
               "sechzig": "6", "siebzig": "7", "achtzig": "8", "neunzig": "9"}  # fmt: skip
GERMAN_ONES = {"ein": "1", **{w: FIGURES[w] for w in (
    "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun")}}  # fmt: skip
FIGURES |= {t: f"{n}0" for t, n in GERMAN_TENS.items()}
FIGURES |= {f"{o}und{t}": n + m for o, m in GERMAN_ONES.items() for t, n in GERMAN_TENS.items()}
REPEATS = {"double": 2, "triple": 3, "treble": 3, "doppel": 2}
# Meant as figures only between two of them.
SOUNDALIKES = {"to": "2", "too": "2", "for": "4", "fore": "4"}
# Words that stand between the figures of one number.
BETWEEN = {"dash", "hyphen", "minus", "space", "then", "and", "uh", "um", "er", "uhm", "äh",
           "slash", "bindestrich", "strich", "dann", "und", "guion", "tiret", "plus"}  # fmt: skip
MAX_BETWEEN = 3
_TOKEN = re.compile(r"\d|[^\W\d_]+(?:'[^\W\d_]+)*|[^\s]")
_PUNCTUATION = frozenset("-–./,()'’+")
_ALNUM = re.compile(r"[^\W_]+")


@dataclass(frozen=True, slots=True)
class Item:
    """One figure or letter: where in the text it came from."""

    char: str
    start: int
    end: int


def runs(text: str) -> list[list[Item]]:
    """Figures that belong together, in their order: pauses, dashes and "double" are no end."""
    found: list[list[Item]] = []
    run: list[Item] = []
    gap = repeat = 0
    repeat_at = -1
    tens = False
    tokens = list(_TOKEN.finditer(text))
    for n, token in enumerate(tokens):
        word = token.group().lower()
        figures = word if word.isdecimal() else FIGURES.get(word, "")
        if word.isdecimal():
            figures = str(int(word))  # of any script
        elif word in TENS:
            figures = TENS[word] + "0"
        elif word in ZEROS and run and gap == 0:
            figures = ZEROS[word]
        elif word in SOUNDALIKES and run and gap == 0 and _figure_follows(tokens, n):
            figures = SOUNDALIKES[word]
        if figures:
            start = repeat_at if repeat else token.start()
            if tens and len(figures) == 1 and figures != "0" and not word.isdecimal() and gap == 0:
                last = run.pop()  # the nought of "forty", which has its two now
                start = min(start, last.start)
            run += [Item(c, start, token.end()) for c in figures * max(repeat, 1)]
            tens, gap, repeat = word in TENS, 0, 0
        elif word in REPEATS and repeat == 0:
            repeat, repeat_at = REPEATS[word], token.start()
        elif word in _PUNCTUATION or word in BETWEEN:
            gap += word not in _PUNCTUATION
            if gap > MAX_BETWEEN:
                run, gap, tens = _end(found, run), 0, False
        else:
            run, gap, repeat, tens = _end(found, run), 0, 0, False
    _end(found, run)
    return found


def _figure_follows(tokens: list[re.Match[str]], n: int) -> bool:
    if n + 1 >= len(tokens):
        return False
    word = tokens[n + 1].group().lower()
    return word.isdecimal() or word in FIGURES or word in TENS or word in REPEATS


def _end(found: list[list[Item]], run: list[Item]) -> list[Item]:
    if run:
        found.append(run)
    return []


def mixed_runs(text: str) -> list[list[Item]]:
    """Letters and figures that may be one number: "DE89 3704", "D E eight nine", "12345678 Z"."""
    found: list[list[Item]] = []
    run: list[Item] = []
    for token in _ALNUM.finditer(text):
        word = token.group()
        low = word.lower()
        if low in FIGURES and len(low) > 1:
            run += [Item(c, token.start(), token.end()) for c in FIGURES[low]]
        elif low in TENS:
            run += [Item(c, token.start(), token.end()) for c in TENS[low] + "0"]
        elif (
            any(c.isdigit() for c in word) or len(word) <= 2 or (len(word) <= 6 and word.isupper())
        ):
            if word.isascii():
                at = token.start()
                run += [Item(c.upper(), at + i, at + i + 1) for i, c in enumerate(word)]
        elif low not in BETWEEN:
            run = _end(found, run)
    _end(found, run)
    return found
