"""The doors: what an Asterisk, a module or a browser may send."""

from __future__ import annotations

import json
import uuid as uuids
from random import Random
from typing import Any

from eslbot.doors import DIGITS, agi, audiosocket_wire
from eslbot.doors import browser_protocol as browser
from eslbot.doors.audiosocket_wire import Digit, End, Frame, Sound, Uuid, WireError
from eslbot.doors.websocket import WebSocket, WebSocketError
from eslbot.esl import VARIABLE
from tests.fuzz.mutate import mangled, reshaped, sliced, text
from tests.fuzz.runner import Target

UUID = uuids.UUID("639c7676-e4ad-40ba-8fa8-737a69f4b5d3")
FRAMES = (
    b"\x10\x01\x40" + bytes(range(256)) + bytes(64), b"\x10\x00\x04abcd", b"\x12\x00\x02ab",
    b"\x18\x00\x00", b"\x03\x00\x015", b"\x03\x00\x01#", b"\x00\x00\x00", b"\xff\x00\x01\x02",
)  # fmt: skip
TOKENS = (
    b"\x01\x00\x10" + UUID.bytes, b"\x10\xff\xff", b"\x10\x5d\xc0", b"\x10\x5d\xc1",
    b"\x03\x00\x00", b"\x03\x00\x01E", b"\x42\x00\x00", b"\xff", b"\x00",
)  # fmt: skip


# -- AudioSocket


def _make_audiosocket(dice: Random) -> list[bytes]:
    data = b"\x01\x00\x10" + UUID.bytes
    data += b"".join(dice.choice(FRAMES) for _ in range(dice.randrange(6)))
    return sliced(dice, mangled(dice, data, TOKENS, 2))


def _frames(pieces: list[bytes]) -> tuple[list[Frame], str]:
    parser = audiosocket_wire.Parser()
    found: list[Frame] = []
    try:
        for piece in pieces:
            parser.receive_data(piece)
            while (frame := parser.next_frame()) is not None:
                found.append(frame)
            assert parser.buffered < audiosocket_wire.HEADER + audiosocket_wire.MAX_PAYLOAD
    except WireError as error:
        return found, str(error)
    return found, ""


def _check_audiosocket(pieces: list[bytes]) -> bool:
    found, refused = _frames(pieces)
    assert (found, refused) == _frames([b"".join(pieces)]), "the cut decides"
    for number, frame in enumerate(found):
        assert isinstance(frame, Uuid) == (number == 0)
        if isinstance(frame, Sound):
            assert len(frame.pcm) % 2 == 0
            assert frame.rate in audiosocket_wire.SOUND_HZ.values()
        elif isinstance(frame, Digit):
            assert frame.digit in DIGITS
        elif isinstance(frame, End):
            assert -1 <= frame.error < 2**32
        else:
            assert str(uuids.UUID(frame.uuid)) == frame.uuid
    return not refused


# -- FastAGI


def _make_agi(dice: Random) -> bytes:
    lines = ["agi_network: yes", f"agi_network_script: {dice.choice(('begin', 'end', 'end'))}",
             "agi_channel: PJSIP/1-0000", f"agi_arg_1: {UUID}"]  # fmt: skip
    for number in range(dice.randrange(4)):
        name = dice.choice(("ai_account", "ai_intent", "eslbot_secret"))
        lines.append(f"agi_arg_{number + 2}: {name}={dice.choice(('', '4271', text(dice, 2)))}")
    data = "\n".join(lines).encode("utf-8", "surrogatepass")
    return mangled(dice, data, (b"\n", b": ", b"=", b"agi_arg_1: x\n", b"\0", b"ai_x"), 2)


def _check_agi(block: bytes) -> bool:
    try:
        request = agi.parse(block)
    except agi.AgiError:
        return False
    assert request.what in ("begin", "end")
    assert str(uuids.UUID(request.uuid)) == request.uuid
    for name, value in request.variables.items():
        assert VARIABLE.fullmatch(name)
        line = agi.set_variable(name, value)
        assert line.startswith(b"SET VARIABLE ai_")
        assert line.count(b"\n") == 1 and line.count(b'"') == 2 and b"\\" not in line
        assert not any(one in line for one in (b"$", b"{", b"}", b"\r", b"\0"))
    return True


# -- a browser's messages

