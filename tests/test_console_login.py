"""Who may look at the console, and whose orders count. No socket."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import redis
from werkzeug.test import Client, TestResponse

from eslbot import ai_off
from eslbot.console import app as console_app
from eslbot.console import login
from eslbot.console.app import POLICY, STATIC, App
from eslbot.console.archive import Archive
from eslbot.console.feed import Feed
from eslbot.console.login import Gate, NotSafe
from workers.settings import Settings

TOKEN = "a-token-of-enough-length"
HERE = "http://127.0.0.1:8085"


class Page:
    """A browser's side: it keeps cookies, and names its origin."""

    def __init__(self, client: redis.Redis, token: str = "", secure: bool = False) -> None:
        feed = Feed(client)
        settings = Settings(records="off")
        archive = Archive(client, feed, settings)
        self.gate = Gate(token)
        app = App(client, self.gate, feed, archive, lambda: {"troubles": []}, "", secure)
        self.http = Client(app)
        self.csrf = ""

    def get(self, path: str, base: str = HERE, **headers: str) -> TestResponse:
        return self.http.get(path, base_url=base, headers=headers)

    def send(
        self, method: str, path: str, body: Any = None, origin: str | None = HERE, **more: Any
    ) -> TestResponse:
        headers = {"X-CSRF-Token": more.pop("csrf", self.csrf)}
        if origin is not None:
            headers["Origin"] = origin
        data = {"json": body} if body is not None else {}
        return self.http.open(path, method=method, base_url=HERE, headers=headers, **data, **more)

    def enter(self) -> None:
        assert self.get("/").status_code == 200
        self.csrf = self.get("/api/session").json["csrf"]

    def log_in(self, token: str = TOKEN) -> TestResponse:
        return self.send("POST", "/login", {"token": token})


@pytest.fixture
def page(client: redis.Redis) -> Page:
    return Page(client)


@pytest.fixture
def locked(client: redis.Redis) -> Page:
    return Page(client, TOKEN)


# -- where it may listen


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.8.8.8"])
def test_on_loopback_no_token_is_needed(host: str):
    login.check(host, "")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.4", "console.example.org", ""])
def test_elsewhere_there_is_a_token(host: str):
    with pytest.raises(NotSafe, match="ESLBOT_CONSOLE_TOKEN: is wanted"):
        login.check(host, "")
    login.check(host, TOKEN)


def test_a_short_token_is_none():
    with pytest.raises(NotSafe, match="shorter than 16"):
        login.check("127.0.0.1", "short")


# -- who may look


def test_without_a_token_the_page_is_open_to_this_machine(page: Page):
    page.enter()
    assert page.get("/api/calls").json == {"calls": []}


def test_a_name_of_the_internet_does_not_lead_here(page: Page):
    """DNS rebinding: evil.example resolves to 127.0.0.1, and its page would be of the same
    origin."""
    for base in ("http://evil.example:8085", "http://10.0.0.1", "http://127.0.0.1.evil.example"):
        assert page.get("/", base).status_code == 403
        assert page.get("/api/calls", base).status_code == 403
    assert page.get("/", "http://localhost:8085").status_code == 200
    assert page.get("/", "http://[::1]:8085").status_code == 200


PATHS = ["/api/session", "/api/calls", "/api/calls/x", "/api/calls/x/audio.wav", "/api/live",
         "/api/health", "/api/ai-off"]  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
def test_with_a_token_nothing_is_told_before_the_login(locked: Page, path: str):
    assert locked.get(path).status_code == 401
    assert "error" in locked.get(path).json


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/api/ai-off"), ("DELETE", "/api/ai-off/x"), ("POST", "/logout")],
)
def test_and_nothing_is_done(locked: Page, method: str, path: str):
    assert locked.send(method, path, {}).status_code == 401


def test_the_page_leads_to_the_login(locked: Page):
    answer = locked.get("/")
    assert (answer.status_code, answer.headers["Location"]) == (302, "/login")
    assert locked.get("/login").status_code == 200


def test_the_token_opens_and_its_cookie_is_out_of_reach(locked: Page):
    answer = locked.log_in()
    assert answer.status_code == 204
    cookie = answer.headers["Set-Cookie"]
    for part in ("HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=43200"):
        assert part in cookie
    assert TOKEN not in cookie
    assert locked.get("/").status_code == 200
    assert locked.get("/api/calls").status_code == 200


