"""Words as a caller says them: phrases split into words, and how those words sound.

Pronunciations are in the phones of CMUdict, which pocketsphinx' en-us model was trained with. A
word that is not in its dictionary is taken apart into words that are (`northwind`), else spelt
out by rules; a name that is said otherwise is simply heard less well.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import pocketsphinx

DIGITS: Final = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine",
)  # fmt: skip
MAX_WORD: Final = 32
_WORD: Final = re.compile(r"[a-z]+(?:'[a-z]+)*|[0-9]")

# Longest first at each place of the word; what stands alone in English spelling mostly sounds so.
_LETTERS: Final = {
    "tion": "SH AH N", "sion": "ZH AH N", "ough": "AO", "augh": "AO", "eigh": "EY",
    "tch": "CH", "igh": "AY", "sch": "S K", "dge": "JH", "ing": "IH NG", "air": "EH R",
    "ear": "IH R", "eer": "IH R", "our": "AO R", "ch": "CH", "sh": "SH", "th": "TH", "ph": "F",
    "wh": "W", "ck": "K", "qu": "K W", "ng": "NG", "kn": "N", "wr": "R", "ee": "IY", "ea": "IY",
    "ai": "EY", "ay": "EY", "ei": "EY", "ey": "IY", "oa": "OW", "oo": "UW", "ou": "AW", "ow": "OW",
    "oi": "OY", "oy": "OY", "au": "AO", "aw": "AO", "ie": "IY", "ue": "UW", "ew": "UW",
    "ar": "AA R", "er": "ER", "ir": "ER", "or": "AO R", "ur": "ER", "ce": "S", "ci": "S IH",
    "cy": "S IY", "ge": "JH", "a": "AE", "b": "B", "c": "K", "d": "D", "e": "EH", "f": "F",
    "g": "G", "h": "HH", "i": "IH", "j": "JH", "k": "K", "l": "L", "m": "M", "n": "N", "o": "AA",
    "p": "P", "q": "K", "r": "R", "s": "S", "t": "T", "u": "AH", "v": "V", "w": "W", "x": "K S",
    "y": "Y", "z": "Z",
}  # fmt: skip
_LAST: Final = {"y": "IY", "o": "OW", "a": "AH", "i": "IY", "es": "Z", "ed": "D"}


def words(phrase: str) -> Iterator[str]:
    """Lower case, without marks and accents; a digit is a word, "42" is "four two"."""
    folded = unicodedata.normalize("NFKD", phrase.replace("’", "'")).casefold()
    plain = "".join(letter for letter in folded if not unicodedata.combining(letter))
    for found in _WORD.findall(plain):
        if found.isdigit():
            yield DIGITS[int(found)]
        elif len(found) <= MAX_WORD:
            yield found


def sentences(phrases: Iterable[str]) -> list[tuple[str, ...]]:
    return [said for phrase in phrases if (said := tuple(words(phrase)))]


class Dictionary:
    """pocketsphinx' own dictionary, and a guess for what it lacks."""

    def __init__(self) -> None:
        path = Path(pocketsphinx.get_model_path("en-us/cmudict-en-us.dict"))
        self.sounds: dict[str, str] = {}
        for line in path.read_text(encoding="utf-8").splitlines():
            word, _, sounds = line.partition(" ")
            if (not word.endswith(")") and word[:1].isalpha()) or word[:1] == "'":
                self.sounds[word] = sounds.strip()

    def __contains__(self, word: str) -> bool:
        return word in self.sounds

    def guess(self, word: str) -> str:
        """Phones of a word that is not in the dictionary."""
        for at in range(len(word) - 3, 2, -1):
            head, tail = word[:at], word[at:]
            if head in self.sounds and tail in self.sounds:
                return f"{self.sounds[head]} {self.sounds[tail]}"
        if word.endswith("'s"):
            stem = word[:-2]
            return f"{self.sounds.get(stem) or self.guess(stem)} Z"
        return _spelt(word.replace("'", ""))


def _spelt(word: str) -> str:
    phones: list[str] = []
    at = 0
    while at < len(word):
        rest = word[at:]
        if at and rest in _LAST:
            phones.append(_LAST[rest])
            break
        if at and rest == "e" and len(word) > 2:
            break  # a last e is silent
        size = next(n for n in (4, 3, 2, 1) if rest[:n] in _LETTERS)
        # Doubled consonants sound once.
        if not (at and size == 1 and rest[0] == word[at - 1]):
            phones.append(_LETTERS[rest[:size]])
        at += size
    return " ".join(phones)
