"""What every speech-to-text engine offers: an utterance is opened, fed, finished.

Audio is L16 (signed 16-bit little-endian), mono, 8000 Hz, as it comes off the
wire; an engine that wants another rate resamples by itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

Expect = Literal["text", "digits", "yes_no", "date", "time", "amount", "choice"]


class SttError(Exception):
    """The engine could not transcribe: provider down, model broken, deadline passed."""


@dataclass(frozen=True, slots=True)
class Hints:
    """What the caller is likely to say.

    expect: what the bot has just asked for; "text" when it asked nothing special.
    phrases: the bot's own phrases, most of them whole sentences.
    options: of a choice, the words for what there is to choose from.
    language: BCP 47, for example "en".
    """

    expect: Expect = "text"
    phrases: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    language: str = "en"


@dataclass(frozen=True, slots=True)
class Transcript:
    """text: what was heard, lower case or not, without markup; "" when nothing was.
    confidence: 0 (guess) to 1 (certain).
    """

    text: str
    confidence: float


class Utterance(Protocol):
    """One utterance in work. Used by one thread at a time."""

    def feed(self, pcm: bytes) -> str | None:
        """Take L16 mono 8000 Hz audio of any length; return a new partial text, or None."""

    def finish(self, timeout_s: float) -> Transcript:
        """No more audio comes. Raises SttError, never later than timeout_s seconds."""

    def close(self) -> None:
        """Free what it holds. Called once in every case, also after finish."""


class SttEngine(Protocol):
    """One per process, its model loaded once; open() may be called by several threads."""

    name: str

    def open(self, hints: Hints) -> Utterance: ...
