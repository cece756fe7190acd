"""Text-to-speech by an OpenAI-compatible server: POST /audio/speech, streamed.

Source: the API reference of OpenAI, "Create speech": response_format pcm is L16 mono 24 kHz.
Some servers send a WAV all the same; its header is read, and believed within limits.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterator

from workers.http_provider import Deadline, Provider, ProviderError
from workers.resample import RATES_HZ
from workers.tts.engine import TtsError
from workers.tts.phone_audio import phone_audio

PCM_RATE = 24000
MAX_AUDIO_BYTES = 120 * 48_000 * 2
MAX_TEXT = 1000
MAX_WAV_HEADER = 4096
# What some servers send whatever they are asked for: to a telephone, all of it is noise.
ENCODED_TYPES = ("text/", "application/json", "application/xml", "audio/mp", "audio/aac",
                 "audio/ogg", "audio/opus", "audio/flac", "audio/webm")  # fmt: skip
ENCODED_MAGIC = (b"ID3", b"OggS", b"fLaC")


class OpenAiTts:
    name = "openai"

    def __init__(
        self,
        url: str,
        model: str,
        voice: str,
        api_key: str,
        *,
        connect_timeout_s: float,
        retry_percent: int = 10,
        http2: bool = False,
    ) -> None:
        self.provider = Provider(
            url,
            api_key,
            connect_timeout_s=connect_timeout_s,
            http2=http2,
            retry_percent=retry_percent,
        )
        self._model = model
        self._voice = voice
        self.provider_name = f"{model}@{self.provider.host}"
        self.voice = f"{voice} of {self.provider_name}"

    def probe(self, timeout_s: float) -> None:
        """A request as small as can be. Raises TtsError."""
        try:
            for _ in self._begin("Yes.", Deadline(timeout_s)):
                pass
        except ProviderError as error:
            raise TtsError(str(error)) from error

    def speak(self, text: str, language: str, timeout_s: float) -> Iterator[bytes]:
        """See engine.py. A retry is possible up to the first audio, and not after it."""
        deadline = Deadline(timeout_s)
        try:
            stream = self.provider.retrying(deadline, lambda: self._begin(text, deadline))
            yield from stream
        except ProviderError as error:
            raise TtsError(str(error)) from error

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
        with self.provider.post("audio/speech", deadline=deadline, json=body) as reply:
            if reply.content_type.startswith(ENCODED_TYPES):
                raise ProviderError("something else where L16 audio should be")
            audio = reply.pieces(MAX_AUDIO_BYTES)
            rate, head = _format(audio)
            yield from phone_audio((rate, piece) for piece in itertools.chain([head], audio))


def _format(audio: Iterator[bytes]) -> tuple[int, bytes]:
    """(rate in Hz, the first samples). Reads as much as tells PCM from WAV."""
    head = b""
    for piece in audio:
        head += piece
        if head.startswith(ENCODED_MAGIC):
            raise ProviderError("something else where L16 audio should be")
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
