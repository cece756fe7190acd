"""Text-to-speech by an OpenAI-compatible server: POST /audio/speech, streamed.

Source: the API reference of OpenAI, "Create speech": response_format pcm is L16 mono 24 kHz.
Some servers send a WAV all the same; its header is read, and believed within limits.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterator

from workers.http_provider import Deadline, Provider, ProviderError, pieces
from workers.resample import RATES_HZ, Resampler
from workers.tts.engine import TtsError

RATE = 8000
PCM_RATE = 24000
MAX_AUDIO_BYTES = 120 * 48_000 * 2
MAX_TEXT = 1000
MAX_WAV_HEADER = 4096


class OpenAiTts:
    name = "openai"

    def __init__(
        self, url: str, model: str, voice: str, api_key: str, *, connect_timeout_s: float
    ) -> None:
        self._provider = Provider(url, api_key, connect_timeout_s=connect_timeout_s)
        self._model = model
        self._voice = voice

    def speak(self, text: str, language: str, timeout_s: float) -> Iterator[bytes]:
        """See engine.py. A retry is possible up to the first audio, and not after it."""
        deadline = Deadline(timeout_s)
        try:
            stream = self._provider.retrying(deadline, lambda: self._begin(text, deadline))
            yield from stream
        except ProviderError as error:
            raise TtsError(str(error)) from None

    def _begin(self, text: str, deadline: Deadline) -> Iterator[bytes]:
        """The audio, its first piece read already, so that failing there can be retried."""
        audio = self._ask(text, deadline)
        first = next(audio, None)
        if first is None:
            raise ProviderError("an answer without audio")

        def rest() -> Iterator[bytes]:
            yield first
            yield from audio

        return rest()

    def _ask(self, text: str, deadline: Deadline) -> Iterator[bytes]:
        body = {
            "model": self._model,
            "voice": self._voice,
            "input": text[:MAX_TEXT],
            "response_format": "pcm",
        }
        with self._provider.stream(
            "audio/speech",
            deadline=deadline,
            first_s=deadline.left_s,
            gap_s=deadline.left_s,
            json=body,
        ) as response:
            kind = response.headers.get("Content-Type", "").split(";")[0]
            if kind.startswith(("text/", "application/json")):
                raise ProviderError(f"{kind[:40]} where audio should be")
            audio = pieces(response, deadline, MAX_AUDIO_BYTES)
            rate, head = _format(audio)
            resampler = Resampler(rate, RATE)
            for piece in itertools.chain([head], audio):
                if speech := resampler.feed(piece):
                    yield speech
            if speech := resampler.flush():
                yield speech


def _format(audio: Iterator[bytes]) -> tuple[int, bytes]:
    """(rate in Hz, the first samples). Reads as much as tells PCM from WAV."""
    head = b""
    for piece in audio:
        head += piece
        if len(head) >= 12 and not head.startswith(b"RIFF"):
            return PCM_RATE, head
        if head.startswith(b"RIFF"):
            found = _wav(head)
            if found:
                return found
        if len(head) > MAX_WAV_HEADER:
            break
    if head.startswith(b"RIFF"):
        raise ProviderError("a WAV header without an end")
    return PCM_RATE, head


def _wav(head: bytes) -> tuple[int, bytes] | None:
    """(rate, samples after the header), or None when the header is not complete.

    Sizes in the header are not believed: a streamed WAV does not know its own.
    """
    at = 12
    rate = 0
    while at + 8 <= len(head):
        name, size = head[at : at + 4], struct.unpack("<I", head[at + 4 : at + 8])[0]
        if name == b"data":
            if not rate:
                raise ProviderError("a WAV without a format")
            return rate, head[at + 8 :]
        if name == b"fmt ":
            if at + 24 > len(head):
                return None
            form, channels, rate, _, _, bits = struct.unpack("<HHIIHH", head[at + 8 : at + 24])
            if (form, channels, bits) != (1, 1, 16) or rate not in RATES_HZ:
                raise ProviderError("a WAV that is not L16 mono at a rate we know")
        if size > MAX_WAV_HEADER:
            raise ProviderError("a WAV header that makes no sense")
        at += 8 + size + size % 2
    return None
