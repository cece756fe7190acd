"""One of the calls that stay open: somebody calls, talks, hangs up; then the next one calls."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import gevent

from eslbot.loadtest.plan import ARRIVALS_PER_S, GRACE_S, TURNS, Lines, number
from eslbot.switch.channel import Channel, Dialplan

LOOK_S = 0.04  # times come from the recording's ticks, not from when somebody looked
QUIET_S = 0.8  # of the bot, after which the caller takes it that it has finished
PATIENCE_S = 12.0
LONGEST_ANSWER_S = 40.0
THINK_S = (0.4, 1.6)  # before the caller speaks
PAUSE_S = (0.2, 1.0)  # between two calls of a line
HERE = ("dialplan", "socket")


@dataclass(slots=True)
class Turn:
    """at_s: the caller's last word, since the start. gap_ms: from it to the bot's first sound;
    None: there was none."""

    call: str
    nth: int
    at_s: float
    gap_ms: float | None


@dataclass(slots=True)
class Call:
    """began_s: since the start. greeted_ms: from dialling to the bot's first sound.

    end: where it was before the caller hung up: "socket", "native:EXT", "extension:EXT", or, where
    something else had ended it, "stuck", "hungup".
    """

    call: str
    number: int
    began_s: float
    seconds: float
    greeted_ms: float | None
    end: str
    crashed: str | None
    frames: dict[str, int]
    turns: list[Turn] = field(default_factory=list)
    audio: str = ""  # the file with the bot's side, where it was kept


class Line:
    """run() keeps one call open at a time."""

    def __init__(self, line: int, of: Lines, words: list[bytes]) -> None:
        self.calls: list[Call] = []
        self.unfinished = 0  # calls that were still going on at the very end
        self._line = line
        self._of = of
        self._words = words
        # The same load each time.
        self._random = random.Random(line)  # noqa: S311
        at = line % len(of.listeners)
        self._listeners = of.listeners[at:] + of.listeners[:at]

    def run(self, keep: bool) -> None:
        """keep: the first call's audio."""
        nth = 0
        gevent.sleep(max(0.0, self._of.start_at + self._line / ARRIVALS_PER_S - time.monotonic()))
        while time.monotonic() < self._of.end_at:
            self._call(nth, keep and nth == 0)
            nth += 1
            gevent.sleep(self._random.uniform(*PAUSE_S))

    def _call(self, nth: int, keep: bool) -> None:
        own = number(self._line, self._of.step, nth)
        call = Channel(
            Dialplan(self._listeners),
            number=str(own),
            variables={"ai_account": str(own)},
            keep_audio=keep,
        )
        began_s = time.monotonic() - self._of.start_at
        self.unfinished += 1
        call.dial()
        self._until(call, lambda: call.recording.first_heard("bot") is not None, PATIENCE_S)
        first = call.recording.first_heard("bot")
        turns: list[Turn] = []
        self._hear_out(call)
        while len(turns) < TURNS and call.where == "socket":
            self._think()
            if time.monotonic() >= self._of.end_at:
                break
            turns.append(self._turn(call, len(turns)))
            self._hear_out(call)
        end = call.where
        call.hangup()
        self.unfinished -= 1
        tick_ms = call.recording.tick_s * 1000
        done = Call(
            call.uuid, own, began_s, time.monotonic() - self._of.start_at - began_s,
            None if first is None else first * tick_ms, end, call.crashed,
            {name: getattr(call.frames, name) for name in call.frames.__slots__}, turns,
        )  # fmt: skip
        if keep:
            path = Path(self._of.folder) / f"{own}.pcm"
            call.recording.bot().tofile(path)
            done.audio = str(path)
        self.calls.append(done)

    def _turn(self, call: Channel, nth: int) -> Turn:
        recording = call.recording
        begin = recording.ticks
        call.say(self._random.choice(self._words))
        call.wait_for(lambda: not call.saying or call.where not in HERE, 30, LOOK_S)
        last = recording.last_heard("caller", begin)
        last = begin if last is None else last
        self._until(call, lambda: recording.first_heard("bot", last) is not None, PATIENCE_S)
        heard = recording.first_heard("bot", last)
        at_s = time.monotonic() - self._of.start_at - (recording.ticks - last) * recording.tick_s
        gap_ms = None if heard is None else (heard - last) * recording.tick_s * 1000
        return Turn(call.uuid, nth, at_s, gap_ms)

    def _hear_out(self, call: Channel) -> None:
        self._until(call, lambda: call.recording.quiet_s("bot") >= QUIET_S, LONGEST_ANSWER_S)

    def _think(self) -> None:
        gevent.sleep(self._random.uniform(*THINK_S))

    def _until(self, call: Channel, done: Callable[[], bool], within_s: float) -> None:
        left = self._of.end_at + GRACE_S - time.monotonic()
        call.wait_for(
            lambda: done() or call.where not in HERE, max(0.0, min(within_s, left)), LOOK_S
        )
