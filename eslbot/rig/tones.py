"""Audio that names itself: a recording alone tells what was heard, when, and in whose call.

    what      ->  a number  ->  8 digits to base 7 and a check digit  ->  a chord of 9 sinusoids
    Fixed(i)      i                                                       one of 7 for each digit
    Mark(...)     60 + ((call * 20 + turn) * 8 + part) * 2 + last         held for the whole time

The 63 frequencies are the multiples of 50 Hz from 300 to 3400 Hz: in 20 ms each makes whole
waves, so that any 20 ms of a chord tell its tones apart exactly, wherever they are cut out, and
nothing is keyed over time that a cut could lose. A voice, noise or a mixture of two chords does
not put its power into nine such tones alone, nor evenly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

RATE_HZ: Final = 8000
LEVEL_RMS: Final = 3000  # of 32768
FADE_S: Final = 0.005
MAX_S: Final = 60.0
CALLS: Final = 10_000
TURNS: Final = 20
RULES_TURN: Final = TURNS - 1  # of answers that carry no turn: a bot's own rules gave them
PARTS: Final = 8
FIXED: Final = 60

STEP_S: Final = 0.01  # the grid on which stretches begin and end
SHORTEST_S: Final = 0.24  # of a mark, that it is known by

_STEP: Final = 80  # samples
_WINDOW: Final = 2 * _STEP  # 20 ms: bins of 50 Hz
_FIRST_BIN: Final = 6  # 300 Hz
_DIGITS: Final = 8
_GROUPS: Final = _DIGITS + 1
_BASE: Final = 7
_WEIGHTS: Final = np.array([1, 2, 3, 4, 5, 6, 1, 2])  # no factor of 7: one wrong digit shows
_PLACES: Final = _BASE ** np.arange(_DIGITS)
_NUMBERS: Final = FIXED + CALLS * TURNS * PARTS * 2  # fewer than 7 ** 8

_AUDIBLE_RMS: Final = 60.0  # -55 dBFS: over the noise of PCMU, under any voice
_PURITY: Final = 0.8  # share of a window's power in its nine tones
_BALANCE: Final = 0.05  # power of the weakest tone to the strongest: 13 dB
_BRIDGED: Final = 2  # steps: a gap so short, one frame lost, does not end a stretch
# A mark of 240 ms fills 23 whole steps wherever it lies; one may be lost at a change.
_SHORTEST: Final = 22

_UNKNOWN: Final = -1
_SILENT: Final = -2


@dataclass(frozen=True)
class Mark:
    """One part of an answer. call 0..9999, turn 0..19, part 0..7."""

    call: int
    turn: int
    part: int
    last: bool


@dataclass(frozen=True)
class Fixed:
    """A fixed phrase (greeting, filler, menu): an index, 0..59, into a list that the rig knows."""

    index: int


@dataclass(frozen=True)
class Heard:
    """A stretch of sound, in seconds of the recording. what: None when it is no mark, a voice."""

    start_s: float
    end_s: float
    what: Mark | Fixed | None


def encode(mark: Mark | Fixed, seconds: float) -> bytes:
    """L16 mono 8000 Hz. Raises ValueError for what has no chord, or no length up to MAX_S."""
    if not FADE_S * 2 <= seconds <= MAX_S:
        raise ValueError(f"{seconds} s of a mark: not within {FADE_S * 2} to {MAX_S} s")
    count = round(seconds * RATE_HZ)
    wave = np.resize(_one_window(_number(mark)), count)
    fade = round(FADE_S * RATE_HZ)
    ramp = (np.arange(fade) + 0.5) / fade
    wave[:fade] *= ramp
    wave[-fade:] *= ramp[::-1]
    return np.rint(wave).astype("<i2").tobytes()


def decode(pcm: NDArray[np.int16]) -> list[Heard]:
    """The stretches of sound in a recording at 8000 Hz, in order.

    Of a mark that was cut to less than SHORTEST_S is only told that something was heard. The
    same again after a gap of 40 ms or more is another stretch.
    """
    codes = _codes(np.asarray(pcm))
    runs = _merged(_runs(codes))
    return [
        Heard(start * STEP_S, end * STEP_S, _what(code))
        for code, start, end in runs
        if code != _SILENT
    ]


def _number(mark: Mark | Fixed) -> int:
    if isinstance(mark, Fixed):
        _check("index", mark.index, FIXED)
        return mark.index
    _check("call", mark.call, CALLS)
    _check("turn", mark.turn, TURNS)
    _check("part", mark.part, PARTS)
    return FIXED + ((mark.call * TURNS + mark.turn) * PARTS + mark.part) * 2 + int(mark.last)


def _check(name: str, value: int, bound: int) -> None:
    if not 0 <= value < bound:
        raise ValueError(f"{name} {value} of a mark: not within 0 to {bound - 1}")


def _what(number: int) -> Mark | Fixed | None:
    if number == _UNKNOWN:
        return None
    if number < FIXED:
        return Fixed(number)
    rest, last = divmod(number - FIXED, 2)
    rest, part = divmod(rest, PARTS)
    call, turn = divmod(rest, TURNS)
    return Mark(call, turn, part, bool(last))


def _one_window(number: int) -> NDArray[np.float64]:
    """20 ms of a chord; it repeats without a seam."""
    digits = number // _PLACES % _BASE
    digits = np.append(digits, digits @ _WEIGHTS % _BASE)
    groups = np.arange(_GROUPS)
    bins = _FIRST_BIN + groups * _BASE + digits
    # Phases that grow with the square (Schroeder 1970) keep the peaks low.
    phases = np.pi * groups**2 / _GROUPS
    at = np.arange(_WINDOW)[:, None]
    amplitude = LEVEL_RMS * np.sqrt(2 / _GROUPS)
    tones = np.sin(2 * np.pi * bins * at / _WINDOW + phases)
    return np.asarray(amplitude * tones.sum(axis=1))


def _codes(pcm: NDArray[np.int16]) -> NDArray[np.int64]:
    """For each step of 10 ms: a mark's number, _UNKNOWN or _SILENT."""
    count = -(-len(pcm) // _STEP)
    steps = np.zeros((count + 2, _STEP), np.float32)  # a silent one before and one after
    steps[1:-1].reshape(-1)[: len(pcm)] = pcm
    power = np.einsum("ij,ij->i", steps, steps)
    windows = np.concatenate([steps[:-1], steps[1:]], axis=1)
    found = _numbers(windows, power[:-1] + power[1:])
    before, after = found[:-1], found[1:]  # the two windows that a step lies in
    codes = np.where((before == after) | (after == _UNKNOWN), before, after)
    codes[(before != after) & (before != _UNKNOWN) & (after != _UNKNOWN)] = _UNKNOWN
    codes[power[1:-1] <= _STEP * _AUDIBLE_RMS**2] = _SILENT
    return codes


def _numbers(windows: NDArray[np.float32], power: NDArray[np.float32]) -> NDArray[np.int64]:
    """For each window: the number its chord stands for, or _UNKNOWN."""
    end = _FIRST_BIN + _GROUPS * _BASE
    bins = np.abs(np.fft.rfft(windows, axis=1)[:, _FIRST_BIN:end]) ** 2 * (2 / _WINDOW)
    groups = bins.reshape(-1, _GROUPS, _BASE)
    tones = groups.max(axis=2)
    digits = groups.argmax(axis=2)
    sure = (
        (tones.sum(axis=1) >= _PURITY * power)
        & (tones.min(axis=1) >= _BALANCE * tones.max(axis=1))
        & (digits[:, :-1] @ _WEIGHTS % _BASE == digits[:, -1])
        & (power > 0)
    )
    numbers = digits[:, :-1] @ _PLACES
    return np.where(sure & (numbers < _NUMBERS), numbers, _UNKNOWN)


Run = tuple[int, int, int]  # code, start, end in steps


def _runs(codes: NDArray[np.int64]) -> list[Run]:
    edges = np.flatnonzero(np.diff(codes)) + 1
    starts = [0, *edges.tolist()] if len(codes) else []
    ends = [*starts[1:], len(codes)]
    return [(int(codes[a]), a, b) for a, b in zip(starts, ends, strict=False)]


def _merged(runs: list[Run]) -> list[Run]:
    """Short doubts and gaps go to their neighbours; a code that is then too short is unknown."""
    # The unsure step or two where one chord passes into another, or into silence.
    settled: list[Run] = []
    for at, (code, start, end) in enumerate(runs):
        if code == _UNKNOWN and end - start <= _BRIDGED:
            before = settled[-1][0] if settled else _SILENT
            after = runs[at + 1][0] if at + 1 < len(runs) else _SILENT
            code = before if before >= 0 else after if after >= 0 else code
        _append(settled, code, start, end)
    bridged: list[Run] = []
    for at, (code, start, end) in enumerate(settled):
        if code == _SILENT and end - start <= _BRIDGED and bridged and at + 1 < len(settled):
            before, after = bridged[-1][0], settled[at + 1][0]
            code = before if before == after else code
        _append(bridged, code, start, end)
    sure: list[Run] = []
    for code, start, end in bridged:
        short = code >= 0 and end - start < _SHORTEST
        _append(sure, _UNKNOWN if short else code, start, end)
    return sure


def _append(runs: list[Run], code: int, start: int, end: int) -> None:
    if runs and runs[-1][0] == code:
        runs[-1] = (code, runs[-1][1], end)
    else:
        runs.append((code, start, end))
