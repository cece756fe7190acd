"""`eslbot calls --live`: the calls that go on now, in a terminal.

    on a terminal    one line for each call, drawn anew each second
    in a pipe        a line for each change
    --json           a line of JSON for each change, as the console's page gets it

They are read as the console reads them: eslbot/console/feed.py.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

import redis

from eslbot.console.feed import Feed, Page
from eslbot.console.story import Summary
from workers import streams
from workers.settings import Settings

DRAW_EVERY_S = 1.0
CATCH_UP_S = 5.0  # with the logs of the last hour, before anything is told
STAYS_S = 5.0  # a call that ended stays on the screen for so long
AGAIN_S = 1.0  # after Redis failed
HEAD = "CALL      LASTS STATE       WAITED OUTCOME       WORDS"
HOME, TO_END_OF_LINE, TO_END = "\x1b[H", "\x1b[K", "\x1b[J"
CLEAR, HIDE_CURSOR, SHOW_CURSOR = "\x1b[2J", "\x1b[?25l", "\x1b[?25h"


def run(settings: Settings, as_json: bool, bot: str | None, out: IO[str] | None = None) -> int:
    """Until Ctrl-C; 0. bot: calls of this bot alone. Raises redis.RedisError, where there is none
    at the start, and ValueError."""
    timeout_s = settings.redis_timeout_ms / 1000
    client = streams.connect(settings.redis, timeout_s, 2, settings.redis_tls)
    try:
        client.ping()
        feed = Feed(client)
        with feed.page() as page:
            _catch_up(feed, page)
            view = View(feed, page, bot, out or sys.stdout)
            if as_json or not view.out.isatty():
                view.follow(as_json)
            else:
                view.draw()
    except KeyboardInterrupt:
        return 0
    finally:
        client.close()
    return 0


def _catch_up(feed: Feed, page: Page) -> None:
    """Calls that were over before are no news."""
    until = time.monotonic() + CATCH_UP_S
    while time.monotonic() < until:
        page.changed.clear()
        feed.step()
        if not page.changed:
            return


class View:
    def __init__(self, feed: Feed, page: Page, bot: str | None, out: IO[str]) -> None:
        self.out = out
        self._feed = feed
        self._page = page
        self._bot = bot
        self._ended: dict[str, float] = {}  # shown a little longer; monotonic

    def follow(self, as_json: bool) -> None:
        """A line for each change, the calls that go on now first."""
        told: dict[str, str] = {}
        self._page.changed |= {one.uuid for one in self._feed.live()}
        while True:
            for uuid in sorted(self._page.changed):
                one = self._feed.calls.get(uuid)
                if one is None or not self._wanted(one):
                    continue
                text = json.dumps(one.shown(), ensure_ascii=False) if as_json else line(one)
                if told.get(uuid) != text:
                    print(text, file=self.out, flush=True)
                    told[uuid] = text
            told = {uuid: text for uuid, text in told.items() if uuid in self._feed.calls}
            self._page.changed.clear()
            trouble = self._step()
            if trouble:
                print(f"eslbot calls: {trouble}", file=sys.stderr, flush=True)

    def draw(self) -> None:
        drawn, trouble = 0.0, ""
        with _screen(self.out):
            while True:
                trouble = self._step() or ("" if self._page.changed else trouble)
                if time.monotonic() - drawn >= DRAW_EVERY_S:
                    self.out.write(self.screen(*shutil.get_terminal_size(), trouble))
                    self.out.flush()
                    drawn = time.monotonic()

    def screen(self, columns: int, rows: int, trouble: str = "") -> str:
        """What is written to draw all of it anew."""
        now = time.monotonic()
        for uuid in self._page.changed:
            if (one := self._feed.calls.get(uuid)) is not None and one.over:
                self._ended.setdefault(uuid, now)
        self._page.changed.clear()
        self._ended = {uuid: at for uuid, at in self._ended.items() if now - at < STAYS_S}
        live = [one for one in self._feed.live() if self._wanted(one)]
        over = [one for uuid in self._ended if (one := self._feed.calls.get(uuid)) is not None]
        lines = [trouble or f"Calls now: {len(live)}. Ctrl-C ends.", HEAD]
        lines += [line(one) for one in [*live, *filter(self._wanted, over)]]
        shown = [f"{text[:columns]}{TO_END_OF_LINE}" for text in lines[: max(2, rows - 1)]]
        return HOME + "\n".join(shown) + TO_END

    def _step(self) -> str:
        """Read on; why that can't be, or ""."""
        try:
            self._feed.step()
        except redis.RedisError as error:
            time.sleep(AGAIN_S)
            return f"Redis is away: {streams.plain(error)}"
        return ""

    def _wanted(self, one: Summary) -> bool:
        return self._bot is None or one.bot == self._bot


@contextmanager
def _screen(out: IO[str]) -> Iterator[None]:
    out.write(HIDE_CURSOR + CLEAR)
    try:
        yield
    finally:
        out.write(f"{SHOW_CURSOR}\n")
        out.flush()


def line(one: Summary) -> str:
    """One call. Its words are a caller's or a model's: nothing of them moves the cursor."""
    until = one.last if one.over else max(one.last, time.time())
    lasts_s = max(0, int(until - one.began))
    waited = "" if one.wait_ms is None else f"{one.wait_ms} ms"
    outcome = one.outcome or one.turn_outcome
    words = f"{one.who}: {one.words}" if one.words else one.reason
    lasts = f"{lasts_s // 60}:{lasts_s % 60:02}"
    text = f"{one.uuid[:8]:8} {lasts:>6} {one.state:10} {waited:>7} {outcome:13} {words}"
    return "".join(c if c.isprintable() else " " for c in text).rstrip()
