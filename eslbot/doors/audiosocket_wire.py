"""AudioSocket's frames, without I/O.

    frame = kind (1 byte), length of the payload (2 bytes, big-endian), payload

Asterisk sends UUID first, then SOUND and DIGIT. It takes END and sound alone: any other kind ends
the session there, so nothing else can be made here. Sound is L16 little-endian mono.
Source: Asterisk 22, res/res_audiosocket.c, and measured on one.
"""

from __future__ import annotations

import uuid as uuids
from dataclasses import dataclass

from eslbot.doors import DIGITS

END, UUID, DIGIT, ERROR = 0x00, 0x01, 0x03, 0xFF
# Hz of each kind of sound.
SOUND_HZ = {
    0x10: 8000, 0x11: 12000, 0x12: 16000, 0x13: 24000, 0x14: 32000, 0x15: 44100, 0x16: 48000,
    0x17: 96000, 0x18: 192000,
}  # fmt: skip
# The longest there is: 60 ms at 192 kHz would be 23,040; the wire could hold 65,535.
MAX_PAYLOAD = 24_000
HEADER = 3


class WireError(Exception):
    """Not this protocol: close the connection. The text names the rule, never the bytes."""


@dataclass(frozen=True, slots=True)
class Uuid:
    uuid: str


@dataclass(frozen=True, slots=True)
class Sound:
    rate: int  # Hz
    pcm: bytes


@dataclass(frozen=True, slots=True)
class Digit:
    digit: str


@dataclass(frozen=True, slots=True)
class End:
    """error: the other side says that something failed; its code, -1 for an end without one."""

    error: int = -1


Frame = Uuid | Sound | Digit | End


class Parser:
    """Feed receive_data(), take next_frame() until it is None. Raises WireError."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._named = False

    @property
    def buffered(self) -> int:
        return len(self._buffer)

    def receive_data(self, data: bytes) -> None:
        self._buffer += data

    def next_frame(self) -> Frame | None:
        if len(self._buffer) < HEADER:
            return None
        kind, length = self._buffer[0], int.from_bytes(self._buffer[1:HEADER], "big")
        if length > MAX_PAYLOAD:
            raise WireError(f"a payload of more than {MAX_PAYLOAD} bytes")
        if not self._named and kind != UUID:
            raise WireError("the first frame is no UUID")
        if len(self._buffer) < HEADER + length:
            return None
        payload = bytes(self._buffer[HEADER : HEADER + length])
        del self._buffer[: HEADER + length]
        return self._frame(kind, payload)

    def _frame(self, kind: int, payload: bytes) -> Frame:
        if kind in SOUND_HZ:
            if len(payload) % 2:
                raise WireError("half a sample")
            return Sound(SOUND_HZ[kind], payload)
        if kind == DIGIT:
            digit = payload.decode("latin-1")
            if len(digit) != 1 or digit not in DIGITS:
                raise WireError("a key that is none of 0-9 * # A-D")
            return Digit(digit)
        if kind == UUID:
            if self._named:
                raise WireError("a second UUID")
            if len(payload) != 16:
                raise WireError("a UUID that is not 16 bytes long")
            self._named = True
            return Uuid(str(uuids.UUID(bytes=payload)))
        if kind == END:
            return End()
        if kind == ERROR:
            return End(int.from_bytes(payload, "big") if 0 < len(payload) <= 4 else 0)
        raise WireError("a frame of no known kind")


def sound(pcm: bytes) -> bytes:
    """A frame at 8000 Hz. Header and payload go out together: a payload that comes 50 ms after its
    header ends the session."""
    return b"\x10" + len(pcm).to_bytes(2, "big") + pcm


def end() -> bytes:
    return b"\x00\x00\x00"
