"""Who may connect, how many and how fast; and that one bad connection is nobody else's."""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Callable, Iterator

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

    def __call__(self, session: Session) -> None:
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
            max_connections=most, max_connections_per_s=per_s,
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
    start: Start, networks: str, host: str, source: str, welcome: bool
):
    server = start(networks, host)
    switch = Switch(server.port, source, host)
    assert switch.asked() == (b"connect\n\n" if welcome else b"")
    assert (server.accepted, server.refused) == (int(welcome), int(not welcome))


def test_more_calls_than_there_may_be_are_refused_until_one_ends(start: Start):
    server = start(most=2)
    first, second = Switch(server.port), Switch(server.port)
    for one in (first, second):
        one.answer_connect()
    assert Switch(server.port).asked() == b""
    assert (server.connections, server.refused) == (2, 1)
    first.socket.close()
    until(lambda: server.connections == 1)
    Switch(server.port).answer_connect()


def test_more_calls_in_a_second_than_there_may_be_are_refused(
    start: Start, monkeypatch: pytest.MonkeyPatch
):
    now = 100.0
    monkeypatch.setattr("eslbot.server.monotonic", lambda: now)
    server = start(per_s=3)
    for _ in range(3):
        Switch(server.port).answer_connect()
    assert [Switch(server.port).asked() for _ in range(5)] == [b""] * 5
    assert (server.accepted, server.refused) == (3, 5)
    now = 101.0
    Switch(server.port).answer_connect()


def test_a_port_that_is_taken_is_named(start: Start):
    taken = start().port
    again = Server("127.0.0.1", taken, lambda s: None, allowed_networks=(), max_connections=1,
                   max_connections_per_s=1)  # fmt: skip
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
    until(lambda: server.connections == 1)
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


def test_a_body_shorter_than_its_length_ends_with_the_connection(start: Start):
    server = start()
    switch = Switch(server.port)
    switch.answer_connect()
    switch.socket.sendall(PLAIN + b"Content-Length: 500\n\nEvent-Name: X\n")
    switch.socket.shutdown(socket.SHUT_WR)
    assert switch.asked() == b""
    until(lambda: server.connections == 0)


def test_events_before_the_reply_to_connect_are_events(start: Start, calls: Calls):
    switch = Switch(start().port)
    assert switch.asked() == b"connect\n\n"
    switch.socket.sendall(event(Event_Name="EARLY") + CONNECT + event(Event_Name="LATER"))
    until(lambda: calls.events == ["EARLY", "LATER"])
