"""Speech processes: killed, wedged, orphaned, misbehaving on request; and their wire."""

from __future__ import annotations

import logging
import os
import signal
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.speech import BALANCE, PATIENCE_S, has_ended, same_words, spoken
from tests.speech_process import PIECE
from workers.tts.engine import TtsError
from workers.tts.espeak import EspeakEngine
from workers.tts.frames import (
    ERROR,
    MAX_REPLY_BYTES,
    MAX_REQUEST_BYTES,
    READY,
    FrameError,
    Reply,
    ReplyReader,
    RequestReader,
    encode_request,
)
from workers.tts.frames import PIECE as PIECE_KIND
from workers.tts.process_host import MAX_PENDING, MAX_STARTS, ProcessDied, ProcessHost

SPOKEN = [(8000, PIECE)]


@pytest.fixture
def host() -> Iterator[ProcessHost]:
    host = ProcessHost("puppet", "tests.speech_process")
    yield host
    host.close()


def say(host: ProcessHost, text: str, timeout_s: float = PATIENCE_S) -> list[tuple[int, bytes]]:
    return list(host.speak({"text": text}, timeout_s))


def test_a_speech_process_is_told_no_key(
    host: ProcessHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ESLBOT_TTS_API_KEY", "canary")
    monkeypatch.setenv("REDIS_URL", "redis://:canary@host/")
    host.start(PATIENCE_S)
    environ = Path(f"/proc/{host.pid}/environ").read_bytes()
    assert b"PYTHONPATH=" in environ
    assert b"canary" not in environ


@pytest.fixture(scope="module")
def espeak() -> Iterator[EspeakEngine]:
    engine = EspeakEngine()
    yield engine
    engine.close()


def test_espeak_killed_between_two_sentences_speaks_the_next_one(espeak: EspeakEngine) -> None:
    before = spoken(espeak, BALANCE)
    assert espeak.pid
    killed = espeak.pid
    os.kill(killed, signal.SIGKILL)
    assert same_words(spoken(espeak, BALANCE), before)
    assert espeak.pid != killed and has_ended(killed)


def test_espeak_killed_while_a_sentence_waits_in_it_still_speaks_it(espeak: EspeakEngine) -> None:
    before = spoken(espeak, BALANCE)
    assert espeak.pid
    os.kill(espeak.pid, signal.SIGSTOP)
    with ThreadPoolExecutor(4) as threads:
        asked = [threads.submit(spoken, espeak, BALANCE) for _ in range(4)]
        os.kill(espeak.pid, signal.SIGKILL)
        assert all(same_words(answer.result(PATIENCE_S), before) for answer in asked)


def test_a_wedged_espeak_misses_one_deadline_and_is_replaced(espeak: EspeakEngine) -> None:
    before = spoken(espeak, "Goodbye.")
    assert espeak.pid
    wedged = espeak.pid
    os.kill(wedged, signal.SIGSTOP)
    with pytest.raises(TtsError, match=r"nothing within 0\.2 s"):
        list(espeak.speak("Goodbye.", "en", 0.2))
    assert has_ended(wedged)
    assert same_words(spoken(espeak, "Goodbye."), before)


def test_espeak_outlives_the_thread_that_started_it() -> None:
    engine = EspeakEngine()
    first = threading.Thread(target=engine.start)
    first.start()
    first.join()
    started = engine.pid
    spoken(engine, "Hello.")
    assert started is not None and engine.pid == started
    engine.close()
    assert has_ended(started)


def test_espeak_does_not_outlive_a_killed_worker() -> None:
    # Given a worker whose own child holds every pipe open that it can
    worker = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import os, time\n"
            "from workers.tts.espeak import EspeakEngine\n"
            "engine = EspeakEngine()\n"
            "engine.start()\n"
            "if os.fork() == 0:\n"
            "    time.sleep(60)\n"
            "    os._exit(0)\n"
            "print(engine.pid, flush=True)\n"
            "time.sleep(60)\n",
        ],
        cwd=Path(__file__).parents[1],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert worker.stdout
    speaking = int(worker.stdout.readline())
    try:
        worker.kill()
        assert has_ended(speaking)
    finally:
        os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()
        worker.stdout.close()


def test_a_fork_of_the_worker_gets_a_voice_of_its_own(espeak: EspeakEngine) -> None:
    before = spoken(espeak, BALANCE)
    parents = espeak.pid
    read, write = os.pipe()
    if (fork := os.fork()) == 0:  # pragma: no cover  (in the other process)
        try:
            same = same_words(spoken(espeak, BALANCE), before) and espeak.pid != parents
            os.write(write, b"yes" if same else b"no")
        finally:
            os._exit(0)
    os.close(write)
    assert os.read(read, 10) == b"yes"
    os.close(read)
    os.waitpid(fork, 0)
    assert same_words(spoken(espeak, BALANCE), before) and espeak.pid == parents


def test_the_first_piece_comes_before_the_last_is_made(host: ProcessHost) -> None:
    speech = host.speak({"text": "one piece, then nothing"}, PATIENCE_S)
    assert next(speech) == SPOKEN[0]


def test_leaving_early_stops_the_synthesiser_and_frees_it(host: ProcessHost) -> None:
    for _ in range(5):
        speech = host.speak({"text": "for ever"}, PATIENCE_S)
        assert next(speech) == SPOKEN[0]
        speech.close()  # type: ignore[attr-defined]
        assert say(host, "one piece") == SPOKEN


