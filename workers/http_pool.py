"""Who serves the requests to a provider: see http1.py; httpcore where a proxy stands between, or
HTTP/2 is wanted.

Of httpcore each request has a connection to itself while it runs, with HTTP/2 as well. Requests
that share one of its HTTP/2 connections share its fate: a time-out of one fails them all, each
waits for whoever happens to read, and what is broken off is never cancelled and uses up the window
of the others.
"""

from __future__ import annotations

import threading
import time
import urllib.request
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, Protocol

import h2.events
import h2.exceptions
import httpcore
import httpx

from workers import http1
from workers.http_connections import KEEP_IDLE_S, Backend, Request, left


class Reply(Protocol):
    """An answer whose status and headers are there."""

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Sequence[tuple[bytes, bytes]]: ...

    def read(self) -> bytes:
        """The next piece of the body, b"" after the last. Raises httpcore's errors."""

    def close(self) -> None:
        """Once, whether it was read to its end or not."""


class Pool(Protocol):
    def send(self, request: Request) -> Reply:
        """Its answer, once the headers are there. Raises httpcore's errors."""

    def close(self) -> None: ...


def pool(url: httpx.URL, connections: int, http2: bool) -> Pool:
    """Up to so many connections to the host of url, by the environment's proxy if it names one."""
    proxy = _proxy(url)
    if proxy is None and not http2:
        return http1.Pool(url, connections)
    tls = httpx.create_ssl_context() if url.scheme == "https" else None

    def connection() -> httpcore.ConnectionPool:
        return httpcore.ConnectionPool(
            ssl_context=tls,
            proxy=proxy,
            max_connections=1,
            keepalive_expiry=KEEP_IDLE_S,
            http2=http2,
            network_backend=Backend(),
        )

    return _Httpcore(connection, connections)


class Streamed:
    """httpcore's answer. To be closed, once, by whoever asked."""

    def __init__(
        self, pool: _Httpcore, connection: httpcore.ConnectionPool, response: httpcore.Response
    ) -> None:
        self.status: int = response.status
        self.headers: Sequence[tuple[bytes, bytes]] = response.headers
        self._pool = pool
        self._connection = connection
        self._response = response
        self._pieces: Iterator[bytes] = iter(response.iter_stream())
        self._done = False

    def read(self) -> bytes:
        try:
            piece = next((piece for piece in self._pieces if piece), b"")
        except h2.exceptions.H2Error as error:
            raise httpcore.RemoteProtocolError(type(error).__name__) from None
        self._done = not piece
        return piece

    def close(self) -> None:
        stream = self._response.extensions["network_stream"]
        try:
            self._response.close()
        finally:
            self._pool.give_back(_Kept(self._connection, stream, time.monotonic()), self._done)


class _Kept(NamedTuple):
    connection: httpcore.ConnectionPool  # of one
    stream: httpcore.NetworkStream
    used_at: float

    def fit(self) -> bool:
        """As in http1.py: not idle for long, and quiet."""
        idle_s = time.monotonic() - self.used_at
        return idle_s < KEEP_IDLE_S and not self.stream.get_extra_info("is_readable")


class _Httpcore:
    """Up to so many connections at once."""

    def __init__(self, make: Callable[[], httpcore.ConnectionPool], connections: int) -> None:
        self._make = make
        self._free = threading.BoundedSemaphore(connections)
        self._idle: deque[_Kept] = deque()  # the last used one at the end
        self._lock = threading.Lock()
        self._closed = False

    def send(self, request: Request) -> Reply:
        waits = {"connect": request.connect_s, "pool": None, "read": None, "write": None}
        made = httpcore.Request(
            request.method,
            str(request.url),
            headers=list(request.headers),
            content=request.content,
            extensions={"timeout": waits},
        )
        if not self._free.acquire(timeout=left(request.pool_s, httpcore.PoolTimeout)):
            raise httpcore.PoolTimeout("no connection is free")
        connection: httpcore.ConnectionPool | None = None
        try:
            connection = self._kept() or self._make()
            response = connection.handle_request(made)
        except BaseException as error:
            if connection is not None:
                connection.close()
            self._free.release()
            if isinstance(error, httpcore.RemoteProtocolError) and _turned_away(error):
                raise httpcore.ReadError("the server did not take the request") from None
            raise
        return Streamed(self, connection, response)

    def give_back(self, used: _Kept, serves: bool) -> None:
        with self._lock:
            if serves := serves and not self._closed:
                self._idle.append(used)
        if not serves:
            used.connection.close()
        self._free.release()

    def close(self) -> None:
        """Those in use are closed when they are given back."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, deque()
        for one in idle:
            one.connection.close()

    def _kept(self) -> httpcore.ConnectionPool | None:
        """The last used one that is fit. The others that are not are closed on the way."""
        found: _Kept | None = None
        unfit: list[_Kept] = []
        with self._lock:
            while self._idle and found is None:
                one = self._idle.pop()
                if one.fit():
                    found = one
                else:
                    unfit.append(one)
            while self._idle and time.monotonic() - self._idle[0].used_at > KEEP_IDLE_S:
                unfit.append(self._idle.popleft())
        for one in unfit:
            one.connection.close()
        return found.connection if found else None


def _turned_away(error: httpcore.RemoteProtocolError) -> bool:
    """HTTP/2: by a reset of the stream, or the end of the connection, in place of an answer."""
    why = error.args[0] if error.args else None
    return isinstance(why, h2.events.StreamReset | h2.events.ConnectionTerminated)


def _proxy(url: httpx.URL) -> httpcore.Proxy | None:
    found = urllib.request.getproxies().get(url.scheme)
    if not found or urllib.request.proxy_bypass(url.host):
        return None
    proxy = httpx.Proxy(found if "://" in found else f"http://{found}")
    return httpcore.Proxy(str(proxy.url), auth=proxy.raw_auth)
