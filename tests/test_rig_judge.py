"""The judge: recordings made of marks and silence, and what a caller went through in them."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from eslbot.rig.judge import Span, Verdict, judge
from eslbot.rig.tones import Fixed, Mark, encode

RATE = 8000
CALL = 1007
GREETING, FILLER, MENU, SORRY = Fixed(0), Fixed(1), Fixed(2), Fixed(3)
PHRASES_S = {0: 2.0, 1: 1.0, 2: 2.0, 3: 1.0}
PART_S = 1.0
ENDED_S = 30.0

Said = tuple[float, Mark | Fixed, float]  # from when, what, for how long


def part(turn: int, number: int = 0, last: bool = False, call: int = CALL) -> Mark:
    return Mark(call, turn, number, last)


def recording(*said: Said) -> NDArray[np.int16]:
    pcm = np.zeros(round(ENDED_S * RATE), np.int16)
    for start_s, what, seconds in said:
        audio = np.frombuffer(encode(what, seconds), "<i2")
        at = round(start_s * RATE)
        pcm[at : at + len(audio)] = audio
    return pcm


def verdict(
    *said: Said, caller: list[Span], began_s: float = 0.0, ended_s: float = ENDED_S
) -> Verdict:
    return judge(
        recording(*said), caller, began_s, ended_s, PHRASES_S, lambda _: PART_S,
        own=CALL, not_final={FILLER.index}, fallbacks={MENU.index, SORRY.index},
    )  # fmt: skip


def assert_silence(found: Verdict, at_s: float, longest_s: float) -> None:
    assert (found.silence_at_s, found.longest_silence_s) == pytest.approx(
        (at_s, longest_s), abs=0.03
    )


# A call as it should be: greeted, a question at 5 to 6, two parts from 6.5 to 8.5, goodbye at 29.
GREETED: Said = (0.3, GREETING, 2.0)
ANSWERED: list[Said] = [(6.5, part(1), 1.0), (7.5, part(1, 1, last=True), 1.0)]
ASKED = [(5.0, 6.0)]


def test_a_call_as_it_should_be() -> None:
    found = verdict(GREETED, *ANSWERED, caller=ASKED)
    assert_silence(found, 6.0, 0.5)
    assert [one.what for one in found.heard] == [GREETING, *(what for _, what, _ in ANSWERED)]
    assert (found.twice, found.foreign, found.late) == ([], [], [])
    assert (found.answered, found.fallback) == (True, False)


# -- silence


def test_the_wait_for_the_greeting_counts_from_the_beginning_of_the_call() -> None:
    assert_silence(verdict((4.0, GREETING, 2.0), caller=[], began_s=1.0), 1.0, 3.0)


def test_a_call_in_which_nothing_is_heard_is_silent_to_its_end() -> None:
    found = verdict(caller=[], began_s=1.0)
    assert_silence(found, 1.0, ENDED_S - 1.0)
    assert (found.heard, found.answered, found.fallback) == ([], False, False)


def test_beyond_the_end_of_the_recording_there_is_silence() -> None:
    assert_silence(verdict(caller=[], ended_s=ENDED_S + 5), 0.0, ENDED_S + 5)


def test_a_caller_who_takes_his_time_makes_no_silence_of_the_bot() -> None:
    assert_silence(
        verdict(GREETED, (25.5, part(1, 0, True), 1.0), caller=[(20.0, 25.0)]), 25.0, 0.5
    )


def test_an_utterance_without_an_answer_is_followed_by_silence() -> None:
    assert_silence(verdict(GREETED, caller=ASKED), 6.0, ENDED_S - 6.0)


def test_a_key_entry_is_an_instant_of_the_caller() -> None:
    assert_silence(verdict(GREETED, (9.0, MENU, 2.0), caller=[(6.0, 6.0)]), 6.0, 3.0)


@pytest.mark.parametrize(("last", "counts"), [
    ((7.5, part(1, 1, last=True), 0.95), False),  # within the tolerance
    ((7.5, part(1, 1, last=True), 0.8), True),  # cut
    ((7.5, part(1, 1, last=False), 1.0), True),  # whole, but the answer is not at its end
    ((7.5, part(1, 1, last=True), 0.1), True),  # too little of it to know it
    ((7.5, MENU, 2.0), False),
    ((7.5, MENU, 1.5), True),
    ((7.5, FILLER, 1.0), True),  # promises more
])  # fmt: skip
def test_silence_counts_after_what_is_not_complete(last: Said, counts: bool) -> None:
    found = verdict(GREETED, ANSWERED[0], last, caller=ASKED)
    end_s = last[0] + last[2]
    if counts:
        assert_silence(found, end_s, ENDED_S - end_s)
    else:
        assert_silence(found, 6.0, 0.5)


def test_a_pause_within_an_answer_counts() -> None:
    found = verdict(GREETED, (6.2, part(1), 1.0), (9.0, part(1, 1, True), 1.0), caller=ASKED)
    assert_silence(found, 7.2, 1.8)


def test_a_last_part_that_is_taken_up_again_is_complete_at_its_second_end() -> None:
    taken_up: list[Said] = [(6.5, part(1, 0, True), 0.5), (7.3, part(1, 0, True), 0.6)]
    found = verdict(GREETED, *taken_up, caller=ASKED)
    assert_silence(found, 6.0, 0.5)
    assert found.twice == []
    assert_silence(verdict(GREETED, taken_up[0], caller=ASKED), 7.0, ENDED_S - 7.0)


def test_an_interruption_hands_the_turn_to_the_caller_until_he_is_silent() -> None:
    # Given an answer that is cut at 7.1 by a caller who speaks from 7 to 12
    caller = [(5.0, 6.0), (7.0, 12.0)]
    found = verdict(GREETED, (6.5, part(1), 0.6), (13.0, part(2, 0, True), 1.0), caller=caller)
    # I expect the second from 12 to 13 to be the silence, and nothing of the five before it
    assert_silence(found, 12.0, 1.0)


def test_the_turn_is_the_bots_again_when_it_begins_to_say_more() -> None:
    # Given a complete answer, then a filler without need, then nothing
    found = verdict(GREETED, *ANSWERED, (10.0, FILLER, 1.0), caller=[*ASKED, (20.0, 22.0)])
    assert_silence(found, 11.0, 9.0)


def test_a_voice_ends_a_silence_and_completes_nothing() -> None:
    pcm = recording(GREETED)
    pcm[8 * RATE : 9 * RATE] = np.random.default_rng(1).normal(0, 3000, RATE)
    found = judge(pcm, ASKED, 0.0, 20.0, PHRASES_S, lambda _: PART_S, own=CALL)
    assert_silence(found, 9.0, 11.0)
    assert found.heard[-1].what is None
    found = judge(pcm, ASKED, 0.0, 10.0, PHRASES_S, lambda _: PART_S, own=CALL)
    assert_silence(found, 6.0, 2.0)


def test_a_phrase_of_unknown_length_is_complete_wherever_it_ends() -> None:
    assert_silence(verdict(GREETED, (6.5, Fixed(59), 0.7), caller=ASKED), 6.0, 0.5)


# -- marks


def test_a_part_said_again_is_said_twice() -> None:
    again = (12.0, part(1), 1.0)
    assert verdict(GREETED, *ANSWERED, again, caller=ASKED).twice == [part(1)]


def test_a_part_that_was_cut_and_then_begun_anew_is_said_twice() -> None:
    said = [(6.5, part(1), 0.7), (8.0, part(1), 1.0)]
    assert verdict(GREETED, *said, caller=ASKED).twice == [part(1)]


def test_an_answer_without_a_turn_may_be_given_again_to_the_next_question() -> None:
    rules = Mark(CALL, 19, 7, True)
    said: list[Said] = [(6.5, rules, 1.0), (12.5, rules, 1.0)]
    assert verdict(GREETED, *said, caller=[(5.0, 6.0), (11.0, 12.0)]).twice == []
    found = verdict(GREETED, *said, caller=ASKED)
    assert (found.twice, found.late) == ([rules], [])


def test_a_mark_of_another_call_is_foreign_and_no_answer() -> None:
    other = part(2, 0, True, call=1008)
    found = verdict(GREETED, (6.5, other, 1.0), (8.0, other, 1.0), caller=ASKED)
    assert (found.foreign, found.answered, found.late) == ([other], False, [])


@pytest.mark.parametrize(("said", "late"), [
    ((10.5, part(1), 1.0), True),  # begun after the second utterance was over
    ((8.5, part(1), 1.0), False),  # cut off by it
    ((9.2, part(1), 1.0), False),  # frames on their way
    ((9.4, part(1), 1.0), True),  # goes on all the same
    ((10.5, part(2), 1.0), False),
    ((10.5, part(7), 1.0), False),  # of a turn that there was not: not late
    ((10.5, Mark(CALL, 19, 7, True), 1.0), False),
])  # fmt: skip
def test_an_answer_is_late_when_the_next_utterance_is_over(said: Said, late: bool) -> None:
    found = verdict(GREETED, said, caller=[(5.0, 6.0), (9.0, 10.0)])
    assert found.late == ([said[1]] if late else [])


@pytest.mark.parametrize(("phrase", "fallback"), [
    (MENU, True), (SORRY, True), (FILLER, False), (Fixed(30), False),
])  # fmt: skip
def test_the_fallback_is_known_by_its_phrases(phrase: Fixed, fallback: bool) -> None:
    found = verdict(GREETED, (6.5, phrase, 1.0), caller=ASKED)
    assert (found.fallback, found.answered) == (fallback, False)


@pytest.mark.parametrize(("caller", "began_s", "named"), [
    ([(6.0, 5.0)], 0.0, "caller_spoke"), ([(5.0, 6.0), (4.0, 4.5)], 0.0, "caller_spoke"),
    ([(float("nan"), 6.0)], 0.0, "caller_spoke"), ([], 31.0, "the call"),
])  # fmt: skip
def test_times_that_are_not_in_order_are_refused(
    caller: list[Span], began_s: float, named: str
) -> None:
    with pytest.raises(ValueError, match=named):
        verdict(caller=caller, began_s=began_s)


def test_a_phrase_with_a_hole_of_late_frames_is_whole():
    part = encode(Fixed(0), 1.0)
    hole = bytes(int(0.06 * 8000) * 2)
    bot = np.frombuffer(part + hole + part + bytes(16_000 * 6), "<i2")
    verdict = judge(bot, [], 0.0, 8.0, {0: 2.0}, lambda mark: 1.0, own=1)
    assert verdict.longest_silence_s < 0.2
    alone = np.frombuffer(part + bytes(16_000 * 6), "<i2")
    cut = judge(alone, [], 0.0, 7.0, {0: 2.0}, lambda mark: 1.0, own=1)
    assert cut.longest_silence_s > 5.5
