"""The key layout in Redis, and how entries are written, read and bounded.

    eslbot:{CALL}:EPOCH:audio   stream  listener → stt   ≤ MAX_TURN_ENTRIES, expires
    eslbot:{CALL}:EPOCH:text    stream  listener → llm   "
    eslbot:{CALL}:EPOCH:say     stream  listener → tts   "
    eslbot:out:LISTENER         stream  all stages → listener   ≤ MAX_OUT_ENTRIES, expires
    eslbot:out:LISTENER:{TAG}   stream  the same, one on each master of a cluster
    eslbot:log:CALL             stream  what happened in a call, for who watches; expires
    eslbot:calls                zset    calls by their beginning; ≤ MAX_CALLS_LISTED, expires
    eslbot:records              stream  the same of all calls, for the recorder, which deletes what
                                        it has written; bounded by listeners, expires
    eslbot:records:refused      list    entries that no database takes; bounded, expires
    eslbot:bot:SHA              string  a bot's definition, JSON; expires, renewed by listeners
    eslbot:worker:ROLE:NAME     string  a worker's engines, slots and the bots it is ready for,
                                        JSON; expires in seconds
    eslbot:alive:NAME           string  that worker lives; expires in ALIVE_MS
    eslbot:queues:ROLE          string  counts workers that chose among several queues; expires
    eslbot:listener:NAME        string  a listener's calls and state, JSON; expires in seconds
    eslbot:transfers:DESTINATION zset    callers sent to a destination in the last hour; expires
    eslbot:breaker:PROVIDER     hash    see breaker.py; expires
    eslbot:variant:BOT          list    which variants were promoted, and why, the latest first,
                                        JSON; bounded, see eslbot/promotion.py
    eslbot:chaos                string  the fault in a share of live calls, JSON; expires
    eslbot:ai-off               hash    see eslbot/ai_off.py; and eslbot:ai-off:audit, a list
    eslbot:chaos:calls          list    how those calls ended, JSON; bounded, expires
    eslbot:rate:PROVIDER        list    times of a minute's requests, see rate_limit.py; expires
    eslbot:probed:PROVIDER      string  a provider's health was asked lately; expires
    eslbot:speech:SHA           string  a sentence of a bot's own, spoken; SHA of text and voice,
                                        see tts/speech_stores.py; ≤ 1 MB, expires
    eslbot:speeches             zset    those, "SHA BYTES" by expiry: bounds all of them; expires
    eslbot:speaking-ahead       string  one worker speaks a bot's own sentences; expires
    rq:queue:stt|llm|tts        list    RQ's own: ids of jobs; on those of ESLBOT_QUEUE_REDIS_URLS
                                        where that is set, with their workers' eslbot:worker
    rq:job:ID                   hash    RQ's own: a job, JSON-serialised; expires

CALL in braces is a hash tag: a turn's three streams lie in one slot of a cluster. The streams of
turns and those to listeners lie on the Redis of ESLBOT_AUDIO_REDIS_URL where that is set.
"""

from __future__ import annotations

import json
import re
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import redis
from redis.sentinel import Sentinel
from rq import Queue
from rq.job import Job
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
from workers.wire import Pipe, Wire

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
MAX_CALLS_LISTED = 5_000
CALLS_KEY = "eslbot:calls"
RECORDS = "eslbot:records"
RECORDS_REFUSED = "eslbot:records:refused"
RECORDS_TTL_S = 3 * 86400
BOT_TTL_S = 3600
WORKER_TTL_S = 6
LISTENER_TTL_S = 10
ALIVE_MS = 700
FAILED_JOB_TTL_S = 3600
# One blocked look at a stream, and how much later its answer may come.
BLOCK_S = 4.0
ANSWERS_WITHIN_S = 1.0
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
    options = waits(timeout_s)
    if url.startswith(SENTINEL):
        return _by_sentinels(url, options, connections)
    pool = redis.BlockingConnectionPool.from_url(
        url, max_connections=connections, timeout=timeout_s, **options, **(tls or {})
    )
    return redis.Redis(connection_pool=pool)


