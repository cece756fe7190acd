"""One turn: the caller's utterance, and what became of it. Owned by the listener.

An epoch names it. Whatever a worker says is taken only by the turn whose epoch it carries and
which is still open: so an answer is spoken once, and never late.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from eslbot.link import Link
from workers.messages import (
    Audio,
    AudioEnd,
    Cancel,
    Decision,
    DialogState,
    Final,
    Line,
)
from workers.messages import (
    Turn as TurnMessage,
)
from workers.streams import STAGES

# Audio of an utterance that is kept to be heard again together with what follows it.
MAX_CARRY_BYTES = 30 * 16_000


@dataclass(slots=True)
class Timings:
    """Monotonic seconds; None: it did not happen."""

    onset: float
    last_word: float | None = None  # the end of the caller's speech, before the silence
    endpoint: float | None = None
    final: float | None = None
    decision: float | None = None
    first_speech: float | None = None  # the first audio came back
    first_frame: float | None = None  # and went out


@dataclass(slots=True)
class Turn:
    """Opened at the onset of speech, or of a key; closed once, with an outcome."""

    message: TurnMessage
    link: Link
    keyed: bool = False
    deadline: float | None = None  # for the first audio; set when the utterance is over
    outcome: str | None = None
    heard: str = ""
    decision: Decision | None = None
    sentences: dict[int, str] = field(default_factory=dict)
    speaking: int | None = None  # the sentence whose audio comes in
    next_speech: tuple[int, int] = (0, 0)  # (sentence, piece) that must come next
    all_spoken: bool = False
    pcm: bytearray = field(default_factory=bytearray)
    times: Timings = field(default_factory=lambda: Timings(time.monotonic()))
    _seq: int = 0

    @classmethod
    def open(
        cls,
        link: Link,
        *,
        call: str,
        epoch: int,
        bot: str,
        state: DialogState,
        history: tuple[Line, ...],
        language: str,
        listen_s: float,
        answer_s: float,
        keyed: bool,
    ) -> tuple[Turn, bool]:
        """Dispatch its jobs now, at the onset: they are ready when the words are.

        The second value is False when Redis is known not to work.
        """
        message = TurnMessage(
            call, epoch, link.out, bot, listen_s, answer_s, language, state, history
        )
        turn = cls(message, link, keyed=keyed)
        sent = link.dispatch(message, *(STAGES[1:] if keyed else STAGES))
        return turn, sent

    @property
    def epoch(self) -> int:
        return self.message.epoch

    @property
    def is_open(self) -> bool:
        return self.outcome is None

    def hear(self, pcm: bytes) -> bool:
        """Pass on the caller's audio, L16 mono 8000 Hz."""
        if len(self.pcm) + len(pcm) <= MAX_CARRY_BYTES:
            self.pcm += pcm
        sent = True
        for start in range(0, len(pcm), 32_000):  # no entry of a stream over two seconds
            sent = self.link.feed(
                self.message, "stt", Audio(self._seq, pcm[start : start + 32_000])
            )
            self._seq += 1
        return sent

    def endpoint(self, silence_s: float, deadline_s: float) -> bool:
        """The utterance is over; from now on the clock runs."""
        now = time.monotonic()
        self.times.endpoint = now
        self.times.last_word = now - silence_s
        self.deadline = now + deadline_s
        return self.link.feed(self.message, "stt", AudioEnd())

    def enter(self, keys: str, deadline_s: float) -> bool:
        """What was keyed in is the utterance; there is nothing to recognise."""
        now = time.monotonic()
        self.times.endpoint = self.times.last_word = self.times.final = now
        self.deadline = now + deadline_s
        self.heard = keys
        return self.link.feed(self.message, "llm", Final(keys, keyed=True))

    def close(self, outcome: str) -> bool:
        """Once: the first outcome counts, and workers are told to stop. False: it was closed."""
        if self.outcome is not None:
            return False
        self.outcome = outcome
        if not self.all_spoken:
            for stage in STAGES[1:] if self.keyed else STAGES:
                self.link.feed(self.message, stage, Cancel())
        return True

    def intervals_ms(self) -> dict[str, int]:
        """Milliseconds from the caller's last word to each thing that happened."""
        start = self.times.last_word
        names = ("endpoint", "final", "decision", "first_speech", "first_frame")
        found = {name: getattr(self.times, name) for name in names}
        return {f"{n}_ms": round((at - start) * 1000) for n, at in found.items() if at and start}
