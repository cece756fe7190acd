"""VAD and endpointing on real speech, clean and in noise, and the clock that drives them."""

from __future__ import annotations

import numpy as np
import pytest

from eslbot.endpointing import Endpointer, Heard, SpeechEnded, SpeechStarted
from eslbot.vad import WINDOW_BYTES, Vad, VadError
from workers.tts.espeak import EspeakEngine

RATE = 8000
SENTENCES = [
    "What is my account balance?",
    "I would like to talk to a person, please.",
    "My account number is four two seven one.",
]


@pytest.fixture(scope="module")
def spoken() -> list[bytes]:
    engine = EspeakEngine()
    return [b"".join(engine.speak(text, "en", 10.0)) for text in SENTENCES]


def endpointer(**changes: int) -> Endpointer:
    values = {"min_speech_ms": 96, "silence_ms": 640, "preroll_ms": 300, "max_ms": 20_000,
              "chunk_ms": 100} | changes  # fmt: skip
    return Endpointer(start=0.5, stop=0.35, **values)  # type: ignore[arg-type]


def silence(seconds: float) -> bytes:
    return b"\0\0" * int(seconds * RATE)


def with_noise(pcm: bytes, snr_db: float) -> bytes:
    samples = np.frombuffer(pcm, "<i2").astype(np.float64)
    level = np.sqrt(np.mean(samples[np.abs(samples) > 200] ** 2))
    noise = np.random.default_rng(4).normal(0, level / 10 ** (snr_db / 20), samples.size)
    return np.clip(samples + noise, -32768, 32767).astype("<i2").tobytes()


def listen(pcm: bytes, one: Endpointer, vad: Vad | None = None) -> list[tuple[float, object]]:
    """All events with the second at which they came."""
    vad = vad or Vad(1, -55)
    place = vad.open()
    found: list[tuple[float, object]] = []
    for start in range(0, len(pcm) - WINDOW_BYTES + 1, WINDOW_BYTES):
        window = pcm[start : start + WINDOW_BYTES]
        odds = vad.probabilities([place], [window])[0]
        at = (start + WINDOW_BYTES) / 2 / RATE
        found += [(at, event) for event in one.window(window, float(odds))]
    vad.close(place)
    return found


def kinds(events: list[tuple[float, object]], kind: type) -> list[float]:
    return [at for at, event in events if isinstance(event, kind)]


@pytest.mark.parametrize("snr_db", [None, 20, 10])
@pytest.mark.parametrize("which", range(len(SENTENCES)))
def test_an_utterance_begins_once_and_ends_once(spoken, which, snr_db):
    pcm = silence(1) + spoken[which] + silence(2)
    if snr_db is not None:
        pcm = with_noise(pcm, snr_db)
    events = listen(pcm, endpointer())
    speech_s = len(spoken[which]) / 2 / RATE
    (began,) = kinds(events, SpeechStarted)
    (ended,) = kinds(events, SpeechEnded)
    assert 1.0 <= began <= 1.0 + 0.5
    assert 1 + speech_s * 0.7 + 0.64 <= ended <= 1 + speech_s + 0.64 + 0.4


LOUD = (8000 * np.sin(np.arange(256))).astype("<i2").tobytes()


def test_on_a_quiet_line_the_silence_is_counted_from_within_the_window_and_ends_within_one():
    one = endpointer(gate_dbfs=-50)
    for _ in range(6):
        one.window(LOUD, 0.9)
    one.window(LOUD[:-320] + bytes(320), 0.9)  # speech ends 20 ms before the window does
    for n in range(18):
        one.window(bytes(WINDOW_BYTES), 0.0)
        assert one.in_speech and not one.soon, n
    one.window(bytes(WINDOW_BYTES), 0.0)  # 628 ms
    assert one.soon
    assert one.partial(b"") == one.partial(bytes(160)) == []
    assert [e for e in one.partial(bytes(320)) if isinstance(e, SpeechEnded)] == [SpeechEnded(648)]
    assert not one.soon and not one.in_speech


def test_where_the_line_is_not_quiet_only_the_model_says_what_is_silence():
    one = endpointer(gate_dbfs=-50)
    hiss = (np.random.default_rng(1).normal(0, 300, 256)).astype("<i2").tobytes()
    for _ in range(6):
        one.window(LOUD, 0.9)
    for n in range(19):
        assert not kinds([(0.0, e) for e in one.window(hiss, 0.1)], SpeechEnded), n
    assert one.partial(hiss[:-2]) == []
    assert kinds([(0.0, e) for e in one.window(hiss, 0.1)], SpeechEnded)


