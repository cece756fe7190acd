"""/metrics for Prometheus, /live and /ready for whoever starts and feeds processes, /bot for
whoever has changed the bot's file."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any

from gevent.pool import Pool
from gevent.pywsgi import WSGIHandler, WSGIServer
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

log = logging.getLogger(__name__)

MAX_CONNECTIONS = 64
REQUEST_S = 15.0  # for one request, or between two on a connection


class _Handler(WSGIHandler):  # type: ignore[misc]
    def handle(self) -> None:
        self.socket.settimeout(REQUEST_S)
        super().handle()


class MetricsServer:
    """not_ready(): "" or why a call could not be served now. bot(): the bot's state, JSON. Raises
    OSError when the port can't be had."""

    def __init__(
        self,
        host: str,
        port: int,
        registry: CollectorRegistry,
        not_ready: Callable[[], str],
        bot: Callable[[], str],
    ) -> None:
        self._registry = registry
        self._not_ready = not_ready
        self._bot = bot
        self._server = WSGIServer(
            (host, port), self._answer, log=None, error_log=log, handler_class=_Handler,
            spawn=Pool(MAX_CONNECTIONS),
        )  # fmt: skip

    def start(self) -> None:
        self._server.start()

    def stop(self) -> None:
        self._server.stop(timeout=0.2)

    def _answer(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        kind = "text/plain; charset=utf-8"
        status, body = "200 OK", b"ok\n"
        if path == "/metrics":
            # In one go: nothing happens to a call while it is counted.
            body, kind = generate_latest(self._registry), CONTENT_TYPE_LATEST
        elif path == "/ready":
            reason = self._not_ready()
            if reason:
                status, body = "503 Service Unavailable", f"{reason}\n".encode()
        elif path == "/bot":
            body, kind = self._bot().encode("utf-8", "replace"), "application/json"
        elif path != "/live":
            status, body = "404 Not Found", b"/metrics, /live, /ready, /bot\n"
        start(status, [("Content-Type", kind), ("Content-Length", str(len(body)))])
        return [body]
