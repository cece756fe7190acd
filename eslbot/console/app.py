"""The console's pages and what they ask for, as a WSGI application.

    /                            the page; /login where there is a token
    /static/...                  its parts
    /api/session                 who am I: CSRF token, what there is
    /api/calls?q=&limit=         calls, the newest first
    /api/calls/UUID              one call's log
    /api/calls/UUID/audio.wav    both sides (left: caller, right: bot)
    /api/live                    server-sent events: calls as they change
    /api/health                  the house
    /api/ai-off                  orders: GET, POST, DELETE /api/ai-off/KEY
    /door                        the browser's phone, see door.py

Nothing of a caller is ever put into markup: the page gets JSON and writes text nodes.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import redis
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge
from werkzeug.routing import Map, Rule
from werkzeug.utils import redirect, send_from_directory
from werkzeug.wrappers import Request, Response

from eslbot import ai_off
from eslbot.console.archive import Archive
from eslbot.console.feed import Feed, TooMany
from eslbot.console.login import SESSION_S, Gate, Session, same_origin
from workers import streams

log = logging.getLogger(__name__)

STATIC = Path(__file__).parent / "static"
MAX_BODY = 16_384
MAX_LISTED = 500
HEARTBEAT_S = 15.0
_CALL = re.compile(r"[A-Za-z0-9_.:-]{1,80}")
POLICY = (
    "default-src 'none'; script-src 'self'; worker-src 'self'; style-src 'self'; img-src 'self'; "
    "media-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
    "Cache-Control": "no-store",
}
ROUTES = Map(
    [
        Rule("/", endpoint="page", methods=["GET"]),
        Rule("/login", endpoint="login", methods=["GET", "POST"]),
        Rule("/logout", endpoint="logout", methods=["POST"]),
        Rule("/static/<path:name>", endpoint="static", methods=["GET"]),
        Rule("/api/session", endpoint="session", methods=["GET"]),
        Rule("/api/calls", endpoint="calls", methods=["GET"]),
        Rule("/api/calls/<uuid>", endpoint="call", methods=["GET"]),
        Rule("/api/calls/<uuid>/audio.wav", endpoint="audio", methods=["GET"]),
        Rule("/api/live", endpoint="live", methods=["GET"]),
        Rule("/api/health", endpoint="health", methods=["GET"]),
        Rule("/api/ai-off", endpoint="orders", methods=["GET", "POST"]),
        Rule("/api/ai-off/<key>", endpoint="order", methods=["DELETE"]),
    ]
)
OPEN = ("login", "static")  # what nobody has to log in for


class App:
    """health(): see health.py. secure: the page came over TLS. phone: why there is none, or ""."""

    def __init__(
        self,
        client: redis.Redis,
        gate: Gate,
        feed: Feed,
        archive: Archive,
        health: Callable[[], dict[str, Any]],
        phone: str,
        secure: bool,
    ) -> None:
        self._client = client
        self._gate = gate
        self._feed = feed
        self._archive = archive
        self._health = health
        self._phone = phone
        self._secure = secure
        self._cookie = "__Host-eslbot" if secure else "eslbot"

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        request = Request(environ)
        request.max_content_length = MAX_BODY
        response = self._answer(request)
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        if request.path.startswith("/static/"):
            response.headers["Cache-Control"] = "no-cache"  # asked again, and answered with 304
        return response(environ, start)

    def _answer(self, request: Request) -> Response:
        if not self._gate.admits(request.host):
            return _error(403, "asked for by a name that is not this machine's")
        try:
            endpoint, of = ROUTES.bind_to_environ(request.environ).match()
            session = self.session(request)
            if session is None and endpoint not in OPEN:
                if self._gate.token:
                    return (
                        redirect("/login") if endpoint == "page" else _error(401, "not logged in")
                    )
                if endpoint == "page":
                    return self._welcome(self.on_page(request, None))
                return _error(401, "open / first")
            if request.method not in ("GET", "HEAD"):
                self._check(request, session, endpoint)
            found: Response = getattr(self, f"on_{endpoint}")(request, session, **of)
            return found
        except Refused as error:
            return _error(error.status, str(error))
        except RequestEntityTooLarge:
            return _error(413, f"longer than {MAX_BODY} bytes")
        except HTTPException as error:
            return _error(error.code or 500, error.name)
        except redis.RedisError as error:
            return _error(503, f"Redis is away: {streams.plain(error)}")

    def may_call(self, request: Request) -> Session | None:
        """Of the phone's WebSocket: whose it is; None: it is not for us."""
        if not self._gate.admits(request.host) or not self._of_us(request):
            return None
        return self.session(request)

    def session(self, request: Request) -> Session | None:
        return self._gate.session(request.cookies.get(self._cookie))

    def _of_us(self, request: Request) -> bool:
        return same_origin(request.headers.get("Origin"), request.host, self._secure)

    def _check(self, request: Request, session: Session | None, endpoint: str) -> None:
        """Raises Refused: an order that no page of ours gave."""
        if not self._of_us(request):
            raise Refused(403, "not from a page of this console")
        if endpoint == "login":
            return
        assert session is not None
        if not self._gate.commands(session, request.headers.get("X-CSRF-Token")):
            raise Refused(403, "without this session's token")

    # -- pages

    def on_page(self, request: Request, session: Session | None) -> Response:
        return send_from_directory(STATIC, "index.html", request.environ)

    def on_static(self, request: Request, session: Session | None, name: str) -> Response:
        return send_from_directory(STATIC, name, request.environ, max_age=None)

    def on_login(self, request: Request, session: Session | None) -> Response:
        if not self._gate.token:
            return redirect("/")
        if request.method == "GET":
            return send_from_directory(STATIC, "login.html", request.environ)
        address = request.remote_addr or ""
        if not self._gate.may_try(address):
            raise Refused(429, "too many wrong tokens: wait a minute")
        opened = self._gate.login(str(_json(request).get("token")), address)
        if opened is None:
            log.warning("a wrong token from %s", address)
            raise Refused(401, "wrong token")
        return self._set_cookie(_done(), opened.key, SESSION_S)

    def on_logout(self, request: Request, session: Session) -> Response:
        self._gate.close(session)
        return self._set_cookie(_done(), "", 0)

    def _welcome(self, response: Response) -> Response:
        """Without a token: a session all the same, for the orders' CSRF tokens."""
        return self._set_cookie(response, self._gate.open().key, SESSION_S)

    def _set_cookie(self, response: Response, value: str, age_s: int) -> Response:
        response.set_cookie(
            self._cookie, value, max_age=age_s, httponly=True, samesite="Strict",
            secure=self._secure,
        )  # fmt: skip
        return response

    # -- what the page asks for

    def on_session(self, request: Request, session: Session) -> Response:
        return _answer({
            "csrf": session.csrf,
            "login": bool(self._gate.token),
            "phone": self._phone,
            "archive": self._archive.kept,
        })  # fmt: skip

    def on_calls(self, request: Request, session: Session) -> Response:
        query = request.args.get("q", "")[:200]
        limit = request.args.get("limit", 100, type=int)
        return _answer({"calls": self._archive.calls(query, max(1, min(limit, MAX_LISTED)))})

    def on_call(self, request: Request, session: Session, uuid: str) -> Response:
        found = self._archive.call(uuid, _who(request)) if _CALL.fullmatch(uuid) else None
        if found is None:
            raise Refused(404, "no such call, or it is forgotten by now")
        return _answer(found)

    def on_audio(self, request: Request, session: Session, uuid: str) -> Response:
        sound = self._archive.audio(uuid, _who(request)) if _CALL.fullmatch(uuid) else None
        if sound is None:
            raise Refused(404, "there is no recording of this call")
        response = Response(sound, mimetype="audio/wav")
        response.make_conditional(request, accept_ranges=True, complete_length=len(sound))
        return response

    def on_live(self, request: Request, session: Session) -> Response:
        """Calls in progress first, then each one that changes; until the session ends."""
        response = Response(self._news(session), mimetype="text/event-stream")
        response.headers["X-Accel-Buffering"] = "no"
        return response

    def _news(self, session: Session) -> Iterator[str]:
        try:
            with self._feed.page() as page:
                live = [one.shown() for one in self._feed.live()]
                yield f"event: live\ndata: {json.dumps(live)}\n\n"
                while True:
                    changed = page.take(HEARTBEAT_S)
                    if self._gate.session(session.key) is None:
                        return
                    calls = self._feed.calls
                    shown = [calls[call].shown() for call in changed if call in calls]
                    for one in shown:
                        yield f"event: call\ndata: {json.dumps(one)}\n\n"
                    if not shown:
                        yield ": still here\n\n"
        except TooMany:
            yield "event: full\ndata: {}\n\n"

    def on_health(self, request: Request, session: Session) -> Response:
        return _answer(self._health())

    def on_orders(self, request: Request, session: Session) -> Response:
        if request.method == "POST":
            try:
                order = ai_off.parse(_json(request))
                key = ai_off.give(self._client, order, _who(request))
            except ai_off.OrderError as error:
                raise Refused(400, str(error)) from None
            log.warning("the assistant is ordered off: order %s", key)
            return _answer({"key": key}, 201)
        orders = [{"key": key, **order.model_dump()} for key, order in ai_off.look(self._client)]
        return _answer({"orders": orders, "audit": ai_off.audit(self._client)})

    def on_order(self, request: Request, session: Session, key: str) -> Response:
        if not ai_off.take_back(self._client, key[:40], _who(request)):
            raise Refused(404, "no such order")
        log.warning("an order is taken back: %s", key[:40])
        return _done()


class Refused(Exception):
    """An answer that is an error; str() is for whoever asked."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


def _json(request: Request) -> Any:
    if request.mimetype != "application/json":
        raise Refused(415, "not JSON")
    try:
        found = json.loads(request.get_data())
    except (ValueError, RecursionError):
        raise Refused(400, "not JSON") from None
    if not isinstance(found, dict):
        raise Refused(400, "not a JSON object")
    return found


def _who(request: Request) -> str:
    return f"the console, from {request.remote_addr}"


def _answer(found: dict[str, Any], status: int = 200) -> Response:
    return Response(json.dumps(found), status, mimetype="application/json")


def _done() -> Response:
    return Response(status=204)


def _error(status: int, why: str) -> Response:
    return _answer({"error": why}, status)
