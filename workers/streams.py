"""The key layout in Redis, and how entries are written, read and bounded.

    eslbot:{CALL}:EPOCH:audio   stream  listener → stt   ≤ MAX_TURN_ENTRIES, expires
    eslbot:{CALL}:EPOCH:text    stream  stt → llm        "
    eslbot:{CALL}:EPOCH:say     stream  llm → tts        "
    eslbot:out:LISTENER         stream  all stages → listener   ≤ MAX_OUT_ENTRIES, expires
    eslbot:log:CALL             stream  what happened in a call, for who watches; expires
    eslbot:bot:SHA              string  a bot's definition, JSON; expires, renewed by listeners
    eslbot:worker:ROLE:NAME     string  a worker's engine, slots and the bots it is ready for,
                                        JSON; expires in seconds
    rq:queue:stt|llm|tts        list    RQ's own: ids of jobs
    rq:job:ID                   hash    RQ's own: a job, JSON-serialised; expires

CALL in braces is a hash tag: a turn's three streams lie in one slot of a cluster.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import redis
from rq import Queue
from rq.job import JobStatus
from rq.serializers import JSONSerializer

from workers.bot import Bot
from workers.messages import (
    Audio,
    Cancel,
    Message,
    MessageError,
    Stage,
    Turn,
    decode,
    encode,
    turn_to_json,
)

STAGES: tuple[Stage, ...] = ("stt", "llm", "tts")
INPUT: dict[Stage, str] = {"stt": "audio", "llm": "text", "tts": "say"}
# The only functions a worker runs, by the name that stands in the job.
FUNCTIONS: dict[Stage, str] = {
    "stt": "workers.jobs.transcribe",
    "llm": "workers.jobs.reply",
    "tts": "workers.jobs.speak",
}
# 60 s in chunks of 20 ms is the longest utterance the settings allow.
MAX_TURN_ENTRIES = 3100
MAX_OUT_ENTRIES = 20_000
MAX_LOG_ENTRIES = 2_000
BOT_TTL_S = 3600
WORKER_TTL_S = 6
FAILED_JOB_TTL_S = 3600


class Cancelled(Exception):
    """The turn was closed by its listener."""


class InputLost(Exception):
    """The stage's input stopped: it came late, was trimmed, or its stream vanished."""


def connect(url: str, timeout_s: float, connections: int) -> redis.Redis:
    """A client whose every wait is bounded; one connection more than there are waiters."""
    pool = redis.BlockingConnectionPool.from_url(
        url,
        max_connections=connections,
        timeout=timeout_s,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        socket_keepalive=True,
        health_check_interval=30,
        protocol=2,  # the same answers from Redis 6.2 and later ones
    )
    return redis.Redis(connection_pool=pool)


def stream_key(turn: Turn, stage: Stage) -> str:
    """The stream that `stage` reads in this turn."""
    return f"eslbot:{{{turn.call}}}:{turn.epoch}:{INPUT[stage]}"


def out_key(listener: str) -> str:
    return f"eslbot:out:{listener}"


def log_key(call: str) -> str:
    return f"eslbot:log:{call}"


def feed(pipe: Any, turn: Turn, stage: Stage, message: Message, ttl_s: int) -> None:
    """Append to a stage's input."""
    key = stream_key(turn, stage)
    pipe.xadd(key, encode(message), maxlen=MAX_TURN_ENTRIES, approximate=True)
    if not isinstance(message, Audio) or message.seq % 32 == 0:
        pipe.expire(key, ttl_s)


def publish(pipe: Any, turn: Turn, message: Message) -> None:
    """Tell the listener; the entry carries the turn's address."""
    fields = encode(message) | {"call": turn.call.encode(), "epoch": b"%d" % turn.epoch}
    pipe.xadd(turn.out, fields, maxlen=MAX_OUT_ENTRIES, approximate=True)


def address(entry: Mapping[bytes, bytes]) -> tuple[str, int]:
    """(call, epoch) of an entry on a listener's stream. Raises MessageError."""
    try:
        call, epoch = entry[b"call"].decode(), entry[b"epoch"]
    except (KeyError, ValueError):
        raise MessageError("an entry without call and epoch") from None
    if not epoch.isdigit() or len(epoch) > 18:
        raise MessageError("an entry whose epoch is no number")
    return call, int(epoch)


