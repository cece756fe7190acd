"""The answer is prepared while the end of the utterance is still awaited; kept, or dropped."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from eslbot.endpointing import Endpointer, Event, Heard, Paused, Resumed, SpeechEnded, SpeechStarted
from eslbot.switch.caller import Caller
from eslbot.vad import WINDOW_BYTES
from tests.house import House, recording, until

LOUD, QUIET = 0.9, 0.05


def endpointer(pause_ms: int) -> Endpointer:
    return Endpointer(start=0.5, stop=0.35, min_speech_ms=96, silence_ms=640, preroll_ms=96,
                      max_ms=20_000, chunk_ms=96, pause_ms=pause_ms)  # fmt: skip


def heard(one: Endpointer, *odds: tuple[float, int]) -> list[Event]:
    events: list[Event] = []
    for probability, count in odds:
        for _ in range(count):
            events += one.window(bytes(WINDOW_BYTES), probability)
    return events


def kinds(events: list[Event]) -> list[type]:
    return [type(event) for event in events if not isinstance(event, Heard)]


def test_a_pause_is_told_once_and_so_is_going_on():
    events = heard(endpointer(256), (LOUD, 10), (QUIET, 12), (LOUD, 5), (QUIET, 30))
    assert kinds(events) == [SpeechStarted, Paused, Resumed, Paused, SpeechEnded]


def test_all_audio_up_to_the_pause_was_heard_before_it():
    one = endpointer(256)
    events = heard(one, (LOUD, 10), (QUIET, 8))
    assert isinstance(events[-1], Paused)
    total = sum(len(e.pcm) for e in events if isinstance(e, Heard | SpeechStarted))
    assert total == 18 * WINDOW_BYTES


def test_without_the_setting_there_is_no_pause():
    assert kinds(heard(endpointer(0), (LOUD, 10), (QUIET, 40))) == [SpeechStarted, SpeechEnded]


def test_a_pause_no_shorter_than_the_endpoint_is_the_endpoint():
    assert kinds(heard(endpointer(640), (LOUD, 10), (QUIET, 40))) == [SpeechStarted, SpeechEnded]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """The end of an utterance is awaited for long, so that any machine is done before it."""
    one = House(
        tmp_path_factory.mktemp("house"),
        tmp_path_factory.mktemp("state"),
        ESLBOT_SPECULATE_MS="320",
        ESLBOT_ENDPOINT_SILENCE_MS="4000",
    )
    one.start_all()
    yield one
    one.stop()


def test_the_answer_is_there_when_the_utterance_is_over(house: House):
    call = house.dial()
    caller = Caller(call)
    caller.wait_bot()
    call.say(recording("hours"))
    until(lambda: any(what == "turn" for what, _ in house.told(call)), 30)
    told = house.told(call)
    (turn,) = [fields for what, fields in told if what == "turn"]
    assert turn["outcome"] == "answered"
    assert turn["first_speech_ms"] < turn["endpoint_ms"]
    assert turn["first_frame_ms"] >= turn["endpoint_ms"]  # prepared, and kept back
    assert house.said(call).count("We are open") == 1
    call.hangup()


def test_a_caller_who_goes_on_after_a_pause_is_heard_whole_and_answered_once(house: House):
    call = house.dial()
    caller = Caller(call)
    caller.wait_bot()
    pause = bytes(int(1.2 * 8000) * 2)
    call.say(recording("balance") + pause + recording("hours"))
    until(lambda: any(what == "decided" for what, _ in house.told(call)), 40)
    until(lambda: call.recording.quiet_s("bot") > 1.0, 30)
    told = house.told(call)
    outcomes = [fields["outcome"] for what, fields in told if what == "turn"]
    assert outcomes[0] == "merged"
    (words,) = house.heard(call)  # what was prepared for the first half was never told
    assert len(words.split()) >= 6
    decided = [fields for what, fields in told if what == "decided"]
    assert len(decided) == 1
    call.hangup()
