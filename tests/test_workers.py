"""Worker processes on a real Redis: jobs by allow-list, streams in and out, death and recovery."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import redis
from rq import Queue
from rq.exceptions import StopRequested
from rq.registry import FailedJobRegistry
from rq.serializers import JSONSerializer

from tests.conftest import RedisServer, wait_until
from workers import jobs, streams
from workers.bot import Bot, load
from workers.messages import (
    Audio,
    AudioEnd,
    Cancel,
    Decision,
    Failed,
    Final,
    Message,
    Sentence,
    SentencesEnd,
    Speech,
    SpeechEnd,
    Started,
    Turn,
    decode,
    turn_to_json,
)
from workers.stt.engine import Hints, SttError
from workers.wire import Wire
from workers.worker import MAX_JOB_BYTES, PoolWorker, Slots, _Taken, work

OUT = "eslbot:out:test"
ROOT = Path(__file__).parent.parent


class Pool:
    """Starts worker processes; reads what they say to the listener."""

    def __init__(self, server: RedisServer, bot: Bot, folder: Path) -> None:
        self.server = server
        self.bot = bot
        self.client = server.client()
        self.queues = streams.queues(self.client)
        self._folder = folder
        self._processes: list[subprocess.Popen[str]] = []
        streams.put_bot(self.client, bot)

    def start(self, role: str, *arguments: str, **environ: str) -> subprocess.Popen[str]:
        env = {"PATH": os.environ["PATH"], "REDIS_URL": self.server.url,
               "ESLBOT_STATE_DIR": str(self._folder), "ESLBOT_TTS": "espeak"} | environ  # fmt: skip
        process = subprocess.Popen(
            [sys.executable, "-m", "workers", role, *arguments],
            cwd=ROOT,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._processes.append(process)
        before = len(self._processes)
        wait_until(
            lambda: process.poll() is not None or len(streams.living(self.client, role)) >= 1,
            30,
            f"worker {role} of {before} is there",
        )
        return process

    def turn(self, call: str = "call-1", epoch: int = 1, listen_s: float = 20.0) -> Turn:
        return Turn(call, epoch, OUT, self.bot.sha, listen_s, 10.0)

    def enqueue(self, turn: Turn, stage: str) -> None:
        pipe = self.client.pipeline()
        streams.enqueue(pipe, turn, stage)  # type: ignore[arg-type]
        pipe.execute()

    def feed(self, turn: Turn, stage: str, *messages: Message) -> None:
        for message in messages:
            streams.feed(self.client, turn, stage, message, 60)  # type: ignore[arg-type]

    def told(self, call: str = "call-1") -> list[Message]:
        found = self.client.xrange(OUT)
        return [decode(f) for _, f in found if streams.address(f)[0] == call]

    def told_one(self, kind: type, call: str = "call-1") -> Callable[[], bool]:
        return lambda: any(isinstance(m, kind) for m in self.told(call))

    def stop(self) -> None:
        for process in self._processes:
            if process.poll() is None:
                process.kill()
            process.wait()
            if process.stdout:
                process.stdout.close()
        self.client.close()


@pytest.fixture
def pool(redis_process: RedisServer, energy: Bot, tmp_path: Path) -> Iterator[Pool]:
    one = Pool(redis_process, energy, tmp_path)
    yield one
    one.stop()


def test_sentences_become_speech_in_order(pool: Pool):
    pool.start("tts")
    turn = pool.turn()
    pool.enqueue(turn, "tts")
    pool.feed(turn, "tts", Sentence(0, "Good morning."))
    wait_until(lambda: SpeechEnd(0, last=False) in pool.told())
    # The first is spoken before the second exists: stages overlap.
    pool.feed(turn, "tts", Sentence(1, "How can I help you?"), SentencesEnd(2))
    wait_until(lambda: SpeechEnd(1, last=True) in pool.told())
    told = pool.told()
    assert isinstance(told[0], Started)
    assert (told[0].stage, told[0].engine, told[0].level) == ("tts", "espeak", 0)
    pieces = [(m.index, m.seq) for m in told if isinstance(m, Speech)]
    assert pieces == sorted(pieces)
    assert {index for index, _ in pieces} == {0, 1}
    assert sum(len(m.pcm) for m in told if isinstance(m, Speech)) > 16_000


def test_a_final_text_becomes_a_decision_and_sentences(pool: Pool):
    pool.start("llm")
    turn = pool.turn()
    pool.enqueue(turn, "llm")
    pool.feed(turn, "llm", Final("what are your opening hours"))
    wait_until(pool.told_one(SentencesEnd))
    (decision,) = [m for m in pool.told() if isinstance(m, Decision)]
    assert decision.intent == "hours"
    assert decision.state.intent is None  # nothing of it is open
    hours = pool.bot.intents["hours"].answer or ""
    said = " ".join(m.text for m in pool.told() if isinstance(m, Sentence))
    assert hours in said
    count = len([m for m in pool.told() if isinstance(m, Sentence)])
    assert pool.told()[-1] == SentencesEnd(count)


def test_what_the_caller_has_heard_already_is_not_said_again(pool: Pool):
    pool.start("llm")
    hours = pool.bot.intents["hours"].answer or ""
    turn = replace(pool.turn(), said=(hours,))
    pool.enqueue(turn, "llm")
    pool.feed(turn, "llm", Final("what are your opening hours"))
    wait_until(pool.told_one(SentencesEnd))
    said = [m for m in pool.told() if isinstance(m, Sentence)]
    assert [(m.index, m.text) for m in said] == [(1, pool.bot.phrases.anything_else)]
    assert pool.told()[-1] == SentencesEnd(2)


def test_a_voice_leaves_out_what_was_said(pool: Pool):
    pool.start("tts")
    turn = replace(pool.turn(), said=("Good morning.",))
    pool.enqueue(turn, "tts")
    pool.feed(turn, "tts", Sentence(0, "Good morning."), Sentence(1, "Yes?"), SentencesEnd(2))
    wait_until(lambda: SpeechEnd(1, last=True) in pool.told())
    assert {m.index for m in pool.told() if isinstance(m, Speech)} == {1}


def test_audio_with_a_gap_is_given_up(pool: Pool):
    inbox = streams.Inbox(Wire(pool.client), turn := pool.turn(), "stt")
    pool.feed(turn, "stt", Audio(0, b"ab"), Audio(2, b"ef"), AudioEnd())
    with pytest.raises(streams.InputLost, match="audio 1"):
        list(inbox.messages(5.0))


def test_a_language_that_the_engine_does_not_know_keeps_no_bot_from_being_ready():
    class Engine:
        def __init__(self) -> None:
            self.opened: list[str] = []

        def open(self, hints: Hints) -> Any:
            self.opened.append(hints.language)
            if hints.language != "en":
                raise SttError("the model does not know the bot's language")
            return SimpleNamespace(close=lambda: None)

    bot = load(ROOT / "tests" / "data" / "bots" / "parcels.yaml")
    assert len(bot.voices) > 1
    engine = Engine()
    context: Any = SimpleNamespace(
        bot=lambda sha: bot, levels=[SimpleNamespace(engine=engine)], stage="stt", library=None,
        tools=None,
    )  # fmt: skip
    jobs.warm(context, bot.sha, 1)
    assert set(engine.opened) == {voice.language for voice in bot.voices}
    whole = bot.model_copy(update={"language": "de", "languages": {}})
    context.bot = lambda sha: whole
    with pytest.raises(SttError):  # its own it has to know
        jobs.warm(context, whole.sha, 1)


def test_many_turns_at_once_in_one_process(pool: Pool):
    pool.start("tts", ESLBOT_WORKER_SLOTS="16")
    turns = [pool.turn(f"call-{n}") for n in range(16)]
    for turn in turns:
        pool.enqueue(turn, "tts")
    for turn in turns:
        wait_until(pool.told_one(Started, turn.call), what="all wait for words together")
    for turn in turns:
        pool.feed(turn, "tts", Sentence(0, f"This is {turn.call}."), SentencesEnd(1))
    for turn in turns:
        wait_until(lambda call=turn.call: SpeechEnd(0, last=True) in pool.told(call))  # type: ignore[misc]


def test_a_cancelled_turn_is_silent_and_frees_its_slot(pool: Pool):
    pool.start("tts", ESLBOT_WORKER_SLOTS="1")
    first = pool.turn("call-1")
    pool.enqueue(first, "tts")
    wait_until(pool.told_one(Started))
    pool.feed(first, "tts", Cancel())
    second = pool.turn("call-2")
    pool.enqueue(second, "tts")
    pool.feed(second, "tts", Sentence(0, "I am next."), SentencesEnd(1))
    wait_until(lambda: SpeechEnd(0, last=True) in pool.told("call-2"))
    assert [type(m) for m in pool.told("call-1")] == [Started]


def test_words_that_never_come_end_the_job_and_the_listener_is_told(pool: Pool):
    pool.start("llm")
    turn = pool.turn(listen_s=0.5)
    pool.enqueue(turn, "llm")
    wait_until(pool.told_one(Failed))
    (failed,) = [m for m in pool.told() if isinstance(m, Failed)]
    assert failed.stage == "llm"


def test_a_bot_that_is_not_in_redis_fails_the_turn_with_its_name(pool: Pool):
    pool.start("llm")
    turn = Turn("call-1", 1, OUT, "feedfeedfeedfeed", 5.0, 5.0)
    pool.enqueue(turn, "llm")
    wait_until(pool.told_one(Failed))
    assert "feedfeedfeedfeed" in next(m.reason for m in pool.told() if isinstance(m, Failed))


@pytest.mark.parametrize(
    "function", ["os.system", "subprocess.call", "workers.jobs.run", "workers.jobs.transcribe"]
)
def test_a_function_that_is_not_on_the_list_is_not_run(pool: Pool, tmp_path: Path, function: str):
    process = pool.start("tts")
    trace = tmp_path / "was-run"
    queue = pool.queues["tts"]
    job = queue.enqueue_call(function, args=(f"touch {trace}",), failure_ttl=60)
    registry = FailedJobRegistry("tts", connection=pool.client, serializer=JSONSerializer)
    wait_until(lambda: job.id in registry.get_job_ids())
    assert not trace.exists()
    assert process.poll() is None


def test_a_turn_of_another_function_is_not_done_either(pool: Pool):
    pool.start("tts")
    turn = pool.turn()
    queue = pool.queues["tts"]
    job = queue.enqueue_call("os.system", kwargs={"turn": turn_to_json(turn)}, failure_ttl=60)
    registry = FailedJobRegistry("tts", connection=pool.client, serializer=JSONSerializer)
    wait_until(lambda: job.id in registry.get_job_ids())
    assert 0 < pool.client.ttl(job.key) <= streams.FAILED_JOB_TTL_S  # type: ignore[operator]
    assert pool.told() == []


class _Bomb:
    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> object:
        return (os.system, (f"touch {self.path}",))


def test_a_pickle_in_the_queue_is_never_opened_and_the_worker_lives(pool: Pool, tmp_path: Path):
    process = pool.start("tts")
    trace = tmp_path / "was-run"
    job = pool.queues["tts"].create_job("workers.jobs.speak")
    job.save()
    pool.client.hset(job.key, "data", pickle.dumps(("os.getpid", None, (_Bomb(str(trace)),), {})))
    pool.client.rpush(pool.queues["tts"].key, job.id)
    pool.client.rpush(pool.queues["tts"].key, "no-such-job")
    turn = pool.turn()
    pool.enqueue(turn, "tts")
    pool.feed(turn, "tts", Sentence(0, "Still here."), SentencesEnd(1))
    wait_until(lambda: SpeechEnd(0, last=True) in pool.told(), 15)
    assert not trace.exists()
    assert process.poll() is None


def test_rq_knows_the_worker(pool: Pool):
    from rq import Worker

    pool.start("llm")

    def queues() -> list[list[str]]:
        found = Worker.all(connection=pool.client, serializer=JSONSerializer)
        return [worker.queue_names() for worker in found]

    wait_until(lambda: queues() == [["llm"]])


def test_a_worker_survives_redis_going_and_coming_back_empty(pool: Pool):
    process = pool.start("tts")
    pool.server.kill()
    pool.server.start()
    streams.put_bot(pool.client, pool.bot)
    wait_until(lambda: streams.living(pool.client, "tts"), 20, "the worker is back")
    turn = pool.turn()
    pool.enqueue(turn, "tts")
    pool.feed(turn, "tts", Sentence(0, "Back again."), SentencesEnd(1))
    wait_until(lambda: SpeechEnd(0, last=True) in pool.told(), 20)
    assert process.poll() is None


def test_on_sigterm_a_worker_ends_though_redis_is_away(pool: Pool):
    process = pool.start("llm")
    pool.enqueue(pool.turn(), "llm")
    wait_until(pool.told_one(Started))
    pool.server.kill()
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0


def test_on_sigterm_a_running_job_is_finished_and_the_worker_retires(pool: Pool):
    process = pool.start("tts")
    turn = pool.turn()
    pool.enqueue(turn, "tts")
    wait_until(pool.told_one(Started))
    process.send_signal(signal.SIGTERM)
    pool.feed(turn, "tts", Sentence(0, "To the end."), SentencesEnd(1))
    assert process.wait(60) == 0
    assert SpeechEnd(0, last=True) in pool.told()
    assert streams.living(pool.client, "tts") == []


def test_on_sigterm_a_job_that_does_not_end_is_left(pool: Pool):
    process = pool.start("llm")
    pool.enqueue(pool.turn(listen_s=600.0), "llm")
    wait_until(pool.told_one(Started))
    process.send_signal(signal.SIGTERM)
    assert process.wait(120) == 0
    assert "left with jobs unfinished" in process.stdout.read()


@pytest.mark.parametrize("away", [True, False])
def test_a_worker_stops_though_the_signals_exception_was_swallowed(
    pool: Pool, monkeypatch: pytest.MonkeyPatch, away: bool
):
    context: Any = SimpleNamespace(stage="llm")
    worker = PoolWorker(context, pool.client, Slots(1, "llm"), "one")
    asked = []

    def ask(*command: object, within_s: float) -> None:
        asked.append(command)
        worker._stop_requested = True
        if away:
            raise redis.ConnectionError

    monkeypatch.setattr(worker._wire, "ask", ask)
    with pytest.raises(StopRequested):
        worker.dequeue_job_and_maintain_ttl(None)
    assert len(asked) == 1


def test_a_worker_told_to_stop_while_it_chooses_a_queue_is_not_begun_anew(
    monkeypatch: pytest.MonkeyPatch,
):
    begun: list[Any] = []

    class Brief:
        """Leaves at once, as one does whose Redis is away."""

        stopping = False

        def __init__(self, *_: object) -> None:
            begun.append(self)

        def work(self, logging_level: str) -> None:
            assert len(begun) == 1

        def finish(self) -> bool:
            return True

        def close(self) -> None:
            """Holds nothing."""

    class Place:
        several = True

        def choose(self) -> tuple[None, None]:
            for one in begun:  # the signal's own exception is lost in what logs here
                one.stopping = True
            return None, None

    none = SimpleNamespace(start=lambda: None, stop=lambda: None)
    monkeypatch.setattr("workers.worker.Presence", lambda *_: none)
    monkeypatch.setattr("workers.worker.PoolWorker", Brief)
    context: Any = SimpleNamespace(stage="llm", name="llm-here", shard=None)
    place: Any = Place()
    assert work(context, place, 1, 0.0)
    assert len(begun) == 1


def test_a_worker_that_is_killed_is_started_again_and_ends_with_its_keeper(pool: Pool):
    keeper = pool.start("llm", "--respawn")
    before = worker_pid(pool)
    os.kill(before, signal.SIGKILL)
    wait_until(lambda: worker_pid(pool) not in (before, None), 20, "a new worker is there")
    assert keeper.poll() is None
    keeper.send_signal(signal.SIGKILL)
    after = worker_pid(pool)
    wait_until(lambda: not Path(f"/proc/{after}").exists(), 10, "no orphan is left")


def worker_pid(pool: Pool) -> int | None:
    """Of the llm worker that lives now."""
    keys = [key.decode() for key in pool.client.scan_iter("eslbot:worker:llm:*")]
    pids = [int(key.rsplit("-", 1)[1]) for key in keys]
    alive = [pid for pid in pids if Path(f"/proc/{pid}").exists()]
    return alive[0] if alive else None


def test_what_a_turn_leaves_in_redis_expires(pool: Pool):
    pool.start("llm")
    turn = pool.turn()
    pool.enqueue(turn, "llm")
    pool.feed(turn, "llm", Final("goodbye"))
    wait_until(pool.told_one(SentencesEnd))
    assert 0 < pool.client.ttl(streams.stream_key(turn, "llm")) <= 120  # type: ignore[operator]
    wait_until(lambda: not list(pool.client.scan_iter("rq:job:*")), what="the job is deleted")


@pytest.mark.parametrize(
    ("environ", "named"),
    [
        ({"ESLBOT_STT": "whisper"}, "ESLBOT_WHISPER_MODEL"),
        ({"ESLBOT_STT": "whisper", "ESLBOT_WHISPER_MODEL": "no/such/model"}, "ESLBOT_STT=whisper"),
        ({"ESLBOT_STT": "openai"}, "ESLBOT_STT_URL"),
        ({"ESLBOT_TYPO": "1"}, "ESLBOT_TYPO"),
    ],
)
def test_a_worker_that_can_not_start_says_why_in_a_line(shared_redis: RedisServer, environ, named):
    run = subprocess.run(
        [sys.executable, "-m", "workers", "stt"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "REDIS_URL": shared_redis.url, **environ},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert run.returncode == 2
    assert named in run.stderr
    assert len(run.stderr.strip().splitlines()) == 1


def test_jobs_are_json(client: redis.Redis):
    pipe = client.pipeline()
    turn = Turn("c", 1, OUT, "s", 5.0, 5.0)
    streams.enqueue(pipe, turn, "tts")
    pipe.execute()
    (job,) = Queue("tts", connection=client, serializer=JSONSerializer).jobs
    assert job.func_name == "workers.jobs.speak"
    assert json.loads(job.kwargs["turn"])["call"] == "c"
    assert 0 < client.ttl(job.key) <= 11  # type: ignore[operator]


def test_of_a_job_that_unpacks_to_more_and_more_a_megabyte_is_read():
    data = zlib.compress(b"[" + b" " * 50_000_000 + b"]")
    tracemalloc.start()
    try:
        with pytest.raises(ValueError):  # JSON's own
            _Taken("1", {b"data": data}).asks()
        assert tracemalloc.get_traced_memory()[1] < 10 * MAX_JOB_BYTES
    finally:
        tracemalloc.stop()


def test_what_is_no_job_is_refused():
    for data in (b"", b"\xff", b"7", b"[1, 2]", b"{", b"null", zlib.compress(b"no job")):
        with pytest.raises(ValueError):
            _Taken("1", {b"data": data}).asks()
    packed = zlib.compress(json.dumps(["f", None, [], {"turn": "t"}]).encode())
    assert _Taken("1", {b"data": packed}).asks() == ("f", "t")
