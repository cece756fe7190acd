"""How callers answer: freely, with digits, or with yes or no; and the language model of each."""

from __future__ import annotations

from typing import Final

from workers.stt.engine import Expect, Hints
from workers.stt.language_model import English, Phrases, mixture
from workers.stt.vocabulary import DIGITS, Dictionary, sentences

Weighted = dict[tuple[str, ...], float]

MAX_PHRASES: Final = 5000
# How much of a language model is phrases; English has the rest.
_SHARE: Final[dict[Expect, float]] = {
    "text": 0.5, "digits": 0.85, "yes_no": 0.7, "date": 0.7, "time": 0.7, "amount": 0.7,
    "choice": 0.7,
}  # fmt: skip
# The bot's own phrases, when something else is expected, against the answers expected.
_BESIDE: Final = 0.3
# After a digit comes another one or the end: "four two family one" is never meant.
_AFTER_DIGIT: Final = 0.99

_YES_NO: Final = {
    "yes": 20, "yeah": 6, "yep": 3, "yes please": 3, "yes it is": 2, "yes that's right": 3,
    "that's right": 3, "that's correct": 2, "correct": 3, "right": 1, "sure": 1, "okay": 1,
    "yes that is right": 1, "yes that is correct": 1, "yes correct": 1, "exactly": 1,
    "no": 20, "nope": 3, "no thank you": 3, "no thanks": 2, "no it isn't": 1, "no it is not": 1,
    "no that's wrong": 3, "that's wrong": 2, "that's not right": 2, "no that's not right": 2,
    "wrong": 1, "no that is wrong": 1, "that is not correct": 1, "not correct": 1,
}  # fmt: skip


_BEFORE_DIGITS: Final = {
    "": 1.0, "it's": 0.05, "it is": 0.05, "my account number is": 0.05, "my number is": 0.03,
    "the number is": 0.03, "yes it's": 0.01, "that's": 0.01,
}  # fmt: skip


def expected(expect: Expect) -> Weighted:
    """The answers a question of this kind has, each with a weight; none for "text"."""
    if expect == "yes_no":
        return {tuple(answer.split()): float(weight) for answer, weight in _YES_NO.items()}
    if expect != "digits":
        return {}
    said = (*DIGITS, "oh")
    count = len(said)
    rows: Weighted = {}
    # Steps modulo 11, which is prime: each digit follows each one equally often.
    for first in range(count):
        for step in range(count):
            row = tuple(said[(first + step * at) % count] for at in range(6))
            for before, weight in _BEFORE_DIGITS.items():
                rows[(*before.split(), *row)] = weight
    return rows


def model_text(
    hints: Hints, english: English, dictionary: Dictionary
) -> tuple[str, dict[str, str]]:
    """The language model in ARPA's format, and how the words sound that the dictionary lacks."""
    phrases = sentences(hints.phrases[:MAX_PHRASES])
    weighted = expected(hints.expect)
    each = _BESIDE * sum(weighted.values()) / max(1, len(phrases)) if weighted else 1.0
    for phrase in phrases:
        weighted[phrase] = weighted.get(phrase, 0.0) + each
    lacking = {word for phrase in weighted for word in phrase if word not in dictionary}
    digits = hints.expect == "digits"
    # Digits say nothing about the next but one.
    model = Phrases(weighted, order=2 if digits else 3)
    after = dict.fromkeys((*DIGITS, "oh"), _AFTER_DIGIT) if digits else {}
    text = mixture(english, model, _SHARE[hints.expect], after)
    return text, {word: dictionary.guess(word) for word in sorted(lacking)}
