"""FreeSWITCH's side of a channel's `unicast`: a UDP socket, and what came of each frame.

Source: `switch_ivr.c`, switch_ivr_activate_unicast and switch_ivr_park.
"""

from __future__ import annotations

import socket
from collections import deque
from dataclasses import dataclass

SOCKET_FRAMES = 168  # what the kernel's buffer holds for FreeSWITCH; the rest is lost


@dataclass(slots=True)
class Frames:
    """Of a whole call, over all its unicasts."""

    sent: int = 0
    unsent: int = 0  # the kernel would not take them
    received: int = 0
    lost: int = 0  # came, and found the buffer full
    corrupt: int = 0  # of a size that is played corrupted
    missing: int = 0  # ticks after the first frame for which there was none
    holes: int = 0  # of these, those between two frames of speech: the caller hears a click


class Media:
    """One unicast. remote: (host, port) of the listener."""

    def __init__(
        self, local_host: str, remote: tuple[str, int], frame_bytes: int, frames: Frames
    ) -> None:
        # A plain socket: it is polled on every tick and never waits.
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._udp.setblocking(False)
        self._udp.bind((local_host, 0))
        # Room for more than FreeSWITCH's socket has, so that what it would lose is counted here.
        self._udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self._remote = remote
        self._frame_bytes = frame_bytes
        self._frames = frames
        self._waiting: deque[bytes] = deque()
        self._silence = bytes(frame_bytes)
        self._began = False
        self._speaking = False  # the last frame was not silence
        self._hole = 0  # ticks without a frame since

    def send(self, frame: bytes) -> None:
        try:
            self._udp.sendto(frame, self._remote)
        except OSError:
            self._frames.unsent += 1
        else:
            self._frames.sent += 1

    def take(self) -> bytes:
        """The next frame for the caller; b"" when there is none."""
        self._receive()
        frames = self._frames
        if not self._waiting:
            if self._began:
                frames.missing += 1
                self._hole += self._speaking
            return b""
        frame = self._waiting.popleft()
        self._began = True
        self._speaking = frame != self._silence
        if self._speaking:
            frames.holes += self._hole
        self._hole = 0
        return frame

    def _receive(self) -> None:
        frames = self._frames
        while True:
            try:
                datagram = self._udp.recv(65536)
            except BlockingIOError:
                return
            except OSError:
                return  # the listener's port is closed: ICMP says so
            frames.received += 1
            if len(datagram) != self._frame_bytes:
                frames.corrupt += 1
            if len(self._waiting) >= SOCKET_FRAMES:
                frames.lost += 1
            else:
                self._waiting.append(datagram)

    def close(self) -> None:
        self._udp.close()
