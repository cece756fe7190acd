"""From a synthesiser's own audio to a telephone's: 8000 Hz, one level, no silent ends."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from workers.resample import Resampler
from workers.tts.silence import SilenceTrimmer

RATE_HZ: Final = 8000


def phone_audio(pieces: Iterator[tuple[int, bytes]]) -> Iterator[bytes]:
    """(rate in Hz, L16 mono) pieces of one sentence in; L16 mono at 8000 Hz out as it is ready.

    Stopping early closes the source.
    """
    resampler: Resampler | None = None
    trimmer = SilenceTrimmer()
    for rate_hz, pcm in pieces:
        resampler = resampler or Resampler(rate_hz, RATE_HZ)
        if ready := trimmer.feed(resampler.feed(pcm)):
            yield ready
    if resampler and (rest := trimmer.feed(resampler.flush()) + trimmer.flush()):
        yield rest
