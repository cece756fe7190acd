"""The listener's connection to Redis: one writer, one reader, and no call ever waits for it.

What calls want written goes into a bounded queue; the writer takes all of it at once, as one
pipeline. What workers say to this listener comes on one stream, read by one reader and handed
to the calls. Redis gone, slow or full: the calls are told, and go on without it; they are told
again when it is back, and bring their open turns up once more.
"""

from __future__ import annotations

import contextlib
import json
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import gevent
import redis
from gevent.event import Event

from eslbot import ai_off
from eslbot.chaos import live as chaos
from eslbot.lanes import Lanes
from eslbot.outbox import Outbox
from eslbot.shards import Shards
from eslbot.transfer_caps import TransferCaps
from eslbot.writer import Writer
from workers import streams
from workers.bot import Bot
from workers.cluster import Cluster
from workers.messages import Audio, Cancel, Message, MessageError, Stage, Turn, decode
from workers.wire import Pipe, Wire

log = logging.getLogger(__name__)

KEEP_EVERY_S = 2.0
LOG_TTL_S = 3600

# Of a log, the entries with what the caller said from a time on.
FORGET_HEARD = """
for _, entry in ipairs(redis.call('XRANGE', KEYS[1], '-', '+')) do
  local field = {}
  for n = 1, #entry[2], 2 do field[entry[2][n]] = entry[2][n + 1] end
  local words = field['what'] == 'heard' or field['what'] == 'partial'
  if words and (tonumber(field['at']) or 0) >= tonumber(ARGV[1]) then
    redis.call('XDEL', KEYS[1], entry[1])
  end
end
"""

OnMessage = Callable[[int, int, Message], None]


