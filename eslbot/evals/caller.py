"""A scripted caller: goes through one scenario's steps on a call of the stand-in switch.

    step ─▶ spoken, keyed, typed ─▶ until it is answered and the bot is quiet ─▶ next step
                                        └─ an interruption comes first, if it is the next step

When an answer is complete is told by the call's log, which the listener writes; that the bot is
heard and falls silent, by what came over the line.
"""

from __future__ import annotations

import json
import math
import time
from typing import Any, Final

import gevent
import redis

from eslbot.evals.scenario import SPEECH, Interrupt, Step
from eslbot.evals.seen import Entry, Seen, answered, in_menu
from eslbot.evals.speech import Speech
from eslbot.evals.verdict import Result
from eslbot.switch.channel import REACH, Channel
from workers import streams
from workers.messages import TYPED, Turn
from workers.messages import Final as Words
from workers.wire import Pipe, Wire

PAUSE_S: Final = 0.8  # the bot's silence after which a caller begins
GREETING_S: Final = 20.0
ANSWER_S: Final = 45.0  # for an answer to begin and to end
LEAVE_S: Final = 2.0  # a call that ends by itself does so within this
CHARACTERS_PER_S: Final = 15.0  # of a bot's speech, about: where a word is, is guessed by it
POLL_S: Final = 0.05
HERE: Final = ("dialplan", "socket")


