"""`python -m workers.tts.callers`: many sentences of synthesised callers, in several voices.

Standard input is a JSON list of {"voice", "words", "language", "file"}; each file is written as
a WAV (8 kHz, mono, 16 bit). One process for all of them: starting Python costs more than a
sentence.

    rms, slt, awb, kal16, kal      voices of flite, where it is installed; English only
    en-us, en-us+f3, de, ...       of espeak-ng, see workers/tts/espeak.py
"""

from __future__ import annotations

import json
import re
import sys
import wave
from pathlib import Path
from typing import Final

from workers.tts.engine import TtsEngine, TtsError
from workers.tts.espeak import EspeakEngine
from workers.tts.flite import FliteEngine

FLITE: Final = ("rms", "slt", "awb", "kal16", "kal")
WORDS_PER_MINUTE: Final = 140  # of espeak-ng: as fast as people speak to a machine
WITHIN_S: Final = 30.0
RATE_HZ: Final = 8000


def main() -> int:
    engines: dict[str, TtsEngine] = {}
    try:
        for one in json.load(sys.stdin):
            voice = one["voice"]
            if voice not in engines:
                engines[voice] = _engine(voice, one["language"])
            pcm = b"".join(engines[voice].speak(one["words"], one["language"], WITHIN_S))
            if not pcm:
                raise TtsError(f"voice {voice} has nothing to say for {one['words']!r}")
            _write(Path(one["file"]), pcm)
    except (TtsError, ValueError, OSError) as error:
        print(f"workers.tts.callers: {error}", file=sys.stderr)
        return 2
    return 0


def _engine(voice: str, language: str) -> TtsEngine:
    if voice in FLITE:
        return FliteEngine(voice=voice)
    # espeak-ng would take another voice for one that it does not have.
    if re.split("[-+]", voice)[0] != language.split("-")[0]:
        raise TtsError(f"there is no voice {voice} that speaks {language}")
    return EspeakEngine(voice=voice, words_per_minute=WORDS_PER_MINUTE)


def _write(path: Path, pcm: bytes) -> None:
    """Whole or not at all."""
    part = path.with_suffix(".part")
    with wave.open(str(part), "wb") as file:
        file.setframerate(RATE_HZ)
        file.setnchannels(1)
        file.setsampwidth(2)
        file.writeframes(pcm)
    part.replace(path)


if __name__ == "__main__":
    sys.exit(main())
