"""Takes the silence off both ends of a sentence, and leaves the pauses inside it.

Silence before the first word is time that the caller waits; silence after the last delays
the end of the bot's turn. espeak-ng 1.52 begins with 0 to 53 ms of it.
"""

from __future__ import annotations

from typing import Final

import numpy as np

RATE_HZ: Final = 8000
QUIET: Final = 160  # of 32768: -46 dBFS, under any breath or consonant of a synthetic voice
LEAD_MS: Final = 20  # kept before the first sound, so that a soft onset is not clipped
TAIL_MS: Final = 30  # kept after the last one, for the same reason
HELD_MS: Final = 2000  # a pause longer than this is passed on, though it may be the end


class SilenceTrimmer:
    """One sentence of L16 mono at 8000 Hz through feed() and flush(), in whole samples.

    Holds at most HELD_MS of silence, in 16-bit samples.
    """

    def __init__(self) -> None:
        self._begun = False
        self._held = b""

    def feed(self, pcm: bytes) -> bytes:
        """What is certain to belong to the sentence, in order."""
        data = self._held + pcm
        loud = np.flatnonzero(np.abs(np.frombuffer(data, "<i2").astype(np.int32)) > QUIET)
        if len(loud) == 0:
            keep = _bytes(HELD_MS if self._begun else LEAD_MS)
            out, self._held = data[:-keep] if len(data) > keep else b"", data[-keep:]
            return out if self._begun else b""
        start = 0 if self._begun else max(0, 2 * int(loud[0]) - _bytes(LEAD_MS))
        end = 2 * (int(loud[-1]) + 1)
        self._begun = True
        self._held = data[end:]
        return data[start:end]

    def flush(self) -> bytes:
        """The little of the last silence that is kept; nothing if there was no sound at all."""
        rest = self._held[: _bytes(TAIL_MS)] if self._begun else b""
        self._begun, self._held = False, b""
        return rest


def _bytes(ms: int) -> int:
    return 2 * RATE_HZ * ms // 1000
