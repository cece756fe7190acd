"""piper: a neural voice, where `piper-tts` is installed and a voice is on disk.

A voice is two files, NAME.onnx and NAME.onnx.json; the second says its language and sampling
rate. The package is GPL-3.0-or-later; only piper_process.py loads it, in another process.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from workers.resample import RATES_HZ
from workers.tts.engine import TtsError
from workers.tts.phone_audio import phone_audio
from workers.tts.process_host import ProcessHost
from workers.tts.speakable import speakable

START_TIMEOUT_S: Final = 30.0  # the process reads and optimises a model of 20 to 120 MB
MAX_CONFIG_BYTES: Final = 1 << 20


class PiperEngine:
    """TtsEngine on one piper voice. Threads share one process, one text after another.

    voice: path of NAME.onnx. speed: 0.5 to 2, 1 is the voice's own. volume: of a sentence
    whose peak is 1. max_chars: longer text is cut at a word. max_audio_s: longer speech is cut.
    Raises TtsError with available()'s reason, ValueError for other parameters.
    """

    name = "piper"

    def __init__(
        self,
        voice: Path,
        speed: float = 1.0,
        volume: float = 0.6,
        max_chars: int = 1000,
        max_audio_s: int = 120,
    ) -> None:
        if not 0.5 <= speed <= 2 or not 0 < volume <= 1:
            raise ValueError(f"piper speed {speed}, volume {volume}")
        if not 1 <= max_chars <= 10_000 or not 1 <= max_audio_s <= 150:
            raise ValueError(f"piper max_chars {max_chars}, max_audio_s {max_audio_s}")
        if reason := self.available(voice):
            raise TtsError(reason)
        self.language = _language(_config(voice))
        self._max_chars = max_chars
        # Its size tells a voice from a new edition of it, on any host.
        self.voice = f"{voice.stem} {voice.stat().st_size} {speed} {volume}"
        self._request = {"speed": speed, "volume": volume, "max_audio_s": max_audio_s}
        self._host = ProcessHost(
            "piper", "workers.tts.piper_process", (str(voice.resolve()),), START_TIMEOUT_S
        )

    @staticmethod
    def available(voice: Path) -> str | None:
        """None when the package and this voice can be used, else why not. Loads neither."""
        if not voice.is_file():
            return f"no piper voice {voice.name}"
        try:
            config = _config(voice)
            rate_hz = config["audio"]["sample_rate"]
            if not _language(config):
                return f"piper voice {voice.name}: {voice.name}.json names no language"
        except OSError:
            return f"piper voice {voice.name}: no {voice.name}.json beside it"
        except (ValueError, KeyError, TypeError):
            return f"piper voice {voice.name}: {voice.name}.json is not a voice's config"
        if rate_hz not in RATES_HZ:
            return f"piper voice {voice.name}: {rate_hz} Hz is not one of {RATES_HZ}"
        if importlib.util.find_spec("piper") is None:
            return "piper-tts is not installed"
        return None

    def start(self, timeout_s: float = START_TIMEOUT_S) -> None:
        """Load the voice now rather than at the first sentence. Raises TtsError."""
        self._host.start(timeout_s)

    def speak(self, text: str, language: str, timeout_s: float) -> Iterator[bytes]:
        """TtsEngine.speak. Nothing to say (no letter, no digit) is no audio."""
        if _primary(language) != _primary(self.language):
            asked, own = ascii(language[:40]), ascii(self.language[:40])
            raise TtsError(f"this piper voice speaks {own}, not {asked}")
        if said := speakable(text, self._max_chars):
            yield from phone_audio(self._host.speak({"text": said, **self._request}, timeout_s))

    def close(self) -> None:
        """End the process; sentences under way fail."""
        self._host.close()


def _config(voice: Path) -> dict[str, Any]:
    with voice.with_name(voice.name + ".json").open("rb") as file:
        config = json.loads(file.read(MAX_CONFIG_BYTES))
    if not isinstance(config, dict):
        raise TypeError("not an object")
    return config


def _language(config: dict[str, Any]) -> str:
    """language.code ("en_US") where the voice has it, else its espeak voice ("en-us")."""
    code = (config.get("language") or {}).get("code") or config["espeak"]["voice"]
    return str(code)


def _primary(language: str) -> str:
    return language.lower().replace("_", "-").partition("-")[0]
