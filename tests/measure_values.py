"""How well values are heard: `python -m tests.measure_values`, a table of docs/understanding.md.

Each answer is spoken by three of flite's voices (which has to be installed), as a telephone brings
it, and heard with the grammar of its kind and without one. Right is a value that is the one said.
"""

from __future__ import annotations

import subprocess
import tempfile
import wave
from pathlib import Path

import numpy as np
import soxr

from tests.measure_stt import phrases
from tests.recordings import mu_law, utterance
from workers.bot import Slot
from workers.stt.engine import Expect, Hints
from workers.stt.pocketsphinx import PocketsphinxEngine
from workers.values.slot_values import read

TODAY = "2026-11-21"
_Q = {"ask": "?", "variable": "ai_x"}
SLOTS: dict[Expect, Slot] = {
    "digits": Slot(type="digits", ask_keypad="?", min_digits=4, max_digits=8, **_Q),
    "date": Slot(type="date", **_Q),
    "time": Slot(type="time", **_Q),
    "amount": Slot(type="amount", **_Q),
    "choice": Slot(
        type="choice",
        options={"small": ["small", "little"], "medium": [], "large": ["large", "big"]},
        **_Q,
    ),
    "yes_no": Slot(type="yes_no", **_Q),
}
SAID: dict[Expect, tuple[str, ...]] = {
    "digits": ("four two seven one", "it's nine eight seven six", "one two three four five",
               "eight zero three three nine", "double five one two", "six oh four two"),
    "date": ("tomorrow", "on friday", "next tuesday", "the third of may", "december twenty second",
             "the day after tomorrow", "monday the thirtieth of november", "in two weeks",
             "how about thursday", "the first of january twenty twenty eight"),
    "time": ("five thirty", "half past nine", "at eleven", "quarter to six", "two in the afternoon",
             "ten past eight in the morning", "three o'clock", "nine fifteen", "noon",
             "i could come at four"),
    "amount": ("twelve fifty", "twenty five dollars", "a hundred and twenty dollars",
               "forty two dollars and ten cents", "eighty", "thirty nine ninety nine",
               "five hundred", "let's say sixty dollars"),
    "choice": ("the small one", "large please", "a medium one", "the big one", "little",
               "the second one"),
    "yes_no": ("yes", "no", "that's right", "no thank you", "yes please", "that's wrong"),
}  # fmt: skip


def spoken(voice: str, text: str, folder: Path) -> bytes:
    path = folder / "said.wav"
    subprocess.run(
        ["flite", "-voice", voice, "-t", text, "-o", str(path)],
        check=True,
    )
    with wave.open(str(path)) as file:
        rate = file.getframerate()
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    return utterance(mu_law(soxr.resample(samples, rate, 8000)))


def main() -> None:
    print("| asked for | right with its grammar | right without one |\n|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        engine = PocketsphinxEngine(Path(folder) / "models")
        for kind, slot in SLOTS.items():
            options = tuple(w for words in slot.options.values() for w in words)
            options += tuple(name for name, words in slot.options.items() if not words)
            right = {"text": 0, kind: 0}
            count = 0
            for text in SAID[kind]:
                wanted = read(slot, text, "en", TODAY)
                assert wanted is not None, text
                for voice in ("rms", "slt", "awb"):
                    pcm = spoken(voice, text, Path(folder))
                    count += 1
                    for expect in right:
                        hearing = engine.open(Hints(expect, phrases(), options))
                        hearing.feed(pcm)
                        heard = hearing.finish(60.0).text
                        hearing.close()
                        right[expect] += read(slot, heard, "en", TODAY) == wanted
                        if expect == kind and read(slot, heard, "en", TODAY) != wanted:
                            print(f"<!-- {voice}: {text} / {heard} -->")
            print(f"| {kind} | {right[kind]} of {count} | {right['text']} of {count} |", flush=True)


if __name__ == "__main__":
    main()
