"""The engines for OpenAI-compatible servers, against a local one that behaves, and does not."""

from __future__ import annotations

import io
import json
import struct
import time
import wave
from collections.abc import Iterator

import numpy as np
import pytest

from tests.provider import Provider, tone
from workers.bot import Bot
from workers.http_provider import Deadline, ProviderError, parse_json
from workers.llm.engine import LlmError, Request
from workers.llm.openai import OpenAiLlm
from workers.messages import Decision, DialogState, Line
from workers.stt.engine import Hints, SttError, Transcript
from workers.stt.openai import OpenAiStt
from workers.tts.engine import TtsError
from workers.tts.openai import OpenAiTts

KEY = "sk-canary-4271"
NOTHING_THERE = "http://127.0.0.1:9/v1"


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider() as one:
        yield one


def llm(url: str, first_token_s: float = 2.0, token_gap_s: float = 1.0) -> OpenAiLlm:
    return OpenAiLlm(url, "m", KEY, connect_timeout_s=1.0, first_token_s=first_token_s,
                     token_gap_s=token_gap_s)  # fmt: skip


def stt(url: str) -> OpenAiStt:
    return OpenAiStt(url, "whisper", KEY, connect_timeout_s=1.0, max_audio_s=30)


def tts(url: str) -> OpenAiTts:
    return OpenAiTts(url, "tts", "alloy", KEY, connect_timeout_s=1.0)


def request(bot: Bot, text: str = "when are you open", **state: object) -> Request:
    history = (Line("bot", bot.greeting), Line("caller", "hello"))
    return Request(bot, DialogState(**state), history, text)  # type: ignore[arg-type]


def reply(engine: OpenAiLlm, req: Request, timeout_s: float = 5.0) -> tuple[str, Decision]:
    parts = list(engine.reply(req, timeout_s))
    (decision,) = [p for p in parts if isinstance(p, Decision)]
    return "".join(p for p in parts if isinstance(p, str)), decision


def transcribe(engine: OpenAiStt, timeout_s: float = 5.0) -> Transcript:
    utterance = engine.open(Hints(phrases=("what is my balance",)))
    utterance.feed(b"\x01\x02" * 8000)
    try:
        return utterance.finish(timeout_s)
    finally:
        utterance.close()


# -- when all is well


def test_an_utterance_is_sent_as_a_wav_and_comes_back_as_text(provider: Provider):
    assert transcribe(stt(provider.url)).text == "what is my balance"
    asked = provider.seen[0]
    assert asked.headers["authorization"] == f"Bearer {KEY}"
    assert asked.fields["model"] == b"whisper"
    assert asked.fields["language"] == b"en"
    with wave.open(io.BytesIO(asked.fields["file"])) as file:
        assert (file.getframerate(), file.getnchannels()) == (16000, 1)
        assert file.getnframes() == pytest.approx(16000, abs=4)


def test_a_models_words_come_as_they_are_made(provider: Provider, energy: Bot):
    provider.plan.gap_s = 0.1
    at: list[float] = []
    said = ""
    for piece in llm(provider.url).reply(request(energy), 5.0):
        if isinstance(piece, str):
            at.append(time.monotonic())
            said += piece
    assert said == "We are open until six. Bye."
    assert at[-1] - at[0] > 0.2  # not collected first


def test_the_prompt_holds_what_the_model_needs_and_begins_with_what_never_changes(
    provider: Provider, energy: Bot
):
    engine = llm(provider.url)
    reply(engine, request(energy))
    reply(engine, request(energy, "something else", slots={"account": "4271"}))
    first, second = (asked.json["messages"] for asked in provider.seen)
    assert first[0] == second[0]
    assert "balance" in first[0]["content"]
    assert "4271" not in first[0]["content"]
    assert "4271" in second[1]["content"]
    assert first[-1] == {"role": "user", "content": "when are you open"}
    assert first[2] == {"role": "assistant", "content": energy.greeting}
    names = [t["function"]["name"] for t in provider.seen[0].json["tools"]]
    assert names == ["handle_intent", "transfer", "hang_up"]
    assert provider.seen[0].json["stream"] is True


def test_speech_is_streamed_at_24_khz_and_comes_out_at_8(provider: Provider):
    audio = b"".join(tts(provider.url).speak("hello", "en", 5.0))
    samples = np.frombuffer(audio, "<i2").astype(float)
    assert samples.size == pytest.approx(8000, abs=80)
    peak = int(np.argmax(np.abs(np.fft.rfft(samples)))) * 8000 / samples.size
    assert peak == pytest.approx(440, abs=3)
    assert provider.seen[0].json["response_format"] == "pcm"


