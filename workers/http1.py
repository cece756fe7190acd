"""HTTP/1.1 to one host: kept sockets, and answers parsed in C (llhttp, by httptools).

    Pool ──a free connection──▶ _Connection ──bytes──▶ Incoming ──status, headers, body──▶ Reply

httpcore does the same in Python (h11), for some ten times the CPU, and with every piece of an
answer. Here is what providers need: a request whose body is at hand, an answer that is read as it
comes. No pipelining, no upgrade, no trailers, no redirects. What goes wrong is told by httpcore's
errors, so that whoever asks need not know who serves.

A connection serves again when its answer was read to the end and nothing came after it; one that
the server has closed meanwhile, or that says something unasked, is let go before it is used.
"""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections import deque

import httpcore
import httptools
import httpx

from workers.http_connections import KEEP_IDLE_S, Backend, Request, left

READ_BYTES = 64 * 1024
# Of an answer, without any of its body: status, headers, and what frames its chunks.
MAX_FRAMING_BYTES = 100 * 1024
DISCONNECTED = "Server disconnected without sending a response."  # httpcore's own words
_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE = re.compile(rb"[^\x00\r\n]*")
_TARGET = re.compile(rb"[!-~]+")


class Incoming:
    """One answer, out of bytes as they come.

    status, headers: once `begun`; interim ones (1xx) are left out. done: all of it was fed, and
    reusable: another may follow on its connection.
    """

    def __init__(self, head_only: bool = False) -> None:
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.begun = self.done = self.reusable = False
        self._head_only = head_only  # the answer to HEAD
        self._framed = False  # it says where it ends
        self._wrong = ""
        self._body: list[bytes] = []
        self._framing = 0  # bytes since the last of the body
        self._parser = httptools.HttpResponseParser(self)

    def feed(self, data: bytes) -> None:
        """Raises httpcore.RemoteProtocolError for what is not HTTP, or too much of it."""
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._wrong = self._wrong or "not HTTP"
        if self.done:
            self.reusable = self.reusable and not self._wrong
            return
        self._framing = 0 if self._body else self._framing + len(data)
        if self._framing > MAX_FRAMING_BYTES:
            self._wrong = "no end of its headers"
        if self._wrong:
            raise httpcore.RemoteProtocolError(self._wrong)

    def end(self) -> None:
        """The connection was closed. Raises httpcore.RemoteProtocolError where more was to come."""
        if not self.begun:
            raise httpcore.RemoteProtocolError(DISCONNECTED)
        if not self.done and self._framed:
            raise httpcore.RemoteProtocolError("closed before the end of the answer")
        self.done, self.reusable = True, False

    def take(self) -> bytes:
        """What has come of the body and was not taken yet."""
        if not self._body:
            return b""
        found = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        self._body.clear()
        return found

    def close(self) -> None:
        """It and its parser hold each other: without this, until the garbage is collected."""
        del self._parser

    # -- called by the parser

    def on_message_begin(self) -> None:
        if self.done:
            self.reusable = False  # an answer to nothing

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.begun:
            return  # a trailer
        lower = name.lower()
        if lower == b"transfer-encoding" and value.strip().lower() != b"chunked":
            self._wrong = "an encoding that was not asked for"
        self._framed |= lower in (b"transfer-encoding", b"content-length")
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        if self.done:
            return
        self.status = self._parser.get_status_code()
        if self.status == 101:
            self._wrong = "an upgrade that was not asked for"
        self.begun = self.status >= 200
        if self.begun and self._head_only and not self._wrong:
            self.done = True  # and its connection is not kept: the parser waits for a body

    def on_body(self, body: bytes) -> None:
        if not self.done:
            self._body.append(body)

    def on_message_complete(self) -> None:
        if self._wrong:
            return
        if self.begun:
            now = self._parser.get_http_version() == "1.1" and self._parser.should_keep_alive()
            self.reusable = now and not self.done  # done: one to HEAD, which may have a body
            self.done = True
        else:
            self.headers, self._framed = [], False


