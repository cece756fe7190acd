"""What the recorder is told: appended to one stream of all listeners, and not lost on the way.

    call ─▶ Outbox (memory, bounded) ─▶ eslbot:records (Redis, bounded) ─▶ recorder

What Redis did not take is kept and tried again, each entry with an id of its own, so that the
recorder takes it once. Beyond a bound, here or in Redis, entries are dropped and counted: a call
never waits for its record.
"""

from __future__ import annotations

import itertools
import json
import logging
import secrets
import time
from collections import deque
from typing import Any

import redis

from workers import streams

log = logging.getLogger(__name__)

MAX_KEPT = 20_000
MAX_BATCH = 500
MAX_FIELDS = 32_000  # characters of an entry
WARN_EVERY_S = 30.0


class Outbox:
    """backlog: entries in Redis from which on nothing more is put there; 0: nothing ever is."""

    def __init__(self, client: redis.Redis, listener: str, backlog: int) -> None:
        self.lost = 0  # entries that the recorder will never see
        self.waiting = 0  # in Redis, as of the last look
        self._client = client
        self._listener = listener
        self._backlog = backlog
        self._kept: deque[dict[Any, Any]] = deque()
        self._token = secrets.token_hex(6)
        self._count = itertools.count(1)
        self._warned = 0.0

    @property
    def kept(self) -> int:
        """Entries that Redis has not taken yet."""
        return len(self._kept)

    def add(self, call: str, leg: str, bot: str, what: str, fields: dict[str, Any]) -> None:
        """Of a call's leg, one thing that happened. Never waits."""
        if not self._backlog:
            return
        number = next(self._count)
        text = json.dumps(fields)
        if len(self._kept) >= MAX_KEPT or len(text) > MAX_FIELDS:
            self._lose(1, "the listener keeps no more")
            return
        self._kept.append(
            {
                "id": f"{self._token}-{number}", "call": call, "leg": leg, "seq": str(number),
                "at": f"{time.time():.3f}", "what": what, "fields": text,
                "listener": self._listener, "bot": bot,
            }
        )  # fmt: skip

    def send(self) -> None:
        """What is kept, to Redis; what it does not take stays. Raises redis.RedisError."""
        while self._kept:
            if self.waiting >= self._backlog:
                self._lose(len(self._kept), "no recorder takes what waits in Redis")
                self._kept.clear()
                return
            batch = [self._kept[n] for n in range(min(len(self._kept), MAX_BATCH))]
            pipe = self._client.pipeline(transaction=False)
            for entry in batch:
                pipe.xadd(streams.RECORDS, entry)
            pipe.expire(streams.RECORDS, streams.RECORDS_TTL_S)
            answers = pipe.execute(raise_on_error=False)[: len(batch)]
            refused = [answer for answer in answers if isinstance(answer, Exception)]
            for _ in batch:
                self._kept.popleft()
            taken = len(batch) - len(refused)
            self.waiting += taken
            if refused:
                # In their order, before what came meanwhile.
                back = [e for e, a in zip(batch, answers, strict=True) if isinstance(a, Exception)]
                self._kept.extendleft(reversed(back))
                raise redis.RedisError(streams.plain(refused[0]))

    def look(self) -> None:
        """How many wait in Redis. Raises redis.RedisError."""
        if self._backlog:
            self.waiting = int(self._client.xlen(streams.RECORDS))

    def _lose(self, count: int, why: str) -> None:
        self.lost += count
        now = time.monotonic()
        if now - self._warned > WARN_EVERY_S or not self._warned:
            self._warned = now
            log.error("records: %d entries lost so far: %s", self.lost, why)
