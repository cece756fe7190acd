"""What happens to a call, one thing at a time: a bounded queue of events, and timers.

Other greenlets post(); the call's own runs next() again and again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from gevent.queue import Empty, Full, Queue

MAX_WAITING = 2000
LOOK_EVERY_S = 1.0  # next() returns at least so often


class Mailbox:
    """Handlers are called with what was posted, on the greenlet that calls next()."""

    def __init__(self) -> None:
        self._waiting: Queue = Queue(maxsize=MAX_WAITING)
        self._timers: dict[str, tuple[float, Callable[[], None]]] = {}

    def post(self, handle: Callable[..., None], *args: Any) -> bool:
        """Never waits. False: it is full, so its call is wedged; the watchdog will see to it."""
        try:
            self._waiting.put_nowait((handle, args))
        except Full:
            return False
        return True

    @property
    def empty(self) -> bool:
        return bool(self._waiting.empty())

    def timer(self, name: str, in_s: float, action: Callable[[], None]) -> None:
        """Run action after in_s seconds; a timer of that name is replaced."""
        self._timers[name] = (time.monotonic() + in_s, action)

    def no_timer(self, *names: str) -> None:
        for name in names:
            self._timers.pop(name, None)

    def no_timers(self) -> None:
        self._timers.clear()

    def next(self, until: float | None = None) -> bool:
        """Handle the next event, or the timers that are due; at `until` at the latest.

        False: nothing was posted meanwhile.
        """
        now = time.monotonic()
        due = min((at for at, _ in self._timers.values()), default=now + LOOK_EVERY_S)
        due = min(due, now + LOOK_EVERY_S, until if until is not None else due)
        try:
            handle, args = self._waiting.get(timeout=max(0.0, due - now))
        except Empty:
            self._run_timers()
            return False
        handle(*args)
        self._run_timers()
        return True

    def _run_timers(self) -> None:
        now = time.monotonic()
        for name, timer in sorted(self._timers.items(), key=lambda item: item[1][0]):
            # An action may have removed or replaced the ones after it.
            if timer[0] <= now and self._timers.get(name) is timer:
                del self._timers[name]
                timer[1]()
