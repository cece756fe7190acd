"""Audio that names itself: what was encoded is what is decoded, whatever a call does to it."""

from __future__ import annotations

import warnings
import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from eslbot.rig.tones import FIXED, Fixed, Heard, Mark, decode, encode

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import audioop

RATE = 8000
RESOLUTION_S = 0.02
RECORDINGS = sorted((Path(__file__).parent.parent / "eslbot" / "recordings").glob("*.wav"))
Audio = NDArray[np.int16]

marks = st.builds(
    Mark, st.integers(0, 9999), st.integers(0, 19), st.integers(0, 7), st.booleans()
) | st.builds(Fixed, st.integers(0, 59))


def audio(mark: Mark | Fixed, seconds: float) -> Audio:
    return np.frombuffer(encode(mark, seconds), "<i2")


def silence(seconds: float) -> Audio:
    return np.zeros(round(seconds * RATE), np.int16)


def telephone(pcm: Audio) -> Audio:
    """There and back through PCMU."""
    return np.frombuffer(audioop.ulaw2lin(audioop.lin2ulaw(pcm.tobytes(), 2), 2), "<i2")


def quieter(pcm: Audio, level: float) -> Audio:
    return np.rint(pcm * level).astype(np.int16)


def voice() -> Audio:
    with wave.open(str(RECORDINGS[0]), "rb") as file:
        assert (file.getframerate(), file.getnchannels()) == (RATE, 1)
        return np.frombuffer(file.readframes(RATE * 20), "<i2")


def assert_heard(found: list[Heard], expected: list[Heard]) -> None:
    assert [one.what for one in found] == [one.what for one in expected]
    for one, other in zip(found, expected, strict=True):
        assert one.start_s == pytest.approx(other.start_s, abs=RESOLUTION_S)
        assert one.end_s == pytest.approx(other.end_s, abs=RESOLUTION_S)


@st.composite
def sequences(draw: st.DrawFn) -> tuple[Audio, list[Heard]]:
    """Marks, some cut at both ends, with gaps of 40 ms and more or with none, and what is heard."""
    pieces, expected = [silence(draw(st.integers(0, 800)) / RATE)], list[Heard]()
    at, before = len(pieces[0]), None
    for _ in range(draw(st.integers(0, 12))):
        what = draw(marks)
        whole = audio(what, draw(st.integers(600, 2000)) / 1000)
        length = draw(st.integers(240 * 8, 600 * 8) | st.integers(40 * 8, 200 * 8))
        first = draw(st.integers(0, len(whole) - length))
        piece = draw(st.sampled_from([whole, whole[first : first + length]]))
        known = what if len(piece) >= 240 * 8 else None
        gap = draw(st.just(0) | st.integers(320, 4000))
        if known is None or what == before:
            gap = max(gap, 320)
        before = what
        pieces += [silence(gap / RATE), piece]
        at += gap
        expected.append(Heard(at / RATE, (at + len(piece)) / RATE, known))
        at += len(piece)
    pieces.append(silence(draw(st.integers(0, 800)) / RATE))
    return np.concatenate(pieces), expected


@given(sequences(), st.floats(0.3, 1.0), st.booleans())
@settings(max_examples=150, deadline=None)
def test_what_was_said_is_what_is_heard(
    said: tuple[Audio, list[Heard]], level: float, coded: bool
) -> None:
    pcm, expected = said
    pcm = quieter(pcm, level)
    assert_heard(decode(telephone(pcm) if coded else pcm), expected)


@given(st.lists(marks, min_size=2, max_size=2, unique=True))
def test_no_two_marks_sound_alike(two: list[Mark | Fixed]) -> None:
    one, other = (audio(what, 0.24) for what in two)
    assert not np.array_equal(one, other)
    assert [heard.what for heard in decode(np.concatenate([one, other]))] == two


@pytest.mark.parametrize("what", [Mark(1007, 2, 0, False), Mark(9999, 19, 7, True), Fixed(0)])
def test_the_level_is_that_of_speech(what: Mark | Fixed) -> None:
    pcm = audio(what, 1.0).astype(np.float64)
    assert np.sqrt(np.mean(pcm**2)) == pytest.approx(3000, rel=0.02)
    assert np.abs(pcm).max() < 16384
    assert abs(pcm[0]) < 300 > abs(pcm[-1])


