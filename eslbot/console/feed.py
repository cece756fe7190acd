"""The calls of the last hour, read from their logs in Redis as they are written.

One greenlet reads for all pages. A page that listens is told which calls have changed, and
fetches no faster than it can take: what it missed meanwhile is one change.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gevent
import redis
from gevent.event import Event

from eslbot.console.story import Summary
from workers import streams

log = logging.getLogger(__name__)

MAX_CALLS = 2_000  # kept
MAX_LIVE = 500  # read at once
LOOK_EVERY_S = 0.5  # for new calls
BLOCK_MS = 300
FOLLOW_S = 30.0  # a call that ended is read on for so long, for its hang-up
MUTE_S = 15.0  # a call of a listener that is gone, without a word for so long, is lost
LOST = "its listener is gone: the switch's own menu has the caller"
MAX_PAGES = 64


class TooMany(Exception):
    """No more pages can listen now."""


class Page:
    """What one page was not told yet."""

    def __init__(self) -> None:
        self.changed: set[str] = set()
        self.news = Event()

    def take(self, within_s: float) -> set[str]:
        """The calls that have changed since the last time; empty after within_s."""
        self.news.wait(within_s)
        self.news.clear()
        changed, self.changed = self.changed, set()
        return changed


class Feed:
    """start() once; the rest does no I/O."""

    def __init__(self, client: redis.Redis) -> None:
        self.calls: dict[str, Summary] = {}  # by beginning, the oldest first
        self._client = client
        self._last: dict[str, bytes] = {}  # of each log that is read
        self._over: dict[str, float] = {}  # when a call was found to be over; monotonic
        self._seen: dict[str, float] = {}  # when something of it was read last; monotonic
        self._pages: set[Page] = set()
        self._listeners: set[str] = set()
        self._looked = 0.0
        self._task: gevent.Greenlet | None = None

    def start(self) -> None:
        self._task = gevent.spawn(self._run)

    def stop(self) -> None:
        if self._task is not None:
            self._task.kill()

    @contextmanager
    def page(self) -> Iterator[Page]:
        """Raises TooMany."""
        if len(self._pages) >= MAX_PAGES:
            raise TooMany
        one = Page()
        self._pages.add(one)
        try:
            yield one
        finally:
            self._pages.discard(one)

    def live(self) -> list[Summary]:
        """The newest first."""
        return [one for one in reversed(self.calls.values()) if not one.over]

    def search(self, query: str, limit: int) -> list[Summary]:
        """The newest first."""
        found: list[Summary] = []
        for one in reversed(self.calls.values()):
            if len(found) < limit and one.matches(query):
                found.append(one)
        return found

    # -- the greenlet

    def _run(self) -> None:
        while True:
            try:
                self.step()
            except redis.RedisError as error:
                log.warning("Redis fails: %s", streams.plain(error))
                gevent.sleep(1.0)
            except Exception:
                log.exception("the feed failed")
                gevent.sleep(1.0)

    def step(self) -> None:
        """Read what there is; waits BLOCK_MS for it. Raises redis.RedisError."""
        if time.monotonic() - self._looked >= LOOK_EVERY_S:
            self._look()
            self._looked = time.monotonic()
        if not self._last:
            gevent.sleep(BLOCK_MS / 1000)
            return
        keys: dict[Any, Any] = {streams.log_key(call): at for call, at in self._last.items()}
        found: Any = self._client.xread(keys, count=200, block=BLOCK_MS)
        for key, entries in found or ():
            call = key.decode().removeprefix(streams.log_key(""))
            for entry_id, entry in entries:
                self._last[call] = entry_id
                self._take(call, entry)

    def _take(self, call: str, entry: dict[bytes, bytes]) -> None:
        try:
            what, of = entry[b"what"].decode(), json.loads(entry[b"fields"])
            self.calls[call].take(float(entry[b"at"]), what, of)
        except (KeyError, ValueError, TypeError, AttributeError):
            return  # not ours
        self._seen[call] = time.monotonic()
        if self.calls[call].over:
            self._over.setdefault(call, time.monotonic())
        self._tell(call)

    def _tell(self, call: str) -> None:
        for page in self._pages:
            page.changed.add(call)
            page.news.set()

    def _look(self) -> None:
        """Which calls are there, and whose listener is gone?"""
        raw: Any = self._client.zrevrange(streams.CALLS_KEY, 0, MAX_LIVE - 1, withscores=True)
        for name, at in reversed(raw):
            call = name.decode()
            if call not in self.calls and len(self._last) < MAX_LIVE:
                self.calls[call] = Summary(call, began=at, last=at)
                self._last[call] = b"0"
                self._seen[call] = time.monotonic()
        keys = self._client.scan_iter(streams.listener_key("*"), count=1000)
        self._listeners = {key.decode().removeprefix(streams.listener_key("")) for key in keys}
        now = time.monotonic()
        for call in list(self._last):
            one = self.calls[call]
            gone = one.listener not in self._listeners and now - self._seen[call] > MUTE_S
            if gone and not one.over:
                one.outcome, one.reason, one.state = "native menu", LOST, "ended"
                self._tell(call)
            if one.hung_up or gone or now - self._over.get(call, now) > FOLLOW_S:
                self._forget(call)
        for call in list(self.calls)[: max(0, len(self.calls) - MAX_CALLS)]:
            del self.calls[call]
            self._forget(call)

    def _forget(self, call: str) -> None:
        """Its log is read no more."""
        for kept in (self._last, self._over, self._seen):
            kept.pop(call, None)
