"""flite: Carnegie Mellon's small synthesiser, English only, where Debian's `flite` is installed.

Its rms voice is clearer on the phone than espeak-ng. Each text is one run of the program,
which writes its audio only when it is done: flite 2.2 takes 80 ms for five seconds of rms.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
import threading
import time
import unicodedata
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from workers.resample import RATES_HZ
from workers.tts.engine import TtsError
from workers.tts.phone_audio import phone_audio
from workers.tts.speakable import speakable

PIECE_MS: Final = 100
_NAME: Final = re.compile(r"[a-z0-9_]{1,20}")  # flite also takes a path or a URL as a voice


class FliteEngine:
    """TtsEngine on the flite program.

    voice: one of those built in: rms, slt, awb, kal16, kal.
    runs: programs at once; a further sentence waits, within its own deadline.
    max_chars: longer text is cut at a word.
    Raises ValueError for another kind of voice name, TtsError when flite is not installed.
    """

    name = "flite"

    def __init__(self, voice: str = "rms", runs: int = 4, max_chars: int = 1000) -> None:
        if not _NAME.fullmatch(voice):
            raise ValueError(f"flite voice {voice!r}")
        program = shutil.which("flite")
        if program is None:
            raise TtsError("flite is not installed")
        self._program = program
        self._voice = self.voice = voice
        self._max_chars = max_chars
        self._free = threading.BoundedSemaphore(runs)

    @staticmethod
    def available() -> str | None:
        """None when flite can be used, else why not."""
        return None if shutil.which("flite") else "flite is not installed"

    def speak(self, text: str, language: str, timeout_s: float) -> Iterator[bytes]:
        """TtsEngine.speak. Nothing to say (no letter, no digit) is no audio."""
        deadline = time.monotonic() + timeout_s
        if not re.fullmatch(r"en([-_][A-Za-z0-9_-]{1,30})?", language, re.IGNORECASE):
            raise TtsError(f"flite speaks English, not {language[:40]!a}")
        said = speakable(_ascii(text[: 4 * self._max_chars]), self._max_chars)
        if not said:
            return
        if not self._free.acquire(timeout=timeout_s):
            raise TtsError(f"flite: no free run within {timeout_s:g} s")
        try:
            rate_hz, pcm = self._run(said, deadline)
        finally:
            self._free.release()
        step = 2 * (rate_hz * PIECE_MS // 1000)
        pieces = ((rate_hz, pcm[at : at + step]) for at in range(0, len(pcm), step))
        yield from phone_audio(pieces)

    def _run(self, said: str, deadline: float) -> tuple[int, bytes]:
        """Rate in Hz and L16 of the text. The text goes by a file: an argument could be an option,
        and a single word would be taken for the name of a file."""
        with tempfile.TemporaryDirectory(prefix="flite-") as folder:
            source, result = Path(folder, "text"), Path(folder, "speech.wav")
            source.write_text(said + "\n", "ascii")
            try:
                done = subprocess.run(  # noqa: S603  (no part of it is the caller's)
                    [self._program, "-voice", self._voice, "-f", source, "-o", result],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,  # its end says at once that flite is done
                    stderr=subprocess.DEVNULL,
                    timeout=max(0.0, deadline - time.monotonic()),
                    check=False,
                )
                if done.returncode != 0:
                    raise TtsError(f"flite ended with status {done.returncode}")
                with wave.open(str(result), "rb") as audio:
                    if audio.getsampwidth() != 2 or audio.getnchannels() != 1:
                        raise TtsError("flite wrote audio that is not 16-bit mono")
                    if audio.getframerate() not in RATES_HZ:
                        raise TtsError(f"flite wrote audio at {audio.getframerate()} Hz")
                    return audio.getframerate(), audio.readframes(audio.getnframes())
            except subprocess.TimeoutExpired:  # run() has killed it
                raise TtsError("flite did not end within its deadline") from None
            except (OSError, wave.Error, EOFError) as error:
                raise TtsError(f"flite: {type(error).__name__}") from error


def _ascii(text: str) -> str:
    """Letters without their accents: flite reads English spelling, in ASCII."""
    plain = text.replace("\u2019", "'").replace("\u2018", "'")
    folded = unicodedata.normalize("NFKD", plain)
    kept = (c for c in folded if not unicodedata.combining(c))
    return "".join(c if c.isascii() else " " for c in kept)
