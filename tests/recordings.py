"""Recorded speech for tests, as it comes off a telephone line: L16 mono 8000 Hz after mu-law."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from eslbot.switch.line import decoded, mu_law

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


def spoken(voice: str, text: str) -> NDArray[np.int16]:
    """A sentence of tests/data/spoken."""
    name = "".join(letter for letter in text if letter.isalpha() or letter == " ")
    path = DATA / "spoken" / f"{voice}-{name.replace(' ', '-')}.ul"
    return decoded(path.read_bytes())


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