def enqueue(pipe: Any, queues: Mapping[Stage, Queue], turn: Turn, stage: Stage) -> None:
    """Put a stage's job on RQ's queue. It expires there: a late start serves nobody."""
    life_s = int(turn.listen_s + turn.answer_s) + 1
    queue = queues[stage]
    job = queue.create_job(
        FUNCTIONS[stage],
        kwargs={"turn": turn_to_json(turn)},
        timeout=life_s,
        ttl=life_s,
        result_ttl=0,
        failure_ttl=FAILED_JOB_TTL_S,
        description=f"{stage} {turn.call} {turn.epoch}",
        status=JobStatus.QUEUED,
    )
    job.origin = queue.name
    job.enqueued_at = datetime.now(UTC)
    # What Queue.enqueue_job does, less its WATCH, which can't stand within a pipeline.
    pipe.sadd(queue.redis_queues_keys, queue.key)
    job.set_status(JobStatus.QUEUED, pipeline=pipe)
    job.save(pipeline=pipe)
    job.cleanup(ttl=life_s, pipeline=pipe)
    queue.push_job_id(job.id, pipeline=pipe)


def queues(client: redis.Redis) -> dict[Stage, Queue]:
    """RQ's queues, with JSON in place of pickle: unpickling runs whatever it is given."""
    return {s: Queue(s, connection=client, serializer=JSONSerializer) for s in STAGES}


class Inbox:
    """A stage's input, read in order. Every wait ends at the deadline.

    Raises Cancelled as soon as a Cancel was read, even where messages stand before it, and
    InputLost when the deadline passes or entries are missing.
    """

    def __init__(
        self,
        client: redis.Redis,
        turn: Turn,
        stage: Stage,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._key = stream_key(turn, stage)
        self._clock = clock
        self._last = b"0"
        self._next_seq = 0
        self._looked = clock()
        self._waiting: list[Message] = []

    def messages(self, within_s: float) -> Iterator[Message]:
        """Messages as they come, for within_s seconds in all."""
        deadline = self._clock() + within_s
        while True:
            while self._waiting:
                yield self._waiting.pop(0)
            left = deadline - self._clock()
            if left <= 0:
                raise InputLost("input came too late")
            # A block shorter than the socket's own timeout, or the client would give up first.
            self._read(block_ms=int(min(left, 0.5) * 1000) + 1)

    def check(self) -> None:
        """Raise Cancelled if the turn was closed; looks at Redis four times a second at most."""
        now = self._clock()
        if now - self._looked > 0.25:
            self._looked = now
            self._read(block_ms=None)

    def _read(self, block_ms: int | None) -> None:
        found: Any = self._client.xread({self._key: self._last}, count=200, block=block_ms)
        if not found:
            return
        for entry_id, fields in found[0][1]:
            self._last = entry_id
            message = decode(fields)
            if isinstance(message, Cancel):
                raise Cancelled
            if isinstance(message, Audio):
                if message.seq != self._next_seq:
                    raise InputLost(f"audio {self._next_seq} is missing")
                self._next_seq += 1
            self._waiting.append(message)


def put_bot(client: redis.Redis, bot: Bot) -> None:
    client.set(f"eslbot:bot:{bot.sha}", bot.model_dump_json(), ex=BOT_TTL_S)


def get_bot(client: redis.Redis, sha: str) -> Bot:
    """Raises InputLost when it is not there."""
    raw = client.get(f"eslbot:bot:{sha}")
    if raw is None:
        raise InputLost(f"bot {sha} is not in Redis")
    return Bot.model_validate_json(raw)


def bots(client: redis.Redis) -> list[str]:
    """The shas of all bots that listeners serve now."""
    return [key.decode().rsplit(":", 1)[1] for key in client.scan_iter("eslbot:bot:*", count=1000)]


def announce(client: redis.Redis, role: str, name: str, about: Mapping[str, Any]) -> None:
    """Say that a worker lives; it is forgotten after WORKER_TTL_S."""
    client.set(f"eslbot:worker:{role}:{name}", json.dumps(about), ex=WORKER_TTL_S)


def retire(client: redis.Redis, role: str, name: str) -> None:
    client.delete(f"eslbot:worker:{role}:{name}")


def living(client: redis.Redis, role: str) -> Sequence[dict[str, Any]]:
    """What the living workers of a role said of themselves."""
    keys = list(client.scan_iter(f"eslbot:worker:{role}:*", count=1000))
    return [json.loads(raw) for raw in client.mget(keys) if raw] if keys else []


def wait_for_redis(client: redis.Redis, within_s: float) -> None:
    """Until Redis answers a PING. Raises redis.RedisError when it does not in time."""
    deadline = time.monotonic() + within_s
    while True:
        try:
            client.ping()
            return
        except (redis.ConnectionError, redis.TimeoutError) as error:
            # A wrong password will not become right by waiting.
            if isinstance(error, redis.AuthenticationError) or time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def plain(error: Exception) -> str:
    """A redis error in a line, without the URL's password."""
    return f"{type(error).__name__}: {str(error).splitlines()[0][:200] if str(error) else ''}"
