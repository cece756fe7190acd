"""Accepts connections of switches and browsers: bounded, from known networks, without polling."""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import logging
from collections import deque
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any

import gevent
from gevent import socket

log = logging.getLogger(__name__)

BACKLOG = 512
_CLOSED = (errno.EBADF, errno.EINVAL, errno.ENOTSOCK)

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class ServerError(Exception):
    """The port can't be had; str() names it."""


class Server:
    """handler(socket, address) runs on a greenlet of its own for each connection, which is closed
    when it returns.

    refuse(): "" or why there is no room for a call now. A refused connection is closed at once, and
    FreeSWITCH goes on with its next dialplan action. It tries its next host only where connecting
    fails: so where the reason is "full" nobody listens until there is room again.
    on_refused(why): one of accounts.REFUSALS.
    share_port: other processes that do the same may listen on this port; the kernel deals out.
    """

    def __init__(
        self,
        host: str,
        port: int,
        handler: Callable[[Any, Any], None],
        *,
        allowed_networks: Sequence[Network],
        max_connections_per_s: int,
        refuse: Callable[[], str] = str,
        on_refused: Callable[[str], None] = str,  # type: ignore[assignment]
        share_port: bool = False,
    ) -> None:
        self._host = host
        self._port = port
        self._handler = handler
        self._networks = tuple(allowed_networks)
        self._refuse = refuse
        self._on_refused = on_refused
        self._share_port = share_port
        self._recent: deque[float] = deque(maxlen=max_connections_per_s)
        self._socket: socket.socket | None = None
        self._loop: gevent.Greenlet | None = None
        self._open: set[gevent.Greenlet] = set()
        self._stopped = False

    @property
    def port(self) -> int:
        """The port listened on, also when 0 was asked for."""
        assert self._socket is not None
        number: int = self._socket.getsockname()[1]
        return number

    def start(self) -> None:
        """Raises ServerError when the port can't be had."""
        self._socket = self._listen()
        self._port = self.port
        self._loop = gevent.spawn(self._accept)

    def _listen(self) -> socket.socket:
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        one = socket.socket(family, socket.SOCK_STREAM)
        try:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if self._share_port:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            one.bind((self._host, self._port))
            one.listen(BACKLOG)
        except OSError as error:
            one.close()
            cause = error.strerror or str(error)
            raise ServerError(f"{self._host}:{self._port}: {cause}") from None
        return one

    def _accept(self) -> None:
        assert self._socket is not None
        while not self._stopped:
            try:
                sock, address = self._socket.accept()
            except OSError as error:
                if self._stopped or error.errno in _CLOSED:
                    return
                if error.errno not in (errno.ECONNABORTED, errno.EINTR):
                    # Nothing can be accepted now; calls that end make room. Or, see accept(2), what
                    # was wrong with one connection.
                    log.error("no connection can be accepted: %s", error.strerror)
                    gevent.sleep(0.1)
                continue
            self._take(sock, address)
            if self._refuse() == "full":
                self._pause()

    def _take(self, sock: socket.socket, address: Any) -> None:
        why, reason = self._reason_to_refuse(address[0])
        if why:
            self._on_refused(why)
            log.warning("refused %s: %s", address[0], reason)
            sock.close()
            return
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        greenlet = gevent.spawn(self._serve, sock, address)
        self._open.add(greenlet)
        greenlet.link(self._open.discard)
        # Its handler begins now, so that the next connection is measured against it.
        gevent.sleep(0)

    def _pause(self) -> None:
        """Nobody listens until there is room: the switch's next host gets the call at once."""
        self._close()
        log.warning("full: not listening until calls end")
        while not self._stopped:
            gevent.sleep(0.05)
            if self._refuse() == "full":
                continue
            try:
                self._socket = self._listen()
                return
            except ServerError as error:
                log.error("%s", error)

    def _reason_to_refuse(self, host: str) -> tuple[str, str]:
        """(one of accounts.REFUSALS, in words), or ("", "")."""
        address = ipaddress.ip_address(host.partition("%")[0])
        mapped = getattr(address, "ipv4_mapped", None)
        if not any((mapped or address) in network for network in self._networks):
            return "network", "not from an allowed network"
        why = self._refuse()
        if why:
            return why, why
        now = monotonic()
        if len(self._recent) == self._recent.maxlen and now - self._recent[0] < 1.0:
            return "rate", f"more than {self._recent.maxlen} calls in a second"
        self._recent.append(now)
        return "", ""

    def _serve(self, sock: socket.socket, address: object) -> None:
        try:
            self._handler(sock, address)
        except Exception:
            log.exception("a call's handler failed")
        finally:
            sock.close()

    def stop(self) -> None:
        """Accept no more; open calls go on. Connections that the kernel has accepted already are
        taken first: closing would break them."""
        if self._stopped:
            return
        self._stopped = True
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.setblocking(False)
                for _ in range(BACKLOG):
                    self._take(*self._socket.accept())
            self._close()
        if self._loop is not None:
            self._loop.kill(block=False)

    def _close(self) -> None:
        if self._socket is not None:
            self._socket.close()
