"""faster-whisper: Whisper models on CTranslate2, loaded once per process.

    8 kHz ─▶ kept until the end ─▶ 16 kHz ─▶ one decode at a time, in a thread ─▶ text
                    └─ every partial_every_s, while nothing else decodes ─▶ partial text

Whisper pads what it hears to 30 s and decodes it at once: a partial costs as much as the final
text, so partials are made only when the model is idle, and never wait or make anyone wait in line.
A shorter window costs less in proportion; what that does to accuracy was not measured, so it has to
be asked for.

CTranslate2 does not survive a fork: a model loaded in the parent hangs the child. open() in
another process than the one that loaded the model is an error.
"""

from __future__ import annotations

import math
import os
import time
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as TooLate
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from workers.stt.engine import Hints, SttError, Transcript

MAX_AUDIO_S: Final = 60.0  # more of one utterance is not listened to
MAX_NEW_TOKENS: Final = 128  # 30 s of fast speech; a model that loops stops here
MARGIN_S: Final = 2.0  # of silence behind the utterance, or its end is heard wrongly
_FRAMES_PER_S: Final = 100
_RATE_HZ: Final = 8000
_FILES: Final = ("model.bin", "config.json", "tokenizer.json")

_HALF_TAPS: Final = 16  # 2 ms to each side: flat to 3600 Hz


class WhisperUnavailable(Exception):
    """This model can't be had; str() is the reason."""


def upsample(samples: NDArray[np.int16]) -> NDArray[np.float32]:
    """8000 Hz, full scale 32768, to 16000 Hz, full scale 1: each other sample is interpolated."""
    at = np.arange(-_HALF_TAPS, _HALF_TAPS) + 0.5
    taps = np.sinc(at) * np.kaiser(2 * _HALF_TAPS, 6.0)
    audio = samples.astype(np.float32) / np.float32(32768)
    doubled = np.empty(2 * len(audio), np.float32)
    doubled[0::2] = audio
    between = np.convolve(np.pad(audio, (_HALF_TAPS - 1, _HALF_TAPS)), taps / taps.sum(), "valid")
    doubled[1::2] = between
    return doubled


class WhisperUtterance:
    """One utterance; see workers.stt.engine."""

    def __init__(self, engine: WhisperEngine, language: str) -> None:
        self._engine = engine
        self._language = language
        self._audio = bytearray()
        self._partial = ""
        self._pending: Future[Transcript] | None = None
        self._due = time.monotonic() + engine.partial_every_s
        self._ended = False

    def feed(self, pcm: bytes) -> str | None:
        """See workers.stt.engine. Never waits for the model. Raises SttError once ended."""
        if self._ended:
            raise SttError("the utterance has ended")
        self._audio += pcm[: int(MAX_AUDIO_S * 2 * _RATE_HZ) - len(self._audio)]
        text = self._collect()
        now = time.monotonic()
        if self._pending is None and now >= self._due and self._audio:
            self._pending = self._engine.decode_if_idle(bytes(self._audio), self._language)
            self._due = now + self._engine.partial_every_s
        return text

    def finish(self, timeout_s: float) -> Transcript:
        """See workers.stt.engine. A decode that runs late is left behind: SttError."""
        if self._ended:
            raise SttError("the utterance has ended")
        self._ended = True
        self._drop()
        if len(self._audio) < 2:
            return Transcript("", 0.0)
        decode = self._engine.decode(bytes(self._audio), self._language)
        try:
            return decode.result(max(0.0, timeout_s))
        except TooLate:
            decode.cancel()
            raise SttError(f"not decoded within {timeout_s:.1f} s") from None

    def close(self) -> None:
        """See workers.stt.engine."""
        self._ended = True
        self._drop()
        self._audio.clear()

    def _collect(self) -> str | None:
        if self._pending is None or not self._pending.done():
            return None
        pending, self._pending = self._pending, None
        try:
            text = pending.result().text
        except (SttError, CancelledError):
            return None  # the final decode will say so
        if text == self._partial:
            return None
        self._partial = text
        return text

    def _drop(self) -> None:
        if self._pending is not None:
            self._pending.cancel()
            self._pending = None