def test_a_recorded_voice_is_no_mark() -> None:
    heard = decode(voice())
    assert heard
    assert {one.what for one in heard} == {None}


def test_a_voice_between_two_marks_is_heard_as_what_it_is() -> None:
    mark = Mark(1001, 1, 0, True)
    # A vowel: the harmonics of a pitch that wanders.
    pitch_hz = 140 + 20 * np.sin(2 * np.pi * 3 * np.arange(RATE) / RATE)
    phase = 2 * np.pi * np.cumsum(pitch_hz) / RATE
    speech = sum(3000 / n * np.sin(n * phase) for n in range(1, 20)).astype(np.int16)
    found = decode(np.concatenate([audio(mark, 1.0), speech, audio(mark, 1.0)]))
    assert_heard(found, [Heard(0, 1, mark), Heard(1, 2, None), Heard(2, 3, mark)])


@pytest.mark.parametrize("make", [
    lambda n: np.random.default_rng(3).normal(0, 3000, n),
    lambda n: 8000 * np.sin(2 * np.pi * 440 * np.arange(n) / RATE),
    lambda n: np.where(np.arange(n) % 80 < 40, 9000, -9000),
    lambda n: audio(Mark(1, 1, 1, False), n / RATE) / 2 + audio(Mark(2, 9, 4, True), n / RATE) / 2,
])  # fmt: skip
def test_noise_tones_and_two_marks_at_once_are_no_mark(make: Callable[[int], Audio]) -> None:
    found = decode(np.rint(make(RATE)).astype(np.int16))
    assert [one.what for one in found] == [None]


@pytest.mark.parametrize("pcm", [
    np.zeros(0, np.int16), np.zeros(1, np.int16), np.zeros(RATE, np.int16),
    np.random.default_rng(1).integers(-8, 9, RATE).astype(np.int16),
])  # fmt: skip
def test_in_silence_nothing_is_heard(pcm: Audio) -> None:
    assert decode(pcm) == []


def test_a_gap_of_40_ms_parts_the_same_mark_and_a_lost_frame_does_not() -> None:
    one = audio(Fixed(3), 0.5)
    for offset in range(0, 160, 7):
        start = np.zeros(offset, np.int16)
        parted = np.concatenate([start, one, silence(0.04), one])
        assert [heard.what for heard in decode(parted)] == [Fixed(3)] * 2
        lost = np.concatenate([start, audio(Fixed(3), 1.0)])
        lost[3000:3160] = 0
        assert [heard.what for heard in decode(lost)] == [Fixed(3)]


def test_a_frame_left_out_is_not_heard_as_an_end() -> None:
    pcm = audio(Mark(1042, 3, 1, False), 1.0)
    skipped = np.concatenate([pcm[:3000], pcm[3077:]])  # another phase from here
    assert [heard.what for heard in decode(skipped)] == [Mark(1042, 3, 1, False)]


def test_a_stump_before_another_mark_is_heard_as_something() -> None:
    stump, mark = audio(Mark(1, 1, 0, False), 1.0)[:960], Mark(1, 2, 0, True)
    found = decode(np.concatenate([stump, audio(mark, 1.0)]))
    assert_heard(found, [Heard(0, 0.12, None), Heard(0.12, 1.12, mark)])


@pytest.mark.parametrize(("mark", "seconds", "named"), [
    (Mark(10_000, 0, 0, False), 1.0, "call 10000"), (Mark(-1, 0, 0, False), 1.0, "call -1"),
    (Mark(1, 20, 0, False), 1.0, "turn 20"), (Mark(1, 0, 8, False), 1.0, "part 8"),
    (Fixed(FIXED), 1.0, "index 60"), (Fixed(1), 0.0, "0.0 s"), (Fixed(1), 61.0, "61.0 s"),
    (Fixed(1), float("nan"), "nan s"),
])  # fmt: skip
def test_what_has_no_chord_is_refused_by_name(
    mark: Mark | Fixed, seconds: float, named: str
) -> None:
    with pytest.raises(ValueError, match=named):
        encode(mark, seconds)
