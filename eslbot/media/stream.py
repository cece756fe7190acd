"""Sound over a connection that somebody else reads and writes: AudioSocket, WebSockets.

    reader greenlet ── feed() ──▶ bounded ──▶ receive()   the clock
    writer greenlet ◀── put() ◀──────────────── send()

Over TCP nothing says when the next frame comes. A pause (a switch sends nothing while a key is
held, or for a caller who sends no RTP) is filled up with silence, because an utterance ends by
silence that is heard; and who sends faster than people speak is cut to what there is time for.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from workers.resample import RATES_HZ, Resampler

RATE = 8000
FRAME_MS = 20
FRAME = RATE * 2 * FRAME_MS // 1000
GAP_S = 0.3  # without sound for so long: silence is made up
AHEAD_S = 2.0  # sound that may come at once, after a pause of the network


class StreamPort:
    """One call's sound at `rate` Hz on the wire, L16 little-endian mono; see doors.Port.

    put(frame): hand 20 ms to the writer; clear: what the writer and the other side have of it is
    to be dropped. Neither may wait.
    """

    def __init__(
        self,
        rate: int,
        put: Callable[[bytes], object],
        clear: Callable[[], object] = lambda: None,
        close: Callable[[], object] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._check(rate)
        self.rate = rate  # of what goes out
        self._rate_in = rate
        self.dropped_bytes = 0  # of the wire's, for want of time to hear them
        self._put = put
        self._clear = clear
        self._close = close
        self._clock = clock
        self._down = Resampler(rate, RATE, "LQ")
        self._up = Resampler(RATE, rate, "LQ")
        self._wire_bytes = rate * 2 * FRAME_MS // 1000
        self._audio = bytearray()
        self._rest = bytearray()
        self._began = clock()
        self._taken_s = 0.0  # of sound, fed or made up, since then
        self._last = self._began

    @staticmethod
    def _check(rate: int) -> None:
        if rate not in RATES_HZ:
            raise ValueError(f"no sound at {rate} Hz")

    def hear_at(self, rate: int) -> None:
        """What comes from now on has another rate than what goes out."""
        self._check(rate)
        self._rate_in = rate
        self._down = Resampler(rate, RATE, "LQ")

    @property
    def started(self) -> bool:
        return True

    @property
    def frame_bytes(self) -> int:
        return FRAME

    def feed(self, pcm: bytes) -> None:
        """Sound has come; any length."""
        now = self._clock()
        since = now - self._began
        self._taken_s = max(self._taken_s, since - AHEAD_S)
        room = int((since + AHEAD_S - self._taken_s) * self._rate_in) * 2
        if len(pcm) > room:
            self.dropped_bytes += len(pcm) - room
            pcm = pcm[:room]
        self._taken_s += len(pcm) / 2 / self._rate_in
        self._last = now
        self._audio += self._down.feed(pcm)

    @property
    def lead_frames(self) -> int:
        return 0

    def receive(self) -> bytes:
        if self._audio:
            found = bytes(self._audio)
            self._audio.clear()
            return found
        now = self._clock()
        missing = int((now - self._last - GAP_S) * 1000) // FRAME_MS
        if missing <= 0:
            return b""
        # From here on GAP_S is waited for no more: _last stands for what was made up, too.
        self._last += missing * FRAME_MS / 1000
        return bytes(min(missing, int(AHEAD_S * 1000) // FRAME_MS) * FRAME)

    def send(self, frame: bytes) -> None:
        if self.rate == RATE:
            self._put(frame)
            return
        self._rest += self._up.feed(frame)
        while len(self._rest) >= self._wire_bytes:
            self._put(bytes(self._rest[: self._wire_bytes]))
            del self._rest[: self._wire_bytes]

    def clear(self) -> None:
        self._rest.clear()
        self._clear()

    def close(self) -> None:
        self._close()
