"""The example company's customer system and calendar, over its own HTTP."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from eslbot.examples.backend import Backend
from eslbot.examples.records import Records
from tests import acting_bot
from tests.acting_bot import MONDAY


@pytest.fixture
def backend() -> Iterator[Backend]:
    with acting_bot.backend() as server:
        yield server


@pytest.fixture
def client(backend: Backend) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=backend.url, trust_env=False) as found:
        yield found


def test_a_customer_by_account(client: httpx.Client):
    found = client.get("/customers/4271").json()
    assert (found["name"], found["balance"], found["due"]) == (
        "Maria Lopez", "120.50", "2026-12-03",
    )  # fmt: skip
    missing = client.get("/customers/0000")
    assert (missing.status_code, missing.json()) == (404, {"error": "no_such_account"})


def test_an_order_goes_elsewhere_and_the_bill_stays(client: httpx.Client):
    number = client.get("/customers/4271/orders").json()["latest"]["number"]
    place = {"street": "5 New Street", "postcode": "60610"}
    moved = client.put(f"/orders/{number}/shipping", json=place).json()
    assert (moved["shipping_street"], moved["billing_street"]) == ("5 New Street", "12 Oak Street")
    late = client.put("/orders/70012/shipping", json=place)
    assert (late.status_code, late.json()["error"]) == (409, "already_shipped")


def test_a_time_is_booked_once_and_another_is_proposed(client: httpx.Client):
    wanted = {"account": "9876", "service": "cleaning", "date": "2026-11-25", "time": "10:00"}
    made = client.post("/appointments", json=wanted)
    assert made.status_code == 201
    taken = client.post("/appointments", json={**wanted, "account": "4271"})
    assert taken.status_code == 409
    assert taken.json() == {"error": "not_free", "next": {"date": "2026-11-25", "time": "11:00"}}
    moved = client.put(f"/appointments/{made.json()['id']}", json={**wanted, "time": "12:00"})
    assert moved.json()["time"] == "12:00"
    free = client.get("/calendar", params={"date": "2026-11-25", "service": "cleaning"}).json()
    assert "10:00" in free["free"]
    assert "12:00" not in free["free"]


def test_what_comes_twice_under_its_key_is_done_once(client: httpx.Client):
    wish = {"account": "4271", "amount": "20.50"}
    answers = [
        client.post("/payments", json=wish, headers={"Idempotency-Key": "one"}).json()
        for _ in range(2)
    ]
    assert answers[0] == answers[1]
    assert client.get("/customers/4271").json()["balance"] == "100.00"


def test_two_with_the_same_today_answer_alike():
    def told(records: Records) -> list[dict[str, object]]:
        free = records.free("2026-11-24", "checkup")
        return [free, records.book("4271", "checkup", "2026-11-24", free["first"])]

    assert told(Records(MONDAY)) == told(Records(MONDAY))


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        ("/payments", {"account": "4271", "amount": "NaN"}, "bad_amount"),
        ("/payments", {"account": "4271", "amount": "-1"}, "bad_amount"),
        ("/payments", {"account": "4271"}, "amount_missing"),
        ("/payments", {"account": "4271", "amount": 1}, "not_an_object_of_texts"),
        ("/payments", {"account": "4271", "amount": "500"}, "more_than_owed"),
        ("/promises", {"account": "4271", "date": "tomorrow"}, "bad_date"),
        ("/promises", {"account": "4271", "date": "2027-06-01"}, "too_late"),
        ("/nowhere", {}, "no_such_path"),
    ],
)
def test_what_can_not_be_is_refused_by_name(
    client: httpx.Client, path: str, body: object, code: str
):
    answer = client.post(path, json=body)
    assert 400 <= answer.status_code < 500
    assert answer.json()["error"] == code


def test_without_the_token_nothing_is_told(backend: Backend, client: httpx.Client):
    backend.token = "sesame"
    assert client.get("/customers/4271").status_code == 401
    told = client.get("/customers/4271", headers={"Authorization": "Bearer sesame"})
    assert told.status_code == 200
