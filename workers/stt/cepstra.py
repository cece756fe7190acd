"""Telephone audio as the cepstra that pocketsphinx' 16 kHz model was trained on.

    8 kHz ─▶ frames ─▶ power spectrum ─▶ 25 mel filters ─▶ noise ─▶ log ─▶ 13 cepstra
                                          20 heard, 5 guessed ──────▲

The model listens from 130 to 6800 Hz; a telephone ends below 4000. Plain upsampling leaves the
filters above it empty, which the model has never seen. A small map, learnt from wideband speech,
guesses them from what is heard (`data/README.md` says how it was learnt).

The front end follows pocketsphinx' own (src/fe/fe_sigproc.c, fe_noise.c), with the constants of
its en-us model (feat.params): at 8 kHz and 256 points the spectrum's lines stand where they stand
at 16 kHz and 512 points, so the lower filters are the same.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]

FILTERS: Final = 25
CEPSTRA: Final = 13
FRAMES_PER_S: Final = 100
_LOWEST_HZ: Final = 130.0
_HIGHEST_HZ: Final = 6800.0
_PRE_EMPHASIS: Final = 0.97
_LIFTER: Final = 22
_MODEL_RATE_HZ: Final = 16000
_WINDOW_S: Final = 0.025625
# Mu-law silence is all zeros, whose logarithm the model has never met: a faint hiss, root mean
# square in steps of 16 bits, goes under everything.
_HISS: Final = 3.0


def _mel(hz: float) -> float:
    return 2595 * float(np.log10(1 + hz / 700))


def _hz(mel: float) -> float:
    return 700 * float(10 ** (mel / 2595) - 1)


def mel_filters(rate_hz: int) -> Doubles:
    """Triangles over the power spectrum: (lines, filters), those that end below rate_hz / 2."""
    lines = rate_hz // 2 * 512 // _MODEL_RATE_HZ + 1
    spacing = _MODEL_RATE_HZ / 512
    low, high = _mel(_LOWEST_HZ), _mel(_HIGHEST_HZ)
    width = (high - low) / (FILTERS + 1)
    # round_filters: the corners stand on lines of the spectrum.
    corners = [int(_hz(low + i * width) / spacing + 0.5) * spacing for i in range(FILTERS + 2)]
    hz = np.arange(lines) * spacing
    triangles = []
    for left, peak, right in zip(corners, corners[1:], corners[2:], strict=False):
        if right > rate_hz / 2:
            break
        rising, falling = (hz - left) / (peak - left), (right - hz) / (right - peak)
        # unit_area: a wide filter weighs no more than a narrow one.
        triangles.append(np.clip(np.minimum(rising, falling), 0, None) * 2 / (right - left))
    return np.array(triangles).T


class _NoiseFloor:
    """Takes steady noise out of the filters' power, frame by frame (fe_noise.c)."""

    _SLOW, _FAST, _SMOOTH = 0.995, 0.5, 0.7
    _FORGET, _MASKED, _MAX_GAIN = 0.85, 0.2, 20.0
    _NEIGHBOURS = 4

    def __init__(self, filters: int) -> None:
        self._started = False
        reach = np.abs(np.subtract.outer(np.arange(filters), np.arange(filters)))
        near = (reach <= self._NEIGHBOURS).astype(np.float64)
        self._blur: Doubles = near / near.sum(axis=1, keepdims=True)
        zero: Doubles = np.zeros(filters)
        self._power = self._noise = self._floor = self._peak = zero

    def _envelope(self, value: Doubles, floor: Doubles) -> Doubles:
        pace = np.where(value >= floor, self._SLOW, self._FAST)
        return pace * floor + (1 - pace) * value

    def clean(self, power: Doubles) -> Doubles:
        """(frames, filters) in and out."""
        if not len(power):
            return power
        if not self._started:
            self._started = True
            self._power = power[0]
            self._noise = self._floor = power[0] / self._MAX_GAIN
        gains = np.empty_like(power)
        for frame, now in enumerate(power):
            smooth = self._power = self._SMOOTH * self._power + (1 - self._SMOOTH) * now
            self._noise = self._envelope(smooth, self._noise)
            signal = np.maximum(smooth - self._noise, 1.0)
            self._floor = self._envelope(signal, self._floor)
            peak = self._peak * self._FORGET
            self._peak = np.maximum(peak, signal)
            signal = np.where(signal < self._FORGET * peak, peak * self._MASKED, signal)
            signal = np.maximum(signal, self._floor)
            gains[frame] = signal / np.maximum(smooth, 1e-30)
        np.clip(gains, 1 / self._MAX_GAIN, self._MAX_GAIN, out=gains)
        return power * (gains @ self._blur.T)


