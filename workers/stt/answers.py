"""How callers answer when the bot has just asked for digits, or for yes or no."""

from __future__ import annotations

from typing import Final

from workers.stt.engine import Expect
from workers.stt.vocabulary import DIGITS

Weighted = dict[tuple[str, ...], float]

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
    if expect == "yes_no":
        return {tuple(k.split()): float(v) for k, v in _YES_NO.items()}
    if expect == "digits":
        said = [*DIGITS, "oh"]
        count = len(said)
        sentences: Weighted = {}
        # Rows of steps modulo 11, which is prime: each digit follows each one equally often.
        for first in range(count):
            for step in range(count):
                row = tuple(said[(first + step * at) % count] for at in range(6))
                for before, weight in _BEFORE_DIGITS.items():
                    sentences[(*before.split(), *row)] = weight
        return sentences
    return {}
