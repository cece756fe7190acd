"""What every text-to-speech engine offers: a sentence in, audio out as it is made.

Audio is L16 (signed 16-bit little-endian), mono, 8000 Hz; an engine that speaks at
another rate resamples by itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol


class TtsError(Exception):
    """The engine could not speak: provider down, voice missing, deadline passed."""


class TtsEngine(Protocol):
    """One per process; speak() may be called by several threads at once.

    voice: all but the text and the language that makes its audio what it is, in one line: two
    engines of the same name and voice say the same.
    """

    name: str
    voice: str

    def speak(self, text: str, language: str, timeout_s: float) -> Iterator[bytes]:
        """Yield L16 mono 8000 Hz, in pieces of any even length, the first as early as it can.

        text is plain text of one sentence or a few. Raises TtsError, and never lasts
        longer than timeout_s seconds before the next piece or the end.
        """
