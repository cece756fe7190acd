"""Pooled connections to a provider, whose every wait ends at a point in time.

Time-outs of an HTTP client start anew with each read, so a server that sends a byte a second
holds a request for ever. Here connecting, sending and reading end at what until() says, whatever
came in between. Only the lookup of a name keeps the resolver's own time-outs.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
import urllib.request
from collections.abc import Iterable, Iterator
from typing import Any

import httpcore
import httpx

SEND_BYTES = 16 * 1024
KEEP_IDLE_S = 60.0
MAX_ADDRESSES = 8
_thread = threading.local()  # .ends_at: a thread works at one request at a time


def pool(url: httpx.URL, connections: int, http2: bool) -> httpcore.ConnectionPool:
    """Up to so many connections to the host of url, by the environment's proxy if it names one."""
    return httpcore.ConnectionPool(
        ssl_context=httpx.create_ssl_context() if url.scheme == "https" else None,
        proxy=_proxy(url),
        max_connections=connections,
        keepalive_expiry=KEEP_IDLE_S,
        http2=http2,
        network_backend=_Backend(),
    )


@contextlib.contextmanager
def until(ends_at: float) -> Iterator[None]:
    """Within it, this thread waits on no connection past ends_at (monotonic, seconds)."""
    before, _thread.ends_at = getattr(_thread, "ends_at", None), ends_at
    try:
        yield
    finally:
        _thread.ends_at = before


def _proxy(url: httpx.URL) -> httpcore.Proxy | None:
    found = urllib.request.getproxies().get(url.scheme)
    if not found or urllib.request.proxy_bypass(url.host):
        return None
    proxy = httpx.Proxy(found if "://" in found else f"http://{found}")
    return httpcore.Proxy(str(proxy.url), auth=proxy.raw_auth)


def _left(timeout: float | None, error: type[Exception]) -> float:
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
        return self._inner.read(max_bytes, _left(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        for at in range(0, len(buffer), SEND_BYTES):
            piece = buffer[at : at + SEND_BYTES]
            self._inner.write(piece, _left(timeout, httpcore.WriteTimeout))

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        left = _left(timeout, httpcore.ConnectTimeout)
        return _Stream(self._inner.start_tls(ssl_context, server_hostname, left))

    def close(self) -> None:
        self._inner.close()

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


class _Backend(httpcore.SyncBackend):
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
        ends_at = time.monotonic() + _left(timeout, httpcore.ConnectTimeout)
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
