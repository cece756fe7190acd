"""What providers answer: events, JSON, pauses asked for, tool calls, WAV headers.

The engines run as they are, on a connection pool that answers from memory.
"""

from __future__ import annotations

import email.utils
import io
import json
import struct
import wave
from collections.abc import Iterator
from random import Random
from typing import Any

import httpx

from eslbot.esl import clean_value, set_variables
from tests.conftest import ENERGY
from tests.fuzz.mutate import HOSTILE, NUMBERS, mangled, reshaped, sliced, text, value
from tests.fuzz.runner import Target
from tests.provider import tone
from workers.bot import load
from workers.http_provider import (
    MAX_EVENT_BYTES,
    Answer,
    Deadline,
    ProviderError,
    _retry_after,
    parse_json,
)
from workers.llm.engine import LlmError, Request
from workers.llm.openai import MAX_REPLY, OpenAiLlm
from workers.messages import Decision, DialogState, decode, encode
from workers.stt.engine import Hints, SttError
from workers.stt.openai import OpenAiStt
from workers.tts.engine import TtsError
from workers.tts.openai import OpenAiTts

BOT = load(ENERGY)
URL = "http://127.0.0.1:9/v1"
HOUR_S = 3600.0


class _Told:
    """An answer's pieces, as workers.http_pool.Reply."""

    status = 200

    def __init__(self, headers: list[tuple[bytes, bytes]], pieces: list[bytes]) -> None:
        self.headers = headers
        self._pieces = _pieces(pieces)

    def read(self) -> bytes:
        return next((piece for piece in self._pieces if piece), b"")

    def close(self) -> None:
        """There is no connection."""


