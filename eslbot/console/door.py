"""The browser's phone: from the page's WebSocket to a listener's door, bytes as they are.

    page ──GET /door, Upgrade──▶ console ──GET /call, Upgrade──▶ listener
         ◀────────── 101, as the listener wrote it ──────────────
                                 start (with the door's token) ─▶
         ◀═══════════════════ frames, unread ═══════════════════▶

One origin, one port and one login for the page, and the door's token stays on this side. Nothing is
parsed, so a call costs two copies; docs/doors.md is the protocol.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import struct
from typing import Any

import gevent
from gevent import socket

PROTOCOL = "eslbot.call.v1"
RATES = ("8000", "16000", "48000")
MAX_PHONES = 20
CONNECT_S = 3.0
MAX_HEAD = 8_192
IDLE_S = 30.0  # sound goes both ways every 20 ms
_KEY = re.compile(r"[A-Za-z0-9+/]{22}==")


class NoDoor(Exception):
    """No call can be made; str() says why, for the page."""


def start_frame(rate: str, token: str, name: str) -> bytes:
    """The masked text frame of RFC 6455 with which a call begins."""
    message = {"type": "start", "rate": int(rate), "from": name}
    if token:
        message["token"] = token
    payload = json.dumps(message).encode()
    assert len(payload) < 65_536
    size = len(payload)
    head = b"\x81" + (
        bytes([0x80 | size]) if size < 126 else bytes([0x80 | 126]) + struct.pack("!H", size)
    )
    mask = os.urandom(4)
    return head + mask + bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))


class Door:
    """address: of the listener's door; None: it has none."""

    def __init__(self, address: tuple[str, int] | None, token: str) -> None:
        self.address = address
        self._token = token
        self._phones = 0

    def carry(self, page: Any, key: str, rate: str) -> None:
        """Until one side is gone. page: its socket. Raises NoDoor before anything was written to
        it."""
        if self.address is None:
            raise NoDoor("the WebSocket door is closed: ESLBOT_WEBSOCKET_PORT is 0")
        if rate not in RATES or not _KEY.fullmatch(key):
            raise NoDoor("not a WebSocket of the phone's page")
        if self._phones >= MAX_PHONES:
            raise NoDoor(f"{MAX_PHONES} phones are in use")
        self._phones += 1
        try:
            self._carry(page, key, rate)
        finally:
            self._phones -= 1

    def _carry(self, page: Any, key: str, rate: str) -> None:
        assert self.address is not None
        host, port = self.address
        try:
            listener = socket.create_connection((host, port), CONNECT_S)
        except OSError as error:
            raise NoDoor(f"no listener's door at {host}:{port}: {error.strerror}") from None
        with contextlib.closing(listener):
            answer = self._shake_hands(listener, key)
            page.sendall(answer)
            listener.sendall(start_frame(rate, self._token, "browser"))
            for one in (page, listener):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                one.settimeout(IDLE_S)
            ways = [gevent.spawn(_pour, page, listener), gevent.spawn(_pour, listener, page)]
            gevent.joinall(ways, count=1)
            # What the other side still has to say, such as why it closed, may pass.
            gevent.joinall(ways, timeout=1.0)
            gevent.killall(ways)

    def _shake_hands(self, listener: Any, key: str) -> bytes:
        host, port = self.address or ("", 0)
        listener.sendall(
            f"GET /call HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n"
            f"Sec-WebSocket-Protocol: {PROTOCOL}\r\n\r\n".encode()
        )
        answer = b""
        with contextlib.suppress(OSError):
            while b"\r\n\r\n" not in answer and len(answer) < MAX_HEAD:
                piece = listener.recv(MAX_HEAD)
                if not piece:
                    break
                answer += piece
        if not answer.startswith(b"HTTP/1.1 101 ") or b"\r\n\r\n" not in answer:
            raise NoDoor("the listener takes no call now")
        return answer


def _pour(source: Any, sink: Any) -> None:
    try:
        while piece := source.recv(65_536):
            sink.sendall(piece)
    except OSError:
        pass
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
