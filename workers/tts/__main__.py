"""`python -m workers.tts WORDS`: say words, as L16 mono 8000 Hz on standard output.

For a synthesised caller: flite where it is installed, whose voice recognisers understand
better, else espeak-ng.
"""

from __future__ import annotations

import argparse
import sys

from workers.tts.engine import TtsEngine, TtsError
from workers.tts.espeak import EspeakEngine
from workers.tts.flite import FliteEngine

WITHIN_S = 30.0


def main() -> int:
    parser = argparse.ArgumentParser(prog="workers.tts", description=__doc__)
    parser.add_argument("words", help="what to say")
    parser.add_argument("--language", default="en", help="BCP 47 (%(default)s)")
    arguments = parser.parse_args()
    flite = FliteEngine.available() is None and arguments.language.startswith("en")
    engine: TtsEngine = (
        FliteEngine() if flite else EspeakEngine(voice="en-us", words_per_minute=140)
    )
    try:
        for piece in engine.speak(arguments.words, arguments.language, WITHIN_S):
            sys.stdout.buffer.write(piece)
    except TtsError as error:
        print(f"workers.tts: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
