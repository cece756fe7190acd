"""Keys where nobody expects them: floods, in the middle of speech, after the hang-up.

The whole system as in test_calls.py; what is keyed in stays out of every log.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import gevent
import pytest

from eslbot.key_entry import MAX_KEYS
from eslbot.switch.caller import Caller, Say
from eslbot.switch.channel import Channel
from tests.house import House, recording, until

PARTS = ("listener", "stt", "llm", "tts")
FLOOD_S = 0.005  # between two keys: 200 in a second


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    one = House(tmp_path_factory.mktemp("house"), tmp_path_factory.mktemp("state"))
    one.start_all()
    yield one
    one.stop()


@pytest.fixture(autouse=True)
def unharmed(house: House) -> Iterator[None]:
    """Whatever was pressed: no process died or told of a defect."""
    yield
    for part in PARTS:
        assert house.processes[part].poll() is None
        assert "Traceback" not in house.log(part)


def greeted(house: House) -> tuple[Channel, Caller]:
    call = house.dial()
    caller = Caller(call)
    caller.wait_bot()
    return call, caller


def entries(house: House, call: Channel) -> list[str]:
    """What was keyed in, as the bot took it."""
    return [f["text"] for what, f in house.told(call) if what == "heard" and f.get("keyed")]


def test_two_hundred_keys_a_second_are_one_bounded_entry_and_the_neighbour_is_answered(
    house: House,
):
    call, _ = greeted(house)
    neighbour, caller = greeted(house)
    flood = gevent.spawn(call.keys, "1234567890" * 40 + "#", FLOOD_S)
    caller.do(Say(recording("hours")))
    assert "We are open from eight" in house.said(neighbour)
    flood.join(30)
    until(lambda: entries(house, call), 10, "the entry")
    (entry,) = entries(house, call)
    # So many figures may be a card's: they are not shown.
    assert re.fullmatch(r"(\[[A-Z]+_\d+\]){1,4}", entry)
    kept = call.variables.get("ai_account", "")
    assert len(kept) <= MAX_KEYS
    assert call.where == "socket"
    for one in (call, neighbour):
        one.hangup()


def test_a_flood_of_keys_for_a_number_that_was_asked_for_leaves_the_caller_served(house: House):
    call, caller = greeted(house)
    caller.do(Say(recording("balance")))
    call.keys("987" * 130, FLOOD_S)
    until(lambda: entries(house, call), 10, "an entry")
    assert all(len(entry) <= 8 for entry in entries(house, call))
    neighbour, other = greeted(house)
    other.do(Say(recording("hours")))
    assert "We are open from eight" in house.said(neighbour)
    # In the conversation still, or at people: never gone.
    assert call.where in ("socket", "extension:2000", "extension:2001", "native:9000")
    for one in (call, neighbour):
        one.hangup()


def test_keys_in_the_middle_of_speech_take_its_place(house: House):
    call, _ = greeted(house)
    call.say(recording("balance"))
    until(lambda: ("state", {"state": "hearing"}) in house.told(call), 10)
    call.keys("42#")
    until(lambda: entries(house, call) == ["42"], 10, "the entry")
    turns = [f["outcome"] for what, f in house.told(call) if what == "turn"]
    assert turns[0] == "merged"
    call.hangup()


def test_a_key_while_the_bot_speaks_interrupts_it(house: House):
    call = house.dial()
    until(lambda: call.recording.audible("bot").any(), 15, "the greeting")
    call.keys("4")
    until(lambda: "interrupted" in dict(house.told(call)), 5)
    call.hangup()


def test_keys_after_the_hang_up_are_nobodys(house: House):
    call, caller = greeted(house)
    caller.do(Say(recording("balance")))
    call.keys("12")
    call.hangup()
    call.keys("34#" * 20, FLOOD_S)
    until(lambda: "ended" in dict(house.told(call)), 10)
    assert entries(house, call) == []
    assert dict(house.told(call))["ended"]["outcome"] == "caller gone"


def test_what_is_keyed_in_stands_in_no_log(house: House):
    call, caller = greeted(house)
    caller.do(Say(recording("balance")))
    call.keys("76543219")
    until(lambda: entries(house, call) == ["76543219"], 10)
    until(lambda: "find an account" in house.said(call), 10, "it was looked up")
    call.hangup()
    for part in PARTS:
        assert "76543219" not in house.log(part)
