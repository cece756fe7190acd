"""Digits and yes or no, as people say them and as recognisers write them."""

from __future__ import annotations

import re
from collections.abc import Mapping

from workers.values.german import NUMBERS as GERMAN_NUMBERS

DIGITS = {
    "zero": "0", "oh": "0", "o": "0", "nought": "0", "null": "0", "one": "1", "two": "2",
    "three": "3", "four": "4", "five": "5", "six": "6", "seven": "7", "eight": "8", "nine": "9",
}  # fmt: skip
# Heard for digits, and hardly ever meant otherwise between two of them.
SOUNDALIKES = {"to": "2", "too": "2", "for": "4", "fore": "4", "ate": "8", "won": "1"}
TEENS = {
    "ten": 10, "eleven": 11, "twelve": 12, "thirteen": 13, "fourteen": 14, "fifteen": 15,
    "sixteen": 16, "seventeen": 17, "eighteen": 18, "nineteen": 19,
}  # fmt: skip
TENS = {
    "twenty": 2, "thirty": 3, "forty": 4, "fourty": 4, "fifty": 5, "sixty": 6, "seventy": 7,
    "eighty": 8, "ninety": 9,
}  # fmt: skip
ZEROS = {"hundred": 2, "thousand": 3}
REPEATS = {"double": 2, "triple": 3, "treble": 3}
YES = {
    "yes", "yeah", "yep", "yup", "correct", "right", "sure", "okay", "ok", "exactly", "indeed",
    "absolutely", "definitely", "certainly", "affirmative",
}  # fmt: skip
NO = {"no", "nope", "nah", "wrong", "incorrect", "not", "never", "don't", "isn't", "negative"}
# "That's not right" is a no, "I'm not sure" is neither.
_DENIED = re.compile(r"\b(?:not|isn't|ain't)\s+(?:quite\s+|really\s+)?(?:right|correct|okay|ok)\b")
_UNDECIDED = re.compile(
    r"\b(?:don't|not|do not)\s+(?:really\s+)?(?:know|sure|understand|certain)\b"
)
MAX_WORDS = 100

# Of other languages: numbers and what may stand between two digits; words for yes and for no.
_WORDS = {"de": (GERMAN_NUMBERS, frozenset({"und", "äh", "ähm", "dann", "strich"}))}
_FIGURES: tuple[dict[str, str], frozenset[str]] = ({}, frozenset())
_ANSWERS = {
    "de": (
        frozenset({
            "ja", "jawohl", "jo", "klar", "genau", "richtig", "stimmt", "korrekt", "gerne", "okay",
            "ok", "natürlich", "sicher",
        }),
        frozenset({"nein", "nee", "nö", "falsch", "nicht", "keineswegs", "nie"}),
    )
}  # fmt: skip
_DENIES = frozenset({"nicht"})


def words(text: str) -> list[str]:
    """Lower-case words; a run of figures is a word each."""
    return re.findall(r"\d|[^\W\d_]+(?:'[^\W\d_]+)*", text.lower())[:MAX_WORDS]


def is_number(word: str) -> bool:
    """Whether a word stands for a figure or several."""
    return word.isdecimal() or word in DIGITS or word in TEENS or word in TENS or word in REPEATS


def digits(text: str, language: str = "en") -> str:
    """The longest run of digits in what was said, "" when there is none.

    "four two double seven" and "forty two seventy seven" are both 4277.
    """
    if not language.lower().startswith("en"):
        return _digits_of(text, *_WORDS.get(language[:2].lower(), _FIGURES))
    runs: list[str] = [""]
    repeat = 1
    tokens = words(text)
    for at, word in enumerate(tokens):
        following = tokens[at + 1] if at + 1 < len(tokens) else ""
        before = bool(runs[-1])
        if word in REPEATS:
            repeat = REPEATS[word]
            continue
        if word.isdecimal():
            found = str(int(word))  # of any script
        elif word in DIGITS:
            found = DIGITS[word]
        elif word in TEENS:
            found = str(TEENS[word])
        elif word in TENS:
            ones = DIGITS.get(following, "")
            # "forty two" is 42, but "forty" alone is 40; "forty oh" is nothing.
            found = str(TENS[word]) if ones not in ("", "0") else f"{TENS[word]}0"
        elif word in ZEROS and before:
            runs[-1] += _zeros(word, tokens[at + 1 : at + 3])
            continue
        elif word in SOUNDALIKES and (before or repeat > 1):
            found = SOUNDALIKES[word]
        else:
            found = ""
        if found:
            runs[-1] += found * repeat
        elif runs[-1] and word not in ("and", "uh", "um", "er", "then", "dash"):
            runs.append("")
        repeat = 1
    return max(runs, key=len)


def _zeros(word: str, following: list[str]) -> str:
    """What "hundred" leaves empty: two in "nineteen hundred", one in "nineteen hundred and five",
    none in "nineteen hundred and fifty"."""
    after = next((w for w in following if w != "and"), "")
    empty = ZEROS[word]
    if "hundred" in following:  # "one thousand two hundred"
        return ""
    if after in DIGITS or after.isdecimal():
        empty -= 1
    elif after in TENS or after in TEENS:
        empty -= 2
    return "0" * empty


def _digits_of(text: str, numbers: Mapping[str, str], links: frozenset[str]) -> str:
    """In a language whose numbers up to 99 are single words."""
    runs = [""]
    for word in words(text):
        found = str(int(word)) if word.isdecimal() else numbers.get(word, "")
        if found:
            runs[-1] += found
        elif runs[-1] and word not in links:
            runs.append("")
    return max(runs, key=len)


def yes_or_no(text: str, language: str = "en") -> str | None:
    """ "yes", "no", or None when it was neither, or both."""
    if not language.lower().startswith("en"):
        return _yes_or_no_of(text, _ANSWERS.get(language[:2].lower()))
    said = " ".join(words(text))
    if _UNDECIDED.search(said):
        return None
    found = set(_DENIED.sub("no", said).replace("of course", "yes").split())
    # "No, that's right" and "yes, that's wrong" can mean either.
    yes, no = bool(found & YES), bool(found & NO)
    if yes == no:
        return None
    return "yes" if yes else "no"


def _yes_or_no_of(text: str, answers: tuple[frozenset[str], frozenset[str]] | None) -> str | None:
    if answers is None:
        return None
    found = set(words(text))
    yes, no = bool(found & answers[0]), bool(found & answers[1])
    if yes and no:  # "das stimmt nicht"
        return "no" if found & _DENIES else None
    if yes == no:
        return None
    return "yes" if yes else "no"