class Caller:
    """run() once. client: of the Redis that the listener writes to."""

    def __init__(self, call: Channel, client: redis.Redis, speech: Speech, text: bool) -> None:
        self.call = call
        self._client = client
        self._speech = speech
        self._text = text  # words are typed instead of said
        self._log: list[Entry] = []
        self._last: str | bytes = "0"
        self._polled = 0.0
        self._asked = 0  # tick from which on the bot's speech answers what was done last
        self._mark = 0  # entry of the log from which on the same

    def run(self, result: Result) -> None:
        """Dial, go through the steps, hang up; all that was seen is left in the result."""
        call, case = self.call, result.case
        began = time.monotonic()
        result.call = call.uuid
        if not self._text:
            call.background = self._speech.background(case)
        call.dial()
        steps = case.scenario.steps
        trouble = self._greeted(steps[0])
        for n, step in enumerate(steps):
            seen = Seen()
            result.steps.append(seen)
            if not trouble and self._gone():
                trouble = f"left out: the call is at {call.where}"
            if trouble:
                seen.trouble = trouble
                continue
            begin = len(self._log)
            following = steps[n + 1] if n + 1 < len(steps) else None
            seen.trouble = self._step(result, step, following, seen)
            self._poll(now=True)
            self._look(result, seen, begin)
            if seen.trouble:
                trouble = f"left out after step {n + 1}"
        if call.where == "socket":
            call.wait_for(lambda: self._gone(), LEAVE_S)
        self._end(result)
        result.seconds = time.monotonic() - began

    # -- one step

    def _greeted(self, first: Step) -> str:
        """Until the greeting is over, or can be interrupted."""
        if first.interrupt:
            return "" if self.call.wait_for(self._bot_heard, GREETING_S) else "no greeting"
        return "" if self.call.wait_for(self._settled, GREETING_S) else "no greeting"

    def _step(self, result: Result, step: Step, following: Step | None, seen: Seen) -> str:
        """What kept it from being done or answered, or ""."""
        call = self.call
        call.sleep(step.wait_s)
        if step.interrupt and not self._speaks(step.interrupt):
            return "there was nothing to interrupt"
        self._mark = len(self._log)
        quiet_since = self._do(result, step)
        if step.hangup:
            return ""
        self._asked = call.recording.ticks
        ready = self._bot_heard if following and following.interrupt else self._settled
        if step.silence_s:
            return "" if call.wait_for(self._quiet, ANSWER_S) else "the bot does not end"
        if not call.wait_for(lambda: ready() or self._gone(), ANSWER_S):
            return f"no answer in {ANSWER_S:.0f} s"
        heard = call.recording.first_heard("bot", self._asked)
        if heard is not None and step.action in SPEECH and not self._text:
            seen.gap_s = max(0.0, (heard - quiet_since) * call.recording.tick_s)
        return ""

    def _do(self, result: Result, step: Step) -> int:
        """The tick of the caller's last sound."""
        call, tick_s = self.call, self.call.recording.tick_s
        if step.keys:
            call.keys(step.keys)
        elif step.silence_s:
            call.wait_for(lambda: self._gone(), step.silence_s)
        elif step.hangup:
            call.hangup()
        elif step.text or self._text:
            self._type(step.said)
        else:
            pcm, noise_s = self._speech.audio(result.case, step)
            call.say(pcm)
            call.wait_for(lambda: not call.saying, 120)
            return call.recording.ticks - math.ceil(noise_s / tick_s)
        return call.recording.ticks

    def _type(self, words: str) -> None:
        """Words for the call, to whichever listener has it."""
        with Wire(self._client) as wire:
            pipe = Pipe(wire)
            for key in self._client.scan_iter(streams.listener_key("*"), count=1000):
                out = streams.out_key(key.decode().removeprefix(streams.listener_key("")))
                turn = Turn(self.call.uuid, TYPED, out, "", 0.0, 0.0)
                streams.publish(pipe, turn, Words(words))
            pipe.execute()

    def _speaks(self, interrupt: Interrupt) -> bool:
        """Until the bot is so far in what it says."""
        call, recording = self.call, self.call.recording
        if not call.wait_for(self._bot_heard, ANSWER_S):
            return False
        first = recording.first_heard("bot", self._asked)
        assert first is not None
        after_s = interrupt.after_s
        if interrupt.word:
            word = interrupt.word
            if not call.wait_for(lambda: self._characters_before(word) is not None, ANSWER_S):
                return False
            after_s = (self._characters_before(word) or 0) / CHARACTERS_PER_S
        call.sleep((first - recording.ticks) * recording.tick_s + (after_s or 0.0))
        return True

    def _characters_before(self, word: str) -> int | None:
        self._poll()
        said = " ".join(of["text"] for what, of in self._log[self._mark :] if what == "said")
        found = said.casefold().find(word.casefold())
        return found if found >= 0 else None

    # -- what is heard and told

    def _gone(self) -> bool:
        """The call is elsewhere, and stays there."""
        where = self.call.where
        reached = self.call.dialplan.reaches.get(where.removeprefix(f"extension:{REACH}"), True)
        return where not in HERE and reached

    def _bot_heard(self) -> bool:
        return self.call.recording.first_heard("bot", self._asked) is not None

    def _quiet(self) -> bool:
        return self._gone() or self.call.recording.quiet_s("bot") >= PAUSE_S

    def _settled(self) -> bool:
        """The bot was heard, is quiet, and nothing is under way; or the call is elsewhere."""
        if self._gone():
            return True
        if not (self._quiet() and self._bot_heard()):
            return False
        self._poll()
        return answered(self._log[self._mark :])

    def _poll(self, now: bool = False) -> None:
        """Read on in the call's log; not more often than every POLL_S."""
        if not now and time.monotonic() - self._polled < POLL_S:
            return
        found: Any = self._client.xread({streams.log_key(self.call.uuid): self._last}, count=500)
        self._polled = time.monotonic()
        for entry_id, entry in found[0][1] if found else ():
            self._last = entry_id
            self._log.append((entry[b"what"].decode(), json.loads(entry[b"fields"])))

    def _look(self, result: Result, seen: Seen, begin: int) -> None:
        entries = self._log[begin:]
        seen.read(entries)
        call, bot = self.call, result.case.bot
        seen.variables = {k: v for k, v in call.variables.items() if k.startswith("ai_")}
        # The menu decides by keys, without an entry of its own; the channel tells.
        for name, slot in bot.slots.items():
            value = call.variables.get(slot.variable, "")
            if value:
                seen.slots.setdefault(name, "<secret>" if slot.secret else value)
        if not seen.decided and in_menu(self._log):
            seen.intent = call.variables.get("ai_intent") or None
        seen.transferred_to = _destination(result, call)
        seen.outcome = self._outcome()

    def _end(self, result: Result) -> None:
        call = self.call
        gevent.sleep(0.2)
        self._poll(now=True)
        self._look(result, result.end, 0)
        call.hangup()
        gevent.sleep(0.2)

    def _outcome(self) -> str:
        where = self.call.where
        if where.startswith("extension:"):
            return "transferred"
        if where.startswith("native:"):
            return "native menu"
        if where == "hungup":
            by_us = self.call.variables.get("sip_hangup_disposition") == "send_bye"
            return "hung up" if by_us else "caller gone"
        return "menu" if in_menu(self._log) else "open"


def _destination(result: Result, call: Channel) -> str:
    """The name of the destination where the call is, or ""."""
    at = call.where.removeprefix("extension:")
    named = (
        name
        for name, one in result.case.bot.destinations.items()
        if at in (one.extension, f"{REACH}{name}")
    )
    return next(named, "") if at != call.where else ""