MESSAGES = (
    {"type": "start", "rate": 16000, "token": "t", "from": "me", "variables": {"ai_account": "42"}},
    {"type": "key", "digit": "1"},
    {"type": "hangup"},
    {"type": "ping", "t": 12.5},
    {"type": "network", "delay_ms": 40},
)


def _make_browser(dice: Random) -> str:
    made = json.dumps(reshaped(dice, dice.choice(MESSAGES), 1))
    if dice.random() < 0.2:
        return mangled(dice, made.encode(), most=2).decode("utf-8", "replace")
    return made


def _check_browser(message: str) -> bool:
    try:
        found = browser.parse(message)
    except browser.ProtocolError as error:
        assert len(str(error)) < 100
        return False
    if isinstance(found, browser.Start):
        assert found.rate in browser.RATES_HZ
        assert found.caller.isprintable() and len(found.caller) <= browser.MAX_FROM
        assert all(VARIABLE.fullmatch(name) for name in found.variables)
        assert not any(one in v for v in found.variables.values() for one in "${}\r\n\0")
    elif isinstance(found, browser.Key):
        assert found.digit in DIGITS
    elif isinstance(found, browser.Network):
        assert 0 <= found.delay_ms <= browser.MAX_DELAY_MS
    elif isinstance(found, browser.Ping):
        assert json.loads(browser.event("pong", 0.0, {"t": found.t}))["t"] == found.t
    return True


# -- WebSocket frames, after a handshake

HANDSHAKE = (
    b"GET /call HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
MAX = 300


def _masked(first: int, payload: bytes) -> bytes:
    head = bytes([first, 0x80 | len(payload)]) if len(payload) < 126 else b""
    head = head or bytes([first, 0x80 | 126]) + len(payload).to_bytes(2, "big")
    return head + b"\0\0\0\0" + payload


class _Socket:
    """The pieces, then the end; what is written is counted."""

    def __init__(self, pieces: list[bytes]) -> None:
        self.pieces = list(pieces)

    def recv(self, _size: int) -> bytes:
        while self.pieces:
            piece = self.pieces.pop(0)
            if piece:
                return piece
        return b""

    def __getattr__(self, _name: str) -> Any:
        return lambda *_: None


class _Out:
    def __getattr__(self, _name: str) -> Any:
        return lambda *_: None


class _NoWriter(WebSocket):
    """Without a greenlet for each of a million connections."""

    def __init__(self, sock: Any) -> None:
        super().__init__(sock, MAX)
        self._out.stop()
        self._out = _Out()  # type: ignore[assignment]


def _make_websocket(dice: Random) -> list[bytes]:
    frames = (
        _masked(0x81, b'{"type":"key"}'), _masked(0x82, bytes(dice.randrange(MAX + 20))),
        _masked(0x02, b"ab"), _masked(0x80, b"cd"), _masked(0x01, "é".encode()[:1]),
        _masked(0x89, b"ping"), _masked(0x8A, b""), _masked(0x88, b"\x03\xe8bye"),
    )  # fmt: skip
    data = b"".join(dice.choice(frames) for _ in range(dice.randrange(1, 5)))
    data = mangled(dice, data, (b"\x81\x02{}", b"\xc1", b"\xff", b"\x82\xfe\xff\xff"), 1)
    return sliced(dice, HANDSHAKE + data)


def _check_websocket(pieces: list[bytes]) -> bool:
    web = _NoWriter(_Socket(pieces))
    try:
        web.open(lambda knock: (0, None))
        while (message := web.receive()) is not None:
            assert len(message) <= MAX
            assert sum(map(len, web._parts)) <= MAX
    except WebSocketError as error:
        assert error.code == 0 or 1000 < error.code < 5000
        return False
    return True


TARGETS = [
    Target(
        "audiosocket",
        "the same frames however they are cut, a UUID first and once, or WireError",
        _make_audiosocket,
        _check_audiosocket,
    ),
    Target(
        "fastagi",
        "begin or end of a UUID, values that end no command, or AgiError",
        _make_agi,
        _check_agi,
    ),
    Target(
        "browser",
        "a message within its bounds, or ProtocolError that does not tell it",
        _make_browser,
        _check_browser,
    ),
    Target(
        "websocket",
        "whole messages within their bound, or WebSocketError with a code",
        _make_websocket,
        _check_websocket,
    ),
]
