"""What the tests of speech have in common: to speak, and to compare what was said."""

from __future__ import annotations

import os
import select

import numpy as np

from workers.tts.engine import TtsEngine

BALANCE = "Thank you for calling. Your current balance is forty two dollars and ten cents."
PATIENCE_S = 20.0  # a deadline for what should take milliseconds, on a busy machine


def spoken(engine: TtsEngine, text: str, language: str = "en") -> bytes:
    return b"".join(engine.speak(text, language, PATIENCE_S))


def seconds(pcm: bytes) -> float:
    return len(pcm) / 2 / 8000


def same_words(one: bytes, other: bytes) -> bool:
    """Whether two recordings say the same: espeak-ng's voice never repeats itself to the sample.

    Energies in 16 bands every 40 ms: the same sentence twice correlates above 0.94 and its
    length agrees to 0.3 %; different ones of about the same length stay below 0.62.
    """
    if not one or not other:
        return one == other
    pictures = []
    for pcm in (one, other):
        samples = np.frombuffer(pcm, "<i2").astype(np.float64)
        frames = samples[: len(samples) // 320 * 320].reshape(-1, 320) * np.hanning(320)
        power = np.abs(np.fft.rfft(frames))[:, 1:] ** 2
        pictures.append(np.log10(power.reshape(len(frames), 16, 10).sum(axis=2) + 1e4))
    frame_count = min(map(len, pictures))
    alike = np.corrcoef(*(picture[:frame_count].ravel() for picture in pictures))[0, 1]
    return bool(abs(len(one) / len(other) - 1) < 0.02 and alike > 0.85)


def median_pitch_hz(pcm: bytes) -> float:
    """Of 80 ms frames, by autocorrelation between 60 and 400 Hz."""
    samples = np.frombuffer(pcm, "<i2").astype(np.float64)
    pitches = []
    for at in range(0, len(samples) - 640, 640):
        frame = samples[at : at + 640]
        echo = np.correlate(frame, frame, "full")[639:]
        lag = 20 + int(np.argmax(echo[20:133]))
        if echo[lag] > 0.5 * echo[0] > 0:
            pitches.append(8000 / lag)
    return float(np.median(pitches))


def has_ended(pid: int) -> bool:
    """Whether the process ends within the deadline."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        poller = select.poll()
        poller.register(handle, select.POLLIN)
        return bool(poller.poll(PATIENCE_S * 1000))
    finally:
        os.close(handle)
