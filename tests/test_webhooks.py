"""Webhooks against a real HTTP server: at least once, in a call's order, signed, bounded."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from eslbot.records import courier as courier_module
from eslbot.records import schema
from eslbot.records.courier import Courier, Pace
from eslbot.records.fold import Entry
from eslbot.records.seal import Seal, new_key
from eslbot.records.store import Store
from eslbot.records.webhooks import read_secrets
from eslbot.records.write import write
from tests.conftest import ENERGY, wait_until
from workers.bot import Bot, BotError, load
from workers.settings import SettingsError

SECRET = b"s" * 32
FAST = Pace(attempts=4, first_s=0.02, longest_s=0.05, timeout_s=5.0, idle_s=0.01)


class Receiver:
    """codes: what it answers, one after another, then 204."""

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.codes: list[int] = []
        self.led_away: list[str] = []  # requests for another path, to which an answer led
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver.got.append(({k.lower(): v for k, v in self.headers.items()}, body))
                code = receiver.codes.pop(0) if receiver.codes else 204
                self.send_response(code)
                if code == 302:
                    self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def do_GET(self) -> None:  # nobody has a reason to
                receiver.led_away.append(self.path)
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def bodies(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, body in self.got]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    one = Receiver()
    yield one
    one.server.shutdown()
    one.server.server_close()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(f"sqlite:///{tmp_path / 'x'}", Seal([new_key()]))


def bot(url: str, **more: Any) -> Bot:
    raw = load(ENERGY).model_dump(mode="json")
    events = ["call.started", "turn.finished", "call.ended"]
    raw["webhooks"] = {"crm": {"url": url, "events": events, "secret": "crm", **more}}
    return Bot.model_validate(raw)


def happen(store: Store, one: Bot, call: str = "c", at: float = 1000.0) -> None:
    told = [
        ("call", {"bot": "energy", "language": "en"}),
        ("said", {"text": "Welcome."}),
        ("turn", {"number": 1, "outcome": "answered", "heard": "hello", "intent": "hours"}),
        ("turn", {"number": 2, "outcome": "merged"}),
        ("ended", {"outcome": "hung up", "variables": {"ai_account": "4271"}}),
    ]
    those = [Entry(f"{call}{n}", call, "leg", n, at + n, what, "h", one.sha, fields)
             for n, (what, fields) in enumerate(told)]  # fmt: skip
    write(store, those, lambda sha: one)


def drain(courier: Courier, store: Store, within_s: float = 20) -> None:
    """Until nothing waits any more."""
    deadline = time.monotonic() + within_s
    while states(store).get("waiting"):
        assert time.monotonic() < deadline
        if not courier.once():
            time.sleep(0.005)


def states(store: Store) -> dict[str, int]:
    with store.begin() as connection:
        found = connection.execute(select(schema.deliveries.c.state)).scalars().all()
    return {state: found.count(state) for state in set(found)}


def test_each_event_is_told_once_and_in_order(store, receiver):
    one = bot(receiver.url)
    happen(store, one)
    happen(store, one)  # recorded again: the same events
    drain(Courier(store, lambda sha: one, {"crm": SECRET}, FAST), store)
    assert [b["type"] for b in receiver.bodies()] == ["call.started", "turn.finished", "call.ended"]
    assert {b["data"]["call"] for b in receiver.bodies()} == {"c"}
    assert len({h["webhook-id"] for h, _ in receiver.got}) == 3
    assert states(store) == {"delivered": 3}


def test_what_fails_is_tried_again_under_the_same_id_before_what_follows(store, receiver):
    one = bot(receiver.url)
    happen(store, one)
    receiver.codes = [500, 302]
    drain(Courier(store, lambda sha: one, {"crm": SECRET}, FAST), store)
    types = [b["type"] for b in receiver.bodies()]
    assert types == ["call.started"] * 3 + ["turn.finished", "call.ended"]
    assert len({h["webhook-id"] for h, _ in receiver.got[:3]}) == 1
    assert receiver.led_away == []
    assert all(h["user-agent"] and h["content-type"] == "application/json"
               for h, _ in receiver.got)  # fmt: skip


def test_one_call_that_can_not_be_told_holds_up_no_other(store, receiver):
    dead, fine = bot("http://127.0.0.1:1/"), bot(receiver.url)
    happen(store, dead, "a")
    happen(store, fine, "b")
    courier = Courier(store, {dead.sha: dead, fine.sha: fine}.get, {"crm": SECRET},
                      Pace(attempts=4, first_s=100, idle_s=0.01))  # fmt: skip
    for _ in range(10):
        courier.once()
    assert [b["data"]["call"] for b in receiver.bodies()] == ["b"] * 3
    assert states(store) == {"delivered": 3, "waiting": 3}


def test_after_so_many_attempts_it_is_given_up(store, receiver, caplog):
    one = bot(receiver.url)
    happen(store, one)
    receiver.codes = [500] * 4
    drain(Courier(store, lambda sha: one, {"crm": SECRET}, FAST), store)
    assert states(store) == {"dead": 1, "delivered": 2}
    assert "given up after 4 attempts: 500" in caplog.text


def test_a_receiver_that_is_gone_for_good_says_so(store, receiver):
    one = bot(receiver.url)
    happen(store, one)
    receiver.codes = [410]
    drain(Courier(store, lambda sha: one, {"crm": SECRET}, FAST), store)
    assert states(store) == {"dead": 1, "delivered": 2}


def test_it_is_signed_as_standard_webhooks_has_it(store, receiver):
    """By the standard's own words, not by our code."""
    one = bot(receiver.url)
    happen(store, one)
    drain(Courier(store, lambda sha: one, {"crm": SECRET}, FAST), store)
    for headers, body in receiver.got:
        assert abs(int(headers["webhook-timestamp"]) - time.time()) < 60
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        expected = base64.b64encode(hmac.new(SECRET, signed, hashlib.sha256).digest()).decode()
        assert headers["webhook-signature"] == f"v1,{expected}"


