"""HTTP for the rig's provider: gevent's server, whose application may cut a connection.

The application is a generator: it is asked for its answer piece by piece, and may raise Cut at
any point of it.
"""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import gevent
from gevent.pywsgi import WSGIHandler, WSGIServer

MAX_CLIENTS: Final = 4000
MAX_BODY: Final = 16 * 1024 * 1024  # bytes: eight minutes of 16 kHz
MAX_HELD_S: Final = 600.0  # no fault holds a client for longer
SOCKET: Final = "rig.socket"  # the connection, in the environment of a request

Start = Callable[[str, list[tuple[str, str]]], object]
Application = Callable[[dict[str, Any], Start], Iterator[bytes]]


class BadRequest(Exception):
    """The client's fault; its text says what is wrong."""


class Cut(Exception):
    """The connection ends here, whatever was promised."""


def body(environ: dict[str, Any]) -> bytes:
    """Of a request, whole. Raises BadRequest when it is too long."""
    try:
        length = int(environ.get("CONTENT_LENGTH") or 0)
    except ValueError:
        raise BadRequest("a length that is no number") from None
    if not 0 <= length <= MAX_BODY:
        raise BadRequest(f"a body of {length} bytes: no more than {MAX_BODY}")
    found: bytes = environ["wsgi.input"].read(length)
    return found


def parsed(text: bytes) -> Any:
    """JSON. Raises BadRequest when it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise BadRequest("not JSON") from None


def error(text: str) -> dict[str, Any]:
    """The body of a refusal, as OpenAI's API words it."""
    return {"error": {"message": text}}


def whole(
    answer: Any, start: Start, status: str = "200 OK", headers: Sequence[tuple[str, str]] = ()
) -> Iterator[bytes]:
    """An answer in JSON with its length told."""
    made = json.dumps(answer).encode()
    kind = ("Content-Type", "application/json")
    start(status, [kind, ("Content-Length", str(len(made))), *headers])
    yield made


def until_gone(client: socket.socket) -> None:
    """Waits until the client leaves, MAX_HELD_S at the most."""
    with gevent.Timeout(MAX_HELD_S, False), contextlib.suppress(OSError):
        while client.recv(1, socket.MSG_PEEK):
            gevent.sleep(0.1)


class _Handler(WSGIHandler):  # type: ignore[misc]
    """A connection; whoever goes away at any time is no error of ours."""

    def __init__(self, sock: socket.socket, *rest: Any) -> None:
        # Two small writes after one another must not wait for the other side's acknowledgement.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().__init__(sock, *rest)

    def get_environ(self) -> dict[str, Any]:
        environ: dict[str, Any] = super().get_environ()
        environ[SOCKET] = self.socket
        return environ

    def handle(self) -> None:
        with contextlib.suppress(OSError):
            super().handle()

    def log_error(self, *_: Any) -> None:
        """Quiet about requests that are not HTTP, or only the beginning of it."""

    def handle_error(self, kind: Any, value: Any, trace: Any) -> None:
        if issubclass(kind, Cut | OSError):
            self.close_connection = True
        else:
            super().handle_error(kind, value, trace)


def serve(application: Application, port: int) -> WSGIServer:
    """Started, on 127.0.0.1; its server_port is the one it got. Raises OSError if it is taken."""
    server = WSGIServer(
        ("127.0.0.1", port), application, backlog=1024, spawn=MAX_CLIENTS, log=None,
        handler_class=_Handler,
    )  # fmt: skip
    server.start()
    return server