class Link:
    """bots(): those that are served. on_health(healthy, concerns): called each time that Redis
    stops working, or works again; concerns(call): whether this call's does. audio: where turns'
    streams lie, queues: where those of jobs do, if not with all the rest."""

    def __init__(
        self,
        client: redis.Redis,
        listener: str,
        bots: Callable[[], Iterable[Bot]],
        ttl_s: int,
        on_health: Callable[[bool, Callable[[str], bool]], None],
        records_backlog: int = 0,
        audio: Cluster | None = None,
        queues: Sequence[redis.Redis] = (),
    ) -> None:
        self.out = streams.out_key(listener)
        self.healthy = False
        self.about: Callable[[], dict[str, Any]] = dict  # what others may know of this listener
        self.chaos: chaos.Order | None = None
        self.ai_off: list[tuple[str, ai_off.Order]] = []
        self.workers: dict[str, list[dict[str, Any]]] = {stage: [] for stage in streams.STAGES}
        self.outbox = Outbox(client, listener, records_backlog)
        self._client = client
        self._caps = TransferCaps(client)
        self._bots = bots
        self._definitions: dict[str, str] = {}  # half a millisecond to make
        self._ttl_s = ttl_s
        self._on_health = on_health
        self._listener = listener
        self._writer = Writer(lambda: Wire(client), self._trouble, self._send_records)
        self._handlers: dict[str, OnMessage] = {}
        self._last: bytes | str = b"0"
        self._running = True
        self._tasks: list[gevent.Greenlet] = []
        self._look_now = Event()
        self.shards = Shards(queues) if queues else None
        self.lanes: Lanes | None = None
        if audio is not None:
            self.lanes = Lanes(audio, listener, ttl_s, self._hand_out, on_health)

    def start(self) -> None:
        self._tasks = [gevent.spawn(t) for t in (self._writer.run, self._read, self._keep)]
        for others in (self.lanes, self.shards):
            if others:
                others.start()

    def stop(self) -> None:
        """Write what waits, one second at the most, and end."""
        self._running = False
        self._writer.stop()
        for others in (self.lanes, self.shards):
            if others:
                others.stop()
        gevent.joinall(self._tasks, timeout=1.0)
        gevent.killall(self._tasks)
        with contextlib.suppress(redis.RedisError):
            self._client.delete(self.out, streams.listener_key(self._listener))

    def queue_states(self) -> dict[Stage, streams.QueueState]:
        """Waits for Redis. Raises redis.RedisError."""
        return self.shards.states() if self.shards else streams.queue_states(self._client)

    @property
    def all_lost(self) -> int:
        """Writes that never reached any Redis."""
        return self._writer.lost + sum(o.lost for o in (self.lanes, self.shards) if o)

    def ready(self, stage: str, bots: Iterable[Bot]) -> bool:
        """Whether for each of these bots a worker of this stage is there and has got ready."""
        if self.shards and not self.shards.usable(stage):
            return False
        have = {sha for worker in self.workers[stage] for sha in worker["ready"]}
        return all(bot.sha in have for bot in bots)

    def look_now(self) -> None:
        """Put bots, and look for workers, at once."""
        self._look_now.set()

    def able(self, stage: str) -> bool:
        """Whether some worker of this stage is there with an engine that is not known to fail."""
        if self.shards and not self.shards.usable(stage):
            return False
        return any(any(worker["usable"]) for worker in self.workers[stage])

    def out_for(self, call: str) -> str:
        """The stream on which workers answer its next turn."""
        return self.lanes.out(call) if self.lanes else self.out

    def serves(self, call: str) -> bool:
        """Whether the Redis that its turns need is known to work."""
        return self.healthy and (self.lanes is None or self.lanes.healthy(call))

    def unable(self, call: str = "") -> str:
        """ "" or why no turn, or none of this call, could be answered now."""
        if not self.healthy:
            return "Redis is away"
        if self.lanes and not self.lanes.healthy(call):
            return "the audio's Redis is away"
        absent = [stage for stage in streams.STAGES if not self.able(stage)]
        return f"nobody serves {', '.join(absent)}" if absent else ""

    def levels(self, stage: str) -> int:
        """How many engines a stage has to try, one after another."""
        return max((len(worker["levels"]) for worker in self.workers[stage]), default=1)

    def alive(self, names: list[str]) -> set[str]:
        """Which of these workers live. Waits for Redis. Raises redis.RedisError."""
        return streams.alive(self._client, names)

    def may_transfer(self, destination: str, limit: int) -> bool:
        """Whether one more caller may go there in this hour; it then counts. Waits for Redis."""
        return self._caps.take(destination, limit)

    # -- what calls use; nothing here waits

    def register(self, call: str, handler: OnMessage) -> None:
        """handler(epoch, attempt, message) is called on the reader's greenlet: must not wait."""
        self._handlers[call] = handler

    def forget(self, call: str, handler: OnMessage) -> None:
        """A call that came back under its UUID has a handler of its own by now: that one stays."""
        if self._handlers.get(call) == handler:
            del self._handlers[call]

    def dispatch(self, turn: Turn, stage: Stage) -> bool:
        """Put a stage's job on its queue. False: Redis is known not to work."""
        if self.shards:
            return self.shards.dispatch(turn, stage)
        return self._put(lambda pipe: streams.enqueue(pipe, turn, stage), urgent=True)

    def feed(self, turn: Turn, stage: Stage, message: Message) -> bool:
        """Append to a stage's input."""
        if self.lanes:
            return self.lanes.feed(turn, stage, message)
        urgent = not isinstance(message, Audio | Cancel)
        return self._put(
            lambda pipe: streams.feed(pipe, turn, stage, message, self._ttl_s), urgent=urgent
        )

    def record(self, call: str, what: str, **fields: Any) -> None:
        """Append to the call's log, for who watches; see streams.py."""
        if what == "call":
            fields["listener"] = self._listener
        entry = {"at": f"{time.time():.3f}", "what": what, "fields": json.dumps(fields)}
        key = streams.log_key(call)

        def write(pipe: Pipe) -> None:
            pipe.xadd(key, entry, maxlen=streams.MAX_LOG_ENTRIES, approximate=True)
            pipe.expire(key, LOG_TTL_S)
            if what == "call":
                streams.enlist(pipe, call, float(entry["at"]), LOG_TTL_S)

        self._put(write)

    def keep(self, call: str, leg: str, bot: str, what: str, fields: dict[str, Any]) -> None:
        """Tell the recorder; see outbox.py."""
        self.outbox.add(call, leg, bot, what, fields)
        self._put(_nothing)  # wakes the writer

    def forget_heard(self, call: str, since: float) -> None:
        """Take what the caller said since then (seconds since 1970) out of the call's log."""
        at = f"{since:.3f}"
        self._put(lambda pipe: pipe.eval(FORGET_HEARD, 1, streams.log_key(call), at))

    def put(self, write: Callable[[Pipe], object]) -> None:
        """Write something else; it gets the pipeline."""
        self._put(write)

    def _put(self, write: Callable[[Pipe], object], urgent: bool = False) -> bool:
        """Whether it will be written, as far as is known."""
        return self._writer.put(write, urgent) and self.healthy

    # -- the three greenlets

    def _send_records(self) -> None:
        """On their own: what Redis does not take now is kept."""
        if not self.healthy:
            return
        try:
            self.outbox.send()
        except redis.RedisError as error:
            self._trouble(error)
        except Exception:
            log.exception("records that can't be written")

    def _read(self) -> None:
        with Wire(self._client) as wire:
            while self._running:
                try:
                    found = wire.ask(
                        "XREAD", "COUNT", 500, "BLOCK", 500, "STREAMS", self.out, self._last
                    )
                except redis.RedisError as error:
                    self._trouble(error)
                    # A Redis that lost its data may count from before where we are.
                    self._last = b"0"
                    gevent.sleep(0.2)
                    continue
                for entry_id, fields in found[0][1] if found else ():
                    self._last = entry_id
                    self._hand_out(streams.pairs(fields))

    def _hand_out(self, fields: dict[bytes, bytes]) -> None:
        try:
            call, epoch, attempt = streams.address(fields)
            handler = self._handlers.get(call)
            if handler is not None:
                handler(epoch, attempt, decode(fields))
        except MessageError as error:
            log.warning("an entry on %s is not ours: %s", self.out, error)
        except Exception:
            # Whoever it was for: all others still wait for what comes.
            log.exception("what a worker said could not be handed out")

    def _keep(self) -> None:
        """Is Redis there, are there workers, have they our bot? And trim what is read."""
        while self._running:
            try:
                bots = {bot.sha: bot for bot in self._bots()}
                kept = self._definitions
                self._definitions = {
                    sha: kept.get(sha) or bot.model_dump_json() for sha, bot in bots.items()
                }
                for sha, definition in self._definitions.items():
                    streams.keep_bot(self._client, sha, definition)
                for stage in streams.STAGES:
                    self.workers[stage] = list(streams.living(self._client, stage))
                streams.introduce(self._client, self._listener, self.about())
                self.chaos = chaos.look(self._client)
                self.ai_off = ai_off.look(self._client)
                self.outbox.look()
                if self.outbox.kept:
                    self._put(_nothing)
                pipe = self._client.pipeline(transaction=False)
                pipe.xtrim(self.out, minid=self._last, approximate=True)
                pipe.expire(self.out, self._ttl_s)
                pipe.execute()
            except redis.RedisError as error:
                self._trouble(error)
            except Exception:
                # What others wrote there makes no sense; Redis itself may well work.
                log.exception("what Redis holds for listeners")
                self._look_now.wait(1.0)
            else:
                if not self.healthy:
                    log.info("Redis answers")
                    self.healthy = True
                    self._on_health(True, _all)
            self._look_now.clear()
            self._look_now.wait(KEEP_EVERY_S if self.healthy else 0.3)

    def _trouble(self, error: Exception) -> None:
        was, self.healthy = self.healthy, False
        if was:
            log.error("Redis fails: %s", streams.plain(error))
            self._look_now.set()
            self._on_health(False, _all)


def _all(_: str) -> bool:
    """The Redis that every call needs."""
    return True


def _nothing(_: Pipe) -> None:
    """Writes nothing."""
