"""The rig's provider, as a process, talked to by the engines that calls are served with."""

from __future__ import annotations

import json
import socket
import struct
import subprocess
import sys
import threading
import urllib.parse
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np
import pytest

from eslbot.rig.answers import OTHER, sentence, spoken_s, what
from eslbot.rig.provider import Provider, control, counts
from eslbot.rig.tones import Fixed, Mark, decode
from tests.conftest import wait_until
from workers.bot import Bot
from workers.llm.engine import LlmError, Request
from workers.llm.openai import OpenAiLlm
from workers.messages import Decision, DialogState, Line
from workers.stt.engine import Hints, SttError
from workers.stt.openai import OpenAiStt
from workers.tts.engine import TtsError
from workers.tts.openai import OpenAiTts

GREETING = "Welcome to Northwind Energy."
KNOWN = DialogState("balance", {"account": "1007"})
SAID = [sentence(Mark(1007, 2, part, part == 2)) for part in range(3)]


class Rig:
    """The process; what it wrote to stderr is asked for at its end."""

    def __init__(self, folder: Path) -> None:
        phrases = folder / "phrases.json"
        phrases.write_text(json.dumps(["Hello.", GREETING]))
        self.process = subprocess.Popen(
            [
                sys.executable, "-m", "eslbot.rig.provider", "--port", "0",
                "--phrases", str(phrases), "--person", "agent",
                "--stt-ms", "5", "--llm-ms", "5", "--llm-gap-ms", "1", "--tts-ms", "5",
            ],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self.process.stdout
        self.url = self.process.stdout.readline().strip()

    def connect(self) -> socket.socket:
        place = urllib.parse.urlsplit(self.url)
        assert place.hostname and place.port
        return socket.create_connection((place.hostname, place.port), 10)

    def stop(self) -> str:
        self.process.terminate()
        _, told = self.process.communicate(timeout=20)
        return told


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    one = Rig(tmp_path_factory.mktemp("rig"))
    yield one
    assert one.stop() == ""
    assert one.process.returncode == 0


@pytest.fixture
def rig(process: Rig) -> Rig:
    control(process.url, "all", "ok", transcript="what is my balance")
    return process


def model(rig: Rig, first_token_s: float = 5.0) -> OpenAiLlm:
    return OpenAiLlm(rig.url, "m", "", connect_timeout_s=5.0, first_token_s=first_token_s,
                     token_gap_s=5.0)  # fmt: skip


def turn(
    engine: OpenAiLlm, bot: Bot, text: str = "and now", within_s: float = 20.0
) -> list[object]:
    history = (Line("caller", "hello"), Line("bot", "Hello."))
    return list(engine.reply(Request(bot, KNOWN, history, text), within_s))


def heard(rig: Rig, text: str) -> tuple[list[object], float]:
    """What the voice says for a text, and for how long."""
    voice = OpenAiTts(rig.url, "m", "v", "", connect_timeout_s=5.0)
    pcm = b"".join(voice.speak(text, "en", 20.0))
    return [one.what for one in decode(np.frombuffer(pcm, "<i2"))], len(pcm) / 16000


def transcript(rig: Rig, within_s: float = 20.0) -> str:
    utterance = OpenAiStt(rig.url, "m", "", connect_timeout_s=5.0, max_audio_s=60.0).open(Hints())
    utterance.feed(bytes(16000))
    return utterance.finish(within_s).text


# -- as it should be


def test_the_model_names_the_call_and_the_turn_word_by_word(rig: Rig, energy: Bot) -> None:
    *words, decision = turn(model(rig), energy)
    assert "".join(map(str, words)).split() == " ".join(SAID).split()
    assert len(words) > 15
    assert decision == Decision(replace(KNOWN, turns=1))


def test_a_caller_who_asks_for_a_person_is_transferred(rig: Rig, energy: Bot) -> None:
    decision, *words = turn(model(rig), energy, "a Human please")
    assert isinstance(decision, Decision)
    assert (decision.action, decision.destination) == ("transfer", "agent")
    assert "".join(map(str, words)).strip() == energy.destinations["agent"].say


@pytest.mark.parametrize(("text", "expected"), [
    (SAID[0], Mark(1007, 2, 0, False)), (SAID[2], Mark(1007, 2, 2, True)),
    (GREETING, Fixed(1)), ("Hello.", Fixed(0)),
    ("The balance of 1 0 0 7 is nothing.", Mark(1007, 19, 7, True)),
    ("Account one zero Zero seven is closed.", Mark(1007, 19, 7, True)),
    ("Is it 2025?", Mark(2025, 19, 7, True)), ("We are open from 8 to 18.", OTHER),
    ("Marker call 1007 turn 99 part 0.", Mark(1007, 19, 7, True)),
])  # fmt: skip
def test_the_voice_says_what_can_be_recognised(rig: Rig, text: str, expected: Mark | Fixed) -> None:
    found, seconds = heard(rig, text)
    assert found == [expected]
    assert seconds == pytest.approx(spoken_s(text), abs=0.08)


def test_the_length_follows_the_text_within_bounds() -> None:
    assert [spoken_s("x" * length) for length in (1, 20, 500)] == [0.6, pytest.approx(1.2), 4.0]


@pytest.mark.parametrize("mark", [Mark(0, 0, 0, False), Mark(9999, 18, 7, True)])
def test_a_mark_survives_being_a_sentence(mark: Mark) -> None:
    assert what(sentence(mark), ()) == mark


def test_the_transcript_is_as_told(rig: Rig) -> None:
    assert transcript(rig) == "what is my balance"
    control(rig.url, "stt", "ok", transcript="when are you open")
    assert transcript(rig) == "when are you open"


@pytest.mark.parametrize("slots", [{}, {"account": "x"}, {"account": "123456"}])
def test_a_call_without_a_number_is_call_0(rig: Rig, energy: Bot, slots: dict[str, str]) -> None:
    request = Request(energy, DialogState("balance", slots), (), "hello")
    said = "".join(part for part in model(rig).reply(request, 20.0) if isinstance(part, str))
    assert said.startswith("Marker call 0 turn 1 part 0.")


def test_hundreds_at_once_each_get_their_own(rig: Rig) -> None:
    # Given 200 calls, each on a connection of its own, that all ask at once
    together = threading.Barrier(200)

    def ask(call: int) -> str:
        state = json.dumps({"slots": {"account": str(call)}})
        body = {"model": "m", "messages": [
            {"role": "system", "content": f"State of this call: {state}"},
            {"role": "user", "content": "hello"},
        ]}  # fmt: skip
        with httpx.Client(timeout=60, trust_env=False) as client:
            client.get(f"{rig.url}/models")
            together.wait(60)
            return client.post(f"{rig.url}/chat/completions", json=body).text

    before = counts(rig.url)["llm"]["requests"]
    with ThreadPoolExecutor(200) as pool:
        answers = list(pool.map(ask, range(1000, 1200)))
    # I expect each to hear of its own call, whole
    for call, answer in zip(range(1000, 1200), answers, strict=True):
        assert f'"{call} "' in answer
        assert answer.endswith("data: [DONE]\n\n")
    assert counts(rig.url)["llm"]["requests"] - before == 200


def test_how_many_are_served_at_once_is_counted(rig: Rig) -> None:
    control(rig.url, "tts", "timeout")
    clients = [rig.connect() for _ in range(50)]
    for client in clients:
        client.sendall(b"POST /v1/audio/speech HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
    wait_until(lambda: counts(rig.url)["tts"]["now"] == 50, what="all are waiting")
    for client in clients:
        client.close()
    wait_until(lambda: counts(rig.url)["tts"]["now"] == 0, what="none is left")
    assert counts(rig.url)["tts"]["peak"] == 50
    assert counts(rig.url)["all"]["peak"] >= 50


# -- faults


FAULTS = ["429", "500", "503", "timeout", "trickle", "half", "garbage", "html", "refuse"]


@pytest.mark.parametrize("mode", FAULTS)
def test_the_model_fails_as_told(rig: Rig, energy: Bot, mode: str) -> None:
    control(rig.url, "llm", mode)
    with pytest.raises(LlmError):
        turn(model(rig, first_token_s=1.0), energy, within_s=2.5)
    assert transcript(rig)
    control(rig.url, "llm", "ok")
    assert turn(model(rig), energy)


@pytest.mark.parametrize("mode", FAULTS)
def test_the_transcriber_fails_as_told(rig: Rig, mode: str) -> None:
    control(rig.url, "stt", mode)
    with pytest.raises(SttError):
        transcript(rig, 1.5)
    control(rig.url, "stt", "ok")
    assert transcript(rig)


@pytest.mark.parametrize("mode", ["429", "500", "503", "timeout", "trickle", "html", "refuse"])
def test_the_voice_fails_as_told(rig: Rig, mode: str) -> None:
    control(rig.url, "tts", mode)
    voice = OpenAiTts(rig.url, "m", "v", "", connect_timeout_s=5.0)
    with pytest.raises(TtsError):
        list(voice.speak(GREETING, "en", 1.5))


def test_the_voice_breaks_off_and_makes_noise_as_told(rig: Rig) -> None:
    voice = OpenAiTts(rig.url, "m", "v", "", connect_timeout_s=5.0)
    control(rig.url, "tts", "half")
    pcm = bytearray()
    with pytest.raises(TtsError):
        for piece in voice.speak(GREETING, "en", 20.0):
            pcm += piece
    assert [one.what for one in decode(np.frombuffer(pcm, "<i2"))] == [Fixed(1)]
    control(rig.url, "tts", "garbage")
    assert set(heard(rig, GREETING)[0]) == {None}


def test_a_refusal_says_when_to_come_back(rig: Rig) -> None:
    control(rig.url, "llm", "429")
    reply = httpx.post(f"{rig.url}/chat/completions", json={}, trust_env=False)
    assert (reply.status_code, reply.headers["Retry-After"]) == (429, "1")


def test_a_fault_ends_when_its_seconds_are_over(rig: Rig) -> None:
    assert control(rig.url, "stt", "503", seconds=0.05)["stt"]["mode"] == "503"
    wait_until(lambda: counts(rig.url)["stt"]["mode"] == "ok", what="the fault ends")
    assert transcript(rig)


def test_attempts_can_be_counted(rig: Rig) -> None:
    control(rig.url, "stt", "500")
    before = counts(rig.url)["stt"]
    with pytest.raises(SttError):
        transcript(rig)
    after = counts(rig.url)["stt"]
    tried = after["requests"] - before["requests"]
    assert tried > 1  # the engine tries again
    assert after["modes"]["500"] - before["modes"].get("500", 0) == tried
    assert after["now"] == 0


def test_slow_is_late_and_right(rig: Rig) -> None:
    control(rig.url, "stt", "slow")
    with pytest.raises(SttError):
        transcript(rig, 2.0)
    assert transcript(rig, 30.0) == "what is my balance"


# -- clients


@pytest.mark.parametrize("mode", ["ok", "timeout", "trickle", "half", "refuse", "slow"])
def test_clients_may_go_away_at_any_time(rig: Rig, mode: str) -> None:
    control(rig.url, "all", mode)
    body = json.dumps({"model": "m", "voice": "v", "input": GREETING * 30}).encode()
    head = b"POST /v1/audio/speech HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body)
    whole = head + body
    for sent in (0, 1, 20, len(head), len(head) + 9, len(whole)):
        for reset in (False, True):
            with rig.connect() as one:
                one.sendall(whole[:sent])
                if sent == len(whole) and mode == "ok":
                    one.recv(100)
                if reset:
                    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    wait_until(lambda: counts(rig.url)["all"]["now"] == 0, what="no request is left")
    control(rig.url, "all", "ok")
    assert heard(rig, GREETING)[0] == [Fixed(1)]


@pytest.mark.parametrize(("path", "body"), [
    ("chat/completions", b"junk"), ("chat/completions", b"[]"), ("chat/completions", b"{}"),
    ("chat/completions", b'{"model": "m", "messages": [{"role": "user"}]}'),
    ("chat/completions", b"[" * 100_000),
    ("audio/speech", b'{"model": "m", "input": 3}'), ("audio/transcriptions", b"RIFF"),
])  # fmt: skip
def test_what_the_api_would_refuse_is_refused(rig: Rig, path: str, body: bytes) -> None:
    reply = httpx.post(f"{rig.url}/{path}", content=body, trust_env=False)
    assert reply.status_code == 400
    assert reply.json()["error"]["message"]


@pytest.mark.parametrize(("role", "mode", "seconds", "named"), [
    ("cook", "ok", None, "cook"), ("llm", "broken", None, "broken"), ("llm", "500", -1, "-1"),
    ("llm", "500", float("nan"), "nan"),
])  # fmt: skip
def test_a_control_that_makes_no_sense_is_refused_by_name(
    rig: Rig, role: str, mode: str, seconds: float | None, named: str
) -> None:
    with pytest.raises(ValueError, match=named):
        control(rig.url, role, mode, seconds)


def test_what_can_not_be_served_is_not_started(tmp_path: Path) -> None:
    file = tmp_path / "phrases.json"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for arguments, content, named in (
            (["--port", port], "[]", port), (["--port", "99999"], "[]", "99999"),
            ([], '{"a": 1}', "list of strings"),
            ([], "junk", "phrases.json"), ([], json.dumps(["x"] * 60), "59 phrases"),
            (["--llm-ms", "-1"], "[]", "-1 ms"),
        ):  # fmt: skip
            file.write_text(content)
            done = subprocess.run(
                [sys.executable, "-m", "eslbot.rig.provider", "--phrases", str(file), *arguments],
                capture_output=True, text=True, timeout=60,
            )  # fmt: skip
            assert done.returncode == 2
            assert named in done.stderr
            assert "Traceback" not in done.stderr
    with pytest.raises(ValueError, match="60 phrases"):
        Provider(["x"] * 60)
