"""Callers at the other doors: what a Channel is to FreeSWITCH's; see eslbot/switch/caller.py.

Browser     a WebSocket client of eslbot.call.v1
Asterisk    a channel in Asterisk's AudioSocket(), as a real one behaves, traps included
"""

from __future__ import annotations

import json
import time
import uuid as uuids
from collections.abc import Callable
from typing import Any

import gevent
from gevent import socket
from gevent.event import Event
from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    RejectConnection,
    Request,
    TextMessage,
)

from eslbot.switch.clock import CLOCK
from eslbot.switch.recording import Recording

TICK_S = 0.02


class Line:
    """One caller: speaks, listens, presses keys. where: "socket" while the bot has them."""

    def __init__(self, rate: int = 8000) -> None:
        self.uuid = ""
        self.rate = rate
        self.where = "dialplan"
        self.recording = Recording(rate, 20, True)
        self.ahead_s = 0.0  # sound that had come before its time, at the most
        self.ended = Event()
        self._frame = rate * 2 // 50
        self._to_say = bytearray()
        self._heard = bytearray()
        self._came_s = 0.0
        self._began = 0.0

    def say(self, pcm: bytes) -> None:
        self._to_say += pcm

    @property
    def saying(self) -> bool:
        return bool(self._to_say)

    @staticmethod
    def sleep(seconds: float) -> None:
        gevent.sleep(seconds)

    @staticmethod
    def wait_for(condition: Callable[[], object], within_s: float) -> bool:
        deadline = time.monotonic() + within_s
        while not condition():
            if time.monotonic() > deadline:
                return False
            gevent.sleep(0.01)
        return True

    def keys(self, digits: str, gap_s: float = 0.16) -> None:
        for digit in digits:
            gevent.sleep(gap_s)
            self.key(digit)

    def key(self, digit: str) -> None:
        raise NotImplementedError

    def _begin(self) -> None:
        self.where = "socket"
        self._began = time.monotonic()
        CLOCK.add(TICK_S, self._tick)

    def _tick(self) -> bool:
        if self.ended.is_set():
            return False
        spoken = bytes(self._to_say[: self._frame])
        del self._to_say[: self._frame]
        if self.where == "socket":
            self._send_sound(spoken)
        heard = bytes(self._heard[: self._frame]).ljust(self._frame, b"\0")
        del self._heard[: self._frame]
        self.recording.tick(spoken.ljust(self._frame, b"\0"), heard)
        return True

    def _send_sound(self, spoken: bytes) -> None:
        raise NotImplementedError

    def _hear(self, pcm: bytes) -> None:
        self._came_s += len(pcm) / 2 / self.rate
        self.ahead_s = max(self.ahead_s, self._came_s - (time.monotonic() - self._began))
        self._heard += pcm


class Web:
    """A WebSocket client, over a gevent socket."""

    def __init__(self, port: int, path: str = "/call", **headers: str) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.wire = WSConnection(ConnectionType.CLIENT)
        self.code: int | None = None  # what the server closed with; 0: without a word
        self.reason = ""
        self.status: int | None = None  # of a handshake that was refused
        protocols = [p for p in [headers.pop("protocol", "eslbot.call.v1")] if p]
        more = [(k.encode(), v.encode()) for k, v in headers.items()]
        self.send(Request("127.0.0.1", path, subprotocols=protocols, extra_headers=more))
        self._waiting: list[Any] = []
        first = self.receive()
        if isinstance(first, RejectConnection):
            self.status = first.status_code
        else:
            assert first is None or isinstance(first, AcceptConnection), first

    def send(self, event: Any) -> None:
        self.raw(self.wire.send(event))

    def raw(self, data: bytes) -> None:
        self.socket.sendall(data)

    def receive(self) -> Any:
        """The next event, None at the end."""
        while not self._waiting:
            try:
                data = self.socket.recv(65536)
            except OSError:
                data = b""
            if not data:
                self.code = self.code if self.code is not None else 0
                return None
            self.wire.receive_data(data)
            self._waiting += self.wire.events()
        event = self._waiting.pop(0)
        if isinstance(event, CloseConnection):
            self.code, self.reason = event.code, event.reason or ""
        return event

    def closed(self) -> tuple[int, str]:
        """Read on until the server has closed: (code, reason)."""
        while self.code is None and self.receive() is not None:
            pass
        assert self.code is not None
        return self.code, self.reason


class Browser(Line):
    """told: every event, in order."""

    def __init__(self, port: int, rate: int = 16000, **start: Any) -> None:
        super().__init__(rate)
        self.told: list[dict[str, Any]] = []
        self._port = port
        self._start = start

    def dial(self) -> None:
        self.web = Web(self._port)
        self.send(type="start", rate=self.rate, **self._start)
        self._begin()
        gevent.spawn(self._read)

    def send(self, **message: Any) -> None:
        self.web.send(TextMessage(json.dumps(message)))

    def key(self, digit: str) -> None:
        self.send(type="key", digit=digit)

    def hangup(self) -> None:
        if not self.ended.is_set():
            self.send(type="hangup")

    def _send_sound(self, spoken: bytes) -> None:
        try:
            self.web.send(BytesMessage(spoken.ljust(self._frame, b"\0")))
        except Exception:
            self.where = "over"

    def _read(self) -> None:
        text = ""
        while (event := self.web.receive()) is not None and self.web.code is None:
            if isinstance(event, BytesMessage):
                assert event.message_finished
                assert len(event.data) == self._frame
                self._hear(event.data)
            elif isinstance(event, TextMessage):
                text += event.data
                if event.message_finished:
                    self._take(json.loads(text))
                    text = ""
        if self.where == "socket":
            self.where = "over"
        self.ended.set()

    def _take(self, told: dict[str, Any]) -> None:
        self.told.append(told)
        if told["type"] == "call":
            self.uuid = told["uuid"]
        elif told["type"] == "cleared":
            self._heard.clear()
        elif told["type"] == "transfer":
            self.where = f"extension:{told['extension']}"

    def all(self, kind: str) -> list[dict[str, Any]]:
        return [one for one in self.told if one["type"] == kind]