def test_the_first_speech_is_there_before_the_last_is_made(provider: Provider):
    provider.plan.gap_s = 0.05
    provider.plan.speech_s = 2.0
    at = [time.monotonic() for _ in tts(provider.url).speak("hello", "en", 10.0)]
    assert at[-1] - at[0] > 0.3


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 24000])
def test_a_server_that_sends_a_wav_is_understood(provider: Provider, rate: int):
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setparams((1, 2, rate, 0, "NONE", ""))
        out.writeframes(tone(1.0, rate))
    # A streamed WAV does not know its length.
    body = bytearray(file.getvalue())
    body[4:8] = body[40:44] = b"\xff\xff\xff\xff"
    provider.plan.body, provider.plan.content_type = bytes(body), "audio/wav"
    audio = b"".join(tts(provider.url).speak("hello", "en", 5.0))
    assert len(audio) // 2 == pytest.approx(8000, abs=80)


# -- what a model may call for


def test_a_models_tool_call_is_answered_by_the_bots_own_rules(provider: Provider, energy: Bot):
    provider.plan.tools = [("handle_intent", '{"intent": "balance", "slots": {"account": "4271"}}')]
    said, decision = reply(llm(provider.url), request(energy))
    assert "one hundred and twenty dollars" in said
    assert decision.state.slots == {"account": "4271"}


def test_a_slot_that_is_missing_is_asked_for(provider: Provider, energy: Bot):
    provider.plan.tools = [("handle_intent", '{"intent": "balance"}')]
    said, decision = reply(llm(provider.url), request(energy))
    assert said.strip() == energy.slots["account"].ask
    assert decision.state.asked == "account"


def test_a_transfer_to_a_named_destination(provider: Provider, energy: Bot):
    provider.plan.tools = [("transfer", '{"destination": "billing"}')]
    _, decision = reply(llm(provider.url), request(energy))
    assert (decision.action, decision.destination) == ("transfer", "billing")


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("transfer", '{"destination": "+882123456"}'),
        ("transfer", '{"destination": ["billing"]}'),
        ("transfer", "{}"),
        ("transfer", "not json"),
        ("transfer", "[" * 5000),
        ("os.system", '{"command": "id"}'),
        ("handle_intent", '{"intent": "refund"}'),
        ("handle_intent", '{"intent": 7}'),
        ("handle_intent", '{"intent": "balance", "slots": [1]}'),
        ("", ""),
    ],
)
def test_what_a_model_must_not_call_for_is_refused(
    provider: Provider, energy: Bot, name, arguments
):
    provider.plan.tools = [(name, arguments)]
    try:
        said, decision = reply(llm(provider.url), request(energy))
    except LlmError:
        return
    assert said.strip() == energy.phrases.not_understood
    assert decision.action == "none"


@pytest.mark.parametrize("value", [4271, "four", "4271; drop", None])
def test_a_models_value_that_does_not_fit_its_slot_is_asked_for(provider, energy, value):
    arguments = json.dumps({"intent": "balance", "slots": {"account": value}})
    provider.plan.tools = [("handle_intent", arguments)]
    _, decision = reply(llm(provider.url), request(energy))
    assert decision.state.slots == {}
    assert decision.state.asked == "account"


# -- retries


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_what_is_worth_retrying_is_retried(provider: Provider, energy: Bot, status: int):
    provider.plan.statuses = [status]
    assert reply(llm(provider.url), request(energy))[0].startswith("We are open")
    provider.plan.statuses = [status]
    assert transcribe(stt(provider.url)).text
    provider.plan.statuses = [status]
    assert list(tts(provider.url).speak("x", "en", 5.0))


@pytest.mark.parametrize("status", [204, 301, 400, 401, 403, 404, 418])
def test_what_is_not_worth_retrying_fails_at_once_and_tells_no_secret(
    provider: Provider, energy: Bot, status: int
):
    provider.plan.statuses = [status] * 9
    for run, kind in (
        (lambda: reply(llm(provider.url), request(energy)), LlmError),
        (lambda: transcribe(stt(provider.url)), SttError),
        (lambda: list(tts(provider.url).speak("x", "en", 5.0)), TtsError),
    ):
        provider.seen.clear()
        with pytest.raises(kind) as caught:
            run()  # type: ignore[no-untyped-call]
        assert str(caught.value) == f"status {status}"
        assert len(provider.seen) == 1


def test_no_more_than_four_attempts(provider: Provider):
    provider.plan.statuses = [503] * 20
    with pytest.raises(SttError):
        transcribe(stt(provider.url), 10.0)
    assert len(provider.seen) == 4


