"""What is to be written to one Redis: a bounded queue, and one greenlet that takes all of it at
once, as one pipeline. Who puts something there never waits."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from gevent.event import Event
from redis import exceptions

from workers import streams
from workers.wire import Pipe, Wire

log = logging.getLogger(__name__)

MAX_WAITING = 20_000
MAX_BATCH = 500
GATHER_S = 0.05  # what nobody waits for goes together

# Redis is there, and none of the writes will do: full, a replica by now, without its slots. A write
# that only lacks a right is none of these.
USELESS = (
    exceptions.ConnectionError,
    exceptions.TimeoutError,
    exceptions.OutOfMemoryError,
    exceptions.ReadOnlyError,
    exceptions.ClusterDownError,
    exceptions.AskError,
    exceptions.TryAgainError,
)
USELESS_CODES = ("MISCONF", "NOREPLICAS")  # which redis-py has no class for


class Writer:
    """on_trouble(error): Redis can't be worked with, and what was written is lost. A write that
    Redis alone refuses is only counted and logged. then(): called after each round."""

    def __init__(
        self,
        wire: Callable[[], Wire],
        on_trouble: Callable[[Exception], None],
        then: Callable[[], None] | None = None,
    ) -> None:
        self.lost = 0
        self._wire = wire
        self._on_trouble = on_trouble
        self._then = then
        self._waiting: list[Callable[[Any], object]] = []
        self._urgent = Event()
        self._running = True

    def put(self, write: Callable[[Any], object], urgent: bool) -> bool:
        """write(pipe) will be called. What is not urgent goes with what is, or GATHER_S later; the
        order stays. False: there is no room."""
        if len(self._waiting) >= MAX_WAITING:
            self.lost += 1
            return False
        self._waiting.append(write)
        if urgent:
            self._urgent.set()
        return True

    def stop(self) -> None:
        """What waits is still written."""
        self._running = False
        self._urgent.set()

    def run(self) -> None:
        with self._wire() as wire:
            while self._running or self._waiting:
                self._urgent.wait(GATHER_S)
                self._urgent.clear()
                if self._waiting:
                    self._write(Pipe(wire))
                if self._then is not None:
                    self._then()

    def _write(self, pipe: Pipe) -> None:
        batch, self._waiting = self._waiting[:MAX_BATCH], self._waiting[MAX_BATCH:]
        if self._waiting:
            self._urgent.set()
        for write in batch:
            try:
                write(pipe)
            except Exception:
                self.lost += 1
                log.exception("something that can't be written")
        try:
            answers = pipe.execute(raise_on_error=False)
        except Exception as error:  # whatever it is: others have to be written after it
            self.lost += len(batch)
            self._on_trouble(error)
            return
        errors = [answer for answer in answers if isinstance(answer, Exception)]
        if not errors:
            return
        self.lost += len(errors)
        useless = next((error for error in errors if _useless(error)), None)
        if useless is not None:
            self._on_trouble(useless)
        else:
            log.error("Redis refused %d writes: %s", len(errors), streams.plain(errors[0]))


def _useless(error: Exception) -> bool:
    return isinstance(error, USELESS) or str(error).split(" ")[0] in USELESS_CODES
