"""Text-to-speech of an OpenAI-compatible server: what a telephone gets of what it sends."""

from __future__ import annotations

import io
import struct
import wave
from collections.abc import Iterator

import numpy as np
import pytest

from tests.provider import RATE, Plan, Provider, tone
from workers.tts.engine import TtsError
from workers.tts.openai import OpenAiTts

OK = b"HTTP/1.1 200 OK\r\n"


@pytest.fixture
def server() -> Iterator[Provider]:
    with Provider() as one:
        yield one


def speak(server: Provider, timeout_s: float = 5.0) -> Iterator[bytes]:
    engine = OpenAiTts(server.url, "tts", "alloy", "", connect_timeout_s=1.0)
    return engine.speak("hello", "en", timeout_s)


def wav(pcm: bytes, rate: int = RATE) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setparams((1, 2, rate, 0, "NONE", ""))
        out.writeframes(pcm)
    return file.getvalue()


def test_silence_before_and_after_the_words_is_not_played(server: Provider) -> None:
    silence = bytes(RATE)  # half a second
    server.plan.body = silence + tone(1.0) + silence
    server.plan.content_type = "audio/pcm"
    samples = np.frombuffer(b"".join(speak(server)), "<i2")
    assert samples.size == pytest.approx(8000 + 400, abs=200)


def test_nothing_but_silence_is_no_speech(server: Provider) -> None:
    server.plan.body, server.plan.content_type = bytes(RATE), "audio/pcm"
    with pytest.raises(TtsError, match="without audio"):
        list(speak(server))


def test_audio_cut_anywhere_comes_out_in_whole_samples(server: Provider) -> None:
    audio = tone(0.5)
    cuts = [1, 2, 3, 10, 11, 4801, 4802, len(audio)]
    pieces = [audio[a:b] for a, b in zip([0, *cuts], cuts, strict=False)]
    server.plan.wire = [OK + b"Content-Type: audio/pcm\r\n\r\n", *pieces]
    server.plan.gap_s = 0.01
    got = list(speak(server))
    assert all(piece and len(piece) % 2 == 0 for piece in got)
    server.plan = Plan(body=audio, content_type="audio/pcm")
    assert b"".join(got) == b"".join(speak(server))


def test_a_wav_cut_anywhere_in_its_header_is_the_same_wav(server: Provider) -> None:
    file = wav(tone(0.3, 16000), 16000)
    server.plan.wire = [OK + b"\r\n", *(bytes([b]) for b in file[:60]), file[60:]]
    got = b"".join(speak(server))
    server.plan = Plan(body=file, content_type="audio/wav")
    assert got == b"".join(speak(server))
    assert len(got) // 2 == pytest.approx(2400, abs=60)


@pytest.mark.parametrize("size", [0, 7, 2**31, 2**32 - 1])
def test_a_wav_that_lies_about_its_length_is_played_as_it_is(server: Provider, size: int) -> None:
    file = wav(tone(0.3))
    server.plan.content_type = "audio/wav"
    server.plan.body = file[:40] + struct.pack("<I", size) + file[44:]
    got = b"".join(speak(server))
    server.plan.body = file
    assert got == b"".join(speak(server))


@pytest.mark.parametrize(
    ("at", "wrong"),
    [
        (22, b"\2\0"), (24, struct.pack("<I", 44_100)), (24, b"\0\0\0\0"), (34, b"\x18\0"),
        (20, b"\3\0"), (12, b"junk"), (16, b"\xff\xff\xff\xff"), (36, b"LIST\xff\xff\xff\x7f"),
    ],
    ids=["stereo", "44.1 kHz", "0 Hz", "24 bits", "floats", "no format", "a long format",
         "a long chunk"],
)  # fmt: skip
def test_a_wav_that_is_no_telephones_is_refused(server: Provider, at: int, wrong: bytes) -> None:
    file = wav(tone(0.3))
    server.plan.content_type = "audio/wav"
    server.plan.body = file[:at] + wrong + file[at + len(wrong) :]
    with pytest.raises(TtsError, match="a WAV"):
        list(speak(server))


@pytest.mark.parametrize("body", [b"", b"x", b"RIFF"])
def test_less_than_a_sample_is_no_speech(server: Provider, body: bytes) -> None:
    server.plan.wire = [OK + b"\r\n" + body]
    with pytest.raises(TtsError):
        list(speak(server))


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("audio/mpeg", b"\xff\xfb\x90\x64" + bytes(999)),
        ("audio/MP3; x=y", b"\xff\xfb\x90\x64" + bytes(999)),
        ("application/octet-stream", b"ID3\x04" + bytes(999)),
        ("audio/pcm", b"OggS" + bytes(999)),
        ("", b"fLaC" + bytes(999)),
        ("audio/ogg", b"OggS"),
    ],
)
def test_encoded_audio_is_refused_instead_of_played_as_noise(
    server: Provider, kind: str, body: bytes
) -> None:
    server.plan.body, server.plan.content_type = body, kind
    with pytest.raises(TtsError, match="something else"):
        list(speak(server))


def test_half_a_sentence_is_played_and_then_an_error_and_not_begun_again(server: Provider) -> None:
    server.plan.stop_after = 3
    pieces = speak(server)
    assert len(next(pieces)) > 0
    with pytest.raises(TtsError, match="broke off"):
        list(pieces)
    assert len(server.seen) == 1


def test_speech_that_stops_without_an_end_is_given_up_at_the_deadline(server: Provider) -> None:
    server.plan.wire = [OK + b"Content-Length: 999999\r\n\r\n" + tone(0.2), b""]
    server.plan.gap_s = 30.0
    with pytest.raises(TtsError, match="in time"):
        list(speak(server, 0.4))


def test_a_text_with_half_a_pair_is_spoken_without_it(server: Provider) -> None:
    engine = OpenAiTts(server.url, "tts", "alloy", "", connect_timeout_s=1.0)
    assert list(engine.speak("hello \ud83d there", "en", 5.0))
    assert server.seen[0].json["input"] == "hello ? there"
