"""Who may connect, how many and how fast; and that one bad connection is nobody else's."""

from __future__ import annotations

import errno
import ipaddress
import logging
import socket as plain
from collections.abc import Callable, Iterator
from typing import Any

import gevent
import pytest
from gevent import socket

from eslbot.server import Server, ServerError
from eslbot.session import Session, SessionError
from tests.test_session import CONNECT, OK, event, until

SECRET = b"secret-4271"


class Switch:
    """One connection to the server, from an address of ours."""

    def __init__(self, port: int, source: str = "127.0.0.1", host: str = "127.0.0.1") -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        self.socket.bind((source, 0))
        self.socket.settimeout(10)
        self.socket.connect((host, port))

    def asked(self) -> bytes:
        """What comes; b"" once the server has closed."""
        try:
            data: bytes = self.socket.recv(65536)
        except ConnectionResetError:
            return b""
        return data

    def answer_connect(self) -> None:
        assert self.asked() == b"connect\n\n"
        self.socket.sendall(CONNECT)


class Calls:
    """Handles each session as a call does: connects, and lasts as long as the connection."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.accepted = 0
        self.open = 0
        self.refused: list[str] = []

    def __call__(self, sock: Any, address: Any) -> None:
        session = Session(address, sock)
        self.accepted += 1
        self.open += 1
        try:
            self._last(session)
        finally:
            session.close()
            self.open -= 1

    def _last(self, session: Session) -> None:
        session.on_event = lambda e: self.events.append(e.get("Event-Name", ""))
        try:
            session.connect(10)
            session.closed.wait(30)
        except SessionError:
            return


Start = Callable[..., Server]


@pytest.fixture
def calls() -> Calls:
    return Calls()


@pytest.fixture
def start(calls: Calls) -> Iterator[Start]:
    made: list[Server] = []

    def one(
        networks: str = "127.0.0.0/8,::1/128", host: str = "127.0.0.1", most: int = 100,
        per_s: int = 1000,
    ) -> Server:  # fmt: skip
        server = Server(
            host, 0, calls,
            allowed_networks=[ipaddress.ip_network(n) for n in networks.split(",")],
            max_connections_per_s=per_s,
            refuse=lambda: "full" if calls.open >= most else "",
            on_refused=calls.refused.append,
        )  # fmt: skip
        server.start()
        made.append(server)
        return server

    with gevent.Timeout(60):
        yield one
    for server in made:
        server.stop()


@pytest.mark.parametrize(
    ("networks", "host", "source", "welcome"),
    [
        ("127.0.0.1/32", "127.0.0.1", "127.0.0.1", True),
        ("127.0.0.1/32", "127.0.0.1", "127.0.0.2", False),
        ("127.0.0.2/32,127.0.0.3/32", "127.0.0.1", "127.0.0.3", True),
        ("::1/128", "127.0.0.1", "127.0.0.1", False),
        ("10.0.0.0/8", "::1", "::1", False),
        ("::1/128", "::1", "::1", True),
    ],
)
def test_only_the_networks_that_are_named_may_connect(
    start: Start, calls: Calls, networks: str, host: str, source: str, welcome: bool
):
    server = start(networks, host)
    switch = Switch(server.port, source, host)
    assert switch.asked() == (b"connect\n\n" if welcome else b"")
    assert calls.accepted == int(welcome)
    assert calls.refused == ([] if welcome else ["network"])


def test_more_calls_than_there_may_be_find_nobody_until_one_ends(start: Start, calls: Calls):
    """So that FreeSWITCH tries its next host: it does not where a connection was accepted."""
    port = start(most=2).port
    first, second = Switch(port), Switch(port)
    for one in (first, second):
        one.answer_connect()
    until(lambda: reached(port) is None)
    first.socket.close()
    third: list[Switch | None] = []
    until(lambda: third.append(reached(port)) or third[-1])
    assert third[-1]
    third[-1].answer_connect()


def reached(port: int) -> Switch | None:
    try:
        return Switch(port)
    except ConnectionError:
        return None


def test_more_calls_in_a_second_than_there_may_be_are_refused(
    start: Start, calls: Calls, monkeypatch: pytest.MonkeyPatch
):
    now = 100.0
    monkeypatch.setattr("eslbot.server.monotonic", lambda: now)
    server = start(per_s=3)
    for _ in range(3):
        Switch(server.port).answer_connect()
    assert [Switch(server.port).asked() for _ in range(5)] == [b""] * 5
    assert (calls.accepted, calls.refused) == (3, ["rate"] * 5)
    now = 101.0
    Switch(server.port).answer_connect()


def test_whom_the_kernel_has_accepted_already_is_not_broken_off_at_the_end(
    start: Start, calls: Calls
):
    server = start()
    waiting = plain.socket()  # of the standard library: nobody else runs while it connects
    waiting.settimeout(10)
    waiting.connect(("127.0.0.1", server.port))
    assert calls.accepted == 0
    server.stop()
    until(lambda: calls.accepted == 1)
    gevent.sleep(0)
    assert waiting.recv(100) == b"connect\n\n"
    waiting.close()


@pytest.mark.parametrize("number", [errno.EPROTO, errno.EPERM, errno.EMFILE])
def test_what_is_wrong_with_one_connection_keeps_nobody_else_out(
    start: Start, calls: Calls, monkeypatch: pytest.MonkeyPatch, number: int
):
    """accept(2): it may say so; nobody would ever be let in again."""
    taken = socket.socket.accept
    wrong = [number]

    def accept(one: Any) -> Any:
        found = taken(one)
        if wrong:
            found[0].close()
            raise OSError(wrong.pop(), "wrong with this one")
        return found

    monkeypatch.setattr(socket.socket, "accept", accept)
    port = start().port
    Switch(port)
    second = Switch(port)
    assert second.asked() == b"connect\n\n"
    assert calls.accepted == 1


def test_a_port_that_is_taken_is_named(start: Start):
    taken = start().port
    again = Server(
        "127.0.0.1", taken, lambda *_: None, allowed_networks=(), max_connections_per_s=1
    )
    with pytest.raises(ServerError, match=f"127.0.0.1:{taken}: Address already in use"):
        again.start()


# -- bad input: that connection closes, with one line in the log that tells nothing of it

PLAIN = b"Content-Type: text/event-plain\n"
BAD = {
    "negative length": b"Content-Length: -1\nX: " + SECRET + b"\n\n",
    "2^31-1": b"Content-Length: 2147483647\nX: " + SECRET + b"\n\n",
    "1e9": b"Content-Length: 1000000000\n\n" + SECRET,
    "no length": b"Content-Length:\n\n" + SECRET,
    "two lengths": b"Content-Length: 3\nContent-Length: 3\n\nabc" + SECRET,
    "junk after it": b"Content-Length: 10 " + SECRET + b"\n\n",
    "no colon": SECRET + b"\n\n",
    "endless header": b"X: " + SECRET * 20_000,
    "100,000 headers": (b"X: " + SECRET + b"\n") * 100_000 + b"\n",
    "zero byte": b"X: \0" + SECRET + b"\n\n",
    "not UTF-8": b"\xff\xfe" + SECRET + b"\n\n",
    "a reply to nothing": OK + b"X: " + SECRET + b"\n\n",
    "100,000 headers of an event": b"".join(
        [PLAIN, b"Content-Length: 1000000\n\n", b"X: 45678\n" * 100_000, b"X: " + b"y" * 99_997]
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD)
def test_one_bad_connection_closes_and_the_others_go_on(
    start: Start, calls: Calls, caplog: pytest.LogCaptureFixture, kind: str
):
    server = start()
    good, bad = Switch(server.port), Switch(server.port)
    good.answer_connect()
    bad.answer_connect()

    def send() -> None:
        try:
            bad.socket.sendall(BAD[kind])
        except OSError:
            return  # closed in the middle of it

    gevent.spawn(send)
    until(lambda: calls.open == 1)
    lines = [r.getMessage() for r in caplog.records if r.levelno >= logging.INFO]
    assert len(lines) == 1
    assert "not the event socket's protocol" in lines[0]
    assert SECRET.decode() not in caplog.text
    good.socket.sendall(event(Event_Name="STILL_HERE"))
    until(lambda: calls.events == ["STILL_HERE"])


def test_a_call_that_comes_byte_by_byte_is_a_call(start: Start, calls: Calls):
    switch = Switch(start().port)
    assert switch.asked() == b"connect\n\n"
    switch.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for byte in CONNECT + event(Event_Name="DTMF"):
        switch.socket.sendall(bytes([byte]))
    until(lambda: calls.events == ["DTMF"])


def test_a_body_shorter_than_its_length_ends_with_the_connection(start: Start, calls: Calls):
    switch = Switch(start().port)
    switch.answer_connect()
    switch.socket.sendall(PLAIN + b"Content-Length: 500\n\nEvent-Name: X\n")
    switch.socket.shutdown(socket.SHUT_WR)
    assert switch.asked() == b""
    until(lambda: calls.open == 0)


def test_events_before_the_reply_to_connect_are_events(start: Start, calls: Calls):
    switch = Switch(start().port)
    assert switch.asked() == b"connect\n\n"
    switch.socket.sendall(event(Event_Name="EARLY") + CONNECT + event(Event_Name="LATER"))
    until(lambda: calls.events == ["EARLY", "LATER"])
