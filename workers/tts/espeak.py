"""espeak-ng: the voice that is always there, in a hundred languages, in a process of its own.

A formant synthesiser: clear to those who listen, and a robot to everyone. It speaks a second
in about a millisecond. The library is GPL-3.0-or-later; only espeak_process.py loads it, in
another process.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from workers.tts.engine import TtsError
from workers.tts.phone_audio import phone_audio
from workers.tts.process_host import ProcessHost
from workers.tts.speakable import speakable

_VOICE: Final = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8}){0,3}(\+[A-Za-z0-9]{1,20})?")
_LANGUAGE: Final = re.compile(r"[A-Za-z]{2,8}([-_][A-Za-z0-9]{1,8}){0,7}")


class EspeakEngine:
    """TtsEngine on espeak-ng. Threads share one process, one sentence after another.

    voice: an espeak-ng language, perhaps with a variant ("en-us", "en-gb-x-rp+f3"). It serves
    the languages it is one of ("en", "en-US"); another language gets its own voice with the
    same variant.
    words_per_minute: 80 to 400.
    volume: 1 to 100; espeak-ng clips some voices at 100.
    max_chars: longer text is cut at a word. max_audio_s: longer speech is cut.
    Raises ValueError for parameters outside these.
    """

    name = "espeak"

    def __init__(
        self,
        voice: str = "en-us",
        words_per_minute: int = 160,
        volume: int = 85,
        max_chars: int = 1000,
        max_audio_s: int = 120,
    ) -> None:
        if not _VOICE.fullmatch(voice):
            raise ValueError(f"espeak voice {voice!r}")
        for what, value, low, high in (
            ("words_per_minute", words_per_minute, 80, 400),
            ("volume", volume, 1, 100),
            ("max_chars", max_chars, 1, 10_000),
            ("max_audio_s", max_audio_s, 1, 150),
        ):
            if not low <= value <= high:
                raise ValueError(f"espeak {what}: {value} is not within {low} to {high}")
        self._max_chars = max_chars
        self._request = {
            "voice": voice,
            "words_per_minute": words_per_minute,
            "volume": volume,
            "max_audio_s": max_audio_s,
        }
        self.voice = f"{voice} {words_per_minute} {volume}"
        self._host = ProcessHost("espeak-ng", "workers.tts.espeak_process")

    @property
    def pid(self) -> int | None:
        """The process that speaks; None before the first sentence."""
        return self._host.pid

    def start(self, timeout_s: float = 10.0) -> None:
        """Start the process now rather than at the first sentence. Raises TtsError."""
        self._host.start(timeout_s)

    def speak(self, text: str, language: str, timeout_s: float) -> Iterator[bytes]:
        """TtsEngine.speak. Nothing to say (no letter, no digit) is no audio."""
        if not _LANGUAGE.fullmatch(language):
            raise TtsError(f"espeak-ng: no voice for language {language[:40]!a}")
        if said := speakable(text, self._max_chars):
            request = {"text": said, "language": language, **self._request}
            yield from phone_audio(self._host.speak(request, timeout_s))

    def close(self) -> None:
        """End the process; sentences under way fail."""
        self._host.close()
