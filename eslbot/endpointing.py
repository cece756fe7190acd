"""Where an utterance begins and where it ends, from speech probabilities alone.

    p ≥ start for min_speech_ms            p < stop for silence_ms, or max_ms reached
silence ───────────────────────▶ utterance ───────────────────────────▶ silence
  keeps preroll_ms of audio        SpeechStarted, Heard…                 SpeechEnded
                                   Paused after pause_ms of quiet, Resumed if it goes on

Speech ends within a window, and the silence is long enough within one. Where the line is quiet
(below the gate, so that nobody need ask the model), the quiet end of the last window of speech
counts, too, and the last window of silence is not waited for: that is 32 ms sooner at the best, 16
on average of each.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from eslbot.vad import WINDOW_BYTES, WINDOW_MS

BLOCK = 32  # samples: what is looked at for itself, in a window
BLOCK_MS = 4
BYTES_MS = 16


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """pcm: the audio so far, from preroll_ms before the first window of speech."""

    pcm: bytes


@dataclass(frozen=True, slots=True)
class Heard:
    """More audio of the utterance, L16 mono 8000 Hz."""

    pcm: bytes


@dataclass(frozen=True, slots=True)
class SpeechEnded:
    """silence_ms: how long it had been quiet. cut: the utterance reached its maximum."""

    silence_ms: int
    cut: bool = False


@dataclass(frozen=True, slots=True)
class Paused:
    """It has been quiet for pause_ms: the utterance may be over, and all of it was Heard."""


@dataclass(frozen=True, slots=True)
class Resumed:
    """It was not over: the caller goes on."""


Event = SpeechStarted | Heard | Paused | Resumed | SpeechEnded


class Endpointer:
    """One call's. Times in milliseconds, probabilities 0 to 1, windows of 32 ms.

    min_speech_ms may be changed at any time: more of it is wanted to interrupt the bot. So may
    silence_ms: a number takes its time.
    pause_ms 0: no Paused. gate_dbfs: below it is silence; None: the model alone says so.
    """

    def __init__(
        self,
        *,
        start: float,
        stop: float,
        min_speech_ms: int,
        silence_ms: int,
        preroll_ms: int,
        max_ms: int,
        chunk_ms: int,
        pause_ms: int = 0,
        gate_dbfs: float | None = None,
    ) -> None:
        self.min_speech_ms = min_speech_ms
        self._start = start
        self._stop = stop
        self.silence_ms = silence_ms
        self._pause_ms = pause_ms
        self._paused = False
        self._max_ms = max_ms
        self._chunk_bytes = max(1, chunk_ms // WINDOW_MS) * WINDOW_BYTES
        self._preroll = deque[bytes](maxlen=max(1, preroll_ms // WINDOW_MS))
        self._onset: list[bytes] = []
        self._quiet_in_onset = 0
        self._chunk = bytearray()
        self._in_speech = False
        self._quiet_ms = 0
        self._length_ms = 0
        self._gate = 0.0 if gate_dbfs is None else 10 ** (gate_dbfs / 10) * 32768**2
        self._last = b""  # the last window of speech
        self.soon = False  # partial() may bring something about

    @property
    def in_speech(self) -> bool:
        return self._in_speech

    def reset(self) -> None:
        """Forget an utterance in work, as if there had been silence."""
        self._preroll.clear()
        self._onset.clear()
        self._chunk.clear()
        self._in_speech = self._paused = self.soon = False
        self._quiet_ms = self._length_ms = 0

    def window(self, pcm: bytes, probability: float) -> list[Event]:
        """Take the next window of WINDOW_BYTES; return what it brought about, in order."""
        if self._in_speech:
            return self._speech(pcm, probability)
        if probability < self._start and not self._onset:  # most of them
            self._preroll.append(pcm)
            return []
        return self._silence(pcm, probability)

    def _silence(self, pcm: bytes, probability: float) -> list[Event]:
        if probability >= self._start:
            self._onset.append(pcm)
            self._quiet_in_onset = 0
        elif self._onset and probability >= self._stop:
            # Neither loud nor quiet: it goes on, also after a quiet window.
            self._onset.append(pcm)
            self._quiet_in_onset = 0
        elif self._onset and self._quiet_in_onset == 0:
            # One quiet window does not undo an onset: plosives are quiet.
            self._quiet_in_onset = 1
            self._onset.append(pcm)
        else:
            self._preroll.extend([*self._onset, pcm])
            self._onset.clear()
            self._quiet_in_onset = 0
        if len(self._onset) * WINDOW_MS < self.min_speech_ms or self._quiet_in_onset:
            return []
        audio = b"".join([*self._preroll, *self._onset])
        self._length_ms = len(self._onset) * WINDOW_MS
        self._preroll.clear()
        self._onset.clear()
        self._in_speech = True
        self._quiet_ms = 0
        self._last = pcm
        return [SpeechStarted(audio)]

    def partial(self, pcm: bytes) -> list[Event]:
        """What has come of the next window, where `soon`: window() gets it again once it is
        whole."""
        length_ms = len(pcm) // BYTES_MS
        if not length_ms or self._quiet_tail_ms(pcm) < length_ms - BLOCK_MS:
            return []
        return self._due(self._quiet_ms + length_ms)

    def _speech(self, pcm: bytes, probability: float) -> list[Event]:
        self._chunk += pcm
        self._length_ms += WINDOW_MS
        events: list[Event] = []
        if probability < self._stop:
            if not self._quiet_ms and self._gate:
                # Of the window before only what is quiet up to here; this one counts anyway.
                self._quiet_ms = max(0, self._quiet_tail_ms(self._last + pcm) - WINDOW_MS)
            self._quiet_ms += WINDOW_MS
        else:
            self._last = pcm
        if probability >= self._start:
            self._quiet_ms = 0
            if self._paused:
                self._paused = False
                events.append(Resumed())
        return events + self._due(self._quiet_ms)

    def _due(self, quiet_ms: int) -> list[Event]:
        """What so much quiet, or so long an utterance, brings about."""
        events: list[Event] = []
        ended = quiet_ms >= self.silence_ms
        cut = not ended and self._length_ms >= self._max_ms
        pauses = not self._paused and 0 < self._pause_ms <= quiet_ms and not (ended or cut)
        whole = len(self._chunk) >= self._chunk_bytes
        if self._chunk and (ended or cut or pauses or whole):
            events.append(Heard(bytes(self._chunk)))
            self._chunk.clear()
        if pauses:
            self._paused = True
            events.append(Paused())
        if ended or cut:
            events.append(SpeechEnded(quiet_ms, cut))
            self._in_speech = self._paused = self.soon = False
            self._quiet_ms = self._length_ms = 0
            return events
        next_ms = quiet_ms + WINDOW_MS
        pause_soon = not self._paused and 0 < self._pause_ms <= next_ms
        self.soon = self._gate > 0 < quiet_ms and (next_ms >= self.silence_ms or pause_soon)
        return events

    def _quiet_tail_ms(self, pcm: bytes) -> int:
        """How long it has been below the gate at its end."""
        samples = np.frombuffer(pcm, "<i2")
        samples = samples[len(samples) % BLOCK :].astype(np.float32).reshape(-1, BLOCK)
        loud = np.flatnonzero(np.einsum("ij,ij->i", samples, samples) / BLOCK > self._gate)
        return (len(samples) - 1 - int(loud[-1]) if loud.size else len(samples)) * BLOCK_MS
