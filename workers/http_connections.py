"""Connections to a provider, whose every wait ends at a point in time.

Time-outs of an HTTP client start anew with each read, so a server that sends a byte a second
holds a request for ever. Here connecting, sending and reading end at what until() says, whatever
came in between. Only the lookup of a name keeps the resolver's own time-outs.
"""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import httpcore
import httpx

SEND_BYTES = 16 * 1024
KEEP_IDLE_S = 60.0
MAX_ADDRESSES = 8
_thread = threading.local()  # .ends_at: a thread works at one request at a time


@dataclass(frozen=True, slots=True)
class Request:
    """headers: all of them, Host and Content-Length included. connect_s, pool_s: how long a
    connection may take to be made, or to become free; all else ends with until()."""

    method: str
    url: httpx.URL
    headers: Sequence[tuple[bytes, bytes]]
    content: bytes
    connect_s: float
    pool_s: float


class until:
    """Within it, this thread waits on no connection past ends_at (monotonic, seconds)."""

    __slots__ = ("_before", "_ends_at")

    def __init__(self, ends_at: float) -> None:
        self._ends_at = ends_at

    def __enter__(self) -> None:
        self._before = getattr(_thread, "ends_at", None)
        _thread.ends_at = self._ends_at

    def __exit__(self, *_: object) -> None:
        _thread.ends_at = self._before


def left(timeout: float | None, error: type[Exception]) -> float:
    """How long this thread may wait now, in seconds. Raises the error when it may not."""
    ends_at = getattr(_thread, "ends_at", None)
    left = 1.0 if ends_at is None else ends_at - time.monotonic()
    if left <= 0:
        raise error("the time is over")
    return left if timeout is None else min(left, timeout)


class _Stream(httpcore.NetworkStream):
    """A socket whose waits end at what until() says."""

    def __init__(self, inner: httpcore.NetworkStream) -> None:
        self._inner = inner

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, left(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        for at in range(0, len(buffer), SEND_BYTES):
            piece = buffer[at : at + SEND_BYTES]
            self._inner.write(piece, left(timeout, httpcore.WriteTimeout))

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        within_s = left(timeout, httpcore.ConnectTimeout)
        return _Stream(self._inner.start_tls(ssl_context, server_hostname, within_s))

    def close(self) -> None:
        self._inner.close()

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


class Backend(httpcore.SyncBackend):
    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """Each address in turn, each with its share of the time: one may swallow packets."""
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[:MAX_ADDRESSES]
        except OSError:
            raise httpcore.ConnectError("no such name") from None
        ends_at = time.monotonic() + left(timeout, httpcore.ConnectTimeout)
        last: Exception = httpcore.ConnectError("no address")
        for tried, (*_, address) in enumerate(found):
            share = max(0.001, ends_at - time.monotonic()) / (len(found) - tried)
            try:
                return _Stream(
                    super().connect_tcp(str(address[0]), port, share, local_address, socket_options)
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                last = error
        raise last