def test_words_go_along_only_where_the_bots_file_says_so(store, receiver):
    for call, words in (("a", False), ("b", True)):
        one = bot(receiver.url, words=words)
        happen(store, one, call)
        drain(Courier(store, lambda sha: one, {"crm": SECRET}, FAST), store)  # noqa: B023
    silent, telling = receiver.got[:3], receiver.got[3:]
    assert not any(b"hello" in body or b"4271" in body for _, body in silent)
    assert b'"heard": "hello"' in telling[1][1] and b"4271" in telling[2][1]


def test_without_its_secret_nothing_is_sent(store, receiver):
    one = bot(receiver.url)
    happen(store, one)
    courier = Courier(store, lambda sha: one, {}, FAST)
    drain(courier, store)
    assert receiver.got == [] and states(store) == {"dead": 3}


def test_couriers_at_once_send_each_once(store, receiver):
    one = bot(receiver.url)
    for n in range(20):
        happen(store, one, f"c{n}", 1000.0 + n)
    stop = threading.Event()
    couriers = [Courier(store, lambda sha: one, {"crm": SECRET}, FAST) for _ in range(3)]
    threads = [threading.Thread(target=c.run, args=(stop,)) for c in couriers]
    for thread in threads:
        thread.start()
    wait_until(lambda: not states(store).get("waiting"), 60, "all are told")
    stop.set()
    for thread in threads:
        thread.join(20)
    assert len(receiver.got) == 60
    for n in range(20):
        mine = [b for b in receiver.bodies() if b["data"]["call"] == f"c{n}"]
        assert [b["type"] for b in mine] == ["call.started", "turn.finished", "call.ended"]


def test_a_courier_that_dies_with_one_in_hand_leaves_it_to_another(store, receiver):
    one = bot(receiver.url)
    happen(store, one)
    dying = Courier(store, lambda sha: one, {"crm": SECRET}, FAST)
    assert dying._claim() is not None  # and is killed before it has told anybody
    other = Courier(store, lambda sha: one, {"crm": SECRET}, FAST)
    assert other.once() is False  # the lease stands
    with store.begin() as connection:
        connection.execute(update(schema.deliveries).values(lease_until=time.time() - 1))
    drain(other, store)
    assert states(store) == {"delivered": 3}


def test_the_dead_are_bounded_and_the_delivered_go(store, receiver, monkeypatch):
    monkeypatch.setattr(courier_module, "MAX_DEAD", 2)
    one = bot(receiver.url)
    happen(store, one)
    receiver.codes = [410] * 3
    courier = Courier(store, lambda sha: one, {"crm": SECRET}, FAST)
    drain(courier, store)
    assert states(store) == {"dead": 3}
    courier.tidy()
    assert states(store) == {"dead": 2}
    happen(store, one, "d")  # of 1970: delivered long ago
    drain(courier, store)
    courier.tidy()
    assert states(store) == {"dead": 2}


def test_waits_grow_and_are_never_alike():
    pace = Pace()
    for attempts in range(1, 30):
        waits = {pace.wait(attempts) for _ in range(20)}
        full = min(3600, 2 * 3 ** (attempts - 1))
        assert len(waits) > 1 and all(full / 2 <= wait <= full for wait in waits)


@pytest.mark.parametrize("line", ["crm", "crm=whsec_short", "CRM=whsec_" + "A" * 44, "x=!!!!"])
def test_a_wrong_line_of_secrets_is_named_and_not_told(tmp_path: Path, line: str):
    path = tmp_path / "secrets"
    path.write_text(f"# ours\nfine=whsec_{base64.b64encode(SECRET).decode()}\n{line}\n")
    with pytest.raises(SettingsError, match="WEBHOOK_SECRETS_FILE: line 3") as error:
        read_secrets(str(path))
    assert "short" not in str(error.value)


def test_secrets_are_read(tmp_path: Path):
    path = tmp_path / "secrets"
    path.write_text(f"crm=whsec_{base64.b64encode(SECRET).decode()}\n")
    assert read_secrets(str(path)) == {"crm": SECRET} and read_secrets("") == {}


@pytest.mark.parametrize(
    ("hook", "named"),
    [
        ("{url: 'ftp://x/', events: [call.ended], secret: s}", "webhooks.crm.url"),
        ("{url: 'https://u:p@x/', events: [call.ended], secret: s}", "webhooks.crm.url"),
        ("{url: 'https://x/', events: [], secret: s}", "webhooks.crm.events"),
        ("{url: 'https://x/', events: [call.gone], secret: s}", "webhooks.crm.events.0"),
        ("{url: 'https://x/', events: [call.ended]}", "webhooks.crm.secret"),
        ("{url: 'https://x/', events: [call.ended], secret: s, more: 1}", "webhooks.crm.more"),
    ],
)
def test_a_wrong_webhook_is_named_with_its_line(tmp_path: Path, hook: str, named: str):
    path = tmp_path / "bot.yaml"
    text = ENERGY.read_text()
    path.write_text(f"{text}\nwebhooks:\n  crm: {hook}\n")
    with pytest.raises(BotError) as error:
        load(path)
    assert named in str(error.value) and "line " in str(error.value)
    assert "line 1:" not in str(error.value)