class Asterisk(Line):
    """A channel: TryExec(AGI begin), TryExec(AudioSocket()), TryExec(AGI end), and on.

    status: how AudioSocket() ended, "SUCCESS" or "FAILED"; why. variables: the channel's.
    """

    def __init__(self, port: int, begin: dict[str, str] | None = None, uuid: str = "") -> None:
        super().__init__(8000)
        self.uuid = uuid or str(uuids.uuid4())
        self.variables: dict[str, str] = {}
        self.status = self.why = ""
        self.hung_up = False
        self.muted = False  # the caller's side sends nothing at all
        self._port = port
        self._begin_with = begin
        self._key_until = 0.0
        self._traffic = 0.0
        self._sock: Any = None

    def dial(self) -> None:
        gevent.spawn(self._dialplan)

    def hangup(self) -> None:
        """A plain EOF is all that the other side sees."""
        self.hung_up = True
        if self._sock is not None:
            self._sock.close()
        self.where = "hungup"
        self.ended.set()

    def key(self, digit: str) -> None:
        # While the caller's leg sends DTMF, no sound comes.
        self._key_until = time.monotonic() + 0.1
        self._write(b"\x03\x00\x01" + digit.encode())

    def _dialplan(self) -> None:
        if self._begin_with is not None:
            self._agi("begin", *(f"{k}={v}" for k, v in self._begin_with.items()))
        try:
            self._sock = socket.create_connection(("127.0.0.1", self._port), timeout=5)
        except OSError:
            self.status, self.why = "FAILED", "refused"
        else:
            self._write(b"\x01\x00\x10" + uuids.UUID(self.uuid).bytes)
            self._traffic = time.monotonic()
            self._begin()
            self._serve()
            self._sock.close()
        if self.hung_up:
            return
        self.where = "dialplan"
        self._agi("end")
        end = self.variables.get("eslbot_end", "")
        if end == "transferred":
            self.where = f"extension:{self.variables['eslbot_extension']}"
        elif end == "hung up":
            self.where = "hungup"
        else:
            self.where = "native:menu"
        self.ended.set()

    def _agi(self, what: str, *arguments: str) -> None:
        """A refused or broken FastAGI leaves the dialplan where it was."""
        try:
            with socket.create_connection(("127.0.0.1", self._port), timeout=3) as sock:
                lines = [
                    "agi_network: yes",
                    f"agi_network_script: {what}",
                    f"agi_request: agi://127.0.0.1/{what}",
                    "agi_channel: Local/1",
                ]
                lines += [f"agi_arg_{n}: {a}" for n, a in enumerate([self.uuid, *arguments], 1)]
                sock.sendall("\n".join([*lines, "", ""]).encode())
                for line in sock.makefile("r"):
                    word, _, rest = line.strip().partition(" VARIABLE ")
                    name, _, value = rest.partition(" ")
                    assert word == "SET", line
                    self.variables[name] = value.strip('"')
                    sock.sendall(b"200 result=1\n")
        except OSError:
            return

    def _send_sound(self, spoken: bytes) -> None:
        now = time.monotonic()
        if now - self._traffic > 2.0:
            self._fail("no traffic")
        if self.muted or now < self._key_until:
            return
        # The last frame of a file is shorter; a caller who says nothing still sends silence.
        frame = spoken or bytes(320)
        self._write(b"\x10" + len(frame).to_bytes(2, "big") + frame)
        self._traffic = now

    def _write(self, data: bytes) -> None:
        try:
            self._sock.sendall(data)
        except OSError:
            self.why = self.why or "reset"

    def _fail(self, why: str) -> None:
        self.status, self.why = "FAILED", why
        self._sock.close()

    def _serve(self) -> None:
        """Read frames as res_audiosocket.c does."""
        while not self.status:
            header = self._exactly(3, None)
            if not header:
                self.status = self.status or "SUCCESS"  # a FIN, whoever it came from
                return None
            kind, length = header[0], int.from_bytes(header[1:], "big")
            if kind == 0:
                self.status, self.why = "SUCCESS", "ended"
                return None
            if not 0x10 <= kind <= 0x18:
                return self._fail(f"kind {kind:#x}")
            if not length:
                return self._fail("length 0")
            payload = self._exactly(length, 0.05)
            if len(payload) < length:
                return self._fail("a late payload")
            assert kind == 0x10
            self._traffic = time.monotonic()
            self._hear(payload)
        return None

    def _exactly(self, count: int, within_s: float | None) -> bytes:
        data = b""
        with gevent.Timeout(within_s, False):
            while len(data) < count:
                try:
                    more = self._sock.recv(count - len(data))
                except OSError:
                    if not self.hung_up and not self.status:
                        self.status, self.why = "FAILED", self.why or "reset"
                    return b""
                if not more:
                    return b""
                data += more
        return data
