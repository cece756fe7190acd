"""Who is let in at the other doors, and what becomes of who misbehaves: real sockets, without a
house."""

from __future__ import annotations

import ipaddress
import json
import logging
import uuid as uuids
from collections.abc import Callable, Iterator
from typing import Any

import gevent
import pytest
from gevent import socket
from wsproto.events import BytesMessage, Ping, TextMessage

from eslbot.accounts import Accounts
from eslbot.doors import Door
from eslbot.doors.servers import Doors
from eslbot.rig.house import free_port
from tests.door_lines import Web
from tests.house import until
from workers.settings import Settings, SettingsError, load

TOKEN = "a-token-of-the-tests"
UUID = "639c7676-e4ad-40ba-8fa8-737a69f4b5d3"
NAMED = b"\x01\x00\x10" + uuids.UUID(UUID).bytes


def request(*lines: str) -> bytes:
    return "\n".join(["agi_network: yes", *lines]).encode()


class Open:
    """Both doors, with a handler that keeps each call until it is closed."""

    def __init__(self, **environ: str) -> None:
        ports = free_port(), free_port()
        self.websocket, self.audiosocket = ports
        settings = load(
            {"ESLBOT_WEBSOCKET_PORT": str(ports[0]), "ESLBOT_AUDIOSOCKET_PORT": str(ports[1])}
            | environ
        )
        self.full = ""
        self.calls: list[Door] = []
        self.heard: list[tuple[str, str]] = []
        self.accounts = Accounts(lambda: 0)
        self.doors = Doors(settings, self.accounts, self._handle, lambda: self.full)
        self.doors.start()

    def _handle(self, door: Door) -> None:
        self.calls.append(door)
        door.attach(self)  # type: ignore[arg-type]
        door.media()
        door.closed.wait(20)  # type: ignore[attr-defined]

    def key(self, digit: str) -> None:
        self.heard.append(("key", digit))

    def hung_up(self) -> None:
        self.heard.append(("hung up", ""))

    def over(self, cause: str, disposition: str) -> None:
        self.heard.append(("over", cause))

    def refused(self, why: str) -> float:
        value: float = self.accounts.refused.labels(why)._value.get()
        return value


Make = Callable[..., Open]


@pytest.fixture
def house() -> Iterator[Make]:
    made: list[Open] = []

    def make(**environ: str) -> Open:
        made.append(Open(**environ))
        return made[-1]

    with gevent.Timeout(60):
        yield make
    for one in made:
        for call in one.calls:
            call.close()
        one.doors.stop()


def start(web: Web, **more: Any) -> None:
    web.send(TextMessage(json.dumps({"type": "start", "rate": 8000, **more})))


def test_a_browser_with_the_token_is_a_call_and_one_without_is_told_why(house: Make):
    one = house(ESLBOT_WEBSOCKET_TOKEN=f"another-token-of-them, {TOKEN}")
    web = Web(one.websocket)
    start(web, token=TOKEN, variables={"ai_account": "4271"})
    until(lambda: one.calls, 5)
    assert one.calls[0].variable("ai_account") == "4271"
    web.send(TextMessage('{"type":"key","digit":"#"}'))
    until(lambda: one.heard == [("key", "#")], 5)
    for token in ("", "a-token-of-somebody", TOKEN[:-1]):
        bad = Web(one.websocket)
        start(bad, token=token)
        assert bad.closed() == (4401, "the token is missing or wrong")
    assert one.refused("token") == 3
    assert len(one.calls) == 1


@pytest.mark.parametrize("why", ["full", "draining", "lag", "switch"])
def test_where_there_is_no_room_the_reason_is_told(house: Make, why: str):
    one = house()
    one.full = why
    assert Web(one.websocket).closed() == (4503, why)
    sock = socket.create_connection(("127.0.0.1", one.audiosocket))
    sock.sendall(NAMED)
    assert sock.recv(10) == b""
    assert one.refused(why) == 2
    assert not one.calls


