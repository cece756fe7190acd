"""Who gets in, what is counted, and what happens when there is no room. Real processes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from eslbot.chaos import live
from eslbot.rig.house import free_port
from eslbot.switch.caller import Caller, Say
from eslbot.switch.channel import Channel, Dialplan
from eslbot.switch_load import parse
from tests.house import House, recording, until


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    one = House(
        tmp_path_factory.mktemp("house"),
        tmp_path_factory.mktemp("state"),
        patient=False,
        ESLBOT_SHED_LAG_MS="5000",
        ESLBOT_MAX_CALLS="3",
        ESLBOT_MAX_CALLS_PER_S="5",
        ESLBOT_ACCOMPANY_S="60",
    )
    one.start_all()
    yield one
    one.stop()


def metrics(house: House) -> dict[str, float]:
    text = httpx.get(f"http://127.0.0.1:{house.metrics_port}/metrics", timeout=5).text
    rows = [line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in rows}


def total(found: dict[str, float], name: str) -> float:
    return sum(value for key, value in found.items() if key.split("{")[0] == name)


def conserved(found: dict[str, float]) -> bool:
    """accepted = finished + handed over + in flight"""
    ended = total(found, "eslbot_calls_finished_total")
    ended += total(found, "eslbot_calls_handed_over_total")
    accepted = found["eslbot_calls_accepted_total"]
    return accepted == ended + found["eslbot_calls_in_flight"]


def dial(house: House, *more: str, **load: float) -> Channel:
    plan = Dialplan([f"127.0.0.1:{house.port}", *more], **load)  # type: ignore[arg-type]
    call = Channel(plan)
    call.dial()
    return call


def idle(house: House) -> None:
    until(lambda: metrics(house)["eslbot_calls_in_flight"] == 0, 10, "no call is left")
    time.sleep(1.0)  # the second over which arrivals are counted


def test_past_the_maximum_the_next_host_is_asked_and_where_there_is_none_the_menu(house: House):
    idle(house)
    calls = [dial(house) for _ in range(3)]
    for call in calls:
        until(lambda call=call: call.where == "socket", 5)
    until(lambda: metrics(house)["eslbot_calls_in_flight"] == 3, 5)
    fourth = dial(house)
    until(lambda: fourth.where.startswith("native"), 2, "the menu")
    assert conserved(metrics(house))
    calls.pop().hangup()
    until(lambda: metrics(house)["eslbot_calls_in_flight"] == 2, 5)
    fifth = dial(house)
    until(lambda: metrics(house)["eslbot_calls_in_flight"] == 3, 5, "there is room again")
    for call in [*calls, fourth, fifth]:
        call.hangup()


def test_more_arrivals_than_allowed_in_a_second_go_to_the_menu(house: House):
    idle(house)
    before = metrics(house)
    calls = [dial(house) for _ in range(12)]
    until(lambda: all(call.where != "dialplan" for call in calls), 5)
    until(lambda: sum(c.where.startswith("native") for c in calls) >= 7, 5, "politely refused")
    after = metrics(house)
    assert after["eslbot_calls_accepted_total"] - before["eslbot_calls_accepted_total"] <= 5
    assert conserved(after)
    for call in calls:
        call.hangup()


@pytest.mark.parametrize(
    "load", [{"sessions": 950}, {"idle_percent": 3.0}], ids=["sessions", "idle CPU"]
)
def test_a_switch_that_runs_short_keeps_its_calls_and_gets_no_new_ones(house: House, load):
    idle(house)
    call = dial(house, **load)
    caller = Caller(call)
    caller.wait_bot()
    until(lambda: ready(house) == "switch", 10, "the switch was asked")
    second = dial(house)
    until(lambda: second.where.startswith("native"), 3, "without the assistant")
    caller.do(Say(recording("hours")))
    until(lambda: "We are open" in house.said(call), 15)
    second.hangup()
    call.hangup()
    until(lambda: ready(house) == "ok", 10, "and with its last call the load is forgotten")


def ready(house: House) -> str:
    return httpx.get(f"http://127.0.0.1:{house.metrics_port}/ready", timeout=5).text.strip()


def test_what_freeswitch_says_of_itself():
    text = "7 session(s) - peak 9, last 5min 3 \n1000 session(s) max\nmin idle cpu 0.00/8.50\n"
    load = parse(text)
    assert (load.sessions, load.max_sessions, load.idle_percent) == (7, 1000, 8.5)
    assert load.short(90, 5) == ""
    assert "idle" in load.short(90, 10)
    assert parse("-ERR what\n").short(1, 99) == ""


def test_alive_and_ready_are_told_apart(house: House):
    base = f"http://127.0.0.1:{house.metrics_port}"
    assert httpx.get(f"{base}/live", timeout=5).status_code == 200
    until(lambda: ready(house) == "ok", 10)
    house.kill("llm")
    until(lambda: httpx.get(f"{base}/ready", timeout=5).status_code == 503, 15)
    assert "llm" in ready(house)
    assert httpx.get(f"{base}/live", timeout=5).status_code == 200
    call = dial(house)
    until(lambda: call.recording.audible("bot").any(), 5, "the menu, without a try before it")
    assert call.where == "socket"
    until(lambda: "menu" in dict(house.told(call)), 5, "its log says so")
    call.hangup()
    house.start("llm")
    until(lambda: ready(house) == "ok", 30)


def test_a_transferred_call_is_joined_to_its_hangup(house: House):
    idle(house)
    before = metrics(house)
    call = dial(house)
    caller = Caller(call)
    caller.wait_bot()
    caller.do(Say(recording("person")))
    until(lambda: call.where == "extension:2000", 15)
    assert metrics(house)["eslbot_calls_in_flight"] == 0
    call.hangup("ORIGINATOR_CANCEL")
    until(lambda: "hangup" in dict(house.told(call)), 5)
    assert dict(house.told(call))["hangup"] == {
        "cause": "ORIGINATOR_CANCEL", "by": "caller", "end": "transferred",
    }  # fmt: skip
    after = metrics(house)
    assert after['eslbot_turns_total{outcome="human"}'] == (
        before['eslbot_turns_total{outcome="human"}'] + 1
    )
    assert after["eslbot_ai_failures_with_drop_total"] == 0
    assert conserved(after)


def test_each_turn_that_was_opened_has_ended_in_one_outcome(house: House):
    idle(house)
    found = metrics(house)
    ended = total(found, "eslbot_turns_total") + total(found, "eslbot_turns_void_total")
    assert found["eslbot_turns_opened_total"] == ended > 0


def test_a_fault_in_a_share_of_live_calls_begins_and_ends_on_order(house: House):
    idle(house)
    client = house.redis.client(2)
    live.give(client, "llm mute", 100, minutes=5, by="test")
    until(lambda: drawn(house), 20, "a call has the fault, and goes to the menu all the same")
    live.stop(client)
    until(lambda: not drawn(house), 20, "and no more")
    told = "\n".join(live.report(client))
    assert "llm mute" in told
    assert "DROPPED" not in told


def drawn(house: House) -> bool:
    """Whether a call made now is mute; it goes on in the menu then."""
    call = dial(house)
    caller = Caller(call)
    caller.wait_bot()
    call.say(recording("hours"))
    until(lambda: not call.saying, 5)
    until(lambda: {"menu", "turn"} & set(dict(house.told(call))), 15)
    mute = "menu" in dict(house.told(call))
    call.hangup()
    idle(house)
    return mute


@pytest.mark.parametrize(
    ("fault", "share", "minutes", "named"),
    [("llm dumb", 5, 1, "llm dumb"), ("llm mute", 0, 1, "0 %"), ("llm mute", 5, -1, "-1")],
)
def test_an_order_that_makes_no_sense_is_refused(house: House, fault, share, minutes, named):
    with pytest.raises(live.ChaosError, match=named):
        live.give(house.redis.client(2), fault, share, minutes, "test")


def test_a_metrics_port_of_zero_opens_none(tmp_path: Path):
    one = House(tmp_path, tmp_path, ESLBOT_METRICS_PORT="0")
    one.metrics_port = free_port()
    try:
        one.start("redis", "listener")
        until(lambda: "Redis answers" in one.log("listener"), 30)
        with pytest.raises(httpx.ConnectError):
            metrics(one)
    finally:
        one.stop()