def test_over_tls_the_cookie_is_for_tls_alone(client: redis.Redis):
    page = Page(client, TOKEN, secure=True)
    answer = page.send("POST", "/login", {"token": TOKEN}, HERE.replace("http", "https"))
    assert answer.headers["Set-Cookie"].startswith("__Host-eslbot=")
    assert "Secure" in answer.headers["Set-Cookie"]


@pytest.mark.parametrize(
    "token", ["", "wrong", TOKEN + "x", TOKEN[:-1], "ü" * 20, "\ud800" * 20, 7, None, [TOKEN]]
)
def test_a_wrong_token_does_not(locked: Page, token: Any):
    assert locked.log_in(token).status_code in (400, 401)
    assert "Set-Cookie" not in locked.log_in(token).headers
    assert locked.get("/api/calls").status_code == 401


def test_guessing_is_slowed_down_and_then_even_the_right_one_waits(locked: Page):
    now = [1000.0]
    locked.gate.clock = lambda: now[0]
    for _ in range(login.MAX_WRONG):
        assert locked.log_in("x" * 20).status_code == 401
    assert locked.log_in().status_code == 429
    now[0] += login.WRONG_WITHIN_S + 1
    assert locked.log_in().status_code == 204


def test_what_is_kept_of_guesses_and_sessions_is_bounded():
    gate = Gate(TOKEN)
    for n in range(login.MAX_ADDRESSES + 100):
        gate.login("wrong", f"10.0.{n // 256}.{n % 256}")
    assert len(gate._wrong) == login.MAX_ADDRESSES
    first = gate.open()
    for _ in range(login.MAX_SESSIONS):
        gate.open()
    assert gate.session(first.key) is None


def test_a_session_ends(client: redis.Redis):
    now = [0.0]
    gate = Gate(TOKEN, clock=lambda: now[0])
    one = gate.open()
    assert gate.session(one.key) == one
    now[0] = login.SESSION_S + 1
    assert gate.session(one.key) is None


def test_after_the_logout_the_cookie_opens_nothing(locked: Page):
    locked.log_in()
    locked.enter()
    stolen = locked.http.get_cookie("eslbot", domain="127.0.0.1").value
    assert locked.send("POST", "/logout").status_code == 204
    assert locked.gate.session(stolen) is None
    assert locked.get("/api/calls").status_code == 401


