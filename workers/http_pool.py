"""Who serves the requests to a provider: see http1.py; httpcore where a proxy stands between, or
HTTP/2 is wanted."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator, Sequence
from typing import Protocol

import httpcore
import httpx

from workers import http1
from workers.http_connections import KEEP_IDLE_S, Backend, Request


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
    return _Httpcore(
        httpcore.ConnectionPool(
            ssl_context=httpx.create_ssl_context() if url.scheme == "https" else None,
            proxy=proxy,
            max_connections=connections,
            keepalive_expiry=KEEP_IDLE_S,
            http2=http2,
            network_backend=Backend(),
        )
    )


class Streamed:
    """httpcore's answer."""

    def __init__(self, response: httpcore.Response) -> None:
        self.status: int = response.status
        self.headers: Sequence[tuple[bytes, bytes]] = response.headers
        self._response = response
        self._pieces: Iterator[bytes] = iter(response.iter_stream())

    def read(self) -> bytes:
        return next((piece for piece in self._pieces if piece), b"")

    def close(self) -> None:
        self._response.close()


class _Httpcore:
    def __init__(self, inner: httpcore.ConnectionPool) -> None:
        self._inner = inner

    def send(self, request: Request) -> Reply:
        waits = {"connect": request.connect_s, "pool": request.pool_s, "read": None, "write": None}
        url = str(request.url)
        made = httpcore.Request(
            request.method,
            url,
            headers=list(request.headers),
            content=request.content,
            extensions={"timeout": waits},
        )
        return Streamed(self._inner.handle_request(made))

    def close(self) -> None:
        self._inner.close()


def _proxy(url: httpx.URL) -> httpcore.Proxy | None:
    found = urllib.request.getproxies().get(url.scheme)
    if not found or urllib.request.proxy_bypass(url.host):
        return None
    proxy = httpx.Proxy(found if "://" in found else f"http://{found}")
    return httpcore.Proxy(str(proxy.url), auth=proxy.raw_auth)
