"""An example customer system and calendar over HTTP, for the example bots and the tests.

    python -m eslbot.examples.backend --port 9280 --today 2026-11-23

    GET    /health
    GET    /customers/ACCOUNT                 PUT  /customers/ACCOUNT/address {street, postcode}
    GET    /customers/ACCOUNT/orders          newest first, `latest` alone as well
    GET    /customers/ACCOUNT/appointments    soonest first, `first` alone as well
    GET    /orders/NUMBER                     PUT  /orders/NUMBER/shipping {street, postcode}
    DELETE /orders/NUMBER
    GET    /calendar?date=DATE&service=SERVICE            the free times of a day
    POST   /appointments {account, service, date, time}   409 not_free proposes `next`
    GET    /appointments/ID                   PUT  /appointments/ID {date, time}
    DELETE /appointments/ID
    POST   /payments {account, amount}        POST /promises {account, date}

Bodies and answers are JSON objects. Dates are ISO, times HH:MM, amounts decimal text of dollars;
services: checkup, cleaning, consultation. A refusal is 4xx with {"error": CODE}. A POST that comes
again under its Idempotency-Key gets its first answer again, and nothing is done twice. With
--token each request needs `Authorization: Bearer TOKEN`. Nothing is kept when it ends; it is for
examples and tests, not for real customers.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from datetime import date
from hmac import compare_digest
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from eslbot.examples.records import MAX_KEPT, Records, RuleError

MAX_BODY_BYTES = 16_384
IDLE_S = 30
DEFAULT_PORT = 9280

Body = dict[str, str]


class Backend(ThreadingHTTPServer):
    """Serves one Records. token "": nobody has to prove anything. delay_ms: before each answer."""

    daemon_threads = True

    def __init__(
        self, records: Records, host: str = "127.0.0.1", port: int = 0, token: str = ""
    ) -> None:
        self.records = records
        self.token = token
        self.delay_ms = 0
        self._answers: OrderedDict[str, tuple[int, dict[str, Any]]] = OrderedDict()
        self._lock = Lock()
        super().__init__((host, port), _Handler)

    @property
    def url(self) -> str:
        host, port = self.server_address[:2]
        return f"http://{host!s}:{port}"

    def once(
        self, key: str, do: Callable[[], tuple[int, dict[str, Any]]]
    ) -> tuple[int, dict[str, Any]]:
        """do(), or what it answered the last time that this key was used; one at a time."""
        with self._lock:
            if key not in self._answers:
                self._answers[key] = do()
                while len(self._answers) > MAX_KEPT:
                    self._answers.popitem(last=False)
            return self._answers[key]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = IDLE_S
    server: Backend

    def _serve(self) -> None:
        try:
            status, answer = self._answer()
        except RuleError as error:
            status, answer = error.status, error.body
        time.sleep(self.server.delay_ms / 1000)
        data = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_PUT = do_DELETE = _serve

    def _answer(self) -> tuple[int, dict[str, Any]]:
        body = self._body()  # also of a request that is refused: the next one follows it
        proof = f"Bearer {self.server.token}".encode()
        given = self.headers.get("Authorization", "").encode("latin-1", "replace")
        if self.server.token and not compare_digest(given, proof):
            raise RuleError(401, "no_token")
        path = urlsplit(self.path)
        words = [unquote(word) for word in path.path.strip("/").split("/")]
        query = {name: values[0] for name, values in parse_qs(path.query).items()}
        key = self.headers.get("Idempotency-Key", "")
        if self.command == "POST" and key:
            return self.server.once(key[:200], lambda: self._checked(words, query, body))
        return self._act(words, query, body)

    def _checked(self, *asked: Any) -> tuple[int, dict[str, Any]]:
        try:
            return self._act(*asked)
        except RuleError as error:
            return error.status, error.body

    def _body(self) -> Body:
        length = self.headers.get("Content-Length", "0")
        if not (length.isascii() and length.isdigit()) or int(length) > MAX_BODY_BYTES:
            self.close_connection = True
            raise RuleError(413, "body_too_long")
        raw = self.rfile.read(int(length))
        if not raw:
            return {}
        try:
            body = json.loads(raw)
        except (ValueError, RecursionError):
            raise RuleError(400, "not_json") from None
        if not isinstance(body, dict) or not all(isinstance(v, str) for v in body.values()):
            raise RuleError(422, "not_an_object_of_texts")
        return body

    def _act(self, words: list[str], query: Body, body: Body) -> tuple[int, dict[str, Any]]:
        records = self.server.records

        def given(name: str, source: Body = body) -> str:
            if name not in source:
                raise RuleError(422, f"{name}_missing")
            return source[name]

        match self.command, *words:
            case "GET", "health":
                return 200, {"status": "ok", "today": records.today.isoformat()}
            case "GET", "customers", account:
                return 200, records.customer(account)
            case "PUT", "customers", account, "address":
                return 200, records.move(account, given("street"), given("postcode"))
            case "GET", "customers", account, "orders":
                return 200, records.orders_of(account)
            case "GET", "customers", account, "appointments":
                return 200, records.appointments_of(account)
            case "GET", "orders", number:
                return 200, records.order(number)
            case "PUT", "orders", number, "shipping":
                return 200, records.ship_to(number, given("street"), given("postcode"))
            case "DELETE", "orders", number:
                return 200, records.cancel_order(number)
            case "GET", "calendar":
                return 200, records.free(given("date", query), given("service", query))
            case "POST", "appointments":
                names = ("account", "service", "date", "time")
                return 201, records.book(*(given(name) for name in names))
            case "GET", "appointments", number:
                return 200, records.appointment(number)
            case "PUT", "appointments", number:
                return 200, records.rebook(number, given("date"), given("time"))
            case "DELETE", "appointments", number:
                return 200, records.cancel(number)
            case "POST", "payments":
                return 201, records.pay(given("account"), given("amount"))
            case "POST", "promises":
                return 201, records.promise(given("account"), given("date"))
        raise RuleError(404, "no_such_path")

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: paths hold account numbers."""


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until interrupted; prints one line with the address once it listens."""
    parser = argparse.ArgumentParser(prog="python -m eslbot.examples.backend", allow_abbrev=False)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=DEFAULT_PORT)
    parser.add_argument("--today", type=date.fromisoformat, default=None, metavar="YYYY-MM-DD")
    parser.add_argument("--token", default="", help="what a request has to bear")
    parser.add_argument("--delay-ms", type=int, default=0, help="before each answer")
    args = parser.parse_args(argv)
    records = Records(args.today or date.today())
    try:
        backend = Backend(records, args.host, args.port, args.token)
    except OSError as error:
        print(f"backend: {args.host}:{args.port}: {error.strerror}", file=sys.stderr)
        return 1
    backend.delay_ms = max(0, args.delay_ms)
    print(f"READY {backend.url} today={records.today.isoformat()}", flush=True)
    try:
        backend.serve_forever(poll_interval=0.2)
    except KeyboardInterrupt:
        return 0
    finally:
        backend.server_close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
