"""Digits and yes or no, as people say them and as recognisers write them."""

from __future__ import annotations

import re

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
REPEATS = {"double": 2, "triple": 3, "treble": 3}
YES = {"yes", "yeah", "yep", "yup", "correct", "right", "sure", "okay", "ok", "exactly", "indeed"}
NO = {"no", "nope", "nah", "wrong", "incorrect", "not", "don't"}
MAX_WORDS = 100


def words(text: str) -> list[str]:
    """Lower-case words; a run of figures is a word each."""
    return re.findall(r"\d|[^\W\d_]+(?:'[^\W\d_]+)*", text.lower())[:MAX_WORDS]


def digits(text: str) -> str:
    """The longest run of digits in what was said, "" when there is none.

    "four two double seven" and "forty two seventy seven" are both 4277.
    """
    runs: list[str] = [""]
    repeat = 1
    tokens = words(text)
    for at, word in enumerate(tokens):
        following = tokens[at + 1] if at + 1 < len(tokens) else ""
        before = bool(runs[-1])
        if word in REPEATS:
            repeat = REPEATS[word]
            continue
        if word.isdigit():
            found = word
        elif word in DIGITS:
            found = DIGITS[word]
        elif word in TEENS:
            found = str(TEENS[word])
        elif word in TENS:
            ones = DIGITS.get(following, "")
            # "forty two" is 42, but "forty" alone is 40; "forty oh" is nothing.
            found = str(TENS[word]) if ones not in ("", "0") else f"{TENS[word]}0"
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


def yes_or_no(text: str) -> str | None:
    """ "yes", "no", or None when it was neither, or both."""
    found = set(words(text))
    if "that's" in found and "right" in found and not found & (NO - {"right"}):
        return "yes"
    yes, no = bool(found & YES), bool(found & NO)
    if yes == no:
        return None
    return "yes" if yes else "no"


def spell(value: str) -> str:
    """Digits apart, so that they are read one by one."""
    return " ".join(value)
