"""Whole calls: what is recorded of them, whoever is killed; and how they sound on the recording."""

from __future__ import annotations

import io
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from eslbot.media.recording import read as read_recording
from eslbot.records import read
from eslbot.records.store import Store
from eslbot.switch.caller import Caller, Keys, Say
from tests.house import PATIENT, House, recording, until
from tests.secret_bot import definition, write
from workers.settings import Settings

CONSENT = "This call may be recorded."


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("house")
    raw = definition() | {"ladder": PATIENT, "recording": {"consent": CONSENT}}
    one = House(folder, folder / "state", ESLBOT_BOT=str(write(folder / "bot.yaml", raw)),
                ESLBOT_SHED_LAG_MS="5000")  # fmt: skip
    one.start("redis", "recorder", "stt", "llm", "tts", "listener")
    one.wait_ready()
    yield one
    one.stop()


def state(house: House) -> Path:
    return Path(house.environ["ESLBOT_STATE_DIR"])


def record(house: House, call: Any) -> dict[str, Any]:
    store = Store.of(Settings(state_dir=str(state(house))))
    try:
        return read.call(store, call.uuid) or {"turns": [], "events": []}
    finally:
        store.close()


def greeted(house: House, **channel: Any) -> tuple[Any, Caller]:
    call = house.dial(**channel)
    caller = Caller(call)
    until(lambda: "How can I help you?" in house.said(call), 20, "the greeting")
    caller.wait_bot()
    return call, caller


def held(side: np.ndarray, name: str) -> bool:
    """Whether a recorded sentence's loudest instant is on this side, sample by sample."""
    said = np.frombuffer(recording(name), "<i2")
    at = int(np.argmax(np.abs(said.astype(int))))
    return said[at : at + 40].tobytes() in side.tobytes()


def test_a_call_is_recorded_after_consent_and_not_while_a_secret_is_asked_for(house: House):
    call, caller = greeted(house, variables={"ai_intent": "pay"})  # which needs a PIN next
    caller.do(Say(recording("hours")))  # said while it does
    caller.do(Say(recording("balance")))
    call.hangup()
    until(lambda: record(house, call).get("hung_up_by"), 20, "its record")
    told = record(house, call)
    assert next(e["fields"]["text"] for e in told["events"] if e["what"] == "said") == CONSENT
    path = state(house) / "recordings" / told["recording"]
    with wave.open(io.BytesIO(read_recording(path, []))) as file:
        both = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, 2)
    caller_side, bot_side = np.ascontiguousarray(both[:, 0]), np.ascontiguousarray(both[:, 1])
    assert len(both) > 5 * 8000
    assert held(caller_side, "balance") and not held(caller_side, "hours")
    assert np.abs(bot_side.astype(int)).max() > 1000
    assert not held(bot_side, "balance")


def test_no_finished_turn_is_lost_whoever_is_killed(house: House):
    call, caller = greeted(house)
    caller.do(Say(recording("balance")))
    until(lambda: len(record(house, call)["turns"]) == 1, 20, "written while the call goes on")
    house.kill("recorder")
    caller.do(Keys("4271#"))
    house.kill("llm")
    house.start("llm")
    until(lambda: house.ready("llm") == 1, 60, "another worker")
    caller.do(Say(recording("hours")))
    until(lambda: "We are open" in house.said(call), 30, "the answer")
    caller.wait_bot()
    until(lambda: [w for w, _ in house.told(call)].count("turn") >= 3, 30, "three turns")
    house.kill("listener")
    house.start("recorder")
    until(lambda: len(record(house, call)["turns"]) >= 3, 40, "all of them are written")
    turns = [t for t in record(house, call)["turns"] if t["outcome"] != "merged"]
    assert [turn["heard"] for turn in turns][:2] == ["what is my balance", "4271"]
    assert turns[2]["intent"] == "hours" and "open" in turns[2]["said"]
    assert all(turn["said"] and turn["first_frame_ms"] is not None for turn in turns)
    assert record(house, call)["ended_at"] is None
    assert "what is my balance" not in house.log("recorder") + house.log("listener")
