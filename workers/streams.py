"""The key layout in Redis, and how entries are written, read and bounded.

    eslbot:{CALL}:EPOCH:audio   stream  listener → stt   ≤ MAX_TURN_ENTRIES, expires
    eslbot:{CALL}:EPOCH:text    stream  listener → llm   "
    eslbot:{CALL}:EPOCH:say     stream  listener → tts   "
    eslbot:out:LISTENER         stream  all stages → listener   ≤ MAX_OUT_ENTRIES, expires
    eslbot:log:CALL             stream  what happened in a call, for who watches; expires
    eslbot:bot:SHA              string  a bot's definition, JSON; expires, renewed by listeners
    eslbot:worker:ROLE:NAME     string  a worker's engines, slots and the bots it is ready for,
                                        JSON; expires in seconds
    eslbot:alive:NAME           string  that worker lives; expires in ALIVE_MS
    eslbot:listener:NAME        string  a listener's calls and state, JSON; expires in seconds
    eslbot:transfers:NAME       zset    callers sent to a destination in the last hour; expires
    eslbot:breaker:PROVIDER     hash    see breaker.py; expires
    eslbot:chaos                string  the fault in a share of live calls, JSON; expires
    eslbot:chaos:calls          list    how those calls ended, JSON; bounded, expires
    eslbot:probed:PROVIDER      string  a provider's health was asked lately; expires
    eslbot:speech:SHA           string  a sentence of a bot's own, spoken; SHA of text and voice,
                                        see tts/speech_stores.py; ≤ 1 MB, expires
    eslbot:speeches             zset    those, "SHA BYTES" by expiry: bounds all of them; expires
    eslbot:speaking-ahead       string  one worker speaks a bot's own sentences; expires
    rq:queue:stt|llm|tts        list    RQ's own: ids of jobs
    rq:job:ID                   hash    RQ's own: a job, JSON-serialised; expires

CALL in braces is a hash tag: a turn's three streams lie in one slot of a cluster.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import redis
from redis.sentinel import Sentinel
from rq import Queue
from rq.job import JobStatus
from rq.serializers import JSONSerializer

from workers import redis_tls
from workers.bot import Bot
from workers.messages import (
    ALL,
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
LISTENER_TTL_S = 10
ALIVE_MS = 700
FAILED_JOB_TTL_S = 3600
SENTINEL = "sentinel://"
_SENTINEL_URL = re.compile(
    r"sentinel://(?:(?P<user>[^:@/]*):(?P<password>[^@/]*)@)?"
    r"(?P<hosts>[^/@]+:\d+(?:,[^/@]+:\d+)*)/(?P<service>[\w.-]+)(?:/(?P<db>\d+))?"
)


class Cancelled(Exception):
    """The listener wants no more of this attempt."""


class InputLost(Exception):
    """The stage's input stopped: it came late, was trimmed, or its stream vanished."""


def connect(
    url: str, timeout_s: float, connections: int, tls: Mapping[str, Any] | None = None
) -> redis.Redis:
    """A client whose every wait is bounded; one connection more than there are waiters.

    url: redis://, rediss://, unix://, or of Sentinels that know who the master is:
    sentinel://[user:password@]host:port[,host:port...]/service[/db]. tls: Settings.redis_tls.
    Raises ValueError.
    """
    options: dict[str, Any] = {
        "socket_timeout": timeout_s,
        "socket_connect_timeout": timeout_s,
        "socket_keepalive": True,
        "health_check_interval": 30,
        "protocol": 2,  # the same answers from Redis 6.2 and later ones
    }
    if url.startswith(SENTINEL):
        return _by_sentinels(url, options, connections)
    pool = redis.BlockingConnectionPool.from_url(
        url, max_connections=connections, timeout=timeout_s, **options, **(tls or {})
    )
    return redis.Redis(connection_pool=pool)


