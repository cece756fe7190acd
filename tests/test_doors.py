"""Whole calls through the other doors: real sockets, real workers, recorded speech, one house."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest

from eslbot.rig.house import free_port
from eslbot.switch.caller import Caller, Interrupt, Keys, Say
from tests.door_lines import Asterisk, Browser, Line
from tests.house import House, recording, until
from tests.test_admission import conserved, metrics

TOKEN = "a-token-of-the-tests"
DOORS = ("browser", "audiosocket")
Dial = Callable[..., Line]


class DoorHouse(House):
    """With both other doors open."""

    websocket: int
    audiosocket: int


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DoorHouse]:
    ports = free_port(), free_port()
    one = DoorHouse(
        tmp_path_factory.mktemp("house"),
        tmp_path_factory.mktemp("state"),
        ESLBOT_WEBSOCKET_PORT=str(ports[0]),
        ESLBOT_WEBSOCKET_TOKEN=TOKEN,
        ESLBOT_AUDIOSOCKET_PORT=str(ports[1]),
    )
    one.websocket, one.audiosocket = ports
    one.start_all()
    yield one
    one.stop()


@pytest.fixture
def dial(house: DoorHouse) -> Iterator[Dial]:
    made: list[Line] = []

    def one(door: str, **more: object) -> Line:
        line: Line
        if door == "browser":
            line = Browser(house.websocket, token=TOKEN, **more)  # type: ignore[arg-type]
        else:
            line = Asterisk(house.audiosocket, **more)  # type: ignore[arg-type]
        line.dial()  # type: ignore[attr-defined]
        made.append(line)
        until(lambda: line.where == "socket" and line.uuid, 15, "the call begins")
        return line

    yield one
    for line in made:
        line.hangup()  # type: ignore[attr-defined]
    until(lambda: metrics(house)["eslbot_calls_in_flight"] == 0, 15, "no call is left")


def spoken(line: Line, name: str) -> bytes:
    """At the line's rate."""
    samples = np.frombuffer(recording(name), "<i2").astype(np.float64)
    if line.rate == 8000:
        return recording(name)
    at = np.arange(len(samples) * line.rate // 8000) * 8000 / line.rate
    return np.interp(at, np.arange(len(samples)), samples).astype("<i2").tobytes()


@pytest.mark.parametrize("door", DOORS)
def test_a_question_is_answered_and_the_caller_is_transferred(
    house: DoorHouse, dial: Dial, door: str
):
    before = metrics(house)
    line = dial(door)
    caller = Caller(line)  # type: ignore[arg-type]
    caller.wait_bot()
    caller.do(Say(spoken(line, "balance")))
    caller.do(Keys("4271#"))
    assert "one hundred and twenty dollars" in house.said(line)  # type: ignore[arg-type]
    caller.do(Say(spoken(line, "person")))
    until(lambda: line.where == "extension:2000", 20, "the transfer to a colleague")
    if isinstance(line, Asterisk):
        assert line.variables["ai_account"] == "4271"
        assert line.variables["ai_intent"] == "person"
        assert (line.status, line.why) == ("SUCCESS", "ended")
    assert line.most_at_once <= 5, "paced, with the lead and a late tick"
    name = f'eslbot_door_calls_total{{door="{door}"}}'
    until(lambda: metrics(house)["eslbot_calls_in_flight"] == 0, 10)
    after = metrics(house)
    assert after[name] == before[name] + 1
    assert conserved(after)


@pytest.mark.parametrize("door", DOORS)
def test_a_caller_interrupts_and_is_heard(house: DoorHouse, dial: Dial, door: str):
    line = dial(door)
    Caller(line).do(Interrupt(spoken(line, "hours"), after_s=0.6))  # type: ignore[arg-type]
    assert "We are open from eight" in house.said(line)  # type: ignore[arg-type]
    (cut,) = [f["heard"] for w, f in house.told(line) if w == "interrupted"]  # type: ignore[arg-type]
    assert "Welcome to Northwind Energy. How can I help you?".startswith(cut)
    if isinstance(line, Browser):
        assert line.all("cleared")
        assert line.all("interrupted")


@pytest.mark.parametrize("door", DOORS)
def test_the_dtmf_menu_takes_the_same_keys(house: DoorHouse, dial: Dial, door: str):
    line = dial(door)
    Caller(line).wait_bot()  # type: ignore[arg-type]
    line.keys("0")
    until(lambda: house.said(line).endswith("press 0."), 10, "the menu")  # type: ignore[arg-type]
    line.keys("1")
    line.keys("4271#")
    until(lambda: line.where == "extension:2001", 20, "the menu's destination")


def test_a_page_sees_the_whole_turn(house: DoorHouse, dial: Dial):
    line = dial("browser", rate=48000)
    assert isinstance(line, Browser)
    caller = Caller(line)  # type: ignore[arg-type]
    caller.wait_bot()
    line.send(type="network", delay_ms=37)
    line.send(type="ping", t=1.5)
    caller.do(Say(spoken(line, "hours")))
    until(lambda: line.all("turn"), 20, "the turn is told")
    (turn,) = line.all("turn")
    assert turn["outcome"] == "answered"
    assert turn["network_ms"] == 37
    parts = [turn[f"{p}_ms"] for p in ("endpoint", "final", "decision", "first_speech")]
    assert parts == sorted(parts)
    assert turn["first_frame_ms"] >= turn["first_speech_ms"]
    assert [one["t"] for one in line.all("pong")] == [1.5]
    assert line.all("heard")
    assert line.all("decided")[0]["intent"] == "hours"
    assert "We are open" in " ".join(one["text"] for one in line.all("said"))
    states = [one["state"] for one in line.all("state")]
    assert states[:5] == ["speaking", "listening", "hearing", "thinking", "speaking"]
    line.hangup()
    until(line.ended.is_set, 10, "the end")
    assert line.all("ended")[-1]["outcome"] == "caller gone"
    assert line.web.code == 1000
    kinds = [one["type"] for one in line.told]
    assert kinds[-1] == "ended"


def test_what_the_dialplan_knew_is_not_asked_again(house: DoorHouse, dial: Dial):
    line = dial("audiosocket", begin={"ai_account": "9876"})
    caller = Caller(line)  # type: ignore[arg-type]
    caller.wait_bot()
    caller.do(Say(spoken(line, "balance")))
    assert "forty five dollars" in house.said(line)  # type: ignore[arg-type]


def test_a_pause_of_the_switch_ends_an_utterance_like_silence(house: DoorHouse, dial: Dial):
    line = dial("audiosocket")
    assert isinstance(line, Asterisk)
    Caller(line).wait_bot()  # type: ignore[arg-type]
    line.say(spoken(line, "hours"))
    until(lambda: not line.saying, 10)
    line.muted = True
    until(lambda: "We are open" in house.said(line), 20, "an answer")  # type: ignore[arg-type]


@pytest.mark.parametrize("door", DOORS)
def test_a_caller_who_is_gone_leaves_nothing_behind(house: DoorHouse, dial: Dial, door: str):
    before = metrics(house)['eslbot_hangups_total{by="caller"}']
    line = dial(door)
    Caller(line).wait_bot()  # type: ignore[arg-type]
    line.say(spoken(line, "person"))
    line.sleep(0.5)
    line.hangup()  # type: ignore[attr-defined]
    until(lambda: metrics(house)["eslbot_calls_in_flight"] == 0, 10)
    until(lambda: metrics(house)['eslbot_hangups_total{by="caller"}'] == before + 1, 10)
    assert conserved(metrics(house))
