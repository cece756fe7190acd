"""RQ's queues on several Redis, each with workers of its own: a call's jobs go to one of them.

    call ── the highest hash of (call, shard) among those that are there and have workers

A shard that is gone, or whose workers are, is left out, and no call moves but its own. What waited
there is lost: the ladder has it done again, elsewhere. A job that was taken goes on, for all that
it reads and writes lies where other turns' streams do.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from typing import Any

import gevent
import redis
from gevent.event import Event

from eslbot.writer import Writer
from workers import streams
from workers.messages import Stage, Turn
from workers.streams import QueueState
from workers.wire import Wire

log = logging.getLogger(__name__)

KEEP_EVERY_S = 1.0
AGAIN_S = 0.3


class Shard:
    """One of the Redis with queues."""

    def __init__(self, client: redis.Redis, number: int) -> None:
        self.number = number
        self.healthy = False
        self.client = client
        self.writer = Writer(lambda: Wire(client), self._trouble)
        self._workers: dict[str, list[dict[str, Any]]] = {stage: [] for stage in streams.STAGES}
        self._look_now = Event()
        self._running = True

    def run(self) -> None:
        """Is it there, and who takes its jobs?"""
        while self._running:
            try:
                for stage in streams.STAGES:
                    self._workers[stage] = list(streams.living(self.client, stage))
            except redis.RedisError as error:
                self._trouble(error)
            except Exception:
                # What others wrote there makes no sense; Redis itself may well work.
                log.exception("what queues %d hold of workers", self.number)
                self._look_now.wait(1.0)
            else:
                if not self.healthy:
                    log.info("queues %d: Redis answers", self.number)
                self.healthy = True
            self._look_now.clear()
            self._look_now.wait(KEEP_EVERY_S if self.healthy else AGAIN_S)

    def stop(self) -> None:
        self._running = False
        self.writer.stop()
        self._look_now.set()

    def usable(self, stage: str) -> bool:
        """Whether its jobs of this stage are taken by someone whose engine is not known to fail."""
        return self.healthy and any(any(worker["usable"]) for worker in self._workers[stage])

    def weight(self, call: str) -> bytes:
        return hashlib.blake2b(f"{self.number} {call}".encode(), digest_size=8).digest()

    def _trouble(self, error: Exception) -> None:
        was, self.healthy = self.healthy, False
        if was:
            log.error("queues %d: Redis fails: %s", self.number, streams.plain(error))
            self._look_now.set()


class Shards:
    """All of them; start() and stop() once each."""

    def __init__(self, clients: Sequence[redis.Redis]) -> None:
        self._shards = [Shard(client, number) for number, client in enumerate(clients)]
        self._tasks: list[gevent.Greenlet] = []

    def start(self) -> None:
        for shard in self._shards:
            self._tasks += [gevent.spawn(shard.run), gevent.spawn(shard.writer.run)]

    def stop(self) -> None:
        """Write what waits, one second at the most, and end."""
        for shard in self._shards:
            shard.stop()
        gevent.joinall(self._tasks, timeout=1.0)
        gevent.killall(self._tasks)

    def dispatch(self, turn: Turn, stage: Stage) -> bool:
        """See Link.dispatch()."""
        usable = [shard for shard in self._shards if shard.usable(stage)]
        if not usable:
            return False
        shard = max(usable, key=lambda one: one.weight(turn.call))
        return shard.writer.put(lambda pipe: streams.enqueue(pipe, turn, stage), urgent=True)

    def usable(self, stage: str) -> bool:
        return any(shard.usable(stage) for shard in self._shards)

    @property
    def lost(self) -> int:
        return sum(shard.writer.lost for shard in self._shards)

    def healthy(self) -> tuple[int, int]:
        """(that answer, that do not)."""
        there = sum(shard.healthy for shard in self._shards)
        return there, len(self._shards) - there

    def states(self) -> dict[Stage, QueueState]:
        """Of those that answer."""
        return streams.all_queue_states([shard.client for shard in self._shards])
