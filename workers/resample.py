"""L16 audio from one sampling rate to another, piece by piece.

soxr (LGPL-2.1-or-later, through python-soxr) does the work; it is linked dynamically and not
changed, and nothing else of it is used.

Its filters run in blocks, so a stream's output lags behind its input, and the last of it
comes with flush(). Measured with 10 ms pieces, the longest lag in milliseconds of audio:

    from     to       LQ    MQ    HQ
    8000     16000    61    118   115
    16000    8000     61    118   115
    22050    8000     44    82    80
    24000    8000     40    75    73
    48000    8000     40    75    158
    22050    24000    1     42    42

MQ is the default: flat to 3600 Hz at 8000 Hz where LQ loses 4 dB at 3300 Hz and 8 dB at
3400 Hz, which is where a telephone tells s from f; HQ is no better to a 16-bit ear. The lag
is of audio, not of the clock: behind an engine that speaks faster than real time it costs
nothing. A live stream (a caller into a recogniser) feels all of it; take LQ there.
"""

from __future__ import annotations

from typing import Final, Literal

import numpy as np
import soxr
from numpy.typing import NDArray

RATES_HZ: Final = (8000, 16000, 22050, 24000, 48000)
Quality = Literal["LQ", "MQ", "HQ"]

_FULL_SCALE: Final = 32768.0


class Resampler:
    """One stream of L16 (signed 16-bit little-endian, mono) between two of RATES_HZ.

    For one thread. Pieces may be of any length, odd ones too: a byte that is half a sample
    waits for the other. Equal rates pass through. Raises ValueError for another rate.
    """

    def __init__(self, rate_in: int, rate_out: int, quality: Quality = "MQ") -> None:
        for rate in (rate_in, rate_out):
            if rate not in RATES_HZ:
                raise ValueError(f"sampling rate {rate} Hz is not one of {RATES_HZ}")
        self.rate_in = rate_in
        self.rate_out = rate_out
        self._half = b""
        # Floats, rounded and clipped here: soxr's own way to 16 bits adds dither, which would
        # make silence noisy and the result differ from run to run.
        self._stream = (
            None
            if rate_in == rate_out
            else soxr.ResampleStream(rate_in, rate_out, 1, dtype="float32", quality=quality)
        )

    def feed(self, pcm: bytes) -> bytes:
        """L16 at rate_in in; what is ready of it, L16 at rate_out (perhaps nothing), out."""
        data = self._half + pcm
        whole = len(data) & ~1
        self._half = data[whole:]
        return self._convert(data[:whole], last=False)

    def flush(self) -> bytes:
        """The rest of the stream; half a sample at its end is dropped. Then a new stream begins."""
        self._half = b""
        rest = self._convert(b"", last=True)
        if self._stream is not None:
            self._stream.clear()
        return rest

    def _convert(self, pcm: bytes, last: bool) -> bytes:
        if self._stream is None:
            return pcm
        if not pcm and not last:
            return b""
        samples = np.frombuffer(pcm, "<i2").astype(np.float32) / np.float32(_FULL_SCALE)
        made = self._stream.resample_chunk(samples, last=last)
        rounded: NDArray[np.int16] = np.clip(np.rint(made * _FULL_SCALE), -32768, 32767).astype(
            "<i2"
        )
        return rounded.tobytes()