def test_too_many_calls_in_a_second(house: Make, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("eslbot.doors.servers.monotonic", lambda: 100.0)
    one = house(ESLBOT_MAX_CALLS_PER_S="1")
    first, second = Web(one.websocket), Web(one.websocket)
    start(first)
    until(lambda: one.calls, 5)
    start(second)
    assert second.closed() == (4429, "rate")
    assert len(one.calls) == 1


@pytest.mark.parametrize(
    ("origin", "allowed", "welcome"),
    [
        ("http://127.0.0.1:8080", "", True),
        ("http://localhost", "", True),
        ("http://[::1]:99", "", True),
        ("https://evil.example", "", False),
        ("null", "", False),
        ("http://localhost.evil.example", "", False),
        ("https://bot.example", "https://bot.example", True),
        ("http://localhost", "https://bot.example", False),
        ("http://[", "", False),
    ],
)
def test_pages_of_others_may_not_call(house: Make, origin: str, allowed: str, welcome: bool):
    one = house(ESLBOT_WEBSOCKET_ORIGINS=allowed)
    web = Web(one.websocket, Origin=origin)
    assert web.status == (None if welcome else 403)
    until(lambda: one.refused("origin") == (0 if welcome else 1), 5)


@pytest.mark.parametrize(("path", "protocol", "status"), [("/", "eslbot.call.v1", 404),
                                                          ("/call", "other", 400)])  # fmt: skip
def test_another_path_or_protocol_is_refused(house: Make, path: str, protocol: str, status: int):
    assert Web(house().websocket, path, protocol=protocol).status == status


def unmasked(web: Web) -> None:
    web.raw(b"\x81\x02{}")


def endless(web: Web) -> None:
    web.raw(b"\x02\xfe\x10\x00abcd" + bytes(4096))
    for _ in range(20):
        web.raw(b"\x00\xfe\x10\x00abcd" + bytes(4096))


def flood(web: Web) -> None:
    for _ in range(100):
        web.send(Ping(b"x"))


def compressed(web: Web) -> None:
    web.raw(b"\xc1\x82abcd\0\0")


def no_utf8(web: Web) -> None:
    web.raw(b"\x81\x82\0\0\0\0\xff\xfe")


def twice(web: Web) -> None:
    start(web)


BAD = [(unmasked, 1002), (endless, 1009), (flood, 1002), (compressed, 1002), (no_utf8, 1007),
       (twice, 4400)]  # fmt: skip


@pytest.mark.parametrize(("do", "code"), BAD, ids=lambda v: getattr(v, "__name__", str(v)))
def test_a_browser_that_misbehaves_is_closed_and_the_others_go_on(
    house: Make, caplog: pytest.LogCaptureFixture, do: Callable[[Web], None], code: int
):
    one = house()
    good = Web(one.websocket)
    start(good)
    bad = Web(one.websocket)
    start(bad)
    until(lambda: len(one.calls) == 2, 5)
    do(bad)
    until(lambda: ("hung up", "") in one.heard, 10, "the call ends")
    one.calls[1].close()
    assert bad.closed()[0] == code
    good.send(TextMessage('{"type":"key","digit":"5"}'))
    until(lambda: ("key", "5") in one.heard, 5, "the other call goes on")
    assert not [r for r in caplog.records if r.levelno >= logging.ERROR]


@pytest.mark.parametrize("first", [b"\x02\x00\x00", b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 40])
def test_what_is_neither_audiosocket_nor_fastagi_is_closed(house: Make, first: bytes):
    one = house()
    sock = socket.create_connection(("127.0.0.1", one.audiosocket))
    sock.sendall(first)
    assert sock.recv(10) == b""
    assert one.refused("protocol") == 1


def test_one_uuid_is_one_call(house: Make):
    one = house()
    first = socket.create_connection(("127.0.0.1", one.audiosocket))
    first.sendall(NAMED)
    until(lambda: one.calls, 5)
    assert one.calls[0].uuid == UUID
    second = socket.create_connection(("127.0.0.1", one.audiosocket))
    second.sendall(NAMED)
    assert second.recv(10) == b""
    first.sendall(b"\x03\x00\x017")
    until(lambda: ("key", "7") in one.heard, 5)
    first.close()
    until(lambda: ("hung up", "") in one.heard, 5)


def test_with_a_call_secret_only_announced_uuids_are_calls(house: Make):
    secret = "a-secret-of-the-dialplan"
    one = house(ESLBOT_CALL_SECRET=secret)
    bare = socket.create_connection(("127.0.0.1", one.audiosocket))
    bare.sendall(NAMED)
    assert bare.recv(10) == b""
    assert one.refused("secret") == 1
    for brought, ready in (("wrong", b""), (secret, b'SET VARIABLE eslbot_ready "yes"\n')):
        ask = socket.create_connection(("127.0.0.1", one.audiosocket))
        ask.sendall(request("agi_network_script: begin", f"agi_arg_1: {UUID}",
                            f"agi_arg_2: eslbot_secret={brought}") + b"\n\n")  # fmt: skip
        assert ask.recv(100) == ready
        ask.close()
    call = socket.create_connection(("127.0.0.1", one.audiosocket))
    call.sendall(NAMED)
    until(lambda: one.calls, 5)


def test_a_module_without_a_ticket_is_told_so(house: Make):
    one = house()
    for path, protocol in (("/stream", ""), ("/fork", "audio.drachtio.org")):
        web = Web(one.websocket, path, protocol=protocol)
        web.send(TextMessage("0123456789abcdef"))
        assert web.closed() == (4401, "no ticket of a call")
    other = Web(one.websocket, "/stream", protocol="")
    other.send(BytesMessage(bytes(320)))
    assert other.closed()[0] == 4401


# -- settings


@pytest.mark.parametrize(
    ("environ", "named"),
    [
        ({"ESLBOT_WEBSOCKET_PORT": "8086", "ESLBOT_WEBSOCKET_HOST": "0.0.0.0"}, "_TOKEN: needed"),
        ({"ESLBOT_WEBSOCKET_TOKEN": "short"}, "ESLBOT_WEBSOCKET_TOKEN: token 1 of 1"),
        ({"ESLBOT_WEBSOCKET_NETWORKS": "lan"}, "ESLBOT_WEBSOCKET_NETWORKS"),
    ],
)
def test_a_wrong_setting_of_the_doors_is_named(environ: dict[str, str], named: str):
    with pytest.raises(SettingsError, match=named):
        load(environ)
    assert Settings().websocket_allowed[0] == ipaddress.ip_network("127.0.0.0/8")
