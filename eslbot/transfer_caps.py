"""How many callers went to a destination in the last hour, over all listeners.

    eslbot:transfers:DESTINATION   zset  one entry for each, by the time of Redis; expires

While Redis is away a listener goes by its own count.
"""

from __future__ import annotations

import time
import uuid as uuids
from collections import deque
from typing import Any

import redis

HOUR_S = 3600

# KEYS[1]; ARGV: the limit, a name for this one, milliseconds of an hour
_TAKE = """
local now = redis.call('TIME')
now = now[1] * 1000 + math.floor(now[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[3])
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[1]) then return 0 end
redis.call('ZADD', KEYS[1], now, ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
"""


class TransferCaps:
    """take() waits for Redis, no longer than its client does."""

    def __init__(self, client: redis.Redis) -> None:
        self._take: Any = client.register_script(_TAKE)
        self._own: dict[str, deque[float]] = {}

    def take(self, destination: str, limit: int) -> bool:
        """Whether one more may go there; it then counts."""
        own = self._own.setdefault(destination, deque(maxlen=limit))
        now = time.monotonic()
        while own and own[0] < now - HOUR_S:
            own.popleft()
        try:
            key = f"eslbot:transfers:{destination}"
            taken = bool(self._take(keys=[key], args=[limit, str(uuids.uuid4()), HOUR_S * 1000]))
        except redis.RedisError:
            taken = len(own) < limit
        if taken:
            own.append(now)
        return taken
