"""Accepts FreeSWITCH's connections: bounded, from known networks, without polling."""

from __future__ import annotations

import errno
import ipaddress
import logging
from collections import deque
from collections.abc import Callable, Sequence
from time import monotonic

import gevent
from gevent import socket

from eslbot.session import Session

log = logging.getLogger(__name__)

BACKLOG = 512
_SHORT = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class ServerError(Exception):
    """The port can't be had; str() names it."""


class Server:
    """handler(session) runs on a greenlet of its own for each connection, which is closed when
    it returns. A refused connection is closed at once, and FreeSWITCH goes on with its next
    dialplan action: it tries its next host only where connecting fails.
    """

    def __init__(
        self,
        host: str,
        port: int,
        handler: Callable[[Session], None],
        *,
        allowed_networks: Sequence[Network],
        max_connections: int,
        max_connections_per_s: int,
    ) -> None:
        self._host = host
        self._port = port
        self._handler = handler
        self._networks = tuple(allowed_networks)
        self._max = max_connections
        self._recent: deque[float] = deque(maxlen=max_connections_per_s)
        self._socket: socket.socket | None = None
        self._loop: gevent.Greenlet | None = None
        self._open: set[gevent.Greenlet] = set()
        self.accepted = 0
        self.refused = 0

    @property
    def port(self) -> int:
        """The port listened on, also when 0 was asked for."""
        assert self._socket is not None
        number: int = self._socket.getsockname()[1]
        return number

    @property
    def connections(self) -> int:
        return len(self._open)

    def start(self) -> None:
        """Raises ServerError when the port can't be had."""
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        one = socket.socket(family, socket.SOCK_STREAM)
        try:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            one.bind((self._host, self._port))
            one.listen(BACKLOG)
        except OSError as error:
            one.close()
            cause = error.strerror or str(error)
            raise ServerError(f"{self._host}:{self._port}: {cause}") from None
        self._socket = one
        self._loop = gevent.spawn(self._accept)

    def _accept(self) -> None:
        assert self._socket is not None
        while True:
            try:
                sock, address = self._socket.accept()
            except OSError as error:
                if error.errno in _SHORT:
                    # Nothing can be accepted now; calls that end make room.
                    log.error("out of descriptors or memory: %s", error.strerror)
                    gevent.sleep(0.1)
                    continue
                if error.errno in (errno.ECONNABORTED, errno.EINTR):
                    continue
                return  # closed by stop()
            reason = self._reason_to_refuse(address[0])
            if reason:
                self.refused += 1
                log.warning("refused %s: %s", address[0], reason)
                sock.close()
                continue
            self.accepted += 1
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            greenlet = gevent.spawn(self._serve, sock, address)
            self._open.add(greenlet)
            greenlet.link(self._open.discard)

    def _reason_to_refuse(self, host: str) -> str:
        address = ipaddress.ip_address(host.partition("%")[0])
        mapped = getattr(address, "ipv4_mapped", None)
        if not any((mapped or address) in network for network in self._networks):
            return "not from an allowed network"
        if len(self._open) >= self._max:
            return f"{self._max} calls are open"
        now = monotonic()
        if len(self._recent) == self._recent.maxlen and now - self._recent[0] < 1.0:
            return f"more than {self._recent.maxlen} calls in a second"
        self._recent.append(now)
        return ""

    def _serve(self, sock: socket.socket, address: object) -> None:
        session = Session(address, sock)
        try:
            self._handler(session)
        except Exception:
            log.exception("a call's handler failed")
        finally:
            session.close()

    def stop(self) -> None:
        """Accept no more; open calls go on."""
        if self._socket is not None:
            self._socket.close()
        if self._loop is not None:
            self._loop.kill(block=False)
