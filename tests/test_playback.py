"""Playback: the pace of speech, and what of it was heard."""

from __future__ import annotations

import pytest

from eslbot.playback import Playback, PlaybackFull

FRAME = 320
SECOND = b"\x01\x02" * 8000


def ticks(playback: Playback, start: float, count: int) -> list[list[bytes]]:
    return [playback.due(start + n * 0.02) for n in range(count)]


def test_frames_go_out_at_the_pace_of_speech_with_a_small_lead():
    playback = Playback(FRAME, lead=3, max_s=10)
    playback.say("one second", SECOND)
    sent = ticks(playback, 100.0, 40)
    assert [len(s) for s in sent[:3]] == [3, 1, 1]
    assert sum(len(s) for s in sent) == 3 + 39
    assert all(len(frame) == FRAME for s in sent for frame in s)


def test_all_of_it_comes_out_in_order_and_the_last_frame_is_filled_up():
    audio = bytes(range(256)) * 5
    playback = Playback(FRAME, lead=3, max_s=10)
    playback.say("odd", audio)
    out = b"".join(f for s in ticks(playback, 0.0, 20) for f in s)
    assert out == audio.ljust(-(-len(audio) // FRAME) * FRAME, b"\0")
    assert not playback.busy


def test_while_nothing_is_said_silence_goes_out_at_the_same_pace():
    playback = Playback(FRAME, lead=3, max_s=10)
    sent = [f for n in range(50) for f in playback.due(n * 0.02) or playback.silence(n * 0.02)]
    assert sent == [bytes(FRAME)] * 50
    playback.say("one second", SECOND)
    assert 2 <= len(playback.due(50 * 0.02)) <= 3  # silence took no more than its own place
    assert playback.first_frame_at == 50 * 0.02


def test_silence_of_short_frames_keeps_up_with_longer_ticks():
    playback = Playback(160, lead=3, max_s=10)
    assert sum(len(playback.silence(n * 0.02)) for n in range(50)) == pytest.approx(100, abs=2)


def test_frames_that_turn_out_longer_go_out_less_often():
    playback = Playback(FRAME, lead=3, max_s=10)
    playback.frame_bytes = 480
    playback.say("one second", SECOND)
    assert sum(len(s) for s in ticks(playback, 0.0, 30)) == pytest.approx(3 + 580 / 30, abs=1)


def test_a_late_clock_is_not_hurried_after():
    playback = Playback(FRAME, lead=2, max_s=10)
    playback.say("one second", SECOND)
    playback.due(0.0)
    assert len(playback.due(0.5)) == 2


def test_a_sentence_that_is_not_there_yet_makes_a_pause_not_a_broken_frame():
    playback = Playback(FRAME, lead=3, max_s=10)
    playback.sentence("slow")
    playback.feed(b"\x01" * 500)
    assert [len(f) for f in playback.due(0.0)] == [320]
    assert playback.due(0.1) == []
    playback.feed(b"\x01" * 140)
    playback.complete()
    assert playback.due(0.2) == [b"\x01" * 320]


def test_of_an_interrupted_sentence_only_the_words_heard_are_told():
    playback = Playback(FRAME, lead=3, max_s=10)
    playback.begin()
    playback.say("First sentence.", SECOND)
    playback.say("one two three four five six seven eight nine ten", SECOND)
    for n in range(75):  # a second and a half
        playback.due(n * 0.02)
    assert playback.stop(1.5) == "First sentence. one two three four five"
    assert not playback.busy
    assert playback.due(2.0) == []


def test_frames_sent_ahead_do_not_count_as_heard():
    playback = Playback(FRAME, lead=3, max_s=10)
    playback.begin()
    playback.say("a b c d e f g h i j", SECOND[: FRAME * 10])
    playback.due(0.0)
    assert playback.stop(0.0) == ""


def test_all_heard_is_all_told():
    playback = Playback(FRAME, lead=3, max_s=10)
    playback.begin()
    playback.say("All of it.", SECOND)
    ticks(playback, 0.0, 60)
    assert playback.stop(5.0) == "All of it."


def test_more_speech_than_a_call_may_keep_is_refused():
    playback = Playback(FRAME, lead=3, max_s=2)
    playback.sentence("endless")
    playback.feed(SECOND * 2)
    with pytest.raises(PlaybackFull):
        playback.feed(b"\0\0")


def test_when_it_will_have_been_heard():
    playback = Playback(FRAME, lead=3, max_s=10)
    playback.say("one second", SECOND)
    for n in range(60):
        playback.due(n * 0.02)
    assert playback.drained_at() == pytest.approx(1.0, abs=0.021)


def test_a_filler_is_heard_before_what_is_still_to_come_and_is_no_part_of_the_answer():
    playback = Playback(320, 3, 60)
    playback.begin()
    playback.sentence("It is")
    playback.feed(b"\1\0" * 160)
    assert not playback.starving
    assert len(playback.due(0.0)) == 1
    assert playback.starving
    assert playback.busy
    playback.fill("One moment.", b"\2\0" * 160)
    assert playback.due(10.0) == [b"\2\0" * 160]
    playback.feed(b"\3\0" * 160)
    playback.complete()
    assert playback.due(20.0) == [b"\3\0" * 160]
    assert playback.stop(30.0) == "It is"


def test_what_goes_on_after_it_was_cut_off_is_heard():
    playback = Playback(FRAME, lead=3, max_s=10)
    playback.sentence("one second")
    playback.feed(SECOND)
    playback.stop(0.0)
    playback.feed(b"")  # nothing new
    assert not playback.busy
    playback.feed(SECOND)
    assert playback.due(1.0)
