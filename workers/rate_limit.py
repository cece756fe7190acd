"""A bound on the requests to a provider, of all workers together: no more in any minute than its
account allows.

    request ─▶ is the bound-th last one a minute ago? ─ yes, or there is none ─▶ it counts, and goes
                                                      └ no ─▶ OverRate, at once: nobody waits

The times of the last requests are a list in Redis, the newest first, and no longer than the bound:
so the window moves, it is exact, and it costs the same however great the bound is. Time is Redis'
own. What is refused does not count.

While Redis is away no limit is applied: the provider has its own, and a caller is not to wait for
both.
"""

from __future__ import annotations

import logging
from typing import Any, Final

import redis

from workers.http_provider import OverRate

log = logging.getLogger(__name__)

WINDOW_S: Final = 60.0

# KEYS[1]: a list of times, ms. ARGV: the bound, the window in ms, whether it is a request.
_TAKE = """
local now = redis.call('TIME')
now = now[1] * 1000 + math.floor(now[2] / 1000)
local last = redis.call('LINDEX', KEYS[1], ARGV[1] - 1)
local age = last and now - tonumber(last)
-- Less than nothing: the clock was set back, and what it said before is worth nothing.
if age and age >= 0 and age < tonumber(ARGV[2]) then return 0 end
if ARGV[3] == '1' then
  redis.call('LPUSH', KEYS[1], now)
  redis.call('LTRIM', KEYS[1], 0, ARGV[1] - 1)
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return 1
"""


class RateLimit:
    """name: of the provider, as its breaker's. per_min: requests in any window_s, 1 or more."""

    def __init__(
        self, client: redis.Redis, name: str, per_min: int, window_s: float = WINDOW_S
    ) -> None:
        self.key = f"eslbot:rate:{name}"
        self._bound = per_min
        self._window_ms = int(window_s * 1000)
        self._take: Any = client.register_script(_TAKE)
        self._applied = True
        self.refused = 0  # by this process

    def take(self) -> None:
        """A request is about to be sent. Raises OverRate where it must not be."""
        if not self._ask(self._bound, request=True):
            self.refused += 1
            raise OverRate("over the rate limit")

    def spare(self) -> bool:
        """Whether less than half of it is in use: the rest is kept for callers."""
        return self._ask(max(1, self._bound // 2), request=False)

    def _ask(self, bound: int, request: bool) -> bool:
        try:
            found = self._take(keys=[self.key], args=[bound, self._window_ms, int(request)])
        except redis.RedisError as error:
            if self._applied:
                log.warning("%s: no limit is applied: %s", self.key, type(error).__name__)
            self._applied = False
            return True
        self._applied = True
        return bool(found)
