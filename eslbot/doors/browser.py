"""A browser's door: sound and everything that happens in the call, over one WebSocket."""

from __future__ import annotations

import hmac
import logging
import time
import uuid as uuids
from collections.abc import Mapping, Sequence
from typing import Any

import gevent

from eslbot.doors import NotOurs, Port, Target
from eslbot.doors import browser_protocol as protocol
from eslbot.doors.browser_protocol import ProtocolError
from eslbot.doors.tcp import TcpDoor
from eslbot.doors.websocket import WebSocket, WebSocketError
from eslbot.media.stream import FRAME, StreamPort

log = logging.getLogger(__name__)

START_S = 5.0
# What of a call's log is of the client's concern, and under which name.
TOLD = frozenset(
    "call state partial heard decided tool said interrupted turn menu resumed variables".split()  # noqa: SIM905
)


class BrowserDoor(TcpDoor):
    """Made by greet(), which knows who calls before there is a call."""

    kind = "browser"

    def __init__(self, sock: Any, web: WebSocket) -> None:
        super().__init__(sock)
        self.uuid = str(uuids.uuid4())
        self.web = web
        web.on_lost = self._lost
        self._began = time.monotonic()
        self._port: StreamPort | None = None
        self._rate = 8000
        self._code, self._reason = protocol.OVER, ""
        self._ended: Mapping[str, Any] | None = None  # to be told last of all
        self._network_ms: int | None = None
        self._caller = ""

    def greet(self, tokens: Sequence[str]) -> None:
        """Wait for `start`. Raises NotOurs."""
        try:
            with gevent.Timeout(START_S):
                first = self.web.receive()
            if not isinstance(first, str):
                raise ProtocolError("the first message is not start")
            start = protocol.parse(first)
            if not isinstance(start, protocol.Start):
                raise ProtocolError("the first message is not start")
        except gevent.Timeout:
            raise self._refused("protocol", protocol.LATE, "no start in time") from None
        except ProtocolError as error:
            raise self._refused("protocol", protocol.BAD, str(error)) from None
        except WebSocketError as error:
            raise NotOurs("protocol", str(error)) from None
        if not _admits(start.token, tokens):
            raise self._refused("token", protocol.UNAUTHORISED, "the token is missing or wrong")
        self._rate = start.rate
        self._caller = start.caller
        self.brought = dict(start.variables)

    def _refused(self, why: str, code: int, reason: str) -> NotOurs:
        self.web.close(code, reason)
        return NotOurs(why, reason)

    def refuse(self, why: str) -> None:
        """No room: why is one of accounts.REFUSALS."""
        self._code, self._reason = (protocol.RATE if why == "rate" else protocol.NO_ROOM), why

    # -- what comes

    def _read(self) -> None:
        try:
            while (message := self.web.receive()) is not None:
                if isinstance(message, bytes):
                    if self._port:
                        self._port.feed(message)
                elif not self._heard(protocol.parse(message)):
                    break
        except ProtocolError as error:
            self._code, self._reason = protocol.BAD, str(error)
        except WebSocketError as error:
            log.info("%s: %s", self.uuid, error)
        self._gone()

    def _heard(self, message: protocol.Heard) -> bool:
        """False: the caller hung up."""
        assert self.ears is not None
        if isinstance(message, protocol.Key):
            self.ears.key(message.digit)
        elif isinstance(message, protocol.Ping):
            self._say("pong", {"t": message.t})
        elif isinstance(message, protocol.Network):
            self._network_ms = message.delay_ms
        elif isinstance(message, protocol.Start):
            raise ProtocolError("a second start")
        return not isinstance(message, protocol.Hangup)

    def _lost(self, reason: str) -> None:
        """Of the writer: it can't go on."""
        log.info("%s: %s", self.name, reason)
        self._gone()

    # -- what a call wants of its door

    def media(self) -> Port:
        self._port = StreamPort(self._rate, self.web.send_sound, self._clear)
        return self._port

    def _clear(self) -> None:
        self.web.clear_sound()
        self._say("cleared", {})

    def numbers(self) -> tuple[str, str]:
        return self._caller, ""

    def set_variables(self, values: Mapping[str, str]) -> None:
        """Told by tell(), without what is secret."""

    def tell(self, what: str, fields: Mapping[str, Any]) -> None:
        if what == "ended":
            self._ended = {k: fields[k] for k in ("outcome", "reason")}
            return
        if what not in TOLD:
            return
        more: dict[str, Any] = {}
        if what == "call":
            more = {"uuid": self.uuid, "rate": self._rate, "frame_ms": FRAME // 16}
            if self._caller:
                more["from"] = self._caller
        self._say(what, {**fields, **more})

    def _say(self, what: str, fields: Mapping[str, Any]) -> None:
        self.web.send_text(protocol.event(what, time.monotonic() - self._began, fields))

    def network(self) -> dict[str, int]:
        return {} if self._network_ms is None else {"network_ms": self._network_ms}

    def transfer(self, name: str, target: Target, values: Mapping[str, str]) -> None:
        self._say(
            "transfer",
            {"destination": name, "extension": target.extension, "context": target.context},
        )
        self.close()

    def native_menu(self) -> None:
        """There is no other menu here than ours: the call is over, and `ended` says so."""
        self.close()

    def hang_up(self) -> None:
        self._tell_over()
        self.close()

    def close(self) -> None:
        """Say the last words. Waits two seconds at the most."""
        ended, self._ended = self._ended, None
        if ended is not None:
            self._say("ended", ended)
        self.closed.set()
        self.web.close(self._code, self._reason)
        self.web.finish()
        self._hang_up_socket()


def _admits(token: str, tokens: Sequence[str]) -> bool:
    """Takes the same time whichever it is, and however much of it is right."""
    brought = token.encode("utf-8", "replace")
    found = [hmac.compare_digest(brought, one.encode()) for one in tokens]
    return any(found) or not tokens