def waits(timeout_s: float) -> dict[str, Any]:
    """A connection's options, as redis-py has them: whatever it waits for has an end."""
    return {
        "socket_timeout": timeout_s,
        "socket_connect_timeout": timeout_s,
        "socket_keepalive": True,
        "health_check_interval": 30,
        "protocol": 2,  # the same answers from Redis 6.2 and later ones
    }


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
    return f"{call_tag(turn.call)}:{turn.epoch}:{INPUT[stage]}"


def call_tag(call: str) -> str:
    """What the keys of a call's turns begin with: one slot of a cluster has all of them."""
    return f"eslbot:{{{call}}}"


def out_key(listener: str) -> str:
    return f"eslbot:out:{listener}"


def listener_key(listener: str) -> str:
    return f"eslbot:listener:{listener}"


def log_key(call: str) -> str:
    return f"eslbot:log:{call}"


def enlist(pipe: Pipe, call: str, at: float, ttl_s: int) -> None:
    """Among the calls whose logs there are; at: seconds since 1970."""
    pipe.zadd(CALLS_KEY, {call: at})
    pipe.zremrangebyscore(CALLS_KEY, "-inf", at - ttl_s)
    pipe.zremrangebyrank(CALLS_KEY, 0, -MAX_CALLS_LISTED - 1)
    pipe.expire(CALLS_KEY, ttl_s)


def feed(pipe: Pipe, turn: Turn, stage: Stage, message: Message, ttl_s: int) -> None:
    """Append to a stage's input."""
    key = stream_key(turn, stage)
    pipe.xadd(key, encode(message), maxlen=MAX_TURN_ENTRIES, approximate=True)
    if not isinstance(message, Audio) or message.seq % 32 == 0:
        pipe.expire(key, ttl_s)


def publish(pipe: Pipe, turn: Turn, message: Message) -> None:
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


def enqueue(pipe: Pipe, turn: Turn, stage: Stage) -> None:
    """Put a stage's job on RQ's queue. It expires there: a late start serves nobody.

    In RQ's own form, so that `rq info` and dashboards see it, written in one go: RQ's Job takes
    ten times as long to make the same fields.
    """
    life_s = int(turn.listen_s + turn.answer_s) + 1
    number = str(uuid.uuid4())
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    key = f"rq:job:{number}"
    pipe.sadd("rq:queues", f"rq:queue:{stage}")
    pipe.hset(
        key,
        mapping={
            "created_at": now,
            "enqueued_at": now,
            "data": json.dumps([FUNCTIONS[stage], None, [], {"turn": turn_to_json(turn)}]),
            "origin": stage,
            "status": "queued",
            "timeout": life_s,
            "ttl": life_s,
            "result_ttl": 0,
            "failure_ttl": FAILED_JOB_TTL_S,
            "description": f"{stage} {turn.call} {turn.epoch}.{turn.attempt}",
        },
    )
    pipe.expire(key, life_s)
    pipe.rpush(f"rq:queue:{stage}", number)


def queues(client: redis.Redis) -> dict[Stage, Queue]:
    """RQ's queues, with JSON in place of pickle: unpickling runs whatever it is given."""
    return {s: Queue(s, connection=client, serializer=JSONSerializer) for s in STAGES}


class QueueState(NamedTuple):
    """jobs: that wait; oldest_s: how long the first of them does, by the clocks of two hosts."""

    jobs: int
    oldest_s: float


def queue_states(client: redis.Redis) -> dict[Stage, QueueState]:
    """Of each stage's queue. Raises redis.RedisError."""
    pipe = client.pipeline(transaction=False)
    for stage in STAGES:
        pipe.llen(Queue.redis_queue_namespace_prefix + stage)
        pipe.lindex(Queue.redis_queue_namespace_prefix + stage, 0)
    answers = pipe.execute()
    jobs, first = answers[0::2], answers[1::2]
    for job in first:
        # Of an empty queue a job that is none: an empty key is nobody's to read, by Redis' ACL.
        pipe.hget(Job.key_for(_text(job) if job else "none"), "enqueued_at")
    since = pipe.execute()
    now = datetime.now(UTC)
    return {
        stage: QueueState(count, max(0.0, (now - _time(at)).total_seconds()) if at else 0.0)
        for stage, count, at in zip(STAGES, jobs, since, strict=True)
    }


