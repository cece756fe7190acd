"""Both sides of a call, tick by tick, and what can be told from them."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import numpy.typing as npt

AUDIBLE = 150.0  # root mean square of a tick: well over silence, well under speech
MAX_SECONDS = 3600


class Recording:
    """Caller and bot, aligned: one frame of each per tick of ptime_ms."""

    def __init__(self, rate: int, ptime_ms: int) -> None:
        self.rate = rate
        self.tick_s = ptime_ms / 1000
        self._bytes = rate * 2 * ptime_ms // 1000
        self._sides: tuple[list[bytes], list[bytes]] = ([], [])

    def tick(self, caller: bytes, bot: bytes) -> None:
        if len(self._sides[0]) < MAX_SECONDS / self.tick_s:
            for side, frame in zip(self._sides, (caller, bot), strict=True):
                side.append(frame[: self._bytes].ljust(self._bytes, b"\0"))

    def caller(self) -> npt.NDArray[np.int16]:
        return np.frombuffer(b"".join(self._sides[0]), "<i2")

    def bot(self) -> npt.NDArray[np.int16]:
        return np.frombuffer(b"".join(self._sides[1]), "<i2")

    @property
    def ticks(self) -> int:
        return len(self._sides[0])

    def audible(self, side: str, since: int = 0) -> npt.NDArray[np.bool_]:
        """For each tick from `since` on, whether that side ("caller", "bot") is heard."""
        frames = self._sides[0 if side == "caller" else 1][since:]
        if not frames:
            return np.zeros(0, bool)
        samples = np.frombuffer(b"".join(frames), "<i2").reshape(len(frames), -1)
        return np.asarray(np.sqrt(np.mean(samples.astype(np.float64) ** 2, axis=1)) > AUDIBLE)

    def quiet_s(self, side: str) -> float:
        """For how long that side has been silent now."""
        back = 250  # five seconds are enough to know
        found = np.flatnonzero(self.audible(side, max(0, self.ticks - back)))
        since = min(back, self.ticks) - 1 - int(found[-1]) if found.size else min(back, self.ticks)
        return since * self.tick_s

    def save(self, path: Path) -> None:
        """A stereo WAV: the caller left, the bot right."""
        both = np.stack([self.caller(), self.bot()], axis=1)
        with wave.open(str(path), "wb") as file:
            file.setnchannels(2)
            file.setsampwidth(2)
            file.setframerate(self.rate)
            file.writeframes(both.tobytes())
