"""How well pocketsphinx hears: `python -m tests.measure_stt`, the table of docs/stt-accuracy.md.

The recordings in tests/data, and espeak-ng's voices for the same sentences.
"""

from __future__ import annotations

import itertools
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tests.recordings import (
    DATA,
    DIGITS,
    HUMAN,
    human,
    human_digits,
    mu_law,
    spoken,
    utterance,
    word_errors,
)
from workers.bot import load
from workers.stt.engine import Expect, Hints
from workers.stt.pocketsphinx import PocketsphinxEngine
from workers.tts.espeak import EspeakEngine

BOT = Path(__file__).parents[1] / "eslbot" / "bots" / "energy.yaml"
SENTENCES: dict[Expect, tuple[str, ...]] = {
    "text": (
        "what is my account balance",
        "i have a question about my recent charge",
        "what are your opening hours",
        "i want to change my address",
        "can i speak to a person please",
        "i want to talk to an agent",
    ),
    "yes_no": ("yes", "yes please", "no", "no thank you", "that's right", "no that's wrong"),
    "digits": (
        "four two seven one",
        "one two three four",
        "my account number is four two seven one",
        "eight zero three three nine",
        "five three eight two one",
        "i want to speak to a person",
    ),
}
Said = tuple[str, Expect, str, NDArray[np.int16]]


def phrases() -> tuple[str, ...]:
    return tuple(text for intent in load(BOT).intents.values() for text in intent.examples)


def corpus() -> list[Said]:
    """Who, what was expected, the text, the samples."""
    said: list[Said] = []
    espeak = EspeakEngine()
    for expect, texts in SENTENCES.items():
        for text in texts:
            said += [
                (f"flite {voice}", expect, text, spoken(voice, text))
                for voice in ("rms", "slt", "awb")
                if list(
                    (DATA / "spoken").glob(
                        f"{voice}-{text.replace(chr(39), '').replace(' ', '-')}.ul"
                    )
                )
            ]
            pcm = b"".join(espeak.speak(text, "en", 20.0))
            said.append(("espeak-ng", expect, text, mu_law(np.frombuffer(pcm, "<i2"))))
    for name, text in HUMAN.items():
        said.append(("human, general English", "text", text, human(name)))
    for row in itertools.islice(itertools.permutations(range(10), 5), 0, None, 1511):
        digits = "".join(map(str, row))
        text = " ".join(DIGITS[digit] for digit in row)
        said.append(("human", "digits", text, human_digits(digits)))
    return said


def main() -> None:
    rows: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    with tempfile.TemporaryDirectory() as cache:
        engine = PocketsphinxEngine(Path(cache))
        engine.prepare(phrases())
        said = corpus()
        began, heard_s = time.process_time(), 0.0
        for who, expect, text, samples in said:
            pcm = utterance(samples)
            heard_s += len(pcm) / 16000
            hearing = engine.open(Hints(expect, phrases()))
            for at in range(0, len(pcm), 1600):
                hearing.feed(pcm[at : at + 1600])
            errors = word_errors(text, hearing.finish(60.0).text)
            hearing.close()
            row = rows[who, expect]
            for at, add in enumerate((errors, len(text.split()), errors == 0, 1)):
                row[at] += int(add)
        cost = (time.process_time() - began) / heard_s
    print("| who | expected | words wrong | utterances exact |\n|---|---|---|---|", file=sys.stdout)
    for (who, expect), (errors, words, exact, count) in sorted(rows.items()):
        print(
            f"| {who} | {expect} | {100 * errors / words:.0f} % of {words} | {exact} of {count} |"
        )
    print(f"\nCPU: {cost:.2f} s per second of speech.")


if __name__ == "__main__":
    main()