def all_queue_states(clients: Sequence[redis.Redis]) -> dict[Stage, QueueState]:
    """Of queues on several Redis: all jobs, the age of the oldest one, of those that answer."""
    found: dict[Stage, QueueState] = {}
    for client in clients:
        try:
            states = queue_states(client)
        except redis.RedisError:
            continue
        for stage, state in states.items():
            so_far = found.get(stage, QueueState(0, 0.0))
            jobs, oldest_s = so_far.jobs + state.jobs, max(so_far.oldest_s, state.oldest_s)
            found[stage] = QueueState(jobs, oldest_s)
    return found


def _text(raw: bytes | str) -> str:
    return raw.decode() if isinstance(raw, bytes) else raw


def _time(raw: bytes | str) -> datetime:
    return datetime.fromisoformat(_text(raw)).astimezone(UTC)


class Inbox:
    """A stage's input, read in order. Every wait ends at the deadline.

    Raises Cancelled as soon as a Cancel was read, even where messages stand before it, and
    InputLost when the deadline passes or entries are missing.
    """

    def __init__(
        self,
        wire: Wire,
        turn: Turn,
        stage: Stage,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._wire = wire
        self._key = stream_key(turn, stage)
        self._attempt = turn.attempt
        self._clock = clock
        self._last: bytes = b"0"
        self._next_seq = 0
        self._looked = clock()
        self._waiting: deque[Message] = deque()

    def messages(self, within_s: float) -> Iterator[Message]:
        """Messages as they come, for within_s seconds in all."""
        deadline = self._clock() + within_s
        while True:
            while self._waiting:
                yield self._waiting.popleft()
            left = deadline - self._clock()
            if left <= 0:
                raise InputLost("input came too late")
            self._read(min(left, BLOCK_S))

    def check(self) -> None:
        """Raise Cancelled if the turn was closed; looks at Redis four times a second at most."""
        now = self._clock()
        if now - self._looked > 0.25:
            self._looked = now
            self._read(None)

    def _read(self, block_s: float | None) -> None:
        command: tuple[str | bytes | int, ...] = ("XREAD", "COUNT", 200)
        within_s = None
        if block_s is not None:
            command += ("BLOCK", int(block_s * 1000) + 1)
            within_s = block_s + ANSWERS_WITHIN_S
        found = self._wire.ask(*command, "STREAMS", self._key, self._last, within_s=within_s)
        for entry_id, fields in found[0][1] if found else ():
            self._last = entry_id
            message = decode(pairs(fields))
            if isinstance(message, Cancel):
                if message.attempt in (ALL, self._attempt):
                    raise Cancelled
                continue
            if isinstance(message, Audio):
                if message.seq != self._next_seq:
                    raise InputLost(f"audio {self._next_seq} is missing")
                self._next_seq += 1
            self._waiting.append(message)


def pairs(fields: Sequence[bytes]) -> dict[bytes, bytes]:
    """An entry's fields, as Redis sends them."""
    return dict(zip(fields[::2], fields[1::2], strict=True))


def put_bot(client: redis.Redis, bot: Bot) -> None:
    keep_bot(client, bot.sha, bot.model_dump_json())


def keep_bot(client: redis.Redis, sha: str, definition: str) -> None:
    """For another BOT_TTL_S."""
    client.set(f"eslbot:bot:{sha}", definition, ex=BOT_TTL_S)


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


def next_turn(client: redis.Redis, role: str) -> int:
    """One more each time that a worker of this role asks."""
    key = f"eslbot:queues:{role}"
    turn: Any = client.incr(key)
    client.expire(key, BOT_TTL_S)
    return int(turn)


def introduce(client: redis.Redis, listener: str, about: Mapping[str, Any]) -> None:
    """What a listener says of itself: a lease, so that nobody counts the calls of a dead one."""
    client.set(listener_key(listener), json.dumps(about), ex=LISTENER_TTL_S)


def beat(wire: Wire, name: str) -> None:
    """A worker's heart beats."""
    wire.ask("SET", f"eslbot:alive:{name}", 1, "PX", ALIVE_MS)


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
