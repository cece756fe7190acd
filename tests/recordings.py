"""Recorded speech for tests, as it comes off a telephone line: L16 mono 8000 Hz after mu-law."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

DATA = Path(__file__).parent / "data"
DIGITS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]

HUMAN = {
    "vm-goodbye": "goodbye",
    "auth-thankyou": "thank you",
    "queue-callswaiting": "waiting to speak with a representative",
    "vm-dialout": "please wait while i connect your call",
    "conf-locked": "this conference is locked",
    "transfer": "please hold while i try that extension",
    "conf-kicked": "you have been kicked from this conference",
}


def mu_law(samples: NDArray[np.int16]) -> NDArray[np.int16]:
    """What G.711's mu-law leaves of the samples: coded and decoded again."""
    whole = samples.astype(np.int32)
    size = np.minimum(np.abs(whole), 32635) + 132
    exponent = np.floor(np.log2(size)).astype(np.int32) - 7
    mantissa = (size >> (exponent + 3)) & 15
    return _decoded(whole < 0, exponent, mantissa)


def _decoded(
    negative: NDArray[np.bool_], exponent: NDArray[np.int32], mantissa: NDArray[np.int32]
) -> NDArray[np.int16]:
    size = (((mantissa << 3) + 132) << exponent) - 132
    return np.where(negative, -size, size).astype(np.int16)


def spoken(voice: str, text: str) -> NDArray[np.int16]:
    """A sentence of tests/data/spoken."""
    name = "".join(letter for letter in text if letter.isalpha() or letter == " ")
    path = DATA / "spoken" / f"{voice}-{name.replace(' ', '-')}.ul"
    code = ~np.frombuffer(path.read_bytes(), np.uint8)
    exponent = (code >> 4 & 7).astype(np.int32)
    return _decoded(code > 127, exponent, (code & 15).astype(np.int32))


def human(name: str) -> NDArray[np.int16]:
    """A recording of tests/data/human."""
    with wave.open(str(DATA / "human" / f"{name}.wav")) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (8000, 1, 2)
        return mu_law(np.frombuffer(file.readframes(file.getnframes()), "<i2"))


def human_digits(digits: str) -> NDArray[np.int16]:
    """Digits one after another, said as separate prompts, 150 ms apart."""
    pause = np.zeros(1200, np.int16)
    parts = [part for digit in digits for part in (_trimmed(human(f"digit-{digit}")), pause)]
    return np.concatenate(parts)


def _trimmed(samples: NDArray[np.int16]) -> NDArray[np.int16]:
    loud = np.flatnonzero(np.abs(samples.astype(np.int32)) > 300)
    return samples[max(0, loud[0] - 400) : loud[-1] + 800]


def utterance(samples: NDArray[np.int16]) -> bytes:
    """As the listener sends it: 200 ms before the speech, 300 ms after."""
    around = np.zeros(1600, np.int16), samples, np.zeros(2400, np.int16)
    return np.concatenate(around).astype("<i2").tobytes()


def word_errors(said: str, heard: str) -> int:
    """Words put in, left out or exchanged."""
    row = list(range(len(heard.split()) + 1))
    for count, word in enumerate(said.split(), 1):
        last, row[0] = row[:], count
        for at, other in enumerate(heard.split(), 1):
            row[at] = min(last[at] + 1, row[at - 1] + 1, last[at - 1] + (word != other))
    return row[-1]