class MelSpectrum:
    """Log power in mel filters: L16 mono at 8000 Hz in (16000 Hz where the map is learnt)."""

    def __init__(self, rate_hz: int = 8000) -> None:
        if rate_hz not in (8000, _MODEL_RATE_HZ):
            raise ValueError(f"sampling rate {rate_hz} Hz is neither 8000 nor {_MODEL_RATE_HZ}")
        self._shift = rate_hz // FRAMES_PER_S
        self._size = int(rate_hz * _WINDOW_S)
        self._fft = rate_hz * 512 // _MODEL_RATE_HZ
        self._window = np.hamming(self._size)
        self._filters = mel_filters(rate_hz)
        # Pre-emphasis of one 16 kHz sample, done to the spectrum; and half as many samples
        # make half the amplitude.
        turn = np.exp(-2j * np.pi * np.arange(len(self._filters)) / 512)
        scale = _MODEL_RATE_HZ / rate_hz
        self._emphasis = np.abs(1 - _PRE_EMPHASIS * turn) ** 2 * scale**2
        self._floor = _HISS**2 * float(self._window @ self._window)
        self._noise = _NoiseFloor(self._filters.shape[1])
        self._rest: Floats = np.zeros(0, np.float32)

    def feed(self, samples: NDArray[np.int16]) -> Doubles:
        """Any number of samples in; (frames, filters) out, a frame each 10 ms."""
        audio = np.concatenate([self._rest, samples.astype(np.float32)])
        frames = max(0, (len(audio) - self._size) // self._shift + 1)
        self._rest = audio[frames * self._shift :]
        if not frames:
            return np.zeros((0, self._filters.shape[1]))
        cut = np.lib.stride_tricks.sliding_window_view(audio, self._size)[:: self._shift]
        spectrum = np.fft.rfft(cut[:frames] * self._window, self._fft)
        power = (spectrum.real**2 + spectrum.imag**2 + self._floor) * self._emphasis
        # fe_mel_spec adds 1e-4 before the logarithm.
        return np.log(self._noise.clean(power @ self._filters) + 1e-4)


def cosine_transform() -> Doubles:
    """The unitary DCT and the lifter: (filters, cepstra)."""
    angle = np.pi / FILTERS * np.outer(np.arange(FILTERS) + 0.5, np.arange(CEPSTRA))
    scale = np.full(CEPSTRA, np.sqrt(2 / FILTERS))
    scale[0] = np.sqrt(1 / FILTERS)
    lifter = 1 + _LIFTER / 2 * np.sin(np.arange(CEPSTRA) * np.pi / _LIFTER)
    transform: Doubles = np.cos(angle) * scale * lifter
    return transform


class _Guess:
    """The filters above the telephone's band, guessed from those within it: one hidden layer.

    Looks at a frame and two on either side, 20 ms apart, so it lags 40 ms behind.
    """

    _OFFSETS = (-4, -2, 0, 2, 4)
    _REACH = 4

    def __init__(self) -> None:
        with np.load(Path(__file__).parent / "data" / "telephone_band.npz") as held:
            self._mean, self._scale = held["mean"].astype(float), held["scale"].astype(float)
            self._in, self._in_bias = held["in"].astype(float), held["in_bias"].astype(float)
            self._out, self._out_bias = held["out"].astype(float), held["out_bias"].astype(float)

    def complete(self, heard: Doubles) -> Doubles:
        """(frames + 2 * reach, heard filters) in, (frames, FILTERS) out."""
        reach = self._REACH
        frames = len(heard) - 2 * reach
        middle = heard[reach : reach + frames]
        level = middle.mean(axis=1, keepdims=True)  # loud and quiet callers are guessed alike
        context = np.concatenate(
            [heard[reach + at : reach + at + frames] for at in self._OFFSETS], axis=1
        )
        hidden = np.tanh(((context - level - self._mean) / self._scale) @ self._in + self._in_bias)
        return np.concatenate([middle, hidden @ self._out + self._out_bias + level], axis=1)


class Cepstra:
    """One utterance: L16 mono 8000 Hz in pieces of any length in, (frames, CEPSTRA) out."""

    def __init__(self) -> None:
        self._mel = MelSpectrum()
        self._guess = _Guess()
        self._transform = cosine_transform()
        self._heard: Doubles | None = None
        self._half = b""

    def feed(self, pcm: bytes) -> Floats:
        data = self._half + pcm
        whole = len(data) & ~1
        self._half = data[whole:]
        return self._take(self._mel.feed(np.frombuffer(data[:whole], "<i2")))

    def flush(self) -> Floats:
        """The last frames, which lagged behind."""
        if self._heard is None:
            return np.zeros((0, CEPSTRA), np.float32)
        return self._take(np.repeat(self._heard[-1:], _Guess._REACH, axis=0))

    def _take(self, mel: Doubles) -> Floats:
        if not len(mel):
            return np.zeros((0, CEPSTRA), np.float32)
        if self._heard is None:
            self._heard = np.repeat(mel[:1], _Guess._REACH, axis=0)
        heard = np.concatenate([self._heard, mel])
        self._heard = heard[-2 * _Guess._REACH :]
        if len(heard) <= 2 * _Guess._REACH:
            self._heard = heard
            return np.zeros((0, CEPSTRA), np.float32)
        return (self._guess.complete(heard) @ self._transform).astype(np.float32)
