"""Calls through the whole system: a caller, the switch, the listener, Redis, the workers.

Everything runs as it does in earnest, in processes of its own; the switch is the stand-in, the
caller's voice is recorded.
"""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gevent
import httpx
import numpy as np
import pytest

from eslbot.switch.caller import Caller, Interrupt, Keys, NotAnswered, Say
from eslbot.switch.channel import Channel
from tests.house import RECORDINGS, ROOT, House, recording, until
from workers import streams


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prompts and language models, made once for all houses."""
    return tmp_path_factory.mktemp("state")


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, state: Path) -> Iterator[House]:
    """One house for the calls that leave it whole."""
    one = House(tmp_path_factory.mktemp("house"), state)
    one.start_all()
    yield one
    one.stop()


@pytest.fixture
def fragile(tmp_path: Path, state: Path) -> Iterator[House]:
    """A house of a test's own, to be damaged."""
    one = House(tmp_path, state, patient=False, ESLBOT_SHED_LAG_MS="5000")
    one.start_all()
    yield one
    one.stop()


@pytest.fixture(autouse=True)
def no_crash() -> Iterator[list[Channel]]:
    """Nothing that any test does may be what crashes FreeSWITCH."""
    made: list[Channel] = []
    original = Channel.dial

    def dial(self: Channel) -> None:
        made.append(self)
        original(self)

    Channel.dial = dial  # type: ignore[method-assign]
    yield made
    Channel.dial = original  # type: ignore[method-assign]
    for call in made:
        assert call.crashed is None
        assert call.corrupt_frames == 0
        assert call.lost_frames == 0
        assert not [what for _, what in call.history if what.startswith("expanded")]
        call.hangup()


def greeted(house: House, **channel: object) -> tuple[Channel, Caller]:
    call = house.dial(**channel)  # type: ignore[arg-type]
    caller = Caller(call)
    caller.wait_bot()
    assert call.where == "socket"
    return call, caller


def test_a_caller_asks_for_the_balance_gives_a_number_and_is_transferred(house: House):
    call, caller = greeted(house)
    caller.do(Say(recording("balance")))
    assert call.variables.get("ai_intent") == "balance"
    caller.do(Say(recording("account")))
    assert call.variables.get("ai_account") == "4271"
    assert "one hundred and twenty dollars" in house.said(call)
    caller.do(Say(recording("person")))
    until(lambda: call.where == "extension:2000", 15, "the transfer to a colleague")
    assert call.variables.get("ai_account") == "4271"
    assert call.variables.get("ai_intent") == "person"
    assert call.variables["socket_resume"] == "false"
    until(lambda: "ended" in dict(house.told(call)), 10, "the call's log")
    outcomes = [f["outcome"] for what, f in house.told(call) if what == "turn"]
    assert outcomes == ["answered", "answered", "human"]


def test_a_caller_interrupts_and_is_heard(house: House):
    call = house.dial()
    caller = Caller(call)
    caller.do(Interrupt(recording("hours"), after_s=0.6))
    assert "We are open from eight" in house.said(call)
    (cut,) = [f["heard"] for what, f in house.told(call) if what == "interrupted"]
    greeting = "Welcome to Northwind Energy. How can I help you?"
    assert greeting.startswith(cut)
    assert cut != greeting


def test_of_an_answer_that_was_cut_off_what_was_heard_is_kept(house: House):
    call, caller = greeted(house)
    call.say(recording("hours"))
    until(lambda: "We are open" in house.said(call), 20, "the answer")
    caller.do(Interrupt(recording("person"), after_s=0.6))
    until(lambda: call.where == "extension:2000", 20, "a person")
    client = house.redis.client(2)
    entries: Any = client.xrange(streams.RECORDS)
    client.close()
    kept = [json.loads(e[b"fields"]) for _, e in entries
            if (e[b"call"], e[b"what"]) == (call.uuid.encode(), b"turn")]  # fmt: skip
    (cut,) = [turn for turn in kept if turn["interrupted"]]
    assert cut["heard"]
    assert cut["said"] and "We are open from eight".startswith(" ".join(cut["said"].split()[:2]))


