"""Speech-to-text of an OpenAI-compatible server: what it is sent and what it makes of it."""

from __future__ import annotations

import io
import json
import math
import struct
import wave
from collections.abc import Iterator

import numpy as np
import pytest

from tests.provider import Plan, Provider
from workers.stt.engine import Expect, Hints, SttError, Transcript
from workers.stt.openai import MAX_PROMPT, OpenAiStt

RATE = 8000


@pytest.fixture
def server() -> Iterator[Provider]:
    with Provider() as one:
        yield one


def tone(seconds: float, hertz: float) -> bytes:
    count = int(seconds * RATE)
    step = 2 * math.pi * hertz / RATE
    return struct.pack(f"<{count}h", *(int(9000 * math.sin(step * n)) for n in range(count)))


def hear(server: Provider, pcm: bytes, hints: Hints | None = None) -> Transcript:
    engine = OpenAiStt(server.url, "whisper", "", connect_timeout_s=1.0, max_audio_s=30)
    utterance = engine.open(hints or Hints())
    try:
        for at in range(0, len(pcm), 320):
            assert utterance.feed(pcm[at : at + 320]) is None
        return utterance.finish(5.0)
    finally:
        utterance.close()


def test_no_more_of_an_utterance_is_kept_than_may_be(server: Provider) -> None:
    with pytest.raises(SttError, match="longer than may be kept"):
        hear(server, bytes(31 * RATE * 2))
    assert server.seen == []


def test_what_the_caller_said_is_in_the_wav(server: Provider) -> None:
    hear(server, tone(1.0, 1234.0))
    with wave.open(io.BytesIO(server.seen[0].fields["file"])) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (16000, 1, 2)
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(float)
    assert samples.size == pytest.approx(16000, abs=4)
    peak = int(np.argmax(np.abs(np.fft.rfft(samples)))) * 16000 / samples.size
    assert peak == pytest.approx(1234, abs=2)
    assert server.faults == []


def test_a_second_attempt_sends_the_whole_utterance_again(server: Provider) -> None:
    server.plan.statuses = [503]
    assert hear(server, tone(1.0, 440.0)).text == "what is my balance"
    first, second = server.seen
    assert first.fields == second.fields
    assert "authorization" not in first.headers  # without a key


@pytest.mark.parametrize("pcm", [b"", b"\1\2" * 799])
def test_less_than_any_word_lasts_is_not_sent(server: Provider, pcm: bytes) -> None:
    assert hear(server, pcm) == Transcript("", 0.0)
    assert server.seen == []


def test_the_bots_phrases_are_a_bounded_prompt(server: Provider) -> None:
    phrases = ("what is my balance", *("größer " * 10 for _ in range(200)))
    hear(server, tone(0.2, 440.0), Hints(phrases=phrases, language="de-AT"))
    fields = server.seen[0].fields
    prompt = fields["prompt"].decode()
    assert prompt.startswith("what is my balance")
    assert len(prompt) == MAX_PROMPT
    assert fields["language"] == b"de"


@pytest.mark.parametrize("expect", ["digits", "yes_no"])
def test_phrases_are_no_prompt_for_an_answer_of_digits_or_yes(
    server: Provider, expect: Expect
) -> None:
    hear(server, tone(0.2, 440.0), Hints(expect, ("what is my balance",)))
    assert "prompt" not in server.seen[0].fields


@pytest.mark.parametrize(
    ("said", "text"),
    [
        (" My  balance.\n", "My balance."),
        ("Größe 日本 🙂", "Größe 日本 🙂"),
        ("half \ud83d a pair", "half ? a pair"),
        ("", ""),
        ("blah " * 5000, None),
    ],
)
def test_any_text_of_a_server_is_one_bounded_line_of_utf_8(
    server: Provider, said: str, text: str | None
) -> None:
    server.plan.body = json.dumps({"text": said}).encode()
    heard = hear(server, tone(0.2, 440.0))
    assert heard.text == text or text is None
    assert len(heard.text.encode()) <= 4000
    assert (heard.confidence > 0) == bool(said)


@pytest.mark.parametrize(
    "body",
    [b"", b"null", b"[]", b"{}", b'{"text": 7}', b'{"text": NaN}', b"<html>busy</html>",
     b"[" * 100_000, b'{"text": "' + b"x" * 300_000 + b'"}'],
    ids=["empty", "null", "list", "no text", "number", "NaN", "HTML", "deep", "long"],
)  # fmt: skip
def test_an_answer_that_is_no_transcript_is_an_error(server: Provider, body: bytes) -> None:
    server.plan.wire = [b"HTTP/1.1 200 OK\r\n\r\n" + body]
    with pytest.raises(SttError):
        hear(server, tone(0.2, 440.0))


def test_half_an_answer_is_none(server: Provider) -> None:
    server.plan = Plan(wire=[b'HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\n{"text": "my bal'])
    with pytest.raises(SttError, match="broke off"):
        hear(server, tone(0.2, 440.0))
    assert len(server.seen) == 1
