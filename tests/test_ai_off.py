"""The assistant switched off: which calls an order holds for, and how it is kept."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import redis

from eslbot import ai_off
from eslbot.ai_off import Order, OrderError, parse, why_off
from eslbot.switch.channel import Channel
from tests.house import House, until

# A Wednesday.
NOON = datetime(2026, 7, 15, 12, 0, tzinfo=UTC)


def off(order: dict[str, object], caller: str = "", called: str = "", at: datetime = NOON) -> str:
    return why_off([("k", parse(order))], "call-1", caller, called, at)


def test_without_an_order_the_assistant_is_on():
    assert why_off([], "call-1", "+49301", "7000", NOON) == ""


def test_an_order_without_conditions_holds_for_every_call():
    assert off({}) == "switched off"
    assert off({"reason": "maintenance"}) == "maintenance"


@pytest.mark.parametrize(
    ("number", "side", "caller", "called", "held"),
    [
        ("7000", "either", "123", "7000", True),
        ("7000", "either", "7000", "123", True),
        ("7000", "caller", "123", "7000", False),
        ("7000", "called", "123", "7000", True),
        ("7000", "called", "123", "70001", False),
        ("7000", "called", "123", "", False),
        ("+4930*", "caller", "+493012345", "7000", True),
        ("*999", "caller", "+49999", "7000", True),
        ("*55*", "caller", "1552", "7000", True),
        (".", "caller", "x", "7000", False),  # a dot is a dot
    ],
)
def test_a_number(number, side, caller, called, held):
    assert bool(off({"number": number, "side": side}, caller, called)) is held


@pytest.mark.parametrize(
    ("since", "until_", "days", "at", "held"),
    [
        ("08:00", "18:00", [2], NOON, True),
        ("08:00", "18:00", [3], NOON, False),
        ("08:00", "12:00", [2], NOON, False),
        ("12:00", "13:00", [2], NOON, True),
        # over midnight: it begins on Wednesday, and holds on Thursday morning
        ("22:00", "06:00", [2], NOON, False),
        ("22:00", "06:00", [2], NOON.replace(hour=23), True),
        ("22:00", "06:00", [2], NOON.replace(day=16, hour=5), True),
        ("22:00", "06:00", [2], NOON.replace(day=15, hour=5), False),
        ("00:00", "00:00", [2], NOON, True),
    ],
)
def test_a_schedule(since, until_, days, at, held):
    order = {"schedule": {"since": since, "until": until_, "days": days}}
    assert bool(off(order, at=at)) is held


def test_a_schedule_follows_its_zone():
    order = {"schedule": {"since": "14:00", "until": "14:30", "zone": "Europe/Berlin"}}
    assert off(order)
    assert not off(order, at=NOON + timedelta(days=180))  # winter time


def test_an_order_ends():
    assert off({"until": NOON.timestamp() + 1})
    assert not off({"until": NOON.timestamp()})


def test_a_share_holds_for_about_so_many_calls_and_always_for_the_same():
    orders = [("k", parse({"share_percent": 20}))]
    held = [n for n in range(2000) if why_off(orders, f"call-{n}", "", "", NOON)]
    assert 300 < len(held) < 500
    assert held == [n for n in range(2000) if why_off(orders, f"call-{n}", "", "", NOON)]


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"share_percent": 0}, "share_percent"),
        ({"share_percent": 101}, "share_percent"),
        ({"number": "7000; rm"}, "number: digits or a name"),
        ({"number": "7*0"}, "number: digits or a name"),
        ({"side": "called"}, "side: without a number"),
        ({"reason": "a\nb"}, "reason: holds a line break"),
        ({"reason": "x" * 121}, "reason"),
        ({"schedule": {"since": "8:00", "until": "18:00"}}, "schedule.since"),
        ({"schedule": {"since": "08:00", "until": "24:00"}}, "schedule.until"),
        ({"schedule": {"since": "08:00", "until": "18:00", "days": []}}, "schedule.days"),
        ({"schedule": {"since": "08:00", "until": "18:00", "zone": "../etc/passwd"}}, "zone"),
        ({"shares": 3}, "shares"),
        ([], "Input should be"),
    ],
)
def test_a_wrong_order_is_named(wrong, named):
    with pytest.raises(OrderError) as caught:
        parse(wrong)
    assert named in str(caught.value)


def test_orders_are_kept_taken_back_and_written_down(client: redis.Redis):
    key = ai_off.give(client, Order(number="7000", reason="a test"), "operator at ::1")
    assert ai_off.look(client) == [(key, Order(number="7000", reason="a test"))]
    assert ai_off.take_back(client, key, "operator at ::1")
    assert not ai_off.take_back(client, key, "operator at ::1")
    assert ai_off.look(client) == []
    told = ai_off.audit(client)
    assert [one["what"] for one in told] == ["taken back", "given"]
    assert told[0]["order"]["number"] == "7000"
    assert told[0]["by"] == "operator at ::1"


def test_orders_are_bounded_and_those_that_ended_make_room(client: redis.Redis):
    for _ in range(ai_off.MAX_ORDERS - 1):
        ai_off.give(client, Order(), "x")
    ai_off.give(client, Order(until=1.0), "x")
    ai_off.give(client, Order(), "x")
    with pytest.raises(OrderError, match="50 orders already"):
        ai_off.give(client, Order(), "x")


def test_what_is_written_down_is_bounded(client: redis.Redis, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ai_off, "MAX_AUDIT", 3)
    for _ in range(3):
        ai_off.take_back(client, ai_off.give(client, Order(), "x"), "x")
    assert [one["what"] for one in ai_off.audit(client)] == ["taken back", "given", "taken back"]


def test_what_is_no_order_is_passed_over(client: redis.Redis):
    client.hset(
        ai_off.KEY, mapping={"a": "{", "b": json.dumps({"x": 1}), "c": "{}", "d": "[" * 2000}
    )
    assert [key for key, _ in ai_off.look(client)] == ["c"]


def test_a_call_goes_to_the_menu_at_once_and_not_back(tmp_path: Path):
    house = House(tmp_path, tmp_path / "state")
    try:
        house.start("redis")
        client = house.redis.client(2)
        ai_off.give(client, Order(number="555*", side="caller", reason="maintenance"), "a test")
        house.start("stt", "llm", "tts", "listener")
        house.wait_ready()

        held = house.dial(number="5551234")
        until(lambda: "For your balance, press 1." in house.said(held), 30, "the menu is heard")
        held.keys("*")
        until(lambda: house.said(held).count("For your balance, press 1.") > 1, 30, "it is again")
        told = house.told(held)
        menus = [fields["reason"] for what, fields in told if what == "menu"]
        assert menus == ["the assistant is off: maintenance"]
        assert "resumed" not in [what for what, _ in told]
        assert "trouble" not in house.said(held)
        held.hangup()

        other = house.dial(number="4441234")
        until(lambda: "Welcome" in house.said(other), 30, "the assistant greets")
        assert told_first(house, other)["caller_shown"] == "…234"
        other.hangup()
    finally:
        house.stop()


def told_first(house: House, call: Channel) -> dict[str, object]:
    what, fields = house.told(call)[0]
    assert what == "call"
    return fields