def _by_sentinels(url: str, options: dict[str, Any], connections: int) -> redis.Redis:
    """Each new connection asks the Sentinels; one to a master that was demoted is given up."""
    found = _SENTINEL_URL.fullmatch(url)
    if found is None:
        raise ValueError("not sentinel://host:port[,host:port...]/service[/db]")
    hosts = [host.rpartition(":") for host in found["hosts"].split(",")]
    login = {"username": found["user"] or None, "password": found["password"] or None}
    sentinel = Sentinel(  # type: ignore[no-untyped-call]
        [(host.strip("[]"), int(port)) for host, _, port in hosts],
        sentinel_kwargs={**options, "health_check_interval": 0},
        db=int(found["db"] or 0),
        max_connections=connections,
        **login,
        **options,
    )
    client: redis.Redis = sentinel.master_for(found["service"])  # type: ignore[no-untyped-call]
    return client


def stream_key(turn: Turn, stage: Stage) -> str:
    """The stream that `stage` reads in this turn."""
    return f"eslbot:{{{turn.call}}}:{turn.epoch}:{INPUT[stage]}"


def out_key(listener: str) -> str:
    return f"eslbot:out:{listener}"


def listener_key(listener: str) -> str:
    return f"eslbot:listener:{listener}"


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
    fields = encode(message)
    fields |= {
        "call": turn.call.encode(),
        "epoch": b"%d" % turn.epoch,
        "attempt": b"%d" % turn.attempt,
    }
    pipe.xadd(turn.out, fields, maxlen=MAX_OUT_ENTRIES, approximate=True)


def address(entry: Mapping[bytes, bytes]) -> tuple[str, int, int]:
    """(call, epoch, attempt) of an entry on a listener's stream. Raises MessageError."""
    try:
        call = entry[b"call"].decode()
        numbers = entry[b"epoch"], entry[b"attempt"]
    except (KeyError, ValueError):
        raise MessageError("an entry without call, epoch and attempt") from None
    if not all(number.isdigit() and len(number) <= 18 for number in numbers):
        raise MessageError("an entry whose epoch or attempt is no number")
    return call, int(numbers[0]), int(numbers[1])


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
        description=f"{stage} {turn.call} {turn.epoch}.{turn.attempt}",
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
        self._attempt = turn.attempt
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
                if message.attempt in (ALL, self._attempt):
                    raise Cancelled
                continue
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


def introduce(client: redis.Redis, listener: str, about: Mapping[str, Any]) -> None:
    """What a listener says of itself: a lease, so that nobody counts the calls of a dead one."""
    client.set(listener_key(listener), json.dumps(about), ex=LISTENER_TTL_S)


def beat(client: redis.Redis, name: str) -> None:
    """A worker's heart beats."""
    client.set(f"eslbot:alive:{name}", 1, px=ALIVE_MS)


def alive(client: redis.Redis, names: Sequence[str]) -> set[str]:
    """Of these workers, those whose heart beat within ALIVE_MS."""
    found: Any = client.mget([f"eslbot:alive:{name}" for name in names]) if names else []
    return {name for name, beats in zip(names, found, strict=True) if beats}


def claim_probe(client: redis.Redis, provider: str, every_s: float) -> bool:
    """True for one of all workers in every_s seconds."""
    return bool(client.set(f"eslbot:probed:{provider}", 1, nx=True, px=int(every_s * 1000)))


def retire(client: redis.Redis, role: str, name: str) -> None:
    client.delete(f"eslbot:worker:{role}:{name}", f"eslbot:alive:{name}")


def living(client: redis.Redis, role: str) -> Sequence[dict[str, Any]]:
    """What the living workers of a role said of themselves."""
    keys = list(client.scan_iter(f"eslbot:worker:{role}:*", count=1000))
    return [json.loads(raw) for raw in client.mget(keys) if raw] if keys else []


def wait_for_redis(client: redis.Redis, within_s: float) -> None:
    """Until Redis answers a PING. Raises redis.RedisError when it does not in time, with what may
    be the cause."""
    deadline = time.monotonic() + within_s
    while True:
        try:
            client.ping()
            return
        except (redis.ConnectionError, redis.TimeoutError, redis.InvalidResponse) as error:
            # A wrong password or certificate will not become right by waiting.
            wrong = isinstance(error, redis.AuthenticationError) or redis_tls.hopeless(error)
            if wrong or time.monotonic() > deadline:
                error.args = (f"{error}{redis_tls.hint(client, error)}",)
                raise
            time.sleep(0.1)


def plain(error: Exception) -> str:
    """A redis error in a line, without the URL's password."""
    return f"{type(error).__name__}: {str(error).splitlines()[0][:200] if str(error) else ''}"
