"""The rungs that a turn climbs while its answer does not come; a row of the bot's file each.

    filler    words of ours while nothing is there
    hedge     the stage once more, by another worker, when its own is dead or mute
    backup    the stage's next engine, when this one failed or is slow
    menu      when the time is over, or nothing is left to try; from there a person

The first result counts, the other attempts are cancelled. What the caller has heard already
stays: a new attempt goes on behind it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal

from eslbot.turn import Attempt, Turn
from workers.messages import (
    Decision,
    Failed,
    Final,
    Message,
    Partial,
    Sentence,
    SentencesEnd,
    Speech,
    SpeechEnd,
    Stage,
    Started,
    Worked,
    Working,
)

if TYPE_CHECKING:
    from eslbot.call import Call

log = logging.getLogger(__name__)

Why = Literal["failed", "slow", "dead"]
MAX_FILLERS = 8
# A voice that falls behind is given up so much before its silence is heard.
AHEAD_S = 0.3
# Redis that stays away for so long after the utterance ended will not be back in time.
WITHOUT_REDIS_S = 1.5
STAGE_OF: dict[type, Stage] = {
    Partial: "stt",
    Final: "stt",
    Decision: "llm",
    Sentence: "llm",
    SentencesEnd: "llm",
    Working: "llm",
    Worked: "llm",
    Speech: "tts",
    SpeechEnd: "tts",
}
TIMERS = ("deadline", "filler", "no redis", "budget stt", "budget llm", "budget tts")


class Climb:
    """One turn's way up. Lives on the call's greenlet."""

    def __init__(self, call: Call, turn: Turn) -> None:
        self._call = call
        self._turn = turn
        self._ladder = call.bot.ladder
        self._used: dict[tuple[Stage, str], int] = {}
        self._fillers: tuple[str, ...] = call.bot.ladder.filler.say

    def begin(self) -> None:
        """The utterance is over: the clock runs."""
        call, ladder = self._call, self._ladder
        call.timer("deadline", ladder.menu.after_ms / 1000, self._too_late)
        call.timer("filler", ladder.filler.after_ms / 1000, self._fill)
        if self._turn.heard is None:
            self._budget("stt", ladder.budget.final_ms / 1000)
        elif not self._turn.work["llm"].done:
            self._budget("llm", ladder.budget.first_sentence_ms / 1000)
        if self._turn.sentences:
            self._budget("tts", ladder.budget.audio_ms / 1000)
        if not call.house.link.serves(call.uuid):
            self.on_redis(False)

    def stop(self) -> None:
        self._call.no_timer(*TIMERS)

    # -- which results count

    def takes(self, number: int, message: Message) -> bool:
        """Whether this message of attempt `number` is part of the turn's answer."""
        if isinstance(message, Started | Failed):
            self._told(number, message)
            return False
        stage = STAGE_OF.get(type(message))
        work = self._turn.work.get(stage) if stage else None
        attempt = work.attempt(number) if work else None
        if stage is None or work is None or attempt is None or work.done:
            return False
        if isinstance(message, Partial):
            return work.chosen in (None, number)
        if work.chosen not in (None, number):
            return False
        if isinstance(message, Sentence) and message.index != len(self._turn.sentences):
            return False  # from an attempt that the next one has overtaken
        if isinstance(message, Speech) and not self._fits(attempt, message):
            return False
        if isinstance(message, SpeechEnd) and self._again(attempt, message):
            return False
        return self._turn.choose(stage, number)

    def _fits(self, attempt: Attempt, message: Speech) -> bool:
        at = (message.index, message.seq)
        if at == attempt.next_piece:
            return True
        if at > attempt.next_piece:
            self._failed("tts", attempt, "a piece of speech is missing")
        return False

    @staticmethod
    def _again(attempt: Attempt, message: SpeechEnd) -> bool:
        """What Redis says once more, after its connection broke: the voice is further on."""
        return not message.last and message.index < attempt.next_piece[0]

    def _told(self, number: int, message: Started | Failed) -> None:
        work = self._turn.work.get(message.stage)
        attempt = work.attempt(number) if work else None
        if work is None or attempt is None or work.done:
            return
        if isinstance(message, Started):
            attempt.worker = message.worker
            attempt.level = message.level
        elif work.chosen in (None, number):
            self._failed(message.stage, attempt, message.reason)

    def _failed(self, stage: Stage, attempt: Attempt, reason: str) -> None:
        if attempt.failed:
            return
        attempt.failed = True
        self._call.house.accounts.ai_failed(stage)
        self._call.record("failed", stage=stage, attempt=attempt.number, reason=reason)
        self._next(stage, "failed", reason)

    # -- how long it may take

    def progress(self, message: Message) -> None:
        """A message was taken: the next thing has its own time."""
        turn, budget = self._turn, self._ladder.budget
        call = self._call
        if isinstance(message, Final):
            turn.work["stt"].done = True
            call.no_timer("budget stt")
            self._budget("llm", budget.first_sentence_ms / 1000)
        elif isinstance(message, Sentence):
            self._budget("llm", budget.next_sentence_ms / 1000)
            if turn.speaking is None:
                self._budget("tts", budget.audio_ms / 1000)
            else:
                self._await_voice()
        elif isinstance(message, Working):
            if turn.held is not None:  # it waits for the utterance to be over
                call.no_timer("budget llm")
        elif isinstance(message, Worked):
            self._budget("llm", budget.first_sentence_ms / 1000)
        elif isinstance(message, SentencesEnd):
            turn.work["llm"].done = True
            call.no_timer("budget llm")
        elif isinstance(message, Speech | SpeechEnd):
            call.no_timer("deadline", "filler", "no redis")
            if isinstance(message, SpeechEnd) and message.last:
                turn.work["tts"].done = True
            else:
                in_s = call.playback.seconds_left + self._ladder.filler.after_ms / 1000
                call.timer("filler", in_s, self._fill)
            self._await_voice()

    def working(self, timeout_s: float, filler: str | None) -> None:
        """A tool is called: all that waits for the answer waits for it as well."""
        call, ladder = self._call, self._ladder
        if self._turn.speaking is None:
            call.timer("deadline", timeout_s + ladder.menu.after_ms / 1000, self._too_late)
        self._budget("llm", timeout_s + ladder.budget.first_sentence_ms / 1000)
        if filler:
            at = self._turn.filled
            self._fillers = (*self._fillers[:at], filler, *self._fillers[at:])

    def _await_voice(self) -> None:
        """More of the voice has to come before what there is was heard."""
        turn, call = self._turn, self._call
        spoken = turn.work["tts"].latest.next_piece[0]
        if turn.work["tts"].done or (spoken >= len(turn.sentences) and not turn.work["llm"].done):
            call.no_timer("budget tts")
            return
        left = call.playback.seconds_left
        self._budget("tts", max(self._ladder.budget.audio_ms / 1000, left - AHEAD_S))

    def _budget(self, stage: Stage, in_s: float) -> None:
        self._call.timer(f"budget {stage}", in_s, lambda: self._next(stage, "slow", "no progress"))

    def _too_late(self) -> None:
        self._fail("no answer in time")

    # -- the rungs

    def on_dead(self, names: set[str]) -> None:
        """These workers are gone; what they had in hand is given to others."""
        for stage, work in self._turn.work.items():
            if work.done:
                continue
            number = work.chosen if work.chosen is not None else work.latest.number
            attempt = work.attempts[number]
            if attempt.worker in names and not attempt.failed:
                attempt.failed = True
                self._call.house.accounts.ai_failed(stage)
                self._call.record("failed", stage=stage, attempt=number, reason="its worker died")
                self._next(stage, "dead", "its worker died")

    def workers(self) -> Iterable[str]:
        """Whose death would concern this turn."""
        for work in self._turn.work.values():
            if not work.done:
                yield from (a.worker for a in work.attempts if a.worker and not a.failed)

    def _next(self, stage: Stage, why: Why, reason: str) -> None:
        turn, call = self._turn, self._call
        work = turn.work[stage]
        if not turn.is_open or work.done:
            return
        rung = self._rung(stage, why)
        if rung is None:
            if all(attempt.failed for attempt in work.attempts):
                self._fail(f"{stage}: {reason}")
            elif turn.speaking is not None and not call.playback.busy:
                self._fail("the answer broke off")
            return
        self._used[stage, rung] = self._used.get((stage, rung), 0) + 1
        level = work.latest.level + (rung == "backup")
        call.house.accounts.rung(rung)
        call.record("rung", rung=rung, stage=stage, level=level, reason=reason)
        turn.again(stage, level)
        budget = self._ladder.budget
        if stage == "stt" and turn.ended:
            self._budget("stt", budget.final_ms / 1000)
        elif stage == "llm" and turn.heard is not None:
            self._budget("llm", budget.first_sentence_ms / 1000)
        elif stage == "tts" and turn.sentences:
            self._budget("tts", budget.audio_ms / 1000)

    def _rung(self, stage: Stage, why: Why) -> Literal["hedge", "backup"] | None:
        """Another worker where this one is dead or mute, another engine where that is at fault."""
        latest = self._turn.work[stage].latest
        more = latest.level + 1 < self._call.house.link.levels(stage)
        may_backup = more and self._left(stage, "backup", self._ladder.backup.attempts)
        hedges = self._ladder.hedge.attempts
        may_hedge = self._left(stage, "hedge", hedges)
        at_fault = why == "failed" or (why == "slow" and bool(latest.worker))
        if at_fault and may_backup:
            return "backup"
        if may_hedge and self._call.house.hedges.retry():
            return "hedge"
        return "backup" if may_backup else None

    def _left(self, stage: Stage, rung: str, allowed: int) -> bool:
        return self._used.get((stage, rung), 0) < allowed

    def _fill(self) -> None:
        """Say the next filler, if there is nothing better to say."""
        turn, call = self._turn, self._call
        texts = self._fillers
        if not turn.is_open or not call.playback.starving or not texts:
            return
        if turn.filled >= MAX_FILLERS:
            return
        length_s = call.fill(texts[turn.filled % len(texts)])
        if length_s:
            turn.filled += 1
            call.house.accounts.rung("filler")
            call.timer("filler", length_s + self._ladder.filler.again_ms / 1000, self._fill)

    def on_redis(self, healthy: bool) -> None:
        """Without Redis nothing will come; soon it is too late for it to be back."""
        if healthy:
            self._call.no_timer("no redis")
        elif self._turn.ended:
            in_s = self._call.playback.seconds_left + WITHOUT_REDIS_S
            self._call.timer("no redis", in_s, self._without_redis)

    def _without_redis(self) -> None:
        if not self._call.house.link.serves(self._call.uuid):
            self._fail("Redis is away")

    def _fail(self, reason: str) -> None:
        """Nothing is left to try: for the caller that begins when he has finished speaking."""
        if self._turn.held is None:
            self._call.fail(reason)
        else:
            self._turn.held.append(lambda: self._call.fail(reason))