def test_a_caller_presses_keys_in_place_of_words(house: House):
    call, caller = greeted(house)
    caller.do(Say(recording("balance")))
    caller.do(Keys("1234#"))
    assert call.variables.get("ai_account") == "1234"
    assert "zero dollars" in house.said(call)
    assert ("heard", {"keyed": True, "text": "1234"}) in house.told(call)


def test_a_caller_presses_zero_and_goes_through_the_menu(house: House):
    call, _ = greeted(house)
    call.keys("0")
    until(lambda: house.said(call).endswith("press 0."), 5, "the menu is read out")
    call.keys("1")
    until(lambda: call.variables.get("ai_intent") == "balance", 5)
    call.keys("4271#")
    until(lambda: call.where == "extension:2001", 15, "the menu's destination")
    assert call.variables.get("ai_account") == "4271"


def test_what_the_channel_knows_already_is_not_asked(house: House):
    call, caller = greeted(house, variables={"ai_account": "9876"})
    caller.do(Say(recording("balance")))
    assert "forty five dollars" in house.said(call)
    call.keys("0")
    call.keys("2")
    until(lambda: call.where == "extension:2001", 15, "billing, without a question")


def test_from_the_menu_back_to_the_assistant(house: House):
    call, caller = greeted(house)
    call.keys("0")
    until(lambda: house.said(call).endswith("press 0."), 5)
    call.keys("*")
    caller.wait_bot(20, call.recording.ticks)
    caller.do(Say(recording("hours")))
    assert "We are open from eight" in house.said(call)


def test_a_caller_who_hangs_up_while_speaking_leaves_nothing_behind(house: House):
    call, _ = greeted(house)
    call.say(recording("person"))
    until(lambda: states(house, call)[-1] == "hearing", 10)
    call.hangup()
    until(lambda: ("ended", "caller gone") in outcomes(house, call), 10)
    assert house.heard(call) == []


def states(house: House, call: Channel) -> list[str]:
    return [fields["state"] for what, fields in house.told(call) if what == "state"]


def outcomes(house: House, call: Channel) -> list[tuple[str, str]]:
    return [(what, fields.get("outcome", "")) for what, fields in house.told(call)]


def test_a_call_that_nobody_answered_yet_is_answered_before_media_begins(house: House):
    call, _ = greeted(house, answered=False)
    steps = [what for _, what in call.history]
    assert steps.index("execute answer ") < steps.index("unicast")


@pytest.mark.parametrize(("ptime_ms", "rate"), [(30, 8000), (20, 16000), (10, 8000)])
def test_other_frames_than_the_usual_ones(house: House, ptime_ms: int, rate: int):
    call, caller = greeted(house, ptime_ms=ptime_ms, rate=rate)
    pcm = recording("hours")
    if rate == 16000:
        pcm = np.repeat(np.frombuffer(pcm, "<i2"), 2).tobytes()
    caller.do(Say(pcm))
    assert len(house.heard(call)) == 1


def test_unicast_that_does_not_begin_is_noticed_and_the_switch_takes_over(house: House):
    call = house.dial(unicast_works=False)
    until(lambda: call.where == "native:9000", 5, "the native menu")


def test_what_a_caller_is_named_is_no_command(house: House):
    name = "${system(touch /tmp/x)}\r\n\r\napi version\n\nEvent-Name: SPOOF"
    call, caller = greeted(house, name=name, variables={"ai_account": "4271;ai_intent=x"})
    caller.do(Say(recording("balance")))
    assert call.variables.get("ai_intent") == "balance"
    assert not [what for _, what in call.history if "system" in what or "api version" in what]
    assert "4271;" not in house.log("listener")


def test_calls_at_once_do_not_hear_each_other(house: House):
    calls = [greeted(house) for _ in range(3)]
    names = ["balance", "hours", "person"]
    runs = [
        gevent.spawn(caller.do, Say(recording(name)))
        for (_, caller), name in zip(calls, names, strict=True)
    ]
    gevent.joinall(runs, timeout=60, raise_error=True)
    said = [house.said(call) for call, _ in calls]
    assert "What is your account number?" in said[0]
    assert "We are open" in said[1]
    assert "We are open" not in said[0] + said[2]
    until(lambda: calls[2][0].where == "extension:2000", 15)


