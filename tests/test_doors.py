"""Whole calls through the other doors: real sockets, real workers, recorded speech, one house."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from eslbot.rig.house import free_port
from eslbot.switch.caller import Caller, Interrupt, Keys, Say
from tests.door_lines import Asterisk, Browser, Line, Web
from tests.house import House, recording, until
from tests.module_lines import ModuleChannel
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
    assert line.ahead_s < 0.5, "paced: a slow machine can only be late"
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


# -- FreeSWITCH's modules: the event socket as ever, the sound over a WebSocket

BUILDS = [("stream", True), ("stream", False), ("fork", True), ("fork", False)]


@pytest.mark.parametrize(("kind", "frames_back"), BUILDS)
def test_a_call_whose_sound_comes_by_a_module(
    house: DoorHouse, tmp_path: Path, kind: str, frames_back: bool
):
    call = ModuleChannel(house.port, tmp_path, kind, frames_back)
    call.dial()
    caller = Caller(call)
    caller.do(Interrupt(recording("hours"), after_s=0.6))
    assert "We are open from eight" in house.said(call)
    assert [w for w, _ in house.told(call)].count("interrupted") == 1
    if kind == "fork":
        assert {"type": "killAudio"} in call.messages
    if not frames_back:
        assert call.broken >= 1, "files that play are stopped"
    caller.do(Keys("0"))
    call.keys("0")
    until(lambda: call.where == "extension:2000", 20, lambda: str(call.history[-5:]))
    steps = [what for _, what in call.history]
    stops = f"api uuid_audio_{kind} {call.uuid} stop"
    stop = next(n for n, what in enumerate(steps) if what.startswith(stops))
    assert stop < steps.index("execute transfer 2000 XML eslbot")
    assert not call.crashed
    call.hangup()


def test_a_module_that_is_gone_leads_to_the_native_menu(house: DoorHouse, tmp_path: Path):
    call = ModuleChannel(house.port, tmp_path, "fork", True)
    call.dial()
    Caller(call).wait_bot()
    assert call._media is not None
    call._media.close()
    until(lambda: call.where == "native:9000", 10, "the native menu")
    call.hangup()


def test_a_module_that_is_not_loaded_leads_to_the_native_menu(house: DoorHouse):
    call = house.dial(variables={"eslbot_media": "stream"})
    until(lambda: call.where == "native:9000", 10, "the native menu")
    call.hangup()


# -- the listener's end: last of all, as the house is not the same afterwards


def test_while_it_drains_calls_end_well_and_new_ones_are_told(house: DoorHouse):
    line = Asterisk(house.audiosocket)
    line.dial()
    Caller(line).wait_bot()  # type: ignore[arg-type]
    listener = house.processes["listener"]
    listener.terminate()
    until(lambda: "draining" in house.log("listener"), 10)
    assert Web(house.websocket).closed() == (4503, "draining")
    refused = Asterisk(house.audiosocket)
    refused.dial()
    until(lambda: refused.where == "native:menu", 10, "the dialplan's own menu")
    line.keys("0")
    until(lambda: house.said(line).endswith("press 0."), 20, "the menu")  # type: ignore[arg-type]
    line.keys("0")
    until(lambda: line.where == "extension:2000", 20, "the dialplan asks, and is answered")
    until(lambda: listener.poll() is not None, 20, "the listener ends")
    assert listener.returncode == 0


def test_a_listener_that_is_killed_leaves_nobody_behind(house: DoorHouse, tmp_path: Path):
    ready = house.log("listener").count("READY")
    house.start("listener")
    until(lambda: house.log("listener").count("READY") > ready, 60, "it is back")
    asterisk = Asterisk(house.audiosocket)
    browser = Browser(house.websocket, token=TOKEN)
    module = ModuleChannel(house.port, tmp_path, "fork", True)
    lines = (asterisk, browser, module)
    for line in lines:
        line.dial()
    for line in lines:
        Caller(line).wait_bot()  # type: ignore[arg-type]
    house.kill("listener")
    until(lambda: asterisk.where == "native:menu", 5, "Asterisk's own menu")
    until(lambda: module.where == "native:9000", 5, "FreeSWITCH's own menu")
    until(browser.ended.is_set, 5, "the page sees that the connection is gone")
    assert asterisk.status == "SUCCESS" or asterisk.why == "reset"
    assert not browser.all("ended")
    module.hangup()
