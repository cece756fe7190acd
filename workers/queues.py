"""On which Redis a worker takes its jobs, where ESLBOT_QUEUE_REDIS_URLS names several.

A worker takes from one at a time: from the one that answers and has the fewest workers of its
stage. When that one fails, it chooses again; one that came back is chosen by who chooses then.
"""

from __future__ import annotations

import logging

import redis

from workers import streams
from workers.settings import Settings, SettingsError

log = logging.getLogger(__name__)

MAX_SHARDS = 64
# RQ blocks on its queue for seconds, so its client needs longer than others may wait.
RQ_TIMEOUT_S = 20.0
RQ_CONNECTIONS = 8


def connect(settings: Settings, timeout_s: float, connections: int) -> list[redis.Redis]:
    """A client for each of them; none where queues are where all else is. Raises SettingsError."""
    urls = settings.queue_redis_urls.split()
    if len(urls) > MAX_SHARDS:
        raise SettingsError(f"ESLBOT_QUEUE_REDIS_URLS: more than {MAX_SHARDS}")
    found = []
    for number, url in enumerate(urls, 1):
        try:
            found.append(streams.connect(url, timeout_s, connections, settings.tls_of(url)))
        except ValueError as error:
            raise SettingsError(f"ESLBOT_QUEUE_REDIS_URLS: {number}: {error}") from None
    return found


class Place:
    """Where a worker of this role takes its jobs. home: a client of where all else is."""

    def __init__(self, settings: Settings, home: redis.Redis, role: str) -> None:
        self._home = home
        self._role = role
        self._looks = connect(settings, settings.redis_timeout_ms / 1000, 4)
        self._queues = connect(settings, RQ_TIMEOUT_S, RQ_CONNECTIONS)
        self._own = streams.connect(
            settings.redis, RQ_TIMEOUT_S, RQ_CONNECTIONS, settings.redis_tls
        )

    @property
    def several(self) -> bool:
        return bool(self._queues)

    def choose(self) -> tuple[redis.Redis, redis.Redis | None]:
        """RQ's client, and one to say there that the worker lives; None: where all else is.

        Of equals, each in its turn. Raises redis.RedisError where none answers.
        """
        if not self._queues:
            return self._own, None
        counts: dict[int, int] = {}
        failed: redis.RedisError | None = None
        for number, client in enumerate(self._looks):
            try:
                counts[number] = len(streams.living(client, self._role))
            except redis.RedisError as error:
                failed = error
                log.warning("queues %d: %s", number, streams.plain(error))
        if failed is not None and not counts:
            raise failed
        least = [number for number, count in counts.items() if count == min(counts.values())]
        chosen = least[streams.next_turn(self._home, self._role) % len(least)]
        log.info("its jobs come from queues %d", chosen)
        return self._queues[chosen], self._looks[chosen]
