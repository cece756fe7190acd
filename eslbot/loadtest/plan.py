"""What a load test is asked for, and its fixed conditions."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

# The provider's, in milliseconds: so short that a filler (800 ms) tells of overload.
STT_MS: Final = 200
LLM_MS: Final = 200
LLM_GAP_MS: Final = 10
TTS_MS: Final = 100
# Words that the model has said when its first sentence is complete; see rig/answers.py.
FIRST_SENTENCE_WORDS: Final = 7
LLM_SENTENCE_MS: Final = LLM_MS + FIRST_SENTENCE_WORDS * LLM_GAP_MS
PROVIDER_MS: Final = STT_MS + LLM_SENTENCE_MS + TTS_MS
ENDPOINT_SILENCE_MS: Final = 640

CALLS_PER_GENERATOR: Final = 50
ARRIVALS_PER_S: Final = 10
TURNS: Final = 3  # of a call; then the caller hangs up and another one calls
GRACE_S: Final = 20.0  # for turns that are going on when the time is over
EVERY_NTH_KEPT: Final = 10  # of the calls: whose audio is kept, and searched for others' answers
MAX_KEPT: Final = 20  # recordings of one generator
FIRST_NUMBER: Final = 1000
NUMBERS: Final = 9000


class BadPlan(Exception):
    """It can't be run so; str() names what is wrong."""


@dataclass(frozen=True, slots=True)
class Plan:
    """minutes: of full load, after the calls have arrived."""

    calls: int
    minutes: float
    listeners: int = 1
    workers: int = 1
    settings: tuple[str, ...] = ()  # NAME=VALUE, on top of the house's

    def __post_init__(self) -> None:
        for name, low, high in (("calls", 1, 5000), ("minutes", 0.1, 600),
                                ("listeners", 1, 16), ("workers", 1, 16)):  # fmt: skip
            value = getattr(self, name)
            if not low <= value <= high:
                raise BadPlan(f"--{name} {value:g}: not within {low:g} to {high:g}")

        for one in self.settings:
            if not one.startswith("ESLBOT_") or "=" not in one:
                raise BadPlan(f"--set {one}: not ESLBOT_NAME=VALUE")

    @property
    def ramp_s(self) -> float:
        """Until all calls have arrived."""
        return self.calls / ARRIVALS_PER_S

    @property
    def seconds(self) -> float:
        return self.minutes * 60

    @property
    def generators(self) -> int:
        return math.ceil(self.calls / CALLS_PER_GENERATOR)

    def environ(self) -> dict[str, str]:
        """The house's settings, where they are not the defaults."""
        share = math.ceil(self.calls / self.workers)
        return {
            "ESLBOT_MAX_CALLS": str(self.calls + 20),
            "ESLBOT_WORKER_SLOTS": str(min(512, max(32, share))),
            "ESLBOT_STT_SLOTS": str(min(64, max(4, share))),
            "ESLBOT_STT_EMBEDDED": "off",
            # Or stages would hide in the silence, and their own share could not be told.
            "ESLBOT_SPECULATE_MS": "0",
            "ESLBOT_LISTEN_SHARED": "on" if self.listeners > 1 else "off",
            **dict(one.split("=", 1) for one in self.settings),
        }


@dataclass(frozen=True, slots=True)
class Lines:
    """What one generator process is told. Times are monotonic seconds, which all processes share.

    lines: numbers of the calls that it keeps open; line n begins at start_at + n / ARRIVALS_PER_S.
    """

    lines: list[int]
    step: int  # calls in all: line n's next call has the number n + step
    listeners: list[str]  # HOST:PORT
    start_at: float
    end_at: float
    folder: str  # for recordings

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self)))

    @staticmethod
    def read(path: Path) -> Lines:
        return Lines(**json.loads(path.read_text()))


def number(line: int, step: int, nth: int) -> int:
    """The account of a line's nth call: its own, until all numbers were used."""
    return FIRST_NUMBER + (line + nth * step) % NUMBERS
