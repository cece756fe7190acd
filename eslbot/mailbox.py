"""What happens to a call, one thing at a time: a bounded queue of events, and timers.

Other greenlets post(); the call's own runs next() again and again.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Any

import gevent
from gevent.hub import Waiter

MAX_WAITING = 2000
LOOK_EVERY_S = 1.0  # next() returns at least so often


class Mailbox:
    """Handlers are called with what was posted, on the greenlet that calls next()."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()
        self._asleep: Any = None  # a Waiter, while next() waits
        self._timers: dict[str, tuple[float, Callable[[], None]]] = {}

    def post(self, handle: Callable[..., None], *args: Any) -> bool:
        """Never waits. False: it is full, so its call is wedged; the watchdog will see to it."""
        if len(self._waiting) >= MAX_WAITING:
            return False
        self._waiting.append((handle, args))
        asleep, self._asleep = self._asleep, None
        if asleep is not None:
            asleep.hub.loop.run_callback(asleep.switch, None)
        return True

    @property
    def empty(self) -> bool:
        return not self._waiting

    def timer(self, name: str, in_s: float, action: Callable[[], None]) -> None:
        """Run action after in_s seconds; a timer of that name is replaced."""
        self._timers[name] = (time.monotonic() + in_s, action)

    def no_timer(self, *names: str) -> None:
        for name in names:
            self._timers.pop(name, None)

    def no_timers(self) -> None:
        self._timers.clear()

    def clear(self) -> None:
        """Forget what was posted, and the timers."""
        self._waiting.clear()
        self._timers.clear()

    def next(self, until: float | None = None) -> bool:
        """Handle the next event, or the timers that are due; at `until` at the latest.

        False: nothing was posted meanwhile.
        """
        if not self._waiting:
            now = time.monotonic()
            due = min((at for at, _ in self._timers.values()), default=now + LOOK_EVERY_S)
            due = min(due, now + LOOK_EVERY_S, until if until is not None else due)
            self._sleep(due - now)
        if not self._waiting:
            self._run_timers()
            return False
        handle, args = self._waiting.popleft()
        handle(*args)
        self._run_timers()
        return True

    def _sleep(self, in_s: float) -> None:
        """Until something is posted, or for so long. gevent's own time-outs cost several times as
        much, and each call sleeps ten times a second."""
        hub = gevent.get_hub()
        waiter = self._asleep = Waiter(hub)
        timer = hub.loop.timer(max(0.0, in_s))
        try:
            timer.start(waiter.switch, None)
            waiter.get()
        finally:
            self._asleep = None
            timer.stop()
            timer.close()

    def _run_timers(self) -> None:
        now = time.monotonic()
        due = [item for item in self._timers.items() if item[1][0] <= now]
        due.sort(key=lambda item: item[1][0])
        for name, timer in due:
            # An action may have removed or replaced the ones after it.
            if self._timers.get(name) is timer:
                del self._timers[name]
                timer[1]()
