"""Numbers in words, as text2num reads them, in the language of most of them. No I/O.

"treinta y cuatro, uno"                →  34 at 0..16, 1 at 18..21
"soixante-dix-huit vingt et un"        →  78 at 0..17, 21 at 18..29

A text has one language here, found by its numbers alone: callers change languages, and an engine
may hear another one than the bot speaks. Single figures of other languages are left to spoken.py.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import text_to_num

LANGUAGES = ("en", "de", "es", "fr", "it", "pt", "nl")  # the first of equals is taken
MAX_FIGURES = 6  # more than these are a quantity: "two million"
ZEROS = frozenset(("zero", "zéro", "cero", "nought", "null", "nul"))
_OH = ("o", "oh")
# Articles, and words that mean something else in another language: numbers only beside others.
_WEAK = frozenset((
    "ein", "un", "una", "une", "uma", "um", "een",
    "once", "due", "sei", "cent", "cents", "cento", "mil", "mille", "onze", "elf", "dix",
))  # fmt: skip
# As some engines write them.
_ACCENTS = {"veintidos": "veintidós", "veintitres": "veintitrés", "veintiseis": "veintiséis"}
# Of "quatre-vingts quatre-vingt-dix-neuf" hyphens tell two numbers, of "four-two-four-two" four.
_WHOLE = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*+|\s+|[\W\d_]")
_PARTS = re.compile(r"[^\W\d_]+|\s+|[\W\d_]")
_HYPHEN = re.compile(r"[^\W\d_]-[^\W\d_]")
_WORD = re.compile(r"[^\W\d_]+")


@dataclass(frozen=True, slots=True)
class Said:
    """text[start:end] says these figures."""

    figures: str
    start: int
    end: int


class _Token:
    """One word of a text, as the library is shown it. Not shown are noughts: it would make one
    number of "zero six", and "double zero six" is none of its. Nor what is no letter: half a
    surrogate pair is a panic there.
    """

    __slots__ = ("end", "shown", "start", "zero")

    def __init__(self, found: re.Match[str]) -> None:
        self.start, self.end = found.span()
        low = found.group().lower()
        self.zero = low in ZEROS
        if low == "-" or (low[0].isalpha() and not self.zero and low not in _OH):
            self.shown = _ACCENTS.get(low, low)
        else:
            self.shown = " " if low.isspace() else "."

    def text(self) -> str:
        return self.shown

    def nt_separated(self, previous: object) -> bool:
        return False

    def not_a_number_part(self) -> bool:
        return False


def numbers(text: str) -> list[Said]:
    """All that stand there, in order, none over another."""
    best: list[Said] = []
    most = 0
    for pattern in (_WHOLE, _PARTS) if _HYPHEN.search(text) else (_PARTS,):
        tokens = [_Token(found) for found in pattern.finditer(text)]
        for language in LANGUAGES:
            said, covered = _in(language, tokens, text)
            if covered > most:
                best, most = said, covered
    return best


def _in(language: str, tokens: list[_Token], text: str) -> tuple[list[Said], int]:
    """As this language reads it, and how many words of the text are numbers then."""
    found = [Said("0", one.start, one.end) for one in tokens if one.zero]
    for one in text_to_num.find_numbers(tokens, language, threshold=0):
        if one.text.isdecimal() and len(one.text) <= MAX_FIGURES:
            found.append(Said(one.text, tokens[one.start].start, tokens[one.end - 1].end))
    found.sort(key=lambda said: said.start)

    def near(at: int, other: int) -> bool:
        if not 0 <= other < len(found):
            return False
        first, last = sorted((at, other))
        return not re.search(r"\w", text[found[first].end : found[last].start])

    def between(said: Said) -> bool:
        """Written figures: "06 onze 42"."""
        before, after = text[max(0, said.start - 3) : said.start], text[said.end : said.end + 3]
        return before.strip(" ,-")[-1:].isdecimal() and after.strip(" ,-")[:1].isdecimal()

    kept = [said for at, said in enumerate(found)
            if text[said.start : said.end].lower() not in _WEAK
            or near(at, at - 1) or near(at, at + 1) or between(said)]  # fmt: skip
    spans = [(s.start, s.end) for s in kept if text[s.start : s.end].lower() not in ZEROS]
    return kept, sum(len(_WORD.findall(text[start:end])) for start, end in spans)