class _Connection:
    """A socket to the host, in use by one request at a time."""

    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream
        self._socket = stream.get_extra_info("socket")
        self.used_at = 0.0

    def fit(self) -> bool:
        """Whether it may be used again: not idle for long, and quiet; a closed one is readable."""
        idle_s = time.monotonic() - self.used_at
        return idle_s < KEEP_IDLE_S and not self._stream.get_extra_info("is_readable")

    def write(self, data: bytes) -> None:
        view = memoryview(data)
        try:
            while view:
                self._socket.settimeout(left(None, httpcore.WriteTimeout))
                view = view[self._socket.send(view[:READ_BYTES]) :]
        except TimeoutError as error:
            raise httpcore.WriteTimeout(str(error)) from error
        except OSError as error:
            raise httpcore.WriteError(str(error)) from error

    def read_into(self, incoming: Incoming) -> None:
        """What has come, or the next that comes."""
        try:
            self._socket.settimeout(left(None, httpcore.ReadTimeout))
            data = self._socket.recv(READ_BYTES)
        except TimeoutError as error:
            raise httpcore.ReadTimeout(str(error)) from error
        except OSError as error:
            raise httpcore.ReadError(str(error)) from error
        if data:
            incoming.feed(data)
        else:
            incoming.end()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._stream.close()


class Reply:
    """An answer whose status and headers are there. To be closed, once, by whoever asked."""

    def __init__(self, pool: Pool, connection: _Connection, incoming: Incoming) -> None:
        self.status = incoming.status
        self.headers = incoming.headers
        self._pool = pool
        self._connection = connection
        self._incoming = incoming

    def read(self) -> bytes:
        """The next piece of the body, b"" after the last. Raises httpcore's errors."""
        while True:
            if piece := self._incoming.take():
                return piece
            if self._incoming.done:
                return b""
            self._connection.read_into(self._incoming)

    def close(self) -> None:
        self._incoming.close()
        self._pool.give_back(self._connection, self._incoming.done and self._incoming.reusable)


class Pool:
    """Up to so many connections to the host of url; connect: makes one."""

    def __init__(self, url: httpx.URL, connections: int) -> None:
        self._host = url.raw_host.decode("ascii")
        self._port = url.port or (443 if url.scheme == "https" else 80)
        self._tls = httpx.create_ssl_context() if url.scheme == "https" else None
        if self._tls is not None:
            self._tls.set_alpn_protocols(["http/1.1"])
        self._free = threading.BoundedSemaphore(connections)
        self._idle: deque[_Connection] = deque()  # the last used one at the end
        self._lock = threading.Lock()
        self._closed = False

    def send(self, request: Request) -> Reply:
        """Its answer, once the headers are there. Raises httpcore's errors."""
        data = _written(request)
        if not self._free.acquire(timeout=left(request.pool_s, httpcore.PoolTimeout)):
            raise httpcore.PoolTimeout("no connection is free")
        connection: _Connection | None = None
        incoming = Incoming(request.method == "HEAD")
        try:
            connection = self._kept() or self._connect(request.connect_s)
            # A server may refuse and close before it has read all: its answer counts.
            with contextlib.suppress(httpcore.WriteError):
                connection.write(data)
            while not incoming.begun:
                connection.read_into(incoming)
        except BaseException:
            if connection is not None:
                connection.close()
            incoming.close()
            self._free.release()
            raise
        return Reply(self, connection, incoming)

    def give_back(self, connection: _Connection, serves: bool) -> None:
        connection.used_at = time.monotonic()
        with self._lock:
            if serves := serves and not self._closed:
                self._idle.append(connection)
        if not serves:
            connection.close()
        self._free.release()

    def close(self) -> None:
        """Those in use are closed when they are given back."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, deque()
        for connection in idle:
            connection.close()

    def _kept(self) -> _Connection | None:
        """The last used one that is fit. The others that are not are closed on the way."""
        found: _Connection | None = None
        unfit: list[_Connection] = []
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
            one.close()
        return found

    def _connect(self, within_s: float) -> _Connection:
        stream = Backend().connect_tcp(self._host, self._port, within_s)
        if self._tls is not None:
            try:
                stream = stream.start_tls(self._tls, self._host, within_s)
            except BaseException:
                stream.close()
                raise
        return _Connection(stream)


def _written(request: Request) -> bytes:
    """As it crosses the wire. Raises httpcore.LocalProtocolError for what would be read as more
    than it is."""
    target = request.url.raw_path
    if not (_NAME.fullmatch(request.method.encode()) and _TARGET.fullmatch(target)):
        raise httpcore.LocalProtocolError("a method or target that no request can carry")
    lines = [b"%s %s HTTP/1.1\r\n" % (request.method.encode(), target)]
    for name, value in request.headers:
        if not (_NAME.fullmatch(name) and _VALUE.fullmatch(value)):
            raise httpcore.LocalProtocolError("a header that no request can carry")
        lines.append(b"%s: %s\r\n" % (name, value))
    return b"".join((*lines, b"\r\n", request.content))
