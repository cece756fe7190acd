"""HTTP/1.1 against servers on real sockets that lie, drip, say too much, or leave."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
import weakref
from collections.abc import Callable, Iterator

import httpcore
import httpx
import pytest

from workers import http1
from workers.http1 import MAX_FRAMING_BYTES, Incoming, Pool, Reply
from workers.http_connections import Request, until

PATIENT_S = 30.0
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

Say = Callable[[socket.socket], None]


class Server:
    """Answers each request of each connection with the next of its script; then it closes.

    heard: the requests. A piece of a script is bytes, or what is to be done with the socket.
    """

    def __init__(self, *connections: list[bytes | Say]) -> None:
        self.heard: list[bytes] = []
        self.connections = 0
        self._script = list(connections)
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = httpx.URL(f"http://127.0.0.1:{self._socket.getsockname()[1]}/v1")
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Server:
        self._begin(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for thread in self._threads:
            thread.join(PATIENT_S)
            assert not thread.is_alive()

    def _begin(self, run: Callable[..., None], *given: object) -> None:
        self._threads.append(threading.Thread(target=run, args=given, daemon=True))
        self._threads[-1].start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._socket.accept()
                self.connections += 1
                self._begin(self._serve, sock, self._script.pop(0))

    def _serve(self, sock: socket.socket, script: list[bytes | Say]) -> None:
        sock.settimeout(PATIENT_S)
        with sock, contextlib.suppress(OSError):
            for answer in script:
                if callable(answer):
                    answer(sock)
                    continue
                data = b""
                while b"\r\n\r\n" not in data:
                    got = sock.recv(65536)
                    if not got:
                        return
                    data += got
                self.heard.append(data)
                sock.sendall(answer)


def until_closed(sock: socket.socket) -> None:
    """Keep the connection until the other side leaves."""
    with contextlib.suppress(OSError):
        while sock.recv(65536):
            pass


def asked(
    pool: Pool, url: httpx.URL, method: str = "POST", content: bytes = b"", pool_s: float = 5.0
) -> Reply:
    headers = [(b"Host", url.netloc), (b"Content-Length", b"%d" % len(content))]
    with until(time.monotonic() + PATIENT_S):
        return pool.send(Request(method, url, headers, content, 5.0, pool_s))


def body(reply: Reply) -> bytes:
    """All of it; then its connection is given back."""
    try:
        with until(time.monotonic() + PATIENT_S):
            return b"".join(iter(reply.read, b""))
    finally:
        reply.close()


def answer(wire: bytes, method: str = "POST") -> tuple[int, bytes]:
    with Server([wire]) as server:
        pool = Pool(server.url, 1)
        reply = asked(pool, server.url, method)
        return reply.status, body(reply)


# -- what is an answer


@pytest.mark.parametrize(
    ("wire", "said"),
    [
        (OK, b"hi"),
        (b"HTTP/1.1 200 OK\r\n\r\nto the end", b"to the end"),
        (b"HTTP/1.0 200 OK\r\n\r\nold", b"old"),
        (CHUNKED + b"2\r\nhi\r\n4;a=b\r\n you\r\n0\r\nX-Trailer: 1\r\n\r\n", b"hi you"),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + OK, b"hi"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding:  Chunked \r\n\r\n1\r\nx\r\n0\r\n\r\n", b"x"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b""),
        (b"HTTP/1.1 200\r\nContent-Length: 1\r\n\r\nx", b"x"),
    ],
)
def test_an_answer_is_read_to_its_end(wire: bytes, said: bytes) -> None:
    assert answer(wire) == (200, said)


@pytest.mark.parametrize("status", [204, 304])
def test_an_answer_without_a_body_leaves_its_connection_in_use(status: int) -> None:
    with Server([b"HTTP/1.1 %d Odd\r\n\r\n" % status, OK]) as server:
        pool = Pool(server.url, 1)
        assert body(asked(pool, server.url)) == b""
        assert body(asked(pool, server.url)) == b"hi"
        assert server.connections == 1


def test_the_answer_to_head_has_no_body_whatever_it_says() -> None:
    assert answer(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", "HEAD") == (200, b"")


def test_interim_headers_are_not_the_answers() -> None:
    with Server([b"HTTP/1.1 103 Early\r\nX-Early: 1\r\n\r\n" + OK]) as server:
        reply = asked(Pool(server.url, 1), server.url)
        assert [name for name, _ in reply.headers] == [b"Content-Length"]
        assert body(reply) == b"hi"


# -- what is none


@pytest.mark.parametrize(
    "wire",
    [
        b"220 smtp.example ESMTP\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nhi!",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\n",
        CHUNKED[:-2] + b"Content-Length: 2\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nhi",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-" + b"x" * MAX_FRAMING_BYTES + b": 1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X-Many: 1\r\n" * (MAX_FRAMING_BYTES // 10) + b"\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" * (MAX_FRAMING_BYTES // 20),
        b"HTTP/1.1 200 O\0K\r\nContent-Length: 0\r\nX\0: 1\r\n\r\n",
        CHUNKED + b"fffffffffffffffffff\r\nhi",
        CHUNKED + b"2\r\nhi!!!\r\n0\r\n\r\n",
        CHUNKED + b"xyz\r\nhi\r\n",
        CHUNKED + b"-2\r\nhi\r\n",
    ],
)
def test_what_is_no_answer_is_told_and_its_connection_closed(wire: bytes) -> None:
    with Server([wire, until_closed], [OK]) as server:
        pool = Pool(server.url, 1)
        with pytest.raises(httpcore.RemoteProtocolError):
            body(asked(pool, server.url))
        assert body(asked(pool, server.url)) == b"hi"
        assert server.connections == 2


@pytest.mark.parametrize(
    "wire", [b"", b"HTTP", b"HTTP/1.1 200 OK\r\nContent-Len", b"HTTP/1.1 100 Continue\r\n\r\n"]
)
def test_a_connection_that_ends_before_the_headers_was_disconnected(wire: bytes) -> None:
    with Server([wire]) as server, pytest.raises(httpcore.RemoteProtocolError) as caught:
        asked(Pool(server.url, 1), server.url)
    assert str(caught.value).startswith("Server disconnected")


@pytest.mark.parametrize(
    "wire",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nhi",
        CHUNKED + b"5\r\nhi",
        CHUNKED + b"2\r\nhi\r\n",
        CHUNKED + b"2\r\nhi\r\n0\r\n",
    ],
)
def test_an_answer_that_ends_too_early_is_not_taken_for_a_whole_one(wire: bytes) -> None:
    with Server([wire]) as server:
        reply = asked(Pool(server.url, 1), server.url)
        with pytest.raises(httpcore.RemoteProtocolError):
            body(reply)


def test_a_chunk_of_which_only_its_framing_comes_is_given_up() -> None:
    endless = CHUNKED + b"5;" + b"x" * (MAX_FRAMING_BYTES + 70_000)
    with Server([endless, until_closed]) as server:
        reply = asked(Pool(server.url, 1), server.url)
        with pytest.raises(httpcore.RemoteProtocolError):
            body(reply)


def test_each_wait_ends_when_it_was_said() -> None:
    def drip(sock: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock.sendall(b"x")
                time.sleep(0.01)

    with Server([b"HTTP/1.1 200 OK\r\nX-Slow: ", drip]) as server:
        pool = Pool(server.url, 1)
        request = Request("GET", server.url, [(b"Host", b"h")], b"", 5.0, 5.0)
        with until(time.monotonic() + 0.2), pytest.raises(httpcore.ReadTimeout):
            pool.send(request)


# -- which connection is used again


def test_a_connection_serves_one_request_after_another() -> None:
    with Server([OK, CHUNKED + b"1\r\nx\r\n0\r\n\r\n", OK]) as server:
        pool = Pool(server.url, 4)
        assert [body(asked(pool, server.url)) for _ in range(3)] == [b"hi", b"x", b"hi"]
        assert server.connections == 1


@pytest.mark.parametrize(
    "wire",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi",
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nhi",
        OK + b"!",
        OK + OK,
        OK + b"HTTP/1.1 200 OK\r\nContent-Le",
    ],
    ids=["close", "old", "more", "another", "half another"],
)
def test_a_connection_that_may_hold_something_else_is_not_used_again(wire: bytes) -> None:
    with Server([wire, until_closed], [OK]) as server:
        pool = Pool(server.url, 1)
        assert body(asked(pool, server.url)) == b"hi"
        assert body(asked(pool, server.url)) == b"hi"
        assert server.connections == 2


@pytest.mark.parametrize("unasked", [b"", OK])
def test_a_connection_that_was_closed_or_spoke_meanwhile_is_made_anew(unasked: bytes) -> None:
    kept, said = threading.Event(), threading.Event()

    def speak(sock: socket.socket) -> None:
        kept.wait(PATIENT_S)
        if unasked:
            sock.sendall(unasked)
        else:
            sock.shutdown(socket.SHUT_RDWR)
        said.set()

    with Server([OK, speak, until_closed], [OK.replace(b"hi", b"ho")]) as server:
        pool = Pool(server.url, 1)
        assert body(asked(pool, server.url)) == b"hi"
        (idle,) = pool._idle
        kept.set()
        assert said.wait(PATIENT_S)
        deadline = time.monotonic() + PATIENT_S
        while idle.fit():  # what was sent is not there at once
            assert time.monotonic() < deadline
            time.sleep(0.001)
        assert body(asked(pool, server.url)) == b"ho"


def test_one_that_was_idle_for_long_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with Server([OK, until_closed], [OK]) as server:
        pool = Pool(server.url, 1)
        body(asked(pool, server.url))
        monkeypatch.setattr(http1, "KEEP_IDLE_S", 0.0)
        body(asked(pool, server.url))
        assert server.connections == 2


def test_an_answer_that_is_left_half_read_takes_its_connection_along() -> None:
    with Server([CHUNKED + b"2\r\nhi\r\n", until_closed], [OK]) as server:
        pool = Pool(server.url, 1)
        reply = asked(pool, server.url)
        with until(time.monotonic() + PATIENT_S):
            assert reply.read() == b"hi"
        reply.close()
        assert body(asked(pool, server.url)) == b"hi"
        assert server.connections == 2


def test_no_more_connections_than_wanted_and_each_failure_frees_its_own() -> None:
    nonsense: list[bytes | Say] = [b"nonsense\r\n\r\n"]
    with Server([CHUNKED, until_closed], *([nonsense] * 3), [OK]) as server:
        pool = Pool(server.url, 1)
        held = asked(pool, server.url)
        with pytest.raises(httpcore.PoolTimeout):
            asked(pool, server.url, pool_s=0.05)
        held.close()  # unread
        for _ in range(3):
            with pytest.raises(httpcore.RemoteProtocolError):
                asked(pool, server.url)
        assert body(asked(pool, server.url)) == b"hi"


def test_a_closed_pool_keeps_nothing() -> None:
    gone = threading.Event()

    def wait(sock: socket.socket) -> None:
        until_closed(sock)
        gone.set()

    with Server([OK, wait]) as server:
        pool = Pool(server.url, 1)
        reply = asked(pool, server.url)
        pool.close()
        assert body(reply) == b"hi"
        assert gone.wait(PATIENT_S)


# -- what is sent


def test_a_server_that_refuses_before_it_has_read_all_is_heard() -> None:
    refusal = b"HTTP/1.1 413 Too Much\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

    def drain(sock: socket.socket) -> None:
        sock.shutdown(socket.SHUT_WR)
        until_closed(sock)

    with Server([refusal, drain]) as server:
        assert asked(Pool(server.url, 1), server.url, content=bytes(8_000_000)).status == 413


@pytest.mark.parametrize(
    "header",
    [(b"X", b"1\r\nEvil: 1"), (b"X", b"1\n"), (b"X", b"\0"), (b"X: y", b"1"), (b"", b"1"),
     (b"X\r\n", b"1"), (b"X\n", b"1")],
)  # fmt: skip
def test_a_header_that_would_be_read_as_more_is_not_sent(header: tuple[bytes, bytes]) -> None:
    with Server() as server:
        pool = Pool(server.url, 1)
        with pytest.raises(httpcore.LocalProtocolError):
            pool.send(Request("GET", server.url, [header], b"", 1.0, 1.0))
        with pytest.raises(httpcore.LocalProtocolError):
            pool.send(Request("GET / HTTP/1.1\r\nX:", server.url, [], b"", 1.0, 1.0))
        assert server.connections == 0


def test_a_request_crosses_as_it_is() -> None:
    with Server([OK]) as server:
        url = server.url.copy_with(path="/v1/a b", query=b"q=%C3%A4")
        body(asked(Pool(url, 1), url, content=b"text"))
        line, *_ = server.heard[0].split(b"\r\n")
        assert line == b"POST /v1/a%20b?q=%C3%A4 HTTP/1.1"
        assert server.heard[0].endswith(b"\r\nContent-Length: 4\r\n\r\ntext")


# -- the parser alone


def test_an_answer_is_freed_when_it_is_closed() -> None:
    incoming = Incoming()
    incoming.feed(OK)
    assert incoming.take() == b"hi" and incoming.done
    freed = weakref.ref(incoming.on_body.__self__)
    incoming.close()
    del incoming
    assert freed() is None


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = threading.active_count()
    yield
    assert threading.active_count() == before
