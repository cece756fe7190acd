"""The process that piper lives in: `python -m workers.tts.piper_process WORKER_PID VOICE.onnx`.

piper-tts (GPL-3.0-or-later) is loaded here and nowhere else. The wire is frames.py's. A request:

    {"id": 1, "text": "Hello.", "speed": 1.0, "volume": 0.6, "max_audio_s": 120}

piper makes a sentence at a time, so a cancel is seen between two sentences. The API is that of
piper-tts 1.8 (piper/voice.py, piper/config.py).
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from workers.resample import RATES_HZ
from workers.tts.process_child import Put, SynthError, parent_from_argv, serve


class PiperSynth:
    """One piper voice, one request at a time."""

    def __init__(self, voice: Path) -> None:
        from piper import PiperVoice

        self._voice = PiperVoice.load(voice)
        self.rate_hz = int(self._voice.config.sample_rate)
        if self.rate_hz not in RATES_HZ:
            raise SynthError(f"a voice of {self.rate_hz} Hz")

    def speak(self, request: dict[str, Any], put: Put) -> None:
        from piper import SynthesisConfig

        config = SynthesisConfig(
            length_scale=self._voice.config.length_scale / float(request["speed"]),
            volume=float(request["volume"]),
        )
        left_bytes = 2 * self.rate_hz * int(request["max_audio_s"])
        for sentence in self._voice.synthesize(str(request["text"]), config):
            pcm = sentence.audio_int16_bytes[:left_bytes]
            left_bytes -= len(pcm)
            if not pcm or not put(pcm):
                return


if __name__ == "__main__":
    parent = parent_from_argv()
    if len(sys.argv) != 3:
        sys.exit("usage: python -m workers.tts.piper_process WORKER_PID VOICE.onnx")
    path = Path(sys.argv[2])
    serve(lambda: PiperSynth(path), parent)
