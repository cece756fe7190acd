"""Bytes on their way out over TCP: nobody who hands some over ever waits.

One greenlet per connection writes. Sound that the other side does not take is dropped, as nobody
wants to hear it later; anything else that piles up, or a write that does not end, ends the
connection.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import gevent
from gevent import socket
from gevent.event import Event

MAX_SOUND = 50  # pieces: a second of frames
MAX_OTHERS = 256
STALL_S = 5.0
SEND_BUFFER = 16 * 1024  # bytes in the kernel, so that who takes nothing is noticed soon
LINGER_S = 1.0  # for what was handed over before finish()


class Outflow:
    """on_lost(reason): the connection can't be written to any more; called once at the most."""

    def __init__(self, sock: Any, on_lost: Callable[[str], None]) -> None:
        self.dropped = 0  # pieces of sound
        self._sock = sock
        self._on_lost = on_lost
        self._waiting: deque[tuple[bytes, bool]] = deque()
        self._sound = 0  # pieces of it in _waiting
        self._wake = Event()
        self._ending = False
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        self._writer = gevent.spawn(self._write)

    def sound(self, data: bytes) -> None:
        """A whole piece of the protocol that may be left out."""
        if self._sound >= MAX_SOUND:
            self.dropped += 1
            return
        self._sound += 1
        self._add(data, True)

    def put(self, data: bytes) -> None:
        """What may not be left out."""
        if len(self._waiting) - self._sound >= MAX_OTHERS:
            self._lose("it takes nothing")
            return
        self._add(data, False)

    def _add(self, data: bytes, sound: bool) -> None:
        if not self._ending:
            self._waiting.append((data, sound))
            self._wake.set()

    def clear(self) -> None:
        """Drop the sound that was not written yet."""
        kept = [piece for piece in self._waiting if not piece[1]]
        self._waiting.clear()
        self._waiting.extend(kept)
        self._sound = 0

    def finish(self) -> None:
        """Write what waits, a second at the most, and no more. Waits."""
        self._ending = True
        self._wake.set()
        self._writer.join(timeout=LINGER_S)
        self.stop()

    def stop(self) -> None:
        """No more, at once."""
        self._ending = True
        self._waiting.clear()
        if gevent.getcurrent() is not self._writer:
            self._writer.kill(block=False)

    def _lose(self, reason: str) -> None:
        if not self._ending:
            self._ending = True
            self._on_lost(reason)

    def _write(self) -> None:
        while True:
            if not self._waiting:
                if self._ending:
                    return
                self._wake.clear()
                self._wake.wait()
                continue
            data = b"".join(piece for piece, _ in self._waiting)
            self._waiting.clear()
            self._sound = 0
            try:
                with gevent.Timeout(STALL_S):
                    self._sock.sendall(data)
            except gevent.Timeout:
                self._lose("it takes nothing")
                return
            except OSError as error:
                self._lose(f"connection lost: {error.strerror or type(error).__name__}")
                return
