"""`eslbot console`: the process. gevent's monkey patching comes before: eslbot/__main__.py."""

from __future__ import annotations

import logging
import signal
import ssl
import time
from typing import Any

import gevent
from gevent.event import Event
from gevent.pool import Pool
from gevent.pywsgi import WSGIHandler, WSGIServer
from werkzeug.wrappers import Request

from eslbot.console import health, login
from eslbot.console.app import App
from eslbot.console.archive import Archive
from eslbot.console.door import Door, NoDoor
from eslbot.console.feed import MAX_PAGES, Feed
from workers import queues, streams
from workers.settings import Settings

log = logging.getLogger(__name__)

MAX_CONNECTIONS = 4 * MAX_PAGES
TICK_S = 0.1
HEALTH_FOR_S = 1.0
REQUEST_S = 60.0  # for one request, or between two on a connection


class ConsoleError(Exception):
    """The console can't start; str() names the setting."""


class Console:
    """run() lasts until SIGTERM or SIGINT."""

    def __init__(self, settings: Settings) -> None:
        try:
            login.check(settings.console_host, settings.console_token)
        except login.NotSafe as error:
            raise ConsoleError(str(error)) from None
        self._settings = settings
        timeout_s = settings.redis_timeout_ms / 1000
        self._client = streams.connect(settings.redis, timeout_s, 16, settings.redis_tls)
        self._queues = queues.connect(settings, timeout_s, 4)
        self._feed = Feed(self._client)
        self._lag_ms = 0.0
        self._health: tuple[float, dict[str, Any]] | None = None
        self.door = Door(_door(settings), next(iter(settings.websocket_tokens), ""))
        secure = bool(settings.console_cert_file)
        self.app = App(
            self._client,
            login.Gate(settings.console_token),
            self._feed,
            Archive(self._client, self._feed, settings),
            self._look,
            "" if self.door.address else "the WebSocket door is closed: ESLBOT_WEBSOCKET_PORT is 0",
            secure,
        )
        self._server = WSGIServer(
            (settings.console_host, settings.console_port),
            self.app,
            log=None,
            error_log=log,
            handler_class=_handler(self),
            spawn=Pool(MAX_CONNECTIONS),
            **({"ssl_context": _tls(settings)} if secure else {}),
        )

    def run(self) -> None:
        """Raises ConsoleError."""
        ended = Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            gevent.signal_handler(number, ended.set)
        try:
            self._server.start()
        except OSError as error:
            at = f"{self._settings.console_host}:{self._settings.console_port}"
            raise ConsoleError(f"ESLBOT_CONSOLE_PORT: {at}: {error.strerror or error}") from None
        self._feed.start()
        watching = gevent.spawn(self._measure)
        print(f"Console: {self.address}", flush=True)
        ended.wait()
        watching.kill()
        self._feed.stop()
        self._server.stop(timeout=0.2)

    @property
    def address(self) -> str:
        host = self._settings.console_host
        shown = f"[{host}]" if ":" in host else host
        scheme = "https" if self._settings.console_cert_file else "http"
        return f"{scheme}://{shown}:{self._server.server_port}/"

    def _measure(self) -> None:
        """How late this loop is."""
        while True:
            began = time.monotonic()
            gevent.sleep(TICK_S)
            late_ms = (time.monotonic() - began - TICK_S) * 1000
            self._lag_ms = max(late_ms, 0.9 * self._lag_ms)

    def _look(self) -> dict[str, Any]:
        """The house, looked at once a second at the most, however many pages ask."""
        now = time.monotonic()
        if self._health is None or now - self._health[0] > HEALTH_FOR_S:
            self._health = (now, health.look(self._client, self._lag_ms, self._queues))
        return self._health[1]


def _door(settings: Settings) -> tuple[str, int] | None:
    port = settings.websocket_port
    return (settings.websocket_host, port) if port else None


def _tls(settings: Settings) -> ssl.SSLContext:
    """Raises ConsoleError."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    certificate, key = settings.console_cert_file, settings.console_key_file
    try:
        context.load_cert_chain(certificate, key or None)
    except OSError as error:
        cause = getattr(error, "reason", None) or error.strerror or str(error)
        named = f"{certificate}, {key}" if key else certificate
        raise ConsoleError(f"ESLBOT_CONSOLE_CERT_FILE: {named}: {cause}") from None
    return context


def _handler(console: Console) -> type[WSGIHandler]:
    class Handler(WSGIHandler):  # type: ignore[misc]
        """Hands the phone's WebSocket to the door, and everything else to the app."""

        def handle(self) -> None:
            self.socket.settimeout(REQUEST_S)  # also for what a page that sleeps does not take
            super().handle()

        def handle_one_response(self) -> None:
            environ = self.environ
            if environ.get("PATH_INFO") != "/door":
                super().handle_one_response()
                return
            self.close_connection = True
            request = Request(environ)
            wanted = request.headers.get("Upgrade", "").lower() == "websocket"
            try:
                if not wanted or console.app.may_call(request) is None:
                    raise NoDoor("not for a page of this console")
                key = request.headers.get("Sec-WebSocket-Key", "")
                rate = request.args.get("rate", "16000")
                console.door.carry(self.socket, key, rate)
            except NoDoor as error:
                why = str(error).encode()
                self.socket.sendall(
                    b"HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Type: text/plain\r\n"
                    b"Content-Length: %d\r\n\r\n%s" % (len(why), why)
                )
            except OSError:
                log.debug("a phone's page went away")

    return Handler
