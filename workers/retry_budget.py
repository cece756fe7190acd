"""How many retries are worth it: a share of what is asked for, so that a provider in trouble
does not get more requests than one that is well."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

WINDOW_S = 60.0
LEAST = 10  # in a window, however few requests there are: a single call deserves a second try
MAX_KEPT = 100_000


class RetryBudget:
    """Up to `percent` of the requests of the last WINDOW_S seconds, or LEAST of them."""

    def __init__(self, percent: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._percent = percent
        self._clock = clock
        self._requests: deque[float] = deque(maxlen=MAX_KEPT)
        self._retries: deque[float] = deque(maxlen=MAX_KEPT)
        self._lock = threading.Lock()
        self.requests = 0
        self.retries = 0
        self.refused = 0

    def request(self) -> None:
        """A first attempt."""
        with self._lock:
            self.requests += 1
            self._requests.append(self._clock())

    def retry(self) -> bool:
        """Whether one more attempt may be made; if so, it counts."""
        with self._lock:
            now = self._clock()
            for times in (self._requests, self._retries):
                while times and times[0] <= now - WINDOW_S:
                    times.popleft()
            if len(self._retries) >= max(LEAST, len(self._requests) * self._percent // 100):
                self.refused += 1
                return False
            self.retries += 1
            self._retries.append(now)
            return True