class _Memory:
    """A connection pool whose answer is there already."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.content_type = "application/json"

    def send(self, _request: object) -> _Told:
        return _Told([(b"Content-Type", self.content_type.encode())], self.pieces)


def _pieces(pieces: list[bytes]) -> Iterator[bytes]:
    yield from pieces


_memory = _Memory()
_llm = OpenAiLlm(URL, "m", "", connect_timeout_s=1, first_token_s=HOUR_S, token_gap_s=HOUR_S)
_stt = OpenAiStt(URL, "m", "", connect_timeout_s=1, max_audio_s=30)
_tts = OpenAiTts(URL, "m", "v", "", connect_timeout_s=1)
for _provider in (_llm.provider, _stt.provider, _tts.provider):
    _provider._pool = _memory  # type: ignore[assignment]


# -- server-sent events

FIELDS = (
    b"data: ", b"data:", b"data:[DONE]", b"data: [DONE]\r\n", b": c\n", b"event: x\n", b"id: 7\n",
    b"\n\n", b"\r\n", b"\r", b"\xef\xbb\xbf", b"[DONE]", b"data", b"data : x\n", b"\0", b"\xff",
)  # fmt: skip


def _make_events(dice: Random) -> list[bytes]:
    stream = b"".join(
        b"data: " + json.dumps(value(dice, 1)).encode() + b"\n\n" for _ in range(dice.randrange(4))
    )
    if dice.random() < 0.001:
        stream += b"data: " + b"x" * (MAX_EVENT_BYTES + dice.randrange(-9, 9)) + b"\n\n"
    stream += b"data: [DONE]\n\n" if dice.random() < 0.7 else b""
    return sliced(dice, mangled(dice, stream, FIELDS, 2))


def _events(pieces: list[bytes]) -> tuple[list[bytes], bool]:
    found: list[bytes] = []
    answer = Answer(Deadline(HOUR_S), None)
    answer.take(_Told([], pieces))
    try:
        found.extend(answer.events())
    except ProviderError:
        return found, True
    return found, False


def _check_events(pieces: list[bytes]) -> bool:
    found, refused = _events(pieces)
    if sum(map(len, pieces)) < MAX_EVENT_BYTES:
        assert (found, refused) == _events([b"".join(pieces)]), "the cut decides"
    assert not any(b"\n" in data for data in found)
    return not refused


# -- JSON, and Retry-After


def _make_json(dice: Random) -> bytes:
    raw = json.dumps(value(dice, 3), ensure_ascii=dice.random() < 0.5).encode("utf-8", "replace")
    odd = (b"NaN", b"1e999", b"[" * 6000, b'{"a":' * 6000, b"9" * 5000, b'"\\ud800"', b"\xff")
    return dice.choice(odd) if dice.random() < 0.02 else mangled(dice, raw, odd, 2)


def _check_json(raw: bytes) -> bool:
    try:
        found = parse_json(raw)
    except ProviderError as error:
        assert len(str(error)) < 100
        return False
    # Strict JSON again: no NaN and no infinity can be in it.
    again = json.loads(json.dumps(found, allow_nan=False))
    assert again == found
    assert parse_json(raw.decode("utf-8", "replace")) == found
    return True


def _make_pause(dice: Random) -> tuple[str, str]:
    date = email.utils.formatdate(dice.choice((0, 1.7e9, 4e9)), usegmt=True)
    zones = [date.replace("GMT", zone) for zone in ("+999999999999999", "-0000", "+2400")]
    odd = (date, *zones, "Wed, 01 Jan 99999 00:00:00 GMT", "1e400", "-1", "nan", "0.5", "0 ,", ",")

    def one() -> str:
        raw = dice.choice((*odd, *HOSTILE)).encode("utf-8", "replace")
        made = mangled(dice, raw, (b"+", b"-", b" ", b":", b"GMT", b"9" * 12, b",", b"Jan"), 2)
        return made.decode("latin-1")

    return one(), dice.choice((date, one()))


def _check_pause(one: tuple[str, str]) -> bool:
    headers = httpx.Headers([(b"Retry-After", one[0].encode("latin-1")),
                             (b"Date", one[1].encode("latin-1"))])  # fmt: skip
    found = _retry_after(headers)
    assert found is None or found >= 0.0
    return found is not None


# -- a language model's stream

STATES = (
    DialogState(),
    DialogState("balance", {}, "account"),
    DialogState("address", {"street": "1 High Street", "postcode": "12345"}, "confirm"),
    DialogState("billing", {"account": "4271"}, None, 1),
)


def _make_llm(dice: Random) -> tuple[int, list[bytes]]:
    deltas: list[Any] = [{"role": "assistant"}]
    for _ in range(dice.randrange(3)):
        deltas.append({"content": text(dice, 3)})
    for index in range(dice.randrange(3)):
        name, arguments = dice.choice((
            ("handle_intent", {"intent": dice.choice([*BOT.intents, text(dice, 1)]),
                               "slots": {"account": text(dice, 2), "street": text(dice, 3)},
                               "confirmed": dice.choice((True, False, "yes"))}),
            ("transfer", {"destination": dice.choice(["billing", "agent", "+882", text(dice, 1)])}),
            ("hang_up", {}),
            (text(dice, 1), {}),
        ))  # fmt: skip
        raw = json.dumps(reshaped(dice, arguments, 1))
        if dice.random() < 0.1:
            raw = mangled(dice, raw.encode()).decode("utf-8", "replace")
        half = dice.randrange(len(raw) + 1)
        deltas.append({"tool_calls": [{"index": index, "function": {"name": name}}]})
        for part in (raw[:half], raw[half:]):
            deltas.append({"tool_calls": [{"index": index, "function": {"arguments": part}}]})
    stream = b""
    for delta in deltas:
        chunk: Any = {"choices": [{"index": 0, "delta": delta}]}
        if dice.random() < 0.15:
            chunk = reshaped(dice, chunk, 2)
        stream += b"data: " + json.dumps(chunk).encode() + b"\n\n"
    stream += b"data: [DONE]\n\n"
    if dice.random() < 0.2:
        stream = mangled(dice, stream, FIELDS, 2)
    return dice.randrange(len(STATES)), sliced(dice, stream)


def _check_llm(one: tuple[int, list[bytes]]) -> bool:
    at, _memory.pieces = one
    said = ""
    decisions = []
    try:
        for part in _llm.reply(Request(BOT, STATES[at], (), "hello"), HOUR_S):
            if isinstance(part, Decision):
                decisions.append(part)
            else:
                said += part
    except LlmError as error:
        assert len(str(error)) < 200
        return False
    said.encode()
    assert len(said) <= MAX_REPLY + 3000
    (decision,) = decisions
    assert (decision.action == "transfer") == (decision.destination is not None)
    assert decision.destination is None or decision.destination in BOT.destinations
    assert decision.state.intent is None or decision.state.intent in BOT.intents
    for name, slot in decision.state.slots.items():
        assert BOT.slots[name].accepts(slot), "a value that its slot does not take"
        set_variables("639c7676-e4ad-40ba-8fa8-737a69f4b5d3", {"ai_x": clean_value(slot)})
    assert decode({k.encode(): v for k, v in encode(decision).items()}) == decision
    return True


# -- a transcript


def _make_stt(dice: Random) -> list[bytes]:
    answer = reshaped(dice, {"text": text(dice, 5), "language": "en"}, 2)
    raw = json.dumps(answer).encode()
    return sliced(dice, mangled(dice, raw, (b"\xff", b"\\ud800", b"\0", b"\\n", b"}"), 2))


def _check_stt(pieces: list[bytes]) -> bool:
    _memory.pieces = pieces
    utterance = _stt.open(Hints())
    utterance.feed(bytes(1600))
    try:
        heard = utterance.finish(HOUR_S)
    except SttError as error:
        assert len(str(error)) < 200
        return False
    finally:
        utterance.close()
    heard.text.encode()
    assert len(heard.text) <= 4000 and len(heard.text.splitlines()) <= 1
    assert heard.text == " ".join(heard.text.split())
    assert 0.0 <= heard.confidence <= 1.0
    return True


# -- speech

_TONE = tone(0.02)


def _wav(rate: int) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setparams((1, 2, rate, 0, "NONE", ""))
        out.writeframes(_TONE)
    return file.getvalue()


_WAVS = [_wav(rate) for rate in (8000, 16000, 22050, 24000, 44100, 48000)]
_CHUNKS = (b"RIFF", b"WAVE", b"fmt ", b"data", b"LIST", b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x10",
           b"LIST\x04\0\0\0abcd", b"JUNK\0\0\0\0", b"ID3", b"OggS", b"fLaC")  # fmt: skip


def _make_tts(dice: Random) -> tuple[str, list[bytes]]:
    raw = dice.choice((*_WAVS, _TONE, _TONE + _TONE[:1]))
    if dice.random() < 0.7:  # in the header, where it matters
        head = mangled(dice, raw[:44], _CHUNKS, 3)
        for _ in range(dice.randrange(2)):
            if len(head) >= 24:
                at = dice.randrange(len(head) - 4)
                number = struct.pack("<I", dice.choice(NUMBERS) % 2**32)
                head = head[:at] + number + head[at + 4 :]
        raw = head + raw[44:]
    kind = dice.choice(("audio/pcm", "audio/wav", "", "audio/mpeg", text(dice, 1)))
    return kind.encode("ascii", "replace").decode(), sliced(dice, raw)


def _check_tts(one: tuple[str, list[bytes]]) -> bool:
    _memory.content_type, _memory.pieces = one
    made = b""
    try:
        for piece in _tts.speak("hello", "en", HOUR_S):
            assert piece and len(piece) % 2 == 0, "half a sample"
            made += piece
    except TtsError as error:
        assert len(str(error)) < 200
        return False
    # No rate that we take is lower than the telephone's.
    assert len(made) <= sum(map(len, one[1])) + 2000
    return True


TARGETS = [
    Target(
        "sse",
        "the same events however they are cut, one line each, or ProviderError",
        _make_events,
        _check_events,
    ),
    Target("json", "strict JSON, no NaN or infinity, or ProviderError", _make_json, _check_json),
    Target("retry-after", "seconds from 0 on, or None", _make_pause, _check_pause),
    Target(
        "llm-stream",
        "words within their bound and one decision that the bot's file allows, or LlmError",
        _make_llm,
        _check_llm,
    ),
    Target("stt-answer", "one line of UTF-8 within its bound, or SttError", _make_stt, _check_stt),
    Target("tts-audio", "whole samples, no more than came, or TtsError", _make_tts, _check_tts),
]
