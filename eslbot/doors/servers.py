"""The ports of the other doors: who may come in, and which door it is.

Their calls count into the same admission as FreeSWITCH's. These ports stay open while the listener
drains: a browser is told why it can't call now, and a dialplan may still ask what became of its
call.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

import gevent

from eslbot.accounts import Accounts
from eslbot.doors import Door, NotOurs, agi, audiosocket_wire
from eslbot.doors import browser_protocol as browser
from eslbot.doors.audiosocket import AudioSocketDoor, Shelves
from eslbot.doors.browser import BrowserDoor
from eslbot.doors.modules import MAX_MESSAGE, MAX_TICKET, MODULES, ModulePort, Tickets, carry
from eslbot.doors.websocket import Knock, WebSocket, WebSocketError
from eslbot.server import Server, ServerError
from workers.settings import Settings

log = logging.getLogger(__name__)

MAX_GREETING = 64  # connections of one port that have not said yet who they are
PER_CALL = 4  # connections that a call may take, with those around it
FIRST_S = 2.0
AGI_S = 2.0
LAST_QUESTION_S = 1.0
SAME_MACHINE = ("localhost", "127.0.0.1", "::1")


class Doors:
    """handle(door) lasts as long as the call. refuse(): "" or why there is no room for one."""

    def __init__(
        self,
        settings: Settings,
        accounts: Accounts,
        handle: Callable[[Door], None],
        refuse: Callable[[], str],
    ) -> None:
        self._settings = settings
        self._accounts = accounts
        self._handle = handle
        self._refuse = refuse
        self._recent: deque[float] = deque(maxlen=settings.max_calls_per_s)
        self._greeting = 0
        self.shelves = Shelves()
        self.tickets = Tickets()
        self._origins = tuple(o.strip() for o in settings.websocket_origins.split(",") if o)
        self._servers: list[tuple[str, Server]] = []
        if settings.websocket_port:
            self._add("WEBSOCKET_PORT", settings.websocket_host, settings.websocket_port,
                      self._websocket, settings.websocket_allowed)  # fmt: skip
        if settings.audiosocket_port:
            self._add("AUDIOSOCKET_PORT", settings.audiosocket_host, settings.audiosocket_port,
                      self._asterisk, settings.networks)  # fmt: skip

    def _add(
        self,
        name: str,
        host: str,
        port: int,
        take: Callable[[Any, Any], None],
        networks: Any,
    ) -> None:
        server = Server(
            host,
            port,
            take,
            allowed_networks=networks,
            max_connections_per_s=self._settings.max_calls_per_s * PER_CALL,
            on_refused=self._count,
        )
        self._servers.append((name, server))

    def start(self) -> None:
        """Raises ServerError, which names the setting."""
        for name, server in self._servers:
            try:
                server.start()
            except ServerError as error:
                raise ServerError(f"ESLBOT_{name}: {error}") from None

    def stop(self) -> None:
        """A dialplan whose call has just ended may still ask, for a second."""
        until = monotonic() + LAST_QUESTION_S
        while self.shelves.ended.fresh(LAST_QUESTION_S) and monotonic() < until:
            gevent.sleep(0.02)
        for _, server in self._servers:
            server.stop()

    def _count(self, why: str) -> None:
        self._accounts.refused.labels(why).inc()

    def _no_room(self) -> str:
        """Admission, the rate included."""
        why = self._refuse()
        if why:
            return why
        now = monotonic()
        if len(self._recent) == self._recent.maxlen and now - self._recent[0] < 1.0:
            return "rate"
        self._recent.append(now)
        return ""

    def _greeted(self, greet: Callable[[], Any]) -> bool:
        """Whether it is known now who calls; few at once may be asked."""
        if self._greeting >= MAX_GREETING:
            self._count("rate")
            return False
        self._greeting += 1
        try:
            greet()
        except (NotOurs, WebSocketError) as error:
            log.warning("refused: %s", error)
            origin = isinstance(error, WebSocketError) and error.code == 403
            why = "origin" if origin else "protocol"
            self._count(error.why if isinstance(error, NotOurs) else why)
            return False
        finally:
            self._greeting -= 1
        return True

    # -- WebSocket

    def _websocket(self, sock: Any, address: Any) -> None:
        web = WebSocket(sock, max(browser.MAX_SOUND, MAX_MESSAGE))
        knock: list[Knock] = []
        if not self._greeted(lambda: knock.append(web.open(self._admit))):
            web.finish()
        elif knock[0].path == "/call":
            self._browser(sock, web)
        else:
            self._module(web, knock[0].path[1:])

    def _module(self, web: WebSocket, kind: str) -> None:
        """The sound of a call that is here already, by the event socket."""
        found: list[ModulePort] = []

        def greet() -> None:
            with gevent.Timeout(FIRST_S, False):
                first = web.receive()
                if isinstance(first, str) and len(first) <= MAX_TICKET:
                    port = self.tickets.redeem(first.strip(), kind)
                    if port is not None:
                        found.append(port)
                        return
            web.close(browser.UNAUTHORISED, "no ticket of a call")
            raise NotOurs("token", f"{kind}: no ticket of a call")

        try:
            if self._greeted(greet):
                carry(web, found[0])
        except WebSocketError as error:
            log.warning("%s: %s", kind, error)
        finally:
            web.close(1000, "")
            web.finish()

    def _browser(self, sock: Any, web: WebSocket) -> None:
        door = BrowserDoor(sock, web)

        def greet() -> None:
            why = self._refuse()
            if why:  # before its microphone is on
                door.refuse(why)
                raise NotOurs(why, f"no room: {why}")
            door.greet(self._settings.websocket_tokens)

        try:
            if not self._greeted(greet):
                return
            why = self._no_room()
            if why:
                log.warning("refused a browser: %s", why)
                self._count(why)
                door.refuse(why)
                return
            self._handle(door)
        finally:
            door.close()

    def _admit(self, knock: Knock) -> tuple[int, str | None]:
        module = MODULES.get(knock.path[1:])
        if module is not None:
            offered = module.subprotocol in knock.protocols
            return 0, module.subprotocol if offered else None
        if knock.path != "/call":
            return 404, None
        if browser.SUBPROTOCOL not in knock.protocols:
            return 400, None
        if knock.origin and not self._same_house(knock.origin):
            return 403, None
        return 0, browser.SUBPROTOCOL

    def _same_house(self, origin: str) -> bool:
        if self._origins:
            return origin in self._origins
        try:
            return urlsplit(origin).hostname in SAME_MACHINE
        except ValueError:
            return False

    # -- Asterisk: AudioSocket begins with 0x01, FastAGI with "agi_"

    def _asterisk(self, sock: Any, address: Any) -> None:
        first = b""
        try:
            with gevent.Timeout(FIRST_S, False):
                first = sock.recv(4096)
        except OSError:
            return
        if first[:1] == agi.FIRST_BYTES[:1]:
            self._agi(sock, first)
        elif first[:1] == bytes([audiosocket_wire.UUID]):
            self._audiosocket(sock, first)
        elif first:
            log.warning("refused: neither AudioSocket nor FastAGI")
            self._count("protocol")

    def _audiosocket(self, sock: Any, first: bytes) -> None:
        door = AudioSocketDoor(sock, self.shelves, first)
        try:
            if not self._greeted(lambda: door.greet(bool(self._settings.call_secrets))):
                return
            why = self._no_room()
            if why:
                log.warning("%s: refused: %s", door.name, why)
                self._count(why)
                return
            self._handle(door)
        finally:
            door.close()

    def _agi(self, sock: Any, first: bytes) -> None:
        """One question of a dialplan. Without an answer it goes on in its menu."""
        try:
            with gevent.Timeout(AGI_S):
                agi.converse(sock, first, self._answer)
        except gevent.Timeout:
            log.warning("FastAGI: no whole request in %.0f s", AGI_S)
        except agi.AgiError as error:
            log.warning("FastAGI: %s", error)
        except OSError as error:
            log.info("FastAGI: connection lost: %s", error.strerror)

    def _answer(self, request: agi.Request) -> dict[str, str]:
        """The variables for the dialplan."""
        if request.what == "end":
            return self.shelves.ended.take(request.uuid) or {"eslbot_end": "menu"}
        secrets = self._settings.call_secrets
        if not agi.admits(request.secret, secrets):
            self._count("secret")
            raise agi.AgiError("begin without the call secret")
        self.shelves.begun.put(request.uuid, request.variables)
        return {"eslbot_ready": "no" if self._refuse() else "yes"}