def test_a_synthesiser_run_wild_is_stopped_at_the_bound(host: ProcessHost) -> None:
    with pytest.raises(TtsError, match="more audio than any sentence has"):
        say(host, "for ever")
    assert say(host, "one piece") == SPOKEN


def test_death_in_the_middle_is_an_error_and_nothing_is_said_twice(host: ProcessHost) -> None:
    speech = host.speak({"text": "one piece, then death"}, PATIENCE_S)
    assert next(speech) == SPOKEN[0]
    with pytest.raises(ProcessDied, match="status 9"):
        next(speech)
    assert say(host, "one piece") == SPOKEN


def test_silence_in_the_middle_ends_at_the_deadline(host: ProcessHost) -> None:
    host.start(PATIENCE_S)
    speech = host.speak({"text": "one piece, then nothing"}, 1.0)
    assert next(speech) == SPOKEN[0]
    with pytest.raises(TtsError, match=r"nothing within 1 s"):
        next(speech)


def test_a_poisoned_sentence_kills_two_processes_at_most(host: ProcessHost) -> None:
    host.start(PATIENCE_S)
    first = host.pid
    with pytest.raises(ProcessDied):
        say(host, "death")
    second = host.pid
    assert say(host, "one piece") == SPOKEN
    assert len({first, second, host.pid}) == 3


def test_a_process_that_always_dies_is_not_restarted_for_ever(host: ProcessHost) -> None:
    with pytest.raises(TtsError, match=f"died {MAX_STARTS} times"):
        for _ in range(MAX_STARTS):
            with pytest.raises(ProcessDied):
                say(host, "death")


def test_a_process_that_can_not_start_says_why() -> None:
    host = ProcessHost("piper", "workers.tts.piper_process", ("/nowhere/voice.onnx",))
    with pytest.raises(TtsError, match="piper can't start: "):
        say(host, "hello")


def test_a_module_that_is_not_there_is_an_error() -> None:
    with pytest.raises(TtsError, match="nobody ended with status 1"):
        say(ProcessHost("nobody", "workers.tts.no_such_process"), "hello")


def test_too_many_waiting_sentences_are_refused(host: ProcessHost) -> None:
    host.start(PATIENCE_S)
    asked = [host.speak({"text": "for ever"}, PATIENCE_S) for _ in range(MAX_PENDING)]
    # Only the first is spoken; the others wait in the process, asked but not yet served.
    assert next(asked[0]) == SPOKEN[0]
    child = host._child
    assert child is not None
    waiting = [child.ask({"text": "one piece"})[0] for _ in range(MAX_PENDING - 1)]
    with pytest.raises(TtsError, match=f"{MAX_PENDING} sentences are waiting"):
        say(host, "one piece")
    for request_id in waiting:
        child.cancel(request_id)
    asked[0].close()  # type: ignore[attr-defined]
    assert say(host, "one piece") == SPOKEN


def test_a_refusal_is_told_and_a_crash_is_told_without_the_words(
    host: ProcessHost, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with pytest.raises(TtsError, match="puppet: not today"):
        say(host, "sorry")
    with pytest.raises(TtsError, match="KeyError") as raised:
        say(host, "anything else")
    assert "secret" not in str(raised.value) + caplog.text
    assert say(host, "one piece") == SPOKEN


def test_frames_cross_byte_by_byte() -> None:
    replies = [
        Reply(READY, 0, b'{"rate_hz": 22050}'),
        Reply(PIECE_KIND, 1, bytes(5)),
        Reply(ERROR, 4_294_967_295, "naïve".encode()),
        Reply(PIECE_KIND, 1),
    ]
    wire = b"".join(reply.encode() for reply in replies)
    reader = ReplyReader()
    assert [r for byte in wire for r in reader.feed(bytes([byte]))] == replies

    requests: list[dict[str, object]] = [
        {"id": 1, "text": "a\ud800 😀\x00"},
        {"id": 1, "cancel": True},
    ]
    wire = b"".join(map(encode_request, requests))
    back = RequestReader()
    assert [r for byte in wire for r in back.feed(bytes([byte]))] == requests


@pytest.mark.parametrize(
    "wire",
    [struct.pack("<BII", 0, 0, 0), struct.pack("<BII", PIECE_KIND, 1, MAX_REPLY_BYTES + 1)],
    ids=["unknown kind", "too long"],
)
def test_replies_that_break_the_protocol_are_refused(wire: bytes) -> None:
    with pytest.raises(FrameError):
        list(ReplyReader().feed(wire))


@pytest.mark.parametrize(
    "wire",
    [
        struct.pack("<I", MAX_REQUEST_BYTES + 1),
        struct.pack("<I", 1) + b"{",
        struct.pack("<I", 2) + b"[]",
        struct.pack("<I", 2) + b"{}",
        struct.pack("<I", 12) + b'{"id": true}',
        struct.pack("<I", 1) + b"\xff",
        struct.pack("<I", 100_000) + b"[" * 100_000,
    ],
    ids=["too long", "not JSON", "a list", "no id", "id is true", "not UTF-8", "deep"],
)
def test_requests_that_break_the_protocol_are_refused(wire: bytes) -> None:
    with pytest.raises(FrameError):
        list(RequestReader().feed(wire))


def test_a_request_too_large_is_not_sent() -> None:
    with pytest.raises(FrameError):
        encode_request({"id": 1, "text": "x" * MAX_REQUEST_BYTES})
