"""The resampler, measured with tones: frequency, level, aliases, length, and any chunking."""

from __future__ import annotations

import itertools
import random

import numpy as np
import pytest
from numpy.typing import NDArray

from workers.resample import RATES_HZ, Quality, Resampler

PAIRS = list(itertools.permutations(RATES_HZ, 2))
DOWN = [(high, low) for high, low in PAIRS if high > low]


def tone(hz: float, rate_hz: int, seconds: float = 1.0, level: float = 0.5) -> bytes:
    at = np.arange(int(rate_hz * seconds))
    return np.rint(level * 32767 * np.sin(2 * np.pi * hz * at / rate_hz)).astype("<i2").tobytes()


def converted(pcm: bytes, rate_in: int, rate_out: int, quality: Quality = "MQ") -> bytes:
    resampler = Resampler(rate_in, rate_out, quality)
    return resampler.feed(pcm) + resampler.flush()


def middle(pcm: bytes) -> NDArray[np.float64]:
    """Without the ends, where a filter starts and stops."""
    samples = np.frombuffer(pcm, "<i2").astype(np.float64)
    return samples[len(samples) // 8 : -len(samples) // 8]


def level_db(samples: NDArray[np.float64]) -> float:
    return float(20 * np.log10(np.sqrt(np.mean(samples**2)) / 32768 + 1e-10))


def spectrum(samples: NDArray[np.float64], rate_hz: int) -> tuple[NDArray[np.float64], float]:
    """Magnitudes under a Blackman window, and the width of a bin in Hz."""
    return np.abs(np.fft.rfft(samples * np.blackman(len(samples)))), rate_hz / len(samples)


@pytest.mark.parametrize(("rate_in", "rate_out"), PAIRS)
def test_a_tone_keeps_its_pitch_and_level_and_gets_no_company(rate_in: int, rate_out: int) -> None:
    for share in (0.05, 0.3, 0.85):  # of the lower rate's half
        hz = share * min(rate_in, rate_out) / 2
        before = tone(hz, rate_in)
        after = middle(converted(before, rate_in, rate_out))

        magnitudes, bin_hz = spectrum(after, rate_out)
        peak = int(np.argmax(magnitudes))
        assert peak * bin_hz == pytest.approx(hz, abs=1.5 * bin_hz)
        assert level_db(after) == pytest.approx(level_db(middle(before)), abs=0.3)
        others = np.delete(magnitudes, range(max(0, peak - 5), peak + 6))
        assert 20 * np.log10(others.max() / magnitudes[peak]) < -60


@pytest.mark.parametrize(("rate_in", "rate_out"), DOWN)
@pytest.mark.parametrize("quality", ["LQ", "MQ", "HQ"])
def test_what_the_lower_rate_can_not_carry_does_not_come_back_as_another_tone(
    rate_in: int, rate_out: int, quality: Quality
) -> None:
    for hz in np.linspace(1.005 * rate_out / 2, 0.98 * rate_in / 2, 8):
        before = tone(float(hz), rate_in, 0.5)
        after = middle(converted(before, rate_in, rate_out, quality))
        assert level_db(after) - level_db(middle(before)) < -40


def test_the_telephone_band_is_flat_to_3600_hz_from_every_rate() -> None:
    for rate_in in RATES_HZ[1:]:
        for hz in (300, 1000, 3000, 3400, 3600):
            before = tone(hz, rate_in)
            change = level_db(middle(converted(before, rate_in, 8000))) - level_db(middle(before))
            assert abs(change) < 0.3, f"{hz} Hz from {rate_in}"


@pytest.mark.parametrize(("rate_in", "rate_out"), PAIRS)
def test_the_length_is_right_within_two_samples(rate_in: int, rate_out: int) -> None:
    for samples in (1, 80, 441, 7919, rate_in):
        out = converted(b"\x10\x00" * samples, rate_in, rate_out)
        assert abs(len(out) / 2 - samples * rate_out / rate_in) <= 2


@pytest.mark.parametrize(("rate_in", "rate_out"), [*PAIRS, (8000, 8000)])
def test_pieces_of_any_length_give_what_the_whole_gives(rate_in: int, rate_out: int) -> None:
    chance = random.Random(rate_in + rate_out)
    speech_like = chance.randbytes(rate_in // 2)
    resampler = Resampler(rate_in, rate_out)
    out, at = b"", 0
    while at < len(speech_like):
        step = chance.choice((0, 1, 3, 7, 160, 161, 641, 4412))
        out += resampler.feed(speech_like[at : at + step])
        at += step
    out += resampler.flush()
    assert out == converted(speech_like, rate_in, rate_out)


def test_half_a_sample_waits_for_its_other_half_and_is_dropped_at_the_end() -> None:
    resampler = Resampler(8000, 8000)
    assert resampler.feed(b"\x01") == b""
    assert resampler.feed(b"\x02\x03") == b"\x01\x02"
    assert resampler.flush() == b""
    assert resampler.feed(b"\x04\x05") == b"\x04\x05"


def test_after_a_flush_the_next_stream_hears_nothing_of_the_last() -> None:
    used = Resampler(22050, 8000)
    used.feed(tone(1000, 22050))
    used.flush()
    quiet = used.feed(bytes(44100)) + used.flush()
    assert quiet == bytes(len(quiet))


def test_full_scale_is_clipped_and_never_wraps() -> None:
    square = (b"\xff\x7f" * 40 + b"\x00\x80" * 40) * 200  # overshoots at every edge
    out = np.frombuffer(converted(square, 16000, 8000), "<i2").astype(np.int32)
    # A sample that wrapped would stand at the other end of the scale from its neighbours.
    inside = out.reshape(-1, 20)[5:-5, 5:15]
    assert np.all(np.ptp(inside, axis=1) < 8000)


def test_another_rate_is_refused_by_name() -> None:
    for pair in ((11025, 8000), (8000, 0), (8000, -1)):
        with pytest.raises(ValueError, match=r"(11025|0|-1) Hz"):
            Resampler(*pair)
