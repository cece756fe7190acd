"""The clock of all calls: every 20 ms it drains, judges and plays each call's audio.

One greenlet for all calls instead of one each: a tick costs a few microseconds per call, and
the VAD sees all calls as one batch. Nothing in a tick waits.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

import gevent

from eslbot.media.leg import Leg
from eslbot.vad import Vad

log = logging.getLogger(__name__)

TICK_S = 0.02
DEAF_EVERY_S = 10.0  # it is told again
MAX_LAG_S = 1.0  # a process that was stopped for long is well again as soon as it runs


class Clock:
    """on_tick(now, late_s): called at the end of each tick; must not wait."""

    def __init__(self, vad: Vad, on_tick: Callable[[float, float], None]) -> None:
        self._vad = vad
        self._on_tick = on_tick
        self._legs: set[Leg] = set()
        self._running = False
        self._deaf_told = -DEAF_EVERY_S
        self.lag_s = 0.0  # how late ticks are, on average of about a second

    def add(self, leg: Leg) -> None:
        self._legs.add(leg)

    def remove(self, leg: Leg) -> None:
        """Also frees the leg's place in the VAD and closes its port."""
        if leg in self._legs:
            self._legs.discard(leg)
            self._vad.close(leg.place)
            leg.port.close()

    def run(self) -> None:
        """Until stop(). Ticks are laid out in advance: a late one does not delay the next."""
        self._running = True
        due = time.monotonic()
        while self._running:
            now = time.monotonic()
            late_s = max(0.0, now - due)
            # Each tick counts for the time that it stands for, so that a late one counts more.
            share = min(1.0, TICK_S + late_s)
            self.lag_s += (min(late_s, MAX_LAG_S) - self.lag_s) * share
            if late_s > TICK_S:
                due = now
            self.tick(now)
            self._on_tick(now, late_s)
            due += TICK_S
            gevent.sleep(max(0.0, due - time.monotonic()))

    def stop(self) -> None:
        self._running = False

    def tick(self, now: float) -> None:
        waiting: list[tuple[Leg, list[bytes]]] = []
        for leg in list(self._legs):
            try:
                leg.play(now)
                found = leg.windows(now)
            except Exception:
                # One call's defect must not stop the clock of all others.
                log.exception("a leg's tick failed")
                continue
            if found:
                waiting.append((leg, found))
        # Each round takes one window of each call: a call's windows have an order.
        while waiting:
            heard = [(leg, found.pop(0)) for leg, found in waiting]
            try:
                odds = self._vad.probabilities(
                    [leg.place for leg, _ in heard], [window for _, window in heard]
                )
            except Exception:
                self._deaf(now)
                return
            for (leg, window), probability in zip(heard, odds, strict=True):
                try:
                    leg.judge(window, float(probability))
                except Exception:
                    log.exception("a leg's endpointing failed")
            waiting = [(leg, found) for leg, found in waiting if found]
        for leg in [leg for leg in self._legs if leg.endpointer.soon]:
            try:
                leg.judge_soon()
            except Exception:
                log.exception("a leg's endpointing failed")

    def _deaf(self, now: float) -> None:
        """The bot still speaks, and keys count: callers come to the menu, and to a person."""
        if now - self._deaf_told > DEAF_EVERY_S:
            self._deaf_told = now
            log.exception("nobody is heard: the voice detection failed")
