"""The clock of all channels of a process: one greenlet, instead of one for each call.

A channel's ticks lie on a grid, as those of a FreeSWITCH's sessions lie on its timer's: what is
due at the same point of it is done in one go.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import math
import time
from collections.abc import Callable

import gevent

log = logging.getLogger(__name__)

GRID_S = 0.005
MAX_LATE_MS = 1000


class Lateness:
    """How late ticks came, in whole milliseconds; from MAX_LATE_MS on they count as that."""

    def __init__(self) -> None:
        self.counts = [0] * (MAX_LATE_MS + 1)

    def add(self, late_s: float) -> None:
        self.counts[min(max(0, int(late_s * 1000)), MAX_LATE_MS)] += 1


class Clock:
    """add() begins at once; a tick that returns False was the last one."""

    def __init__(self) -> None:
        self.lateness = Lateness()
        self._heap: list[tuple[float, int, float, Callable[[], bool]]] = []
        self._count = itertools.count()
        self._running = False

    def add(self, every_s: float, tick: Callable[[], bool]) -> None:
        first = math.ceil(time.monotonic() / GRID_S) * GRID_S
        heapq.heappush(self._heap, (first, next(self._count), every_s, tick))
        if not self._running:
            self._running = True
            gevent.spawn(self._run)

    def _run(self) -> None:
        """Until there is nothing to tick. Ticks are laid out in advance: a late one is made up."""
        heap, lateness = self._heap, self.lateness
        try:
            while heap:
                now = time.monotonic()
                while heap and heap[0][0] <= now:
                    due, number, every_s, tick = heap[0]
                    lateness.add(time.monotonic() - due)
                    if self._safely(tick):
                        heapq.heapreplace(heap, (due + every_s, number, every_s, tick))
                    else:
                        heapq.heappop(heap)
                if heap:
                    gevent.sleep(max(0.0, heap[0][0] - time.monotonic()))
        finally:
            self._running = False

    @staticmethod
    def _safely(tick: Callable[[], bool]) -> bool:
        try:
            return tick()
        except Exception:
            log.exception("a channel's tick failed")
            return False


CLOCK = Clock()
