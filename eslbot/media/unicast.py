"""The caller's audio both ways over FreeSWITCH's `unicast`: headerless L16 in UDP datagrams.

Source: `switch_ivr.c`, switch_ivr_activate_unicast and switch_ivr_park.

- FreeSWITCH's own port is learnt from its first datagram; where none comes, unicast failed,
  although the command was answered with +OK. Then the socket is connected to it, so that the kernel
  drops what comes from others.
- Exactly one frame per datagram in both directions: shorter ones are played corrupted, longer
  ones become giant RTP packets.
- The size of a frame follows the channel's ptime and rate, so it is taken from what arrives.
- A caller that sends no RTP still gives a frame every ptime, all bytes 0xFF: nearly silence.
"""

from __future__ import annotations

import socket
import time
from typing import Any

from gevent import monkey

from workers.resample import Resampler

RATE = 8000
MAX_DATAGRAM = 48_000 * 2 * 60 // 1000  # the longest frame there is: 60 ms at 48 kHz
# Datagrams taken from one call in one tick: more are a flood, and the others have to be heard.
MAX_DRAIN = 50
PTIMES_MS = (10, 20, 30, 40, 60)
# Where one frame comes in each look, so many looks take it and do not ask whether there is more:
# that there is none costs as much to be told as a frame.
TRUSTING = 8
GAP_S = 0.03  # after which there may be more

# Not gevent's, which replaces the one in `socket`: ours is polled, and never waits.
_Socket: Any = monkey.get_original("socket", "socket")


class MediaError(Exception):
    """The media channel can't be opened, or what comes is not audio frames."""


class Unicast:
    """One call's socket. Give `address` to FreeSWITCH, then poll receive().

    rate: of the channel's read codec, in Hz; 8000 goes through untouched.
    """

    def __init__(self, host: str, rate: int) -> None:
        if rate not in (8000, 16000, 24000, 48000):
            raise MediaError(f"no unicast at {rate} Hz")
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = _Socket(family, socket.SOCK_DGRAM)
        try:
            self._socket.setblocking(False)
            self._socket.bind((host, 0))
        except OSError as error:
            self._socket.close()
            raise MediaError(f"no UDP port on {host}: {error.strerror}") from None
        self._recv, self._send = self._socket.recv, self._socket.send
        self._rate = rate
        self._peer: Any = None
        self._settled = False  # nothing of others is left in the socket
        self._trust = 0
        self._looked_at = 0.0
        self._wire_bytes = 0  # of a frame on the wire, known from the first datagram
        self._down = Resampler(rate, RATE) if rate != RATE else None
        self._up = Resampler(RATE, rate) if rate != RATE else None
        self._rest = bytearray()
        self.started = False  # the first datagram has come: there is somebody to send to
        # Of a frame at 8000 Hz; 320 for 20 ms, which it is before the first datagram.
        self.frame_bytes = 320
        self.received = 0  # frames
        self.sent = 0  # frames
        self.refused = 0  # datagrams that were no frames of ours; the kernel refuses strangers'
        self.unsent = 0  # frames the kernel would not take

    @property
    def address(self) -> tuple[str, int]:
        host, port = self._socket.getsockname()[:2]
        return host, port

    @property
    def lead_frames(self) -> int:
        return 0

    def receive(self) -> bytes:
        """All audio that has come since: L16 mono 8000 Hz, b"" when there is none."""
        audio = self._take() if self._settled else self._settle()
        return self._down.feed(audio) if self._down and audio else audio

    def _take(self) -> bytes:
        now = time.monotonic()
        trusting = self._trust > 0 and now - self._looked_at < GAP_S
        self._looked_at = now
        self._trust -= 1
        # One byte more than a frame has, so that what was cut is not taken for one.
        size = MAX_DATAGRAM + 1
        parts: list[bytes] = []
        for _ in range(MAX_DRAIN):
            try:
                datagram = self._recv(size)
            except BlockingIOError:
                self._trust = TRUSTING if len(parts) == 1 else 0
                break
            except OSError:
                # ICMP port unreachable, for instance: what matters is what comes, not this.
                continue
            if len(datagram) % 2:
                self.refused += 1
                continue
            self.received += 1
            if trusting:
                return datagram  # type: ignore[no-any-return]
            parts.append(datagram)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _settle(self) -> bytes:
        """Learn who the switch is; from then on the kernel lets no one else in. Anyone on the
        network could have sent here before."""
        parts = []
        for _ in range(MAX_DRAIN):
            try:
                datagram, peer = self._socket.recvfrom(MAX_DATAGRAM + 1)
            except BlockingIOError:
                self._settled = self.started
                break
            except OSError:
                continue
            if self._peer is None and not self._learn(datagram, peer):
                continue
            if peer != self._peer or len(datagram) % 2:
                self.refused += 1
                continue
            self.received += 1
            parts.append(datagram)
        return b"".join(parts)

    def _learn(self, datagram: bytes, peer: Any) -> bool:
        size = len(datagram)
        if size not in (self._rate * 2 * ms // 1000 for ms in PTIMES_MS):
            self.refused += 1
            return False
        try:
            self._socket.connect(peer)
        except OSError:  # there is no way back to it
            self.refused += 1
            return False
        self._peer = peer
        self.started = True
        self._wire_bytes = size
        self.frame_bytes = size * RATE // self._rate
        return True

    def send(self, frame: bytes) -> None:
        """One frame of frame_bytes, L16 mono 8000 Hz."""
        if not self.started:
            return
        if self._up is None:
            self._put(frame)
            return
        self._rest += self._up.feed(frame)
        while len(self._rest) >= self._wire_bytes:
            self._put(bytes(self._rest[: self._wire_bytes]))
            del self._rest[: self._wire_bytes]

    def _put(self, datagram: bytes) -> None:
        try:
            self._send(datagram)
            self.sent += 1
        except OSError:
            self.unsent += 1

    def clear(self) -> None:
        """FreeSWITCH has no flush: what was sent will be heard."""

    def close(self) -> None:
        self._socket.close()
