"""The caller's audio: synthesised or recorded words, noise, and what a telephone leaves of it.

Sentences are synthesised ahead of the calls, by one process for all of them, and kept in a folder
by a hash of voice and words.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from eslbot.evals.scenario import Case, Noise, Step
from eslbot.prompts import read_wav
from eslbot.switch.line import decoded, mu_law

RATE: Final = 8000
AROUND_S: Final = 0.3  # of noise before and after the words
BETWEEN_S: Final = 0.15  # between two recordings
BACKGROUND_S: Final = 20.0
SYNTHESIS_S: Final = 300.0
# Of speech, root mean square: what counts for its level is where it is loud.
LOUD: Final = 300
BABBLE: Final = (
    ("slt", "We walked along the river until it was dark and nobody said a word about the house."),
    ("awb", "The train had stopped again, so they read the newspaper from the first page on."),
    ("kal16", "In the evening there was music in the square and all the windows stood open."),
    ("rms", "Put the flour into a bowl, add the butter, and stir it slowly with a wooden spoon."),
)

Samples = npt.NDArray[np.int16]


class SpeechError(Exception):
    """The callers can't speak; str() says why."""


class Speech:
    """prepare() all sentences, then audio() of each step. voice: in place of all others."""

    def __init__(self, folder: Path, voice: str = "") -> None:
        self._folder = folder
        self._instead = voice

    def prepare(self, cases: Iterable[Case]) -> None:
        """Synthesise what is not there yet. Raises SpeechError."""
        wanted: dict[str, dict[str, str]] = {}
        for case in cases:
            for step in case.scenario.steps:
                if step.say is not None:
                    self._want(wanted, self._voice(case, step), step.say, case.bot.language)
            if _babbles(case):
                for voice, words in BABBLE:
                    self._want(wanted, voice, words, "en")
        if not wanted:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(
            [sys.executable, "-m", "workers.tts.callers"],
            input=json.dumps(list(wanted.values())).encode(),
            capture_output=True,
            timeout=SYNTHESIS_S,
            check=False,
        )
        if done.returncode:
            lines = done.stderr.decode(errors="replace").strip().splitlines()
            raise SpeechError(f"callers can't be synthesised: {lines[-1] if lines else '?'}")

    def _want(self, wanted: dict[str, dict[str, str]], voice: str, words: str, lang: str) -> None:
        path = self._path(voice, words)
        if not path.exists():
            wanted[path.name] = {
                "voice": voice, "words": words, "language": lang, "file": str(path),
            }  # fmt: skip

    def _path(self, voice: str, words: str) -> Path:
        name = hashlib.sha256(f"{voice}\n{words}".encode()).hexdigest()[:24]
        return self._folder / f"{name}.wav"

    def _voice(self, case: Case, step: Step) -> str:
        return self._instead or step.voice or case.voice

    def audio(self, case: Case, step: Step) -> tuple[bytes, float]:
        """(L16 mono 8000 Hz of a step that says something, seconds of noise behind its words)."""
        words = self._words(case, step)
        noise = step.noise or case.scenario.noise
        if noise is None or (noise.throughout and step.noise is None):
            return _bytes(mu_law(words)), 0.0
        around = np.zeros(int(AROUND_S * RATE), np.int16)
        padded = np.concatenate([around, words, around])
        level = _level(words) / 10 ** (noise.snr_db / 20)
        mixed = padded + self._noise(noise, len(padded), level, f"{case.id} {step.said}")
        return _bytes(mu_law(np.clip(mixed, -32768, 32767).astype(np.int16))), AROUND_S

    def background(self, case: Case) -> bytes:
        """L16 of a noise that goes through the whole call, or nothing."""
        noise = case.scenario.noise
        if noise is None or not noise.throughout:
            return b""
        spoken = [self._words(case, s) for s in case.scenario.steps if s.say or s.wav]
        level = float(np.mean([_level(one) for one in spoken])) if spoken else 1000.0
        found = self._noise(noise, int(BACKGROUND_S * RATE), level / 10 ** (noise.snr_db / 20),
                            case.id)  # fmt: skip
        return _bytes(np.clip(found, -32768, 32767).astype(np.int16))

    def _words(self, case: Case, step: Step) -> Samples:
        if step.say is not None:
            return self._read(self._path(self._voice(case, step), step.say))
        pause = np.zeros(int(BETWEEN_S * RATE), np.int16)
        parts = [part for wav in step.wav or () for part in (self._read(case.wavs[wav]), pause)]
        return np.concatenate(parts[:-1])

    @staticmethod
    def _read(path: Path) -> Samples:
        """Without the silence at the ends."""
        try:
            if path.suffix == ".ul":
                samples = decoded(path.read_bytes())
            else:
                samples = np.frombuffer(read_wav(path), "<i2")
        except (OSError, ValueError) as error:
            raise SpeechError(f"{path.name}: {error}") from None
        loud = np.flatnonzero(np.abs(samples.astype(np.int32)) > LOUD)
        if not len(loud):
            raise SpeechError(f"{path.name}: nothing is to be heard in it")
        return samples[max(0, loud[0] - 400) : loud[-1] + 800]

    def _noise(self, noise: Noise, count: int, level: float, seed: str) -> npt.NDArray[np.float64]:
        """The same noise for the same seed, at a root mean square of `level`."""
        random = np.random.default_rng(zlib.crc32(seed.encode()))
        if noise.kind == "white":
            return random.normal(0.0, level, count)
        found = np.zeros(count)
        for voice, words in BABBLE:
            one = self._read(self._path(voice, words)).astype(np.float64)
            found += np.resize(np.roll(one / _level(one), random.integers(len(one))), count)
        rms: float = float(np.sqrt(np.mean(found**2)))
        return found * (level / rms)


def _babbles(case: Case) -> bool:
    noises = [case.scenario.noise, *(step.noise for step in case.scenario.steps)]
    return any(noise is not None and noise.kind == "babble" for noise in noises)


def _level(samples: npt.NDArray[np.int16] | npt.NDArray[np.float64]) -> float:
    """Root mean square of the 20 ms frames that are not silence."""
    whole = samples[: len(samples) // 160 * 160].astype(np.float64).reshape(-1, 160)
    power = np.mean(whole**2, axis=1)
    return float(np.sqrt(np.mean(power[power > np.max(power) / 100])))


def _bytes(samples: Samples) -> bytes:
    return samples.astype("<i2").tobytes()
