"""What is to be written to one Redis: a bounded queue, and one greenlet that takes all of it at
once, as one pipeline. Who puts something there never waits."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from gevent.event import Event

from workers.wire import Pipe, Wire

log = logging.getLogger(__name__)

MAX_WAITING = 20_000
MAX_BATCH = 500
GATHER_S = 0.05  # what nobody waits for goes together


class Writer:
    """on_trouble(error): what was written is lost, or some of it."""

    def __init__(self, wire: Callable[[], Wire], on_trouble: Callable[[Exception], None]) -> None:
        self.lost = 0
        self._wire = wire
        self._on_trouble = on_trouble
        self._waiting: list[Callable[[Any], None]] = []
        self._urgent = Event()
        self._running = True

    def put(self, write: Callable[[Any], None], urgent: bool) -> bool:
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
        if errors:
            self.lost += len(errors)
            self._on_trouble(errors[0])