def test_speech_that_begins_anew_within_the_window_is_waited_for():
    one = endpointer(gate_dbfs=-50)
    for _ in range(6):
        one.window(LOUD, 0.9)
    for _ in range(19):
        one.window(bytes(WINDOW_BYTES), 0.0)
    assert one.soon
    again = bytes(160) + LOUD[:320]
    assert one.partial(again) == []
    one.window(again + LOUD[:32], 0.9)
    assert one.in_speech and not one.soon


def test_what_is_heard_is_the_utterance_with_its_beginning_and_nothing_twice(spoken):
    pcm = silence(1) + spoken[0] + silence(2)
    events = [event for _, event in listen(pcm, endpointer())]
    heard = b"".join(e.pcm for e in events if isinstance(e, SpeechStarted | Heard))
    assert heard in pcm
    start = pcm.index(heard) / 2 / RATE
    assert 0.6 < start < 1.1
    assert len(heard) > len(spoken[0]) * 0.9


def test_an_utterance_is_heard_from_before_it_was_noticed():
    one = endpointer(preroll_ms=96, min_speech_ms=64)
    levels = [0.0] * 10 + [0.9] * 3
    windows = [bytes([n]) * WINDOW_BYTES for n in range(len(levels))]
    events = [e for w, level in zip(windows, levels, strict=True) for e in one.window(w, level)]
    (began,) = [event for event in events if isinstance(event, SpeechStarted)]
    assert began.pcm == b"".join(windows[7:12])  # three of silence, and two of speech


def test_silence_and_the_frames_of_a_caller_without_rtp_are_no_speech():
    for pcm in (silence(5), b"\xff" * (5 * 2 * RATE)):
        assert listen(pcm, endpointer()) == []


def test_a_short_knock_is_no_utterance():
    knock = (np.random.default_rng(1).normal(0, 9000, 400)).astype("<i2").tobytes()
    assert listen(silence(1) + knock + silence(1), endpointer()) == []


def test_interrupting_needs_more_speech_than_answering(spoken):
    pcm = silence(1) + spoken[1] + silence(1)
    early = kinds(listen(pcm, endpointer(min_speech_ms=64)), SpeechStarted)[0]
    late = kinds(listen(pcm, endpointer(min_speech_ms=320)), SpeechStarted)[0]
    assert late - early >= 0.25


def test_sound_that_stays_between_silence_and_speech_is_not_kept_for_ever():
    # Given speech that begins, one quiet window, and then what is neither
    one = endpointer(max_ms=2000)
    window = bytes(WINDOW_BYTES)
    levels = [0.6, 0.1] + [0.4] * 200
    # If that goes on for longer than an utterance may last
    events = [event for level in levels for event in one.window(window, level)]
    # I expect it to be an utterance, and to be cut
    assert isinstance(events[0], SpeechStarted)
    assert len(events[0].pcm) <= 4 * WINDOW_BYTES
    assert any(isinstance(event, SpeechEnded) and event.cut for event in events)


def test_an_utterance_without_end_is_cut(spoken):
    pcm = silence(0.5) + (spoken[1] + silence(0.2)) * 4
    events = [e for _, e in listen(pcm, endpointer(max_ms=3000))]
    cut = [e for e in events if isinstance(e, SpeechEnded)]
    assert cut[0].cut
    assert len(cut) >= 2


def test_calls_in_one_batch_do_not_hear_each_other(spoken):
    vad = Vad(3, -55)
    places = [vad.open() for _ in range(3)]
    length = min(len(s) for s in spoken) // WINDOW_BYTES
    together = []
    for n in range(length):
        windows = [s[n * WINDOW_BYTES : (n + 1) * WINDOW_BYTES] for s in spoken]
        together.append(vad.probabilities(places, windows))
    for which, pcm in enumerate(spoken):
        alone = Vad(1, -55)
        place = alone.open()
        for n in range(length):
            odds = alone.probabilities([place], [pcm[n * WINDOW_BYTES : (n + 1) * WINDOW_BYTES]])
            assert odds[0] == pytest.approx(together[n][which], abs=1e-3)


def test_a_place_used_again_remembers_nothing(spoken):
    vad = Vad(1, -55)
    first = listen(silence(0.5) + spoken[0] + silence(1), endpointer(), vad)
    again = listen(silence(0.5) + spoken[0] + silence(1), endpointer(), vad)
    assert [at for at, _ in first] == [at for at, _ in again]


def test_no_more_calls_than_places():
    vad = Vad(1, -55)
    vad.open()
    with pytest.raises(VadError):
        vad.open()
