"""Callers who are each in another phase of their call at the moment of a fault.

Real speech, over the stand-in switch; each call has an account number of its own, which the
provider speaks as a tone of its own, so that a recording tells whose answer it holds.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import gevent
import numpy as np

from eslbot.switch.channel import Channel

PHASES = ("greeting", "listening", "hearing", "thinking", "speaking", "transfer")
ENDPOINT_S = 0.64
PIPELINE_S = 0.35  # from the end of an utterance to its answer's first audio, about
LEAD_S = 6.5  # a call is made so much before the fault
QUIET_S = 0.8
PATIENCE_S = 9.0
AWAY = ("native", "extension")


@dataclass(slots=True)
class Caller:
    """One call. question, person: L16 mono 8 kHz, without silence at the ends.

    keys_only: the words can't be told apart by this recogniser, so a person is asked for by key.
    """

    call: Channel
    phase: str
    number: int
    question: bytes
    person: bytes
    keys_only: bool = False
    keyed: list[float] = field(default_factory=list)
    ended_s: float = 0.0
    alive: bool = True
    end: str = ""  # where the call was before the caller hung up

    def run(self, fault_at: float) -> None:
        """fault_at: monotonic seconds. Returns when the caller has hung up."""
        call = self.call
        lead = 0.8 if self.phase == "greeting" else LEAD_S
        self._until(fault_at - lead)
        call.dial()
        spoken = self._reach_phase(fault_at)
        self._until(fault_at + 0.3)
        if not spoken:
            call.wait_for(lambda: not self._here() or self._quiet(), PATIENCE_S)
            self._say(self.question)
        self._listen()
        if self._here() and self.phase in ("greeting", "speaking"):
            self._say(self.question)
            self._listen()
        self._to_a_person()
        self.alive = call.where.startswith((*AWAY, "socket"))
        self.end = call.where
        self.ended_s = call.recording.ticks * call.recording.tick_s
        call.hangup()

    def _reach_phase(self, fault_at: float) -> bool:
        """True where the caller has spoken already when the fault comes."""
        length = len(self.question) / 16_000
        answer_at = fault_at - ENDPOINT_S - PIPELINE_S - 0.5
        match self.phase:
            case "hearing":
                self._until(fault_at - 0.6)
            case "thinking":
                self._until(fault_at - length - ENDPOINT_S - 0.1)
            case "speaking":
                self._until(answer_at - length)
            case "transfer":
                self._until(answer_at - len(self.person) / 16_000)
                if self.keys_only:
                    self._key("0")
                else:
                    self.call.say(self.person)
                return True
            case _:
                return False
        self.call.say(self.question)
        return True

    def _say(self, pcm: bytes) -> None:
        if self._here():
            self.call.say(pcm)

    def _key(self, digit: str) -> None:
        self.keyed.append(self.call.recording.ticks * self.call.recording.tick_s)
        self.call.keys(digit)

    def _listen(self) -> None:
        """Until the caller's words are out, something was heard after them, and it is over."""
        call = self.call
        call.wait_for(lambda: not call.saying, 5)
        since = call.recording.ticks
        self._sound(since, PATIENCE_S)
        call.wait_for(lambda: not self._here() or self._quiet(), 20)

    def _to_a_person(self) -> None:
        """0 leads to the menu, and there to a person; in FreeSWITCH's own menu it does so, too."""
        call = self.call
        for _ in range(3):
            if not self._here():
                break
            since = call.recording.ticks
            self._key("0")
            self._sound(since, 3.0)
            call.wait_for(lambda: not self._here(), 2.5)  # those who know the menu do not wait
        # What is heard there.
        call.sleep(1.5)

    def _sound(self, since: int, within_s: float) -> None:
        """Until the bot is heard after tick `since`."""
        heard = self.call.recording.audible
        self.call.wait_for(lambda: not self._here() or heard("bot", since).any(), within_s)

    def _here(self) -> bool:
        return self.call.where in ("dialplan", "socket")

    def _quiet(self) -> bool:
        return self.call.recording.quiet_s("bot") >= QUIET_S

    @staticmethod
    def _until(at: float) -> None:
        gevent.sleep(max(0.0, at - time.monotonic()))

    def spoke(self) -> list[tuple[float, float]]:
        """The caller's utterances and keys: (start, end) in seconds of the recording."""
        tick = self.call.recording.tick_s
        loud = np.flatnonzero(self.call.recording.audible("caller"))
        found: list[list[float]] = []
        for at in loud:
            if found and at * tick - found[-1][1] < 0.4:
                found[-1][1] = (at + 1) * tick
            else:
                found.append([at * tick, (at + 1) * tick])
        keys = [(at, at + 0.24) for at in self.keyed]
        return sorted([*((a, b) for a, b in found), *keys])
