"""Callers who speak recorded sentences and listen to the answers, again and again, in real time.

They are calls of the stand-in switch, on either side of the comparison; with the listener by its
event socket, with anything else by UDP frames alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import gevent
import numpy as np

from eslbot.prompts import read_wav
from eslbot.rig.house import ROOT
from eslbot.switch.channel import Channel, Dialplan
from eslbot.switch.recording import Recording

RECORDINGS = ROOT / "eslbot" / "recordings"
SENTENCES = ("balance", "hours", "person", "account")
LOOK_EVERY_S = 0.05
PATIENCE_S = 8.0
QUIET_S = 0.8  # of the bot, after which a caller goes on
STAGGER_S = 0.23  # between two calls' beginnings


class Timed(Recording):
    """A recording that knows when each tick was, in seconds of the wall clock."""

    def __init__(self, rate: int, ptime_ms: int) -> None:
        super().__init__(rate, ptime_ms)
        self.at: list[float] = []

    def tick(self, caller: bytes, bot: bytes) -> None:
        super().tick(caller, bot)
        self.at.append(time.time())


@dataclass(slots=True)
class Heard:
    """An utterance. last_word: when its last loud frame was sent; answer: when the first frame of
    the answer was heard, None: no answer. Seconds of the wall clock."""

    last_word: float
    answer: float | None


@dataclass(slots=True)
class Caller:
    """One call. number: of all, so that they do not speak in chorus."""

    call: Channel
    number: int
    sentences: list[bytes]
    heard: list[Heard] = field(default_factory=list)
    ended: bool = False
    _recording: Timed = field(init=False)

    def __post_init__(self) -> None:
        self.call.recording = self._recording = Timed(8000, 20)

    def run(self) -> None:
        """Until ended is set."""
        turn = self.number
        while not self.ended:
            self._ask(self.sentences[turn % len(self.sentences)])
            turn += 1

    def _ask(self, pcm: bytes) -> None:
        record = self._recording
        self._wait(lambda: record.quiet_s("bot") >= QUIET_S, 30.0)
        begin = record.ticks
        self.call.say(pcm)
        self._wait(lambda: not self.call.saying, 30.0)
        words = np.flatnonzero(record.audible("caller", begin))
        if self.ended or not words.size:
            return
        last = begin + int(words[-1])
        answered = self._wait(lambda: bool(record.audible("bot", last).any()), PATIENCE_S)
        if answered is None:
            return
        answer = None
        if answered:
            answer = record.at[last + int(np.flatnonzero(record.audible("bot", last))[0])]
        self.heard.append(Heard(record.at[last], answer))

    def _wait(self, condition: Callable[[], bool], within_s: float) -> bool | None:
        """Whether it came in time; None: the measurement is over."""
        deadline = time.monotonic() + within_s
        while not self.ended and time.monotonic() < deadline:
            if condition():
                return True
            gevent.sleep(LOOK_EVERY_S)
        return None if self.ended else False


def sentences() -> list[bytes]:
    """L16 mono 8 kHz."""
    return [read_wav(RECORDINGS / f"{name}.wav") for name in SENTENCES]


def over_udp(port: int) -> Channel:
    """A call whose audio goes to a UDP port and comes from there, without an event socket."""
    call = Channel(Dialplan([]))
    call.dial()
    gevent.sleep(0.02)
    address = {"local-ip": "127.0.0.1", "remote-ip": "127.0.0.1", "remote-port": str(port)}
    call.message({"call-command": "unicast", **address})
    return call
