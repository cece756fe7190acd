"""What was said, read as figures, with the way back to the words they came from. No I/O.

"my card is four two, forty two"      →  figures 4 2 4 2, each with its place in the text
"D E eight nine 3704"                 →  letters and figures, the same
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from workers.redaction.numbers import Said, numbers

# A word that is one figure in one of these languages, whatever the rest of the text speaks. Numbers
# of more figures, and other languages, are those of numbers.py.
FIGURES = {
    "zero": "0", "oh": "0", "o": "0", "nought": "0", "null": "0", "nul": "0",
    "cero": "0", "zéro": "0",
    "one": "1", "eins": "1", "uno": "1", "un": "1", "won": "1",
    "two": "2", "zwei": "2", "zwo": "2", "dos": "2", "deux": "2",
    "three": "3", "drei": "3", "tres": "3", "trois": "3",
    "four": "4", "vier": "4", "cuatro": "4", "quatre": "4",
    "five": "5", "fünf": "5", "cinco": "5", "cinq": "5",
    "six": "6", "sechs": "6", "seis": "6",
    "seven": "7", "sieben": "7", "siete": "7", "sept": "7",
    "eight": "8", "acht": "8", "ocho": "8", "huit": "8", "ate": "8",
    "nine": "9", "neun": "9", "nueve": "9", "neuf": "9",
}  # fmt: skip
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


def runs(text: str, said: Iterable[Said] | None = None) -> list[list[Item]]:
    """Figures that belong together, in their order: pauses, dashes and "double" are no end.

    said: numbers(text), where it is known."""
    found: list[list[Item]] = []
    run: list[Item] = []
    gap = repeat = 0
    repeat_at = over = -1
    tokens = list(_TOKEN.finditer(text))
    said_at = {one.start: one for one in (numbers(text) if said is None else said)}
    for n, token in enumerate(tokens):
        if token.start() < over:  # a word of the number before
            continue
        word = token.group().lower()
        end = token.end()
        figures = ""
        if number := said_at.get(token.start()):
            figures, end = number.figures, number.end
        elif word.isdecimal():
            figures = str(int(word))  # of any script
        elif word in FIGURES:
            figures = FIGURES[word]
        elif word in SOUNDALIKES and run and gap == 0 and _figure_follows(tokens, n, said_at):
            figures = SOUNDALIKES[word]
        if figures:
            start = repeat_at if repeat else token.start()
            run += [Item(c, start, end) for c in figures * max(repeat, 1)]
            over, gap, repeat = end, 0, 0
        elif word in REPEATS and repeat == 0:
            repeat, repeat_at = REPEATS[word], token.start()
        elif word in _PUNCTUATION or word in BETWEEN:
            gap += word not in _PUNCTUATION
            if gap > MAX_BETWEEN:
                run, gap = _end(found, run), 0
        else:
            run, gap, repeat = _end(found, run), 0, 0
    _end(found, run)
    return found


def _figure_follows(tokens: list[re.Match[str]], n: int, said_at: dict[int, Said]) -> bool:
    if n + 1 >= len(tokens):
        return False
    word = tokens[n + 1].group().lower()
    return (
        word.isdecimal() or word in FIGURES or word in REPEATS or tokens[n + 1].start() in said_at
    )


def _end(found: list[list[Item]], run: list[Item]) -> list[Item]:
    if run:
        found.append(run)
    return []


def mixed_runs(text: str, said: Iterable[Said]) -> list[list[Item]]:
    """Letters and figures that may be one number: "DE89 3704", "D E eight nine", "12345678 Z".

    said: numbers(text)."""
    found: list[list[Item]] = []
    run: list[Item] = []
    over = -1
    said_at = {one.start: one for one in said}
    for token in _ALNUM.finditer(text):
        if token.start() < over:
            continue
        word = token.group()
        low = word.lower()
        if number := said_at.get(token.start()):
            run += [Item(c, number.start, number.end) for c in number.figures]
            over = number.end
        elif low in FIGURES and len(low) > 1:
            run += [Item(FIGURES[low], token.start(), token.end())]
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
