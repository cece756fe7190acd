"""A bot's file that changes while calls go on, and its variants."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from eslbot.switch.caller import Caller, Say
from eslbot.switch.channel import Channel
from tests.conftest import ENERGY
from tests.house import PATIENT, House, recording, until
from workers.bot import load

VARIANTS = {
    "choices": {
        "plain": {"weight": 1},
        "brief": {"weight": 1, "greeting": "Northwind. Yes?"},
    }
}


RULES = {
    "person": {
        "when": {"person": True},
        "transfer": "billing",
        "variables": {"ai_priority": "high"},
    }
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("house")


@pytest.fixture(scope="module")
def house(folder: Path) -> Iterator[House]:
    write(folder)
    one = House(folder, folder / "state", ESLBOT_BOT=str(folder / "bot.yaml"),
                ESLBOT_SHED_LAG_MS="5000")  # fmt: skip
    one.start_all()
    yield one
    one.stop()


def write(folder: Path, **changed: Any) -> None:
    """Whole at once, as editors do."""
    example = yaml.safe_load(ENERGY.read_text())
    told = example | {"ladder": PATIENT, "variants": VARIANTS, "rules": RULES} | changed
    told = {key: value for key, value in told.items() if value is not None}
    part = folder / "bot.part"
    part.write_text(yaml.safe_dump(told, sort_keys=False))
    load(part)
    part.replace(folder / "bot.yaml")


def about(house: House) -> dict[str, Any]:
    told: dict[str, Any] = httpx.get(f"http://127.0.0.1:{house.metrics_port}/bot").json()
    return told


def greeting(house: House, **channel: Any) -> tuple[Channel, str]:
    call = house.dial(**channel)
    Caller(call).wait_bot()
    return call, next(f["text"] for what, f in house.told(call) if what == "said")


def test_a_caller_meets_the_same_variant_each_time(house: House) -> None:
    said = {}
    for number in ("5550001", "5550002", "5550003", "5550001"):
        call, words = greeting(house, number=number)
        variant = call.variables["ai_variant"]
        assert (variant == "brief") == (words == "Northwind. Yes?")
        assert said.setdefault(number, variant) == variant
        (begun,) = [fields for what, fields in house.told(call) if what == "call"]
        assert begun["variant"] == variant
        call.hangup()


def test_a_rule_acts_on_what_a_caller_says(house: House) -> None:
    call = house.dial()
    caller = Caller(call)
    caller.wait_bot()
    caller.do(Say(recording("person")))
    until(lambda: call.where == "extension:2001", 30, "the rule's transfer, and not the intent's")
    assert call.variables["ai_priority"] == "high"
    (decided,) = [fields for what, fields in house.told(call) if what == "decided"]
    assert (decided["mood"], decided["rules"]) == ({"person": "yes"}, ["person"])


def test_a_changed_file_serves_new_calls_and_a_wrong_one_is_told(
    house: House, folder: Path
) -> None:
    running, _ = greeting(house)
    before = about(house)
    write(folder, greeting="Good day.", variants=None)
    until(lambda: about(house)["changes"] == before["changes"] + 1, 60, "the change is taken")
    call, words = greeting(house)
    assert words == "Good day."
    assert "ai_variant" not in call.variables
    assert running.where == "socket"
    running.keys("0")  # its menu's prompts are there, and its own bot's
    until(lambda: "press 0" in house.said(running), 20, "the menu of the running call")

    text = (folder / "bot.yaml").read_text()
    (folder / "bot.yaml").write_text(text.replace("greeting:", "greting:"))
    until(lambda: about(house)["error"], 20, "the mistake is noticed")
    assert "line 3: greting: unknown key" in about(house)["error"]
    assert "line 3: greting: unknown key" in house.log("listener")
    assert greeting(house)[1] == "Good day."

    (folder / "bot.yaml").write_text(text)
    until(lambda: not about(house)["error"], 20, "the mistake is gone")
    changes = about(house)["changes"]
    house.processes["listener"].send_signal(signal.SIGHUP)
    until(lambda: "says what it said before" in house.log("listener"), 20, "it was read again")
    assert about(house)["changes"] == changes
    call.hangup()
    running.hangup()
