"""Calls that act, through the whole system: tools that answer, and tools that hang."""

from __future__ import annotations

import wave
from collections.abc import Iterator

import pytest
import yaml

from eslbot.examples.backend import Backend
from eslbot.switch.caller import Caller, Keys, Say
from eslbot.switch.channel import Channel
from tests import acting_bot
from tests.house import PATIENT, House, recording, until


@pytest.fixture(scope="module")
def backend() -> Iterator[Backend]:
    with acting_bot.backend() as server:
        yield server


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, backend: Backend) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("house")
    bot = acting_bot.definition(backend.url) | {"ladder": PATIENT}
    bot["destinations"]["agent"] = {
        "transfer": "attended",
        "dial": "user/2000",
        "say": "I'll connect you to a colleague.",
        "whisper": "A caller about {summary}.",
        "no_answer": "I'm sorry, nobody is free.",
        "max_transfers_per_hour": "1",
        "busy": "All lines are busy.",
    }
    bot["hours"] = {"never": {"zone": "Europe/Berlin", "weekly": {"mon": []}}}
    bot["destinations"]["night"] = {
        "extension": "2001",
        "context": "eslbot",
        "say": "I'll connect you.",
        "hours": "never",
        "closed": {"say": "Nobody is there now."},
    }
    del bot["intents"]["hours"]["answer"]
    bot["intents"]["hours"]["transfer"] = "night"
    (folder / "bot.yaml").write_text(yaml.safe_dump(bot, sort_keys=False))
    one = House(
        folder,
        tmp_path_factory.mktemp("state"),
        ESLBOT_BOT=str(folder / "bot.yaml"),
        ESLBOT_SHED_LAG_MS="5000",
    )
    one.start_all()
    yield one
    one.stop()


def asked_for_the_balance(house: House) -> tuple[Channel, Caller]:
    call = house.dial()
    caller = Caller(call)
    caller.wait_bot()
    caller.do(Say(recording("balance")))
    return call, caller


def tools(house: House, call: Channel) -> list[tuple[str, str]]:
    return [(f["name"], f["status"]) for what, f in house.told(call) if what == "tool"]


def test_a_balance_comes_from_the_server(house: House):
    call, caller = asked_for_the_balance(house)
    caller.do(Keys("4271#"))
    assert "owes 120 dollars and 50 cents, due on Thursday, the third of December" in house.said(
        call
    )
    assert tools(house, call) == [("customer", "ok")]
    assert call.where == "socket"
    call.hangup()


def test_of_a_tool_that_hangs_the_caller_hears_why_and_comes_to_a_person(
    house: House, backend: Backend
):
    backend.delay_ms = 30_000
    try:
        call, _ = asked_for_the_balance(house)
        call.keys("4271#")
        until(lambda: call.where == "extension:2001", 30, lambda: str(house.told(call)))
    finally:
        backend.delay_ms = 0
    said = house.said(call)
    assert "Let me look that up." in said
    assert said.index("Let me look") < said.index("I can't look that up right now.")
    assert tools(house, call) == [("customer", "failed")]
    assert [f for what, f in house.told(call) if what == "rung"] == []
    call.hangup()


def greeted(house: House, **reaches: bool) -> tuple[Channel, Caller]:
    house.redis.client().delete("eslbot:transfers:agent")
    call = house.dial()
    call.dialplan.reaches |= reaches
    caller = Caller(call)
    caller.wait_bot()
    return call, caller


def test_who_answers_is_whispered_to_and_told_by_headers(house: House):
    call, _ = greeted(house, agent=True)
    call.say(recording("person"))
    until(lambda: call.where == "extension:eslbot_reach_agent", 30, lambda: str(house.told(call)))
    assert call.variables["sip_h_X-Eslbot-Intent"] == "person"
    assert "sip_h_X-Eslbot-Summary" in call.variables["export_vars"]
    with wave.open(call.variables["eslbot_whisper"]) as file:
        assert file.getframerate() == 8000
        assert file.getnframes() > 4000
    call.hangup()


def test_whom_nobody_answers_is_with_the_bot_again(house: House):
    call, caller = greeted(house, agent=False)
    call.say(recording("person"))
    until(lambda: "nobody is free" in house.said(call), 30, lambda: str(house.told(call)))
    assert call.where == "socket"
    assert ("back", {"destination": "agent"}) in house.told(call)
    until(lambda: call.variables["eslbot_back"] == "", 10, "the next caller here is a new one")
    caller.wait_bot()
    caller.do(Say(recording("balance")))
    assert "What is your account number?" in house.said(call)
    # If that was all that this hour allows, the next one hears so, and stays.
    call.say(recording("person"))
    until(lambda: "All lines are busy." in house.said(call), 30, lambda: str(house.told(call)))
    until(lambda: house.said(call).endswith("anything else I can do for you?"), 30)
    assert call.where == "socket"
    call.hangup()


def test_outside_the_hours_the_caller_stays(house: House):
    call, caller = greeted(house)
    caller.do(Say(recording("hours")))
    said = house.said(call)
    assert "Nobody is there now." in said
    assert "I'll connect you." not in said
    assert call.where == "socket"
    call.hangup()
