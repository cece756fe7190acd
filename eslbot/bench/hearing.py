"""The listener's hot path: the clock's tick with VAD, endpointing and playback, and the VAD alone.

The floor of both is silero's model alone, on the very windows that the energy gate let through.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from eslbot.bench.callers import sentences
from eslbot.bench.measure import Effort, Part, beside
from eslbot.endpointing import Endpointer
from eslbot.media.clock import TICK_S, Clock
from eslbot.media.leg import Leg
from eslbot.playback import Playback
from eslbot.vad import CONTEXT, RATE, WINDOW, WINDOW_BYTES, Vad
from workers.settings import Settings

FRAME = 320
CALLS = 20
BATCHES = (1, 16, 64)
PAUSE_S = 3  # between two sentences: of a call about a third is the caller's speech
ANSWER_S = 2


class Port:
    """A call's frames without a socket; see media/leg.py."""

    started = True
    frame_bytes = FRAME

    def __init__(self, audio: bytes, at: int) -> None:
        self._audio = audio
        self._at = at
        self.sent = 0

    @property
    def lead_frames(self) -> int:
        return 0

    def receive(self) -> bytes:
        self._at = (self._at + FRAME) % len(self._audio)
        return self._audio[self._at : self._at + FRAME]

    def send(self, frame: bytes) -> None:
        self.sent += 1

    def clear(self) -> None:
        """Nobody buffers."""

    def close(self) -> None:
        """Nothing to close."""


def talk() -> bytes:
    """Recorded sentences with pauses of FreeSWITCH's silence, in whole frames."""
    pause = b"\xff" * (PAUSE_S * RATE * 2)
    audio = b"".join(pcm + pause for pcm in sentences())
    return audio[: len(audio) // FRAME * FRAME]


def _clock(vad: Vad, settings: Settings) -> tuple[Clock, list[Leg]]:
    clock = Clock(vad, lambda _now, _late: None)
    audio = talk()
    frames = len(audio) // FRAME
    legs = []
    for number in range(CALLS):
        endpointer = Endpointer(
            start=settings.vad_start_percent / 100,
            stop=settings.vad_stop_percent / 100,
            min_speech_ms=settings.min_speech_ms,
            silence_ms=settings.endpoint_silence_ms,
            preroll_ms=settings.preroll_ms,
            max_ms=settings.max_utterance_s * 1000,
            chunk_ms=settings.audio_chunk_ms,
            gate_dbfs=settings.vad_gate_dbfs,
        )
        playback = Playback(FRAME, settings.playback_lead_frames, settings.playback_max_s)
        port = Port(audio, number * frames // CALLS * FRAME)
        leg = Leg(port, endpointer, playback, vad.open(), lambda _: None, lambda: None)
        leg.listening = True
        legs.append(leg)
        clock.add(leg)
    return clock, legs


class _Watched(Vad):
    """Keeps the inputs of the model's runs."""

    def __init__(self, places: int, gate_dbfs: float) -> None:
        super().__init__(places, gate_dbfs)
        self.model: Any = self._model
        self.fed: list[dict[str, Any]] = []
        self._model = self

    def run(self, outputs: None, inputs: dict[str, Any]) -> Any:
        self.fed.append(inputs)
        return self.model.run(outputs, inputs)


def tick(effort: Effort) -> Part:
    """A second of a call, both ways; half of the time there is something to say."""
    settings = Settings()
    seconds = max(2, effort.scale)
    answer = sentences()[0] * 8
    now = 0.0

    def run(clock: Clock, legs: list[Leg]) -> None:
        nonlocal now
        for number in range(int(seconds / TICK_S)):
            if number % int(2 * ANSWER_S / TICK_S) == 0:
                for leg in legs:
                    leg.playback.say("an answer", answer[: ANSWER_S * RATE * 2])
            clock.tick(now)
            now += TICK_S

    watched = _Watched(CALLS, settings.vad_gate_dbfs)
    run(*_clock(watched, settings))
    clock, legs = _clock(Vad(CALLS, settings.vad_gate_dbfs), settings)

    def model() -> None:
        for inputs in watched.fed:
            watched.model.run(None, inputs)

    cost, floor = beside(lambda: run(clock, legs), model, seconds * CALLS, seconds * CALLS, effort)
    name = f"clock's tick, {CALLS} calls both ways, with VAD and endpointing"
    return Part(name, "call-second", cost, "the model alone, on the same windows", floor)


def vad(effort: Effort) -> list[Part]:
    """A window of speech, alone and in batches."""
    return [_batch(size, effort) for size in BATCHES]


def _batch(size: int, effort: Effort) -> Part:
    speech = sentences()[0]
    windows = [speech[i : i + WINDOW_BYTES] for i in range(0, len(speech), WINDOW_BYTES)]
    windows = [one for one in windows if len(one) == WINDOW_BYTES and _loud(one)]
    rounds = 10 * effort.scale
    # So quiet a gate that the model hears all.
    one = Vad(size, -90)
    places = [one.open() for _ in range(size)]
    batches = [[windows[(r + p) % len(windows)] for p in range(size)] for r in range(rounds)]
    fed = np.zeros((size, CONTEXT + WINDOW), np.float32)
    inputs = {"input": fed, "state": np.zeros((2, size, 128), np.float32),
              "sr": np.array(RATE, np.int64)}  # fmt: skip
    fed[:] = np.resize(_samples(speech), fed.shape)

    def run() -> None:
        for batch in batches:
            one.probabilities(places, batch)

    def model() -> None:
        for _ in batches:
            one._model.run(None, inputs)

    cost, floor = beside(run, model, rounds * size, rounds * size, effort)
    return Part(f"VAD, batch of {size}", "window", cost, "the model alone, same batch", floor)


def _samples(pcm: bytes) -> npt.NDArray[np.float32]:
    return np.frombuffer(pcm, "<i2").astype(np.float32) / 32768.0


def _loud(window: bytes) -> bool:
    return float(np.abs(_samples(window)).max()) > 0.02
