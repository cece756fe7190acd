"""The bot's file while calls go on: looked at again and again, and on SIGHUP.

    changed ─▶ right? ─ no ─▶ logged and shown at /bot; the old one stays
                      └ yes ─▶ Redis, workers get ready, prompts are spoken ─▶ new calls have it

A call keeps the bot that it began with. A file that is written in two steps is read again when it
has changed once more.
"""

from __future__ import annotations

import contextlib
import json
import logging
import time
from collections.abc import Callable
from pathlib import Path

import gevent
from gevent.event import Event

from eslbot.served import Served, Version
from workers.bot import BotError, load

log = logging.getLogger(__name__)

LOOK_EVERY_S = 1.0
MAX_FILES = 200
READY_WITHIN_S = 60.0  # for workers to get ready; then it is used all the same


class BotWatch:
    """prepare(version): have its prompts spoken, and raise TimeoutError where that fails.
    ready(version): whether workers of each role are ready for it."""

    def __init__(
        self,
        path: Path,
        served: Served,
        prepare: Callable[[Version], None],
        ready: Callable[[Version], bool],
    ) -> None:
        self._path = path
        self._served = served
        self._prepare = prepare
        self._ready = ready
        self._seen = self._stamp()
        self._now = Event()
        self.error = ""  # what is wrong with the file, while the old one stays
        self.changes = 0

    def run(self) -> None:
        """Until the greenlet is killed."""
        while True:
            asked = self._now.wait(LOOK_EVERY_S)
            self._now.clear()
            stamp = self._stamp()
            if asked or stamp != self._seen:
                self._seen = stamp
                try:
                    self._read(asked)
                except Exception:
                    self.error = "it could not be made ready, see the log"
                    log.exception("the bot's file")
                    self._served.coming = None

    def look_now(self) -> None:
        """SIGHUP."""
        self._now.set()

    def about(self) -> str:
        """What /bot says."""
        version = self._served.now
        told = {
            "file": str(self._path),
            "name": version.bot.name,
            "bots": {name: bot.sha for name, bot in version.bots.items()},
            "promoted": self._served.promoted,
            "coming": self._served.coming is not None,
            "changes": self.changes,
            "error": self.error,
        }
        return json.dumps(told) + "\n"

    def _stamp(self) -> tuple[tuple[str, int, int, int], ...]:
        """Of the file, and of those beside it: translations are among them."""
        found = []
        for path in sorted(self._path.parent.glob("*.y*ml"))[:MAX_FILES]:
            with contextlib.suppress(OSError):
                about = path.stat()
                found.append((path.name, about.st_mtime_ns, about.st_size, about.st_ino))
        return tuple(found)

    def _read(self, asked: bool) -> None:
        try:
            # In a thread: a large file takes a while, and the calls' audio must not wait.
            version = Version(gevent.get_hub().threadpool.apply(load, (self._path,)))
        except BotError as error:
            self.error = str(error)
            log.error("the bot stays as it was: %s", error)
            return
        self.error = ""
        if version.bot.sha == self._served.now.bot.sha:
            if asked:
                log.info("the bot's file says what it said before")
            return
        self._served.coming = version
        try:
            self._await_workers(version)
            self._prepare(version)
        except TimeoutError as error:
            self.error = f"not in use: {error}"
            log.error("the bot stays as it was: %s", error)
            self._seen = ()  # another time
            gevent.sleep(5)
            return
        finally:
            self._served.coming = None
        self._served.now = version
        self.changes += 1
        log.info("the bot's file has changed: new calls have %s", version.bot.sha)

    def _await_workers(self, version: Version) -> None:
        until = time.monotonic() + READY_WITHIN_S
        while not self._ready(version):
            if time.monotonic() > until:
                log.warning("workers are not ready for the changed bot; it is used all the same")
                return
            gevent.sleep(0.1)