class WhisperEngine:
    """One Whisper model.

    model: a CTranslate2 model's folder, or a name on the hub (`small.en`, `owner/name`); a name is
    looked for in the hub's cache on disk, and fetched only if `fetch`.
    device: `auto`, `cpu` or `cuda`; compute_type: CTranslate2's; cpu_threads: of one decode.
    partial_every_s: seconds between partial texts of an utterance; 0 is as often as possible.
    max_open: utterances whose final text may be waited for at once.
    window_s: encode so many seconds, or the utterance and MARGIN_S where that is more, in place of
    the 30 s that the model was trained on; 0: always all of them.

    Raises WhisperUnavailable.
    """

    name = "whisper"

    def __init__(
        self,
        model: str | Path,
        device: str = "auto",
        compute_type: str = "int8",
        cpu_threads: int = 2,
        partial_every_s: float = 1.0,
        fetch: bool = True,
        max_open: int = 64,
        window_s: int = 0,
    ) -> None:
        reason = self.available(model, fetch)
        if reason:
            raise WhisperUnavailable(reason)
        from faster_whisper import WhisperModel

        try:
            self._model: Any = WhisperModel(
                str(model),
                device=device,
                compute_type=compute_type,
                cpu_threads=cpu_threads,
                local_files_only=not fetch,
            )
        except Exception as error:  # CTranslate2, tokenizers and the hub each have their own
            cause = " ".join(str(error).split())[:200]
            raise WhisperUnavailable(f"{model}: {type(error).__name__}: {cause}") from None
        if window_s:
            self._model.encode = self._encode
        self._window_s = window_s
        self._frames = 0  # of the utterance that is being decoded
        self.partial_every_s = partial_every_s
        self._max_open = max_open
        self._pid = os.getpid()
        self._waiting: list[Future[Transcript]] = []
        # One thread is the lock: one decode at a time, the others in the order they came.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="whisper")

    @staticmethod
    def available(model: str | Path, fetch: bool = True) -> str:
        """Why the model can't be had, as far as can be said without loading it; "" if it may."""
        if find_spec("faster_whisper") is None:
            return "faster-whisper is not installed"
        path = Path(model)
        if path.is_dir():
            missing = [name for name in _FILES if not (path / name).is_file()]
            return f"{model} has no {', '.join(missing)}" if missing else ""
        name = str(model)
        if name.count("/") > 1 or name.startswith((".", "/", "~")) or path.exists():
            return f"{name} is not a folder"
        if fetch:
            return ""
        from faster_whisper.utils import download_model

        try:
            download_model(name, local_files_only=True)
        except Exception as error:  # the hub's own kinds of "not there"
            return f"{name} is not on disk ({type(error).__name__})"
        return ""

    def open(self, hints: Hints) -> WhisperUtterance:
        """Raises SttError: a forked process, or a language that the model does not know."""
        if os.getpid() != self._pid:
            raise SttError("the model was loaded before a fork and can't be used after it")
        language = hints.language.lower().replace("_", "-").split("-")[0]
        if language not in self._model.supported_languages:
            raise SttError("the model does not know the bot's language")
        return WhisperUtterance(self, language)

    def decode(self, pcm: bytes, language: str) -> Future[Transcript]:
        """The text of L16 mono 8000 Hz, as soon as it is its turn. Raises SttError: too many."""
        self._waiting = [future for future in self._waiting if not future.done()]
        if len(self._waiting) >= self._max_open:
            raise SttError(f"{self._max_open} utterances are waiting for the model already")
        future = self._thread.submit(self._decode, pcm, language)
        self._waiting.append(future)
        return future

    def decode_if_idle(self, pcm: bytes, language: str) -> Future[Transcript] | None:
        if any(not future.done() for future in self._waiting):
            return None
        return self.decode(pcm, language)

    def _encode(self, features: NDArray[np.float32]) -> Any:
        """In place of the model's own: without most of the silence that it was given."""
        return type(self._model).encode(self._model, features[..., : self._frames])

    def _decode(self, pcm: bytes, language: str) -> Transcript:
        audio = upsample(np.frombuffer(pcm[: len(pcm) & ~1], "<i2"))
        seconds = max(self._window_s, math.ceil(len(pcm) / 2 / _RATE_HZ + MARGIN_S))
        self._frames = seconds * _FRAMES_PER_S
        try:
            segments, _ = self._model.transcribe(
                audio,
                language=language,
                beam_size=1,
                temperature=0.0,
                max_new_tokens=MAX_NEW_TOKENS,
                without_timestamps=True,
                condition_on_previous_text=False,
                vad_filter=False,
            )
            found = list(segments)
        except Exception as error:  # whatever CTranslate2 throws, the turn goes on without us
            raise SttError(f"whisper can't decode ({type(error).__name__})") from error
        text = " ".join(segment.text.strip() for segment in found).strip()
        if not text:
            return Transcript("", 0.0)
        tokens = sum(len(segment.tokens) for segment in found)
        log = sum(segment.avg_logprob * len(segment.tokens) for segment in found) / max(1, tokens)
        return Transcript(text, min(1.0, math.exp(log)))
