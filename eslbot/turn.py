"""One turn: the caller's utterance, and what became of it. Owned by the listener.

An epoch names it. Whatever a worker says is taken only by the turn whose epoch it carries and
which is still open: so an answer is spoken once, and never late. Within a turn a stage may be
tried more than once (see ladder.py); each attempt has a number, and one of them is chosen.

All that a stage needs is kept here, so that a turn can be brought up anew when Redis lost it.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from eslbot.link import Link
from workers.messages import (
    ALL,
    Audio,
    AudioEnd,
    Cancel,
    Decision,
    Final,
    Sentence,
    SentencesEnd,
    Stage,
)
from workers.messages import (
    Turn as TurnMessage,
)
from workers.streams import STAGES

# Audio of an utterance that is kept to be heard again, by another worker or with what follows.
MAX_KEPT_BYTES = 62 * 16_000
ENTRY_BYTES = 32_000  # no entry of a stream over two seconds


@dataclass(slots=True)
class Timings:
    """Monotonic seconds; None: it did not happen."""

    onset: float
    last_word: float | None = None  # the end of the caller's speech, before the silence
    endpoint: float | None = None
    final: float | None = None
    first_sentence: float | None = None
    decision: float | None = None
    first_speech: float | None = None  # the first audio came back
    first_frame: float | None = None  # and went out


@dataclass(slots=True)
class Attempt:
    """One worker's try at a stage. level: the engine's, as asked for; then as it is."""

    number: int
    level: int = 0
    worker: str = ""  # its name, once it has taken the job
    failed: bool = False
    # tts: what must come next, (sentence, piece), and bytes of it that the caller has already.
    next_piece: tuple[int, int] = (0, 0)
    skip: int = 0


@dataclass(slots=True)
class Work:
    """A stage of a turn: its attempts, and whose result counts."""

    attempts: list[Attempt] = field(default_factory=list)
    chosen: int | None = None
    done: bool = False

    @property
    def latest(self) -> Attempt:
        return self.attempts[-1]

    def attempt(self, number: int) -> Attempt | None:
        return self.attempts[number] if 0 <= number < len(self.attempts) else None


@dataclass(slots=True)
class Turn:
    """Opened at the onset of speech, or of a key; closed once, with an outcome."""

    message: TurnMessage
    link: Link
    number: int = 1  # of the call's turns; stays when the epoch changes
    keyed: bool = False
    typed: bool = False  # words, not keys: there is no audio either
    outcome: str | None = None
    heard: str | None = None  # None: not known yet
    told: str = ""  # the same, as others may see it
    confidence: float | None = None
    private: dict[str, str] = field(default_factory=dict)  # behind told's placeholders
    notes: dict[str, Any] = field(default_factory=dict)  # for the record: tools and the like
    opened_at: float = 0.0  # by the time of day
    decision: Decision | None = None
    sentences: dict[int, str] = field(default_factory=dict)
    _voiced: dict[int, Sentence] = field(default_factory=dict)  # the same, as the voice has them
    sentence_count: int | None = None  # once the answer is complete
    speaking: int | None = None  # the sentence whose audio comes in
    received: int = 0  # bytes of it
    all_spoken: bool = False
    ended: bool = False  # the utterance, for speech-to-text
    # While it is not certain that the utterance is over: what is to be done once it is.
    held: list[Callable[[], None]] | None = None
    filled: int = 0  # fillers said
    # What the answer takes: acts that were begun, under which name, until when they have time
    # (monotonic); acting: one that can't be asked twice is under way.
    acts: set[str] = field(default_factory=set)
    acted: dict[str, int] = field(default_factory=dict)  # by which attempt, tool by tool
    acts_as: str = ""
    patient_until: float = 0.0
    acting: bool = False
    pcm: bytearray = field(default_factory=bytearray)
    work: dict[Stage, Work] = field(default_factory=dict)
    times: Timings = field(default_factory=lambda: Timings(time.monotonic()))
    _seq: int = 0

    def open(self) -> None:
        """Dispatch its jobs now, at the onset: they are ready when the words are."""
        self.opened_at = time.time()
        for stage in STAGES[1:] if self.keyed or self.typed else STAGES:
            self.work[stage] = Work([Attempt(0)])
            self.link.dispatch(self.message, stage)

    @property
    def epoch(self) -> int:
        return self.message.epoch

    @property
    def is_open(self) -> bool:
        return self.outcome is None

    @property
    def level(self) -> int:
        """Of the lowest engine that has a share in the answer; 0: the first."""
        found = [w.attempts[w.chosen].level for w in self.work.values() if w.chosen is not None]
        return max(found, default=0)

    @property
    def answered(self) -> str:
        """Its outcome, once it has an answer: how it came to it."""
        if self.level > 0:
            return "failed over"
        return "masked" if self.filled else "answered"

    def again(self, stage: Stage, level: int) -> None:
        """One more attempt at a stage; what came of it so far stands."""
        work = self.work[stage]
        if stage == "llm":
            self.acting = False  # until the new attempt asks to
        said = [self.sentences[i] for i in sorted(self.sentences)]
        attempt = Attempt(len(work.attempts), level)
        if stage == "tts":
            at = self.speaking if self.speaking is not None else 0
            # Of a sentence that is all there nothing is wanted: another voice has another length.
            over = max(one.next_piece[0] for one in work.attempts)
            attempt.next_piece, attempt.skip = (at, 0), self.received
            if over > at:
                at = over
                attempt.next_piece, attempt.skip = (at, 0), 0
            said = said[:at]
        work.attempts.append(attempt)
        work.chosen = None
        message = dataclasses.replace(
            self.message,
            attempt=attempt.number,
            level=level,
            said=tuple(said) if stage != "stt" else (),
        )
        self.link.dispatch(message, stage)

    def choose(self, stage: Stage, number: int) -> bool:
        """Whether this attempt's result counts: the first one that has any. The others stop."""
        work = self.work[stage]
        if work.chosen is None:
            work.chosen = number
            for other in work.attempts:
                if other.number != number and not other.failed:
                    self.link.feed(self.message, stage, Cancel(other.number))
        return work.chosen == number

    def restart(self, epoch: int) -> None:
        """Redis is back, and may have lost everything: all that is not done yet once more."""
        self._cancel()
        out = self.link.out_for(self.message.call)  # its master may be another one by now
        self.message = dataclasses.replace(self.message, epoch=epoch, out=out)
        self._seq = 0
        for stage, work in self.work.items():
            if work.done:
                continue
            self.again(stage, work.latest.level)
            if stage == "stt":
                kept, self.pcm = bytes(self.pcm), bytearray()
                self.hear(kept)
                if self.ended:
                    self.link.feed(self.message, "stt", AudioEnd())
            elif stage == "llm" and self.heard is not None:
                self._feed_heard()
            elif stage == "tts":
                for index in sorted(self._voiced):
                    self.link.feed(self.message, "tts", self._voiced[index])
                if self.sentence_count is not None:
                    self.link.feed(self.message, "tts", SentencesEnd(self.sentence_count))

    def hear(self, pcm: bytes) -> None:
        """Pass on the caller's audio, L16 mono 8000 Hz."""
        if len(self.pcm) + len(pcm) <= MAX_KEPT_BYTES:
            self.pcm += pcm
        if self.held is not None:
            return  # silence, after the end that speech-to-text was told
        for start in range(0, len(pcm), ENTRY_BYTES):
            piece = Audio(self._seq, pcm[start : start + ENTRY_BYTES])
            self.link.feed(self.message, "stt", piece)
            self._seq += 1

    def endpoint(self, silence_s: float) -> None:
        """The utterance is over; from now on the clock runs."""
        now = time.monotonic()
        self.times.endpoint = now
        self.times.last_word = now - silence_s
        if not self.ended:
            self.ended = True
            self.link.feed(self.message, "stt", AudioEnd())

    def speculate(self) -> None:
        """As if the utterance were over; what comes of it is held."""
        self.held = []
        self.ended = True
        self.link.feed(self.message, "stt", AudioEnd())

    def enter(self, keys: str) -> None:
        """What was keyed in, or typed, is the utterance; there is nothing to recognise."""
        self.ended = True
        self.times.endpoint = self.times.last_word = time.monotonic()
        self.recognised(keys)

    def recognised(self, text: str) -> None:
        """On to the language model."""
        self.heard = text
        self.times.final = time.monotonic()
        self._feed_heard()

    def _feed_heard(self) -> None:
        sure = 1.0 if self.confidence is None else self.confidence
        final = Final(self.heard or "", sure, self.keyed, self.private)
        self.link.feed(self.message, "llm", final)

    def sentence(self, message: Sentence, voiced: Sentence) -> None:
        """On to the voice; voiced: as it is to say it."""
        self.times.first_sentence = self.times.first_sentence or time.monotonic()
        self.sentences[message.index] = message.text
        self._voiced[message.index] = voiced
        self.link.feed(self.message, "tts", voiced)

    def complete(self) -> None:
        """There are no more sentences."""
        self.sentence_count = len(self.sentences)
        self.link.feed(self.message, "tts", SentencesEnd(self.sentence_count))

    def close(self, outcome: str) -> bool:
        """Once: the first outcome counts, and workers are told to stop. False: it was closed."""
        if self.outcome is not None:
            return False
        self.outcome = outcome
        self.pcm = bytearray()  # the turn stays until the next one, its audio need not
        if self.held:
            self.held.clear()  # what is to be done holds the turn
        self._cancel()
        return True

    def _cancel(self) -> None:
        for stage, work in self.work.items():
            if not work.done:
                self.link.feed(self.message, stage, Cancel(ALL))

    def intervals_ms(self) -> dict[str, int]:
        """Milliseconds from the caller's last word to each thing that happened."""
        start = self.times.last_word
        names = ("endpoint", "final", "decision", "first_sentence", "first_speech", "first_frame")
        found = {name: getattr(self.times, name) for name in names}
        return {f"{n}_ms": round((at - start) * 1000) for n, at in found.items() if at and start}