def test_no_attempt_begins_past_the_deadline(provider: Provider):
    provider.plan.statuses = [503] * 20
    with pytest.raises(SttError):
        transcribe(stt(provider.url), 0.3)
    assert len(provider.seen) <= 2
    provider.seen.clear()
    provider.plan.retry_after = "3000"
    with pytest.raises(SttError):
        transcribe(stt(provider.url), 2.0)
    assert len(provider.seen) == 1  # it did not wait, nor ask again too early


def test_nobody_there_is_told_by_name_without_the_address(energy: Bot):
    with pytest.raises(LlmError) as caught:
        reply(llm(NOTHING_THERE), request(energy), 0.5)
    assert str(caught.value) == "can't connect (ConnectError)"


# -- answers that are none


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", "application/json"),
        (b"<html>It works!</html>", "text/html"),
        (b"{", "application/json"),
        (b'{"text": NaN}', "application/json"),
        (b'{"text": 7}', "application/json"),
        (b"[]", "application/json"),
        (b"[" * 100_000, "application/json"),
        (b"\xff\xfe\x00", "application/json"),
        (b"data: {\n\n", "text/event-stream"),
        (b"data: []\n\ndata: [DONE]\n\n", "text/event-stream"),
        (b"data: [DONE]\n\n", "text/event-stream"),
        (b'data: {"error": {"message": "secret"}}\n\n', "text/event-stream"),
        (b'data: {"choices": [{"delta": {"tool_calls": [7]}}]}\n\n', "text/event-stream"),
        (b"data: " + b"x" * 3_000_000, "text/event-stream"),
        (b"RIFF\xff\xff\xff\xffWAVE" + b"junk\xff\xff\xff\x7f" * 9, "audio/wav"),
        (b"RIFF....WAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 2, 44100, 0, 4, 16), "audio/wav"),
        (b"RIFF....WAVEdata\0\0\0\0xxxx", "audio/wav"),
    ],
)
def test_an_answer_that_is_none_is_an_error_never_a_hang(provider, energy, body, kind):
    provider.plan.body, provider.plan.content_type = body, kind
    with pytest.raises(LlmError):
        reply(llm(provider.url), request(energy))
    with pytest.raises(SttError):
        transcribe(stt(provider.url))
    if kind != "text/event-stream" and not (kind == "application/json" and not body):
        with pytest.raises(TtsError):
            list(tts(provider.url).speak("x", "en", 3.0))


def test_half_an_answer_is_an_error_after_what_was_said(provider: Provider, energy: Bot):
    provider.plan.stop_after = 4
    said = ""
    with pytest.raises(LlmError):
        for piece in llm(provider.url).reply(request(energy), 5.0):
            said += str(piece)
    assert said.startswith("We are ")
    assert len(provider.seen) == 1  # no second attempt once something was said


def test_a_model_that_never_begins_is_given_up_at_its_own_deadline(provider, energy):
    provider.plan.first_delay_s = 3.0
    with pytest.raises(LlmError, match="in time"):
        reply(llm(provider.url, first_token_s=0.2), request(energy), 30.0)


def test_a_model_that_stops_between_two_tokens_is_given_up(provider: Provider, energy: Bot):
    provider.plan.gap_s = 0.6
    with pytest.raises(LlmError):
        reply(llm(provider.url, first_token_s=2.0, token_gap_s=0.2), request(energy), 30.0)


def test_a_voice_that_drips_is_given_up_at_the_deadline(provider: Provider):
    provider.plan.gap_s = 0.3
    provider.plan.speech_s = 5.0
    with pytest.raises(TtsError):
        list(tts(provider.url).speak("x", "en", 1.0))


def test_an_endless_answer_is_cut(provider: Provider, energy: Bot):
    provider.plan.words = ["blah " * 100] * 20
    with pytest.raises(LlmError, match="more than"):
        reply(llm(provider.url), request(energy))


def test_an_utterance_too_long_to_be_kept_is_refused(provider: Provider):
    utterance = OpenAiStt(provider.url, "m", "", connect_timeout_s=1, max_audio_s=1).open(Hints())
    with pytest.raises(SttError):
        utterance.feed(b"\0" * 20_000)


@pytest.mark.parametrize("text", [b"NaN", b"Infinity", b"[" * 20_000, b'{"a":', b""])
def test_json_that_is_none(text):
    with pytest.raises(ProviderError):
        parse_json(text)


def test_a_lone_surrogate_is_json_and_harms_nobody():
    assert parse_json(b'{"a": "\\ud800"}') == {"a": "\ud800"}


def test_a_deadline_passes():
    deadline = Deadline(-1)
    with pytest.raises(ProviderError):
        deadline.check()
