"""Calls that act, through the whole system: tools that answer, and tools that hang."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import date

import pytest
import yaml

from eslbot.examples.backend import Backend
from eslbot.examples.records import Records
from eslbot.switch.caller import Caller, Keys, Say
from eslbot.switch.channel import Channel
from tests import acting_bot
from tests.house import PATIENT, House, recording, until


@pytest.fixture(scope="module")
def backend() -> Iterator[Backend]:
    with Backend(Records(date(2026, 11, 23))) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join(5)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, backend: Backend) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("house")
    bot = acting_bot.definition(backend.url) | {"ladder": PATIENT}
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
    assert "owes 120 dollars and 50 cents, due on Thursday, December 3." in house.said(call)
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