def test_the_call_command_tells_the_conversation_and_leaves_a_recording(
    house: House, tmp_path: Path
):
    out = tmp_path / "call.wav"
    run = subprocess.run(
        [sys.executable, "-m", "eslbot", "call", "--wav", str(RECORDINGS / "hours.wav"),
         "--keys", "0", "--out", str(out)],
        cwd=ROOT, env=house.environ, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr
    assert "heard    'when are you open'" in run.stdout
    assert "We are open from eight" in run.stdout
    assert "menu     the caller pressed 0" in run.stdout
    assert "from the caller's last word to the bot's first audio" in run.stdout
    with wave.open(str(out)) as file:
        assert (file.getnchannels(), file.getframerate()) == (2, 8000)
        both = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, 2)
    assert np.abs(both).max(axis=0).min() > 3000  # both sides speak


def test_the_call_command_exits_with_one_where_nobody_answers(house: House, tmp_path: Path):
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        run = subprocess.run(
            [sys.executable, "-m", "eslbot", "call", "--keys", "1",
             "--out", str(tmp_path / "call.wav")],
            cwd=ROOT, env=house.environ | {"ESLBOT_LISTEN_PORT": str(mute.getsockname()[1])},
            capture_output=True, text=True, timeout=120,
        )  # fmt: skip
    assert run.returncode == 1
    assert "NOT ANSWERED" in run.stdout


# -- what a call survives


@pytest.mark.parametrize("part", ["stt", "llm", "tts"])
def test_a_worker_killed_within_a_turn_leads_to_the_menu(fragile: House, part: str):
    call, _ = greeted(fragile)
    call.say(recording("hours"))
    until(lambda: states(fragile, call)[-1] == "hearing", 10)
    fragile.kill(part)
    until(lambda: "menu" in dict(outcomes(fragile, call)), 12, "the menu takes over")
    until(lambda: fragile.said(call).endswith("press 0."), 12)
    call.keys("0")
    until(lambda: call.where == "extension:2000", 12, "a person")


def test_redis_killed_within_a_call_leads_to_the_menu_and_on_to_a_person(fragile: House):
    call, _ = greeted(fragile)
    fragile.redis.kill()
    call.say(recording("hours"))
    until(lambda: not call.saying, 5)
    since = call.recording.ticks
    until(lambda: call.recording.audible("bot", since).any(), 15, "words meanwhile")
    until(lambda: metric(fragile, "eslbot_ai_failures_with_failover_total") == 1, 15, "the menu")
    call.keys("24271#")  # one who knows the menu
    until(lambda: call.where == "extension:2001", 15, "a person, without Redis")
    assert call.variables.get("ai_account") == "4271"


def test_redis_that_only_stood_still_costs_a_turn_nothing_but_time(fragile: House):
    call, caller = greeted(fragile)
    call.say(recording("hours"))
    until(lambda: not call.saying, 5)
    fragile.redis.signal(signal.SIGSTOP)
    until(lambda: "Redis fails" in fragile.log("listener"), 10)
    fragile.redis.signal(signal.SIGCONT)
    until(lambda: "We are open" in fragile.said(call), 30)
    caller.wait_bot(30, call.recording.ticks)
    assert fragile.said(call).count("We are open from eight") == 1


def metric(house: House, name: str) -> float:
    """A figure of /metrics; name with its labels."""
    url = f"http://127.0.0.1:{house.metrics_port}/metrics"
    lines = httpx.get(url, timeout=5).text.splitlines()
    return next(float(line.split()[-1]) for line in lines if line.startswith(f"{name} "))


