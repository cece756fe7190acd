"""Conversations by voice through the whole system: slots of every type, and two languages.

As in test_calls.py; the bot is tests/data/bots/parcels.yaml, the caller flite's voice rms.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from eslbot.switch.caller import Caller, Keys, Say
from tests.house import PATIENT, ROOT, House, until
from tests.recordings import spoken
from tests.test_understanding import PARCELS


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("house")
    for name in (PARCELS.name, "parcels.de.yaml"):
        bot = yaml.load((PARCELS.parent / name).read_text(), yaml.BaseLoader)
        (folder / name).write_text(yaml.safe_dump(bot | {"ladder": PATIENT}, sort_keys=False))
    one = House(
        folder,
        tmp_path_factory.mktemp("state"),
        ESLBOT_BOT=str(folder / PARCELS.name),
        ESLBOT_SHED_LAG_MS="5000",
    )
    one.start_all()
    yield one
    one.stop()


def voice(text: str) -> Say:
    return Say(spoken("rms", text).astype("<i2").tobytes())


def test_a_choice_a_day_and_a_time_are_said_one_is_corrected_and_all_confirmed(house: House):
    call = house.dial()
    caller = Caller(call)
    caller.wait_bot()
    for text in ("i want to send a parcel", "the small one", "next tuesday", "half past nine"):
        caller.do(voice(text))
    until(lambda: "Is that right?" in house.said(call), 20, "the confirmation")
    assert "a small parcel on Tuesday" in house.said(call)
    assert "at 9 30 in the morning" in house.said(call)
    caller.do(voice("no the other one"))
    assert "a large parcel on Tuesday" in house.said(call)
    caller.do(voice("yes"))
    assert "The pickup is booked." in house.said(call)
    assert call.variables["ai_size"] == "large"
    assert call.variables["ai_hour"] == "09:30"
    assert call.variables["ai_day"][:2] == "20"
    call.hangup()


def test_the_language_changes_in_mid_call_and_the_menu_speaks_it_too(house: House):
    call = house.dial()
    caller = Caller(call)
    caller.wait_bot()
    assert call.variables["ai_language"] == "en"
    caller.do(voice("german please"))
    assert "Gerne auf Deutsch." in house.said(call)
    assert call.variables["ai_language"] == "de"
    caller.do(Keys("0"), wait=False)
    until(lambda: "Bitte wählen Sie." in house.said(call), 20, "the menu in German")
    caller.do(Keys("1"), wait=False)
    until(lambda: "Bitte geben Sie die Bestellnummer ein" in house.said(call), 20, "the question")
    call.hangup()


def test_a_call_that_comes_in_german_is_greeted_and_answered_in_it(house: House):
    call = house.dial(variables={"ai_language": "de", "ai_intent": "pay"})
    caller = Caller(call)
    caller.wait_bot()
    assert house.said(call) == "Paketdienst, was kann ich für Sie tun?"
    caller.do(Keys("12*50#"))
    assert "Sie zahlen 12 Dollar 50. Ist das richtig?" in house.said(call)
    caller.do(Keys("1#"))
    assert "Danke, 12 Dollar 50 sind bezahlt." in house.said(call)
    assert call.variables["ai_sum"] == "12.50 USD"
    call.hangup()


def test_an_eval_calls_a_listener_that_runs(house: House, tmp_path: Path):
    scenario = {
        "name": "order",
        "steps": [
            {"text": "where is my order", "expect": {"intent": "order_status"}},
            {"keys": "4271#", "expect": {"slots": {"order": "4271"}, "said": ["on its way"]}},
        ],
        "expect": {"outcome": "open", "variables": {"ai_order": "4271"}},
    }
    path = tmp_path / "running.yaml"
    path.write_text(yaml.safe_dump({"bot": str(PARCELS), "scenarios": [scenario]}))
    address = f"127.0.0.1:{house.port}"
    run = subprocess.run(
        [sys.executable, "-m", "eslbot", "eval", str(path), "--connect", address],
        cwd=ROOT, env=house.environ, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr
    assert "scenarios passed   1 of 1" in run.stdout
