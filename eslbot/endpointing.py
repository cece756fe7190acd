"""Where an utterance begins and where it ends, from speech probabilities alone.

    p ≥ start for min_speech_ms            p < stop for silence_ms, or max_ms reached
silence ───────────────────────▶ utterance ───────────────────────────▶ silence
  keeps preroll_ms of audio        SpeechStarted, Heard…                 SpeechEnded
                                   Paused after pause_ms of quiet, Resumed if it goes on
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from eslbot.vad import WINDOW_BYTES, WINDOW_MS


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
    pause_ms 0: no Paused.
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

    @property
    def in_speech(self) -> bool:
        return self._in_speech

    def reset(self) -> None:
        """Forget an utterance in work, as if there had been silence."""
        self._preroll.clear()
        self._onset.clear()
        self._chunk.clear()
        self._in_speech = self._paused = False
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
        return [SpeechStarted(audio)]

    def _speech(self, pcm: bytes, probability: float) -> list[Event]:
        self._chunk += pcm
        self._length_ms += WINDOW_MS
        events: list[Event] = []
        if probability < self._stop:
            self._quiet_ms += WINDOW_MS
        elif probability >= self._start:
            self._quiet_ms = 0
            if self._paused:
                self._paused = False
                events.append(Resumed())
        ended = self._quiet_ms >= self.silence_ms
        cut = not ended and self._length_ms >= self._max_ms
        pauses = not self._paused and 0 < self._pause_ms <= self._quiet_ms and not (ended or cut)
        if ended or cut or pauses or len(self._chunk) >= self._chunk_bytes:
            events.append(Heard(bytes(self._chunk)))
            self._chunk.clear()
        if pauses:
            self._paused = True
            events.append(Paused())
        if ended or cut:
            events.append(SpeechEnded(self._quiet_ms, cut))
            self._in_speech = self._paused = False
            self._quiet_ms = self._length_ms = 0
        return events