def test_after_redis_came_back_empty_calls_are_answered_again_without_a_restart(fragile: House):
    before = fragile.log("listener").count("Redis fails")
    fragile.redis.kill()
    until(lambda: fragile.log("listener").count("Redis fails") > before, 20)
    fragile.redis.start()
    until(lambda: "Redis answers" in fragile.log("listener").split("Redis fails")[-1], 20)

    def answered() -> bool:
        call = fragile.dial()
        caller = Caller(call)
        try:
            caller.wait_bot()
            caller.do(Say(recording("hours")))
        except NotAnswered:
            return False  # the workers are not back yet: this caller is in the menu
        finally:
            call.hangup()
        return "We are open" in fragile.said(call)

    until(answered, 60, "an answer")


def test_the_listener_killed_leaves_the_caller_in_the_native_menu_with_the_variables(
    fragile: House,
):
    call, caller = greeted(fragile)
    caller.do(Say(recording("balance")))
    until(lambda: call.variables.get("ai_intent") == "balance", 15)
    fragile.kill("listener")
    until(lambda: call.where == "native:9000", 2, "the native menu")
    assert call.variables.get("ai_intent") == "balance"


def test_the_listener_stopped_loses_the_call_to_the_watchdog_and_never_takes_it_back(
    fragile: House,
):
    call, _ = greeted(fragile)
    listener = fragile.processes["listener"]
    listener.send_signal(signal.SIGSTOP)
    until(lambda: call.where == "native:9000", 8, "the watchdog")
    commands = len(call.history)
    listener.send_signal(signal.SIGCONT)
    until(lambda: call.peer is not None and call.peer.ended, 10, "the listener lets go")
    assert not [what for _, what in call.history[commands:] if "sched_transfer" in what]
    assert call.where == "native:9000"


def test_the_listener_told_to_end_lets_its_calls_finish_and_takes_no_new_ones(fragile: House):
    call, caller = greeted(fragile)
    listener = fragile.processes["listener"]
    listener.terminate()
    until(lambda: not reachable(fragile.port), 5, "nobody listens: the next host has new calls")
    caller.do(Say(recording("hours")))
    until(lambda: "We are open" in fragile.said(call), 15)
    assert listener.poll() is None
    call.hangup()
    until(lambda: listener.poll() is not None, 10, "the listener ends after its last call")
    assert listener.returncode == 0


def reachable(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


def test_the_listener_interrupted_hands_its_calls_over_first(fragile: House):
    call, _ = greeted(fragile)
    listener = fragile.processes["listener"]
    listener.send_signal(signal.SIGINT)
    until(lambda: listener.poll() is not None, 5, "the listener ends")
    assert listener.returncode == 0
    assert call.where == "native:9000"
    assert [what for _, what in call.history if what == "execute transfer 9000 XML eslbot"]


def test_a_call_that_comes_back_under_its_old_uuid_gets_nothing_of_the_one_before(house: House):
    first, caller = greeted(house)
    caller.do(Say(recording("balance")))
    first.say(recording("hours"))
    until(lambda: states(house, first)[-1] == "hearing", 10)
    assert first.peer is not None
    first.peer.close()  # the switch is gone, in the middle of a word
    again, caller = greeted(house, uuid=first.uuid)
    since = len(house.told(again))
    again.say(recording("person"))
    until(lambda: again.where == "extension:2000", 15, lambda: str(house.told(again)[since:]))
    told = house.told(again)[since:]
    assert len([what for what, _ in told if what == "heard"]) == 1
    assert "We are open" not in " ".join(f["text"] for what, f in told if what == "said")


def test_from_the_menu_nobody_is_led_back_to_an_assistant_that_can_not_answer(fragile: House):
    call, _ = greeted(fragile)
    call.keys("0")
    until(lambda: fragile.said(call).endswith("press 0."), 10)
    fragile.kill("llm")
    until(lambda: "llm" in not_ready(fragile), 20)
    call.keys("*")
    until(lambda: "I didn't get that" in fragile.said(call), 20)
    fragile.start("llm")
    until(lambda: not_ready(fragile) == "ok", 30)
    call.keys("*")
    until(lambda: ("resumed", {}) in fragile.told(call), 10, "and is, when it can again")


def not_ready(house: House) -> str:
    return httpx.get(f"http://127.0.0.1:{house.metrics_port}/ready", timeout=5).text.strip()
