"""What the doors have in common whose sound comes over TCP, together with everything else."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

import gevent
from gevent import socket
from gevent.event import Event

from eslbot.doors import Ears

LINGER_S = 1.0


class TcpDoor:
    """See Door. A subclass reads the connection in _read(), and tells its end by _gone()."""

    kind = ""
    steady = False
    watched = False
    follows = False

    def __init__(self, sock: Any) -> None:
        self.sock = sock
        self.uuid = ""
        self.closed = Event()
        self.brought: dict[str, str] = {}
        self.ears: Ears | None = None
        self._reader: gevent.Greenlet | None = None
        self._over = False

    @property
    def name(self) -> str:
        return self.uuid or self.kind

    def arrive(self) -> None:
        """Who calls is known before there is a call."""

    def attach(self, ears: Ears) -> None:
        self.ears = ears
        self._reader = gevent.spawn(self._read)

    def _read(self) -> None:
        raise NotImplementedError

    def _gone(self) -> None:
        """The caller, or the connection, is gone. Once."""
        if self._over or self.closed.is_set():
            return
        self._tell_over()
        self.closed.set()

    def _tell_over(self) -> None:
        self._over = True
        if self.ears:
            self.ears.hung_up()
            self.ears.over("NORMAL_CLEARING", "")

    def variable(self, name: str) -> str:
        return self.brought.get(name, "")

    def numbers(self) -> tuple[str, str]:
        return "", ""

    def answer(self) -> None:
        """It is answered, or it would not be here."""

    def renew(self) -> None:
        """Nobody watches."""

    def let_go(self) -> None:
        """Nothing is told of what is not ours."""

    def tell(self, what: str, fields: Mapping[str, Any]) -> None:
        """Of no use to the other side."""

    def network(self) -> dict[str, int]:
        return {}

    def switch_status(self) -> str:
        return ""

    def _hang_up_socket(self) -> None:
        """Close so that what was written arrives: with unread data left, closing would be a reset,
        which overtakes it."""
        with contextlib.suppress(OSError, gevent.Timeout), gevent.Timeout(LINGER_S):
            self.sock.shutdown(socket.SHUT_WR)
            if self._reader is not None and gevent.getcurrent() is not self._reader:
                self._reader.join()
            else:
                while self.sock.recv(65536):
                    pass
        if self._reader is not None:
            self._reader.kill(block=False)
        self.sock.close()
