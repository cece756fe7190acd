"""Both sides of a call, tick by tick, and what can be told from them."""

from __future__ import annotations

import wave
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

AUDIBLE = 150.0  # root mean square of a tick: well over silence, well under speech
MAX_SECONDS = 3600
SETTLE = 50  # frames whose level is not known yet, at the most
LOOK_BACK = 250  # ticks: five seconds of silence are enough to know

Side = Literal["caller", "bot"]


class _Track:
    """One side. For each tick it keeps whether it is heard; its audio only where that is wanted."""

    def __init__(self, frame_bytes: int, keep: bool) -> None:
        self.frames: list[bytes] | None = [] if keep else None
        self._bytes = frame_bytes
        self._unsettled: list[bytes] = []
        self._loud = bytearray()  # a flag for each tick

    def tick(self, frame: bytes) -> None:
        if len(frame) != self._bytes:
            frame = frame[: self._bytes].ljust(self._bytes, b"\0")
        if self.frames is not None:
            self.frames.append(frame)
        self._unsettled.append(frame)
        if len(self._unsettled) >= SETTLE:
            self.loud()

    def loud(self) -> bytearray:
        """The flags of all ticks: levels are found for many at once, when they are asked for."""
        if self._unsettled:
            samples = np.frombuffer(b"".join(self._unsettled), "<i2").astype(np.float32)
            rows = samples.reshape(len(self._unsettled), -1)
            power = np.einsum("ij,ij->i", rows, rows) / rows.shape[1]
            self._loud += (power > AUDIBLE**2).tobytes()
            self._unsettled.clear()
        return self._loud


class Recording:
    """Caller and bot, aligned: one frame of each per tick of ptime_ms.

    keep_audio=False: only when each side was heard is known, not what was.
    """

    def __init__(self, rate: int, ptime_ms: int, keep_audio: bool = True) -> None:
        self.rate = rate
        self.tick_s = ptime_ms / 1000
        self.ticks = 0
        self._most = int(MAX_SECONDS / self.tick_s)
        frame_bytes = rate * 2 * ptime_ms // 1000
        self._sides: dict[Side, _Track] = {
            "caller": _Track(frame_bytes, keep_audio),
            "bot": _Track(frame_bytes, keep_audio),
        }

    def tick(self, caller: bytes, bot: bytes) -> None:
        if self.ticks < self._most:
            self.ticks += 1
            self._sides["caller"].tick(caller)
            self._sides["bot"].tick(bot)

    def caller(self) -> npt.NDArray[np.int16]:
        return self._audio("caller")

    def bot(self) -> npt.NDArray[np.int16]:
        return self._audio("bot")

    def since(self, side: Side, tick: int) -> bytes:
        """What was heard of a side from that tick on, L16; for who listens along."""
        frames = self._sides[side].frames
        if frames is None:
            raise ValueError("this recording keeps no audio")
        return b"".join(frames[tick:])

    def _audio(self, side: Side) -> npt.NDArray[np.int16]:
        frames = self._sides[side].frames
        if frames is None:
            raise ValueError("this recording keeps no audio")
        return np.frombuffer(b"".join(frames), "<i2")

    def audible(self, side: Side, since: int = 0) -> npt.NDArray[np.bool_]:
        """For each tick from `since` on, whether that side is heard."""
        return np.frombuffer(bytes(self._sides[side].loud()[since:]), np.bool_)

    def first_heard(self, side: Side, since: int = 0) -> int | None:
        """The first tick from `since` on at which that side is heard."""
        found = self._sides[side].loud().find(1, since)
        return found if found >= 0 else None

    def last_heard(self, side: Side, since: int = 0) -> int | None:
        """The last tick from `since` on at which that side was heard."""
        found = self._sides[side].loud().rfind(1, since)
        return found if found >= 0 else None

    def quiet_s(self, side: Side) -> float:
        """For how long that side has been silent now; LOOK_BACK ticks at the most."""
        since = max(0, self.ticks - LOOK_BACK)
        last = self.last_heard(side, since)
        return (self.ticks - (since if last is None else last + 1)) * self.tick_s

    def save(self, path: Path) -> None:
        """A stereo WAV: the caller left, the bot right."""
        both = np.stack([self.caller(), self.bot()], axis=1)
        with wave.open(str(path), "wb") as file:
            file.setnchannels(2)
            file.setsampwidth(2)
            file.setframerate(self.rate)
            file.writeframes(both.tobytes())
