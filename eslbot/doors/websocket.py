"""A WebSocket's server side: wsproto (RFC 6455, without I/O) over a gevent socket, bounded.

No extension is offered, so that no message is larger than what came over the wire. Messages are
put together up to max_message bytes, pings are answered up to so many in a second, whoever takes
nothing is disconnected.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Any

import gevent
from gevent import socket
from wsproto import ConnectionType, WSConnection
from wsproto.connection import ConnectionState
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Message,
    Ping,
    RejectConnection,
    Request,
    TextMessage,
)
from wsproto.utilities import LocalProtocolError, RemoteProtocolError

from eslbot.doors.outflow import Outflow

HANDSHAKE_S = 5.0
MAX_HANDSHAKE = 16 * 1024  # bytes
MAX_PINGS_PER_S = 20
MAX_REASON = 120  # bytes of a close frame's reason, of 123


class WebSocketError(Exception):
    """The connection is of no use; str() says why. code: what it was closed or refused with, 0 for
    nothing."""

    def __init__(self, reason: str, code: int = 0) -> None:
        super().__init__(reason)
        self.code = code


@dataclass(frozen=True, slots=True)
class Knock:
    """Who asks to come in. path: without a query; origin: "" where none is named."""

    path: str
    origin: str
    protocols: tuple[str, ...]


class WebSocket:
    """open(), then receive() until it is None; send…() from any greenlet, without waiting."""

    def __init__(self, sock: Any, max_message: int) -> None:
        self._sock = sock
        self._max_message = max_message
        self._wire = WSConnection(ConnectionType.SERVER)
        self.on_lost: Callable[[str], None] = lambda reason: None
        self._out = Outflow(sock, self._lost)
        self._ready: list[str | bytes] = []
        self._parts: list[str | bytes] = []
        self._size = 0
        self._pings = 0
        self._pings_since = 0.0
        self._ended = False

    def open(self, admit: Callable[[Knock], tuple[int, str | None]]) -> Knock:
        """The handshake. admit(knock): (0, a subprotocol or None) or (an HTTP status, None).

        Raises WebSocketError.
        """
        came = 0
        try:
            with gevent.Timeout(HANDSHAKE_S):
                while True:
                    data = self._sock.recv(4096)
                    came += len(data)
                    if not data or came > MAX_HANDSHAKE:
                        raise WebSocketError("no WebSocket handshake")
                    self._wire.receive_data(data)
                    for event in self._wire.events():
                        if isinstance(event, Request):
                            return self._answer(event, admit)
        except gevent.Timeout:
            raise WebSocketError("no WebSocket handshake in time") from None
        except RemoteProtocolError as error:
            self._put(error.event_hint or RejectConnection(status_code=400))
            raise WebSocketError("no WebSocket handshake") from None
        except OSError as error:
            raise WebSocketError(f"connection lost: {error.strerror}") from None

    def _answer(self, event: Request, admit: Callable[[Knock], tuple[int, str | None]]) -> Knock:
        origin = next((v for k, v in event.extra_headers if k.lower() == b"origin"), b"")
        knock = Knock(
            event.target.partition("?")[0],
            origin.decode("latin-1"),
            tuple(event.subprotocols),
        )
        status, protocol = admit(knock)
        if status:
            self._put(RejectConnection(status_code=status, headers=[(b"content-length", b"0")]))
            raise WebSocketError(f"refused with {status}", status)
        self._put(AcceptConnection(subprotocol=protocol))
        return knock

    def receive(self) -> str | bytes | None:
        """The next whole message, or None where the connection has ended. Raises WebSocketError;
        the connection is closed then."""
        while not self._ready:
            if self._ended:
                return None
            try:
                # The handshake may have brought the first frames along.
                for event in self._wire.events():
                    self._take(event)
                if self._ready or self._ended:
                    continue
                data = self._sock.recv(65536)
                if not data:
                    self._ended = True
                    return None
                self._wire.receive_data(data)
            except OSError:
                self._ended = True
            except RemoteProtocolError as error:
                hint = error.event_hint
                code = int(hint.code) if isinstance(hint, CloseConnection) else 1002
                raise self._refusal("no WebSocket frame", code) from None
        return self._ready.pop(0)

    def _take(self, event: Any) -> None:
        if isinstance(event, Message):
            self._size += len(event.data)
            if self._size > self._max_message:
                raise self._refusal("a message is too long", 1009)
            self._parts.append(event.data)
            if event.message_finished:
                empty: Any = "" if isinstance(event, TextMessage) else b""
                self._ready.append(empty.join(self._parts))
                self._parts.clear()
                self._size = 0
                assert isinstance(event, TextMessage | BytesMessage)
        elif isinstance(event, Ping):
            self._count_ping()
            self._put(event.response())
        elif isinstance(event, CloseConnection):
            if self._wire.state is ConnectionState.OPEN:
                # wsproto's way to say that this is no WebSocket frame.
                raise self._refusal("no WebSocket frame", int(event.code))
            self._ended = True
            if self._wire.state is ConnectionState.REMOTE_CLOSING:
                self._put(event.response())

    def _count_ping(self) -> None:
        now = monotonic()
        if now - self._pings_since > 1.0:
            self._pings_since, self._pings = now, 0
        self._pings += 1
        if self._pings > MAX_PINGS_PER_S:
            raise self._refusal("too many pings", 1002)

    def _refusal(self, reason: str, code: int) -> WebSocketError:
        self.close(code, reason)
        return WebSocketError(reason, code)

    # -- out

    def _lost(self, reason: str) -> None:
        """Of the writer: who reads has to notice, too."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        self.on_lost(reason)

    def send_text(self, text: str) -> None:
        self._put(TextMessage(text))

    def send_sound(self, data: bytes) -> None:
        """A binary message that may be left out where the other side is slow."""
        if self._wire.state is ConnectionState.OPEN:
            self._out.sound(self._wire.send(BytesMessage(data)))

    def clear_sound(self) -> None:
        """Drop what was not written yet."""
        self._out.clear()

    def close(self, code: int, reason: str) -> None:
        """Say why, and send no more."""
        cut = reason.encode()[:MAX_REASON].decode("utf-8", "ignore")
        self._put(CloseConnection(code=code, reason=cut))

    def finish(self) -> None:
        """Write what waits, a second at the most. Waits."""
        self._out.finish()

    def _put(self, event: Any) -> None:
        try:
            data = self._wire.send(event)
        except LocalProtocolError:
            return  # the other side has closed meanwhile
        self._out.put(data)