def test_after_the_logout_nothing_more_is_told(locked: Page, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(console_app, "HEARTBEAT_S", 0.05)
    locked.log_in()
    locked.enter()
    news = iter(locked.http.get("/api/live", base_url=HERE, buffered=False).response)
    assert b"event: live" in next(news)
    assert b"still here" in next(news)
    locked.send("POST", "/logout")
    assert list(news) == []


# -- whose orders count


def test_an_order_of_our_own_page_counts(page: Page, client: redis.Redis):
    page.enter()
    made = page.send("POST", "/api/ai-off", {"number": "7000", "reason": "a test"})
    assert made.status_code == 201
    found = page.get("/api/ai-off").json
    assert [one["number"] for one in found["orders"]] == ["7000"]
    assert found["audit"][0]["by"] == "the console, from 127.0.0.1" or found["audit"][0]["by"]
    assert page.send("DELETE", f"/api/ai-off/{made.json['key']}").status_code == 204
    assert ai_off.look(client) == []
    assert page.send("DELETE", f"/api/ai-off/{made.json['key']}").status_code == 404


@pytest.mark.parametrize(
    "origin",
    [None, "null", "http://evil.example", "http://127.0.0.1:9999", "https://127.0.0.1:8086",
     "http://127.0.0.1:8085.evil.example"],
)  # fmt: skip
def test_an_order_of_another_page_does_not(page: Page, client: redis.Redis, origin: str | None):
    page.enter()
    assert page.send("POST", "/api/ai-off", {}, origin).status_code == 403
    assert ai_off.look(client) == []


@pytest.mark.parametrize("csrf", ["", "x", "ü"])
def test_an_order_without_the_sessions_token_does_not(page: Page, client: redis.Redis, csrf: str):
    page.enter()
    sent = page.send("POST", "/api/ai-off", {}, csrf=csrf.encode().decode("latin-1"))
    assert sent.status_code == 403
    assert ai_off.look(client) == []


def test_the_token_of_another_session_does_not_count(client: redis.Redis, page: Page):
    page.enter()
    assert page.send("POST", "/api/ai-off", {}, csrf=page.gate.open().csrf).status_code == 403


def test_behind_a_proxy_that_speaks_tls_the_page_is_still_ours(client: redis.Redis, page: Page):
    page.enter()
    assert page.send("POST", "/api/ai-off", {}, HERE.replace("http", "https")).status_code == 201
    secure = Page(client, TOKEN, secure=True)
    assert secure.send("POST", "/login", {"token": TOKEN}, HERE).status_code == 403


def test_a_login_of_another_page_does_not_count(locked: Page):
    assert locked.send("POST", "/login", {"token": TOKEN}, "http://evil.example").status_code == 403


def test_a_form_of_another_page_is_no_order(page: Page):
    page.enter()
    sent = page.http.post("/api/ai-off", base_url=HERE, data={"reason": "x"},
                          headers={"Origin": HERE, "X-CSRF-Token": page.csrf})  # fmt: skip
    assert sent.status_code == 415


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"{", 400), (b"[]", 400), (b"[" * 4000, 400), (b'{"x": 1}', 400), (b"\xff", 400),
     (b'"' + b"x" * 20_000 + b'"', 413)],
)  # fmt: skip
def test_nonsense_is_refused(page: Page, body: bytes, status: int):
    page.enter()
    sent = page.http.post("/api/ai-off", base_url=HERE, data=body, content_type="application/json",
                          headers={"Origin": HERE, "X-CSRF-Token": page.csrf})  # fmt: skip
    assert sent.status_code == status


# -- what every answer carries


@pytest.mark.parametrize("path", ["/", "/login", "/static/app.js", "/api/session", "/nowhere"])
def test_every_answer_carries_the_policy(page: Page, path: str):
    page.enter()
    headers = page.get(path).headers
    assert headers["Content-Security-Policy"] == POLICY
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["X-Frame-Options"] == "DENY"


def test_the_policy_lets_nothing_in_from_outside():
    for rule in POLICY.split("; "):
        name, *sources = rule.split(" ")
        allowed = {"'none'", "'self'"} | ({"'script'"} if name.startswith("require") else set())
        assert set(sources) <= allowed, rule


@pytest.mark.parametrize("path", sorted(STATIC.iterdir()), ids=lambda path: path.name)
def test_no_part_of_the_page_has_markup_for_words_or_an_address_outside(path: Path):
    text = path.read_text()
    for way in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(",
                "new Function", " style=", "onclick=\"", "javascript:"):  # fmt: skip
        assert way not in text, way
    outside = text.replace("http://www.w3.org/2000/svg", "")
    assert "http://" not in outside
    assert "https://" not in outside


@pytest.mark.parametrize(
    "name", ["../app.py", "..%2fapp.py", "/etc/passwd", "%2e%2e/login.py", "."]
)
def test_nothing_beside_the_parts_of_the_page_is_told(page: Page, name: str):
    page.enter()
    assert page.get(f"/static/{name}").status_code in (308, 404)


@pytest.mark.parametrize("uuid", ["..", "a b", "x" * 200, "%00", "*", "a\nb"])
def test_what_is_no_call_is_none(page: Page, uuid: str):
    page.enter()
    assert page.get(f"/api/calls/{uuid}").status_code == 404
    assert page.get(f"/api/calls/{uuid}/audio.wav").status_code == 404


def test_what_callers_say_is_told_as_json(page: Page, client: redis.Redis):
    said = '<img src=x onerror="alert(1)">\u2028'
    client.xadd("eslbot:log:c1", {"at": "1.0", "what": "heard",
                                  "fields": json.dumps({"text": said})})  # fmt: skip
    page.enter()
    answer = page.get("/api/calls/c1")
    assert answer.mimetype == "application/json"
    assert answer.json["events"] == [{"text": said, "at": 1.0, "what": "heard"}]
