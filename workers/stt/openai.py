"""Speech-to-text by an OpenAI-compatible server: POST /audio/transcriptions.

Source: the API reference of OpenAI, "Create transcription". The utterance is sent whole when it
is over, as a WAV of 16 kHz.
"""

from __future__ import annotations

import io
import wave

from workers.http_provider import Deadline, Provider, ProviderError, parse_json, plain
from workers.resample import Resampler
from workers.stt.engine import Hints, SttError, Transcript

RATE = 8000
SENT_RATE = 16000
MAX_ANSWER_BYTES = 256 * 1024
MIN_AUDIO_S = 0.1  # the server refuses less, and there is no word in it
MAX_PROMPT = 800  # characters: whisper reads no more than 224 tokens of it
# The protocol gives no confidence with plain JSON: what came is taken as good.
CONFIDENCE = 0.9


class OpenAiStt:
    """max_audio_s: more of an utterance is not kept."""

    name = "openai"

    def __init__(
        self,
        url: str,
        model: str,
        api_key: str,
        *,
        connect_timeout_s: float,
        max_audio_s: float,
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
        self.model = model
        self.max_bytes = int(max_audio_s * RATE * 2)
        self.provider_name = f"{model}@{self.provider.host}"

    def probe(self, timeout_s: float) -> None:
        """A request as small as can be. Raises SttError."""
        utterance = self.open(Hints())
        utterance.feed(bytes(int(2 * MIN_AUDIO_S * RATE) * 2))
        utterance.once(Deadline(timeout_s))

    def open(self, hints: Hints) -> OpenAiUtterance:
        return OpenAiUtterance(self, hints)


class OpenAiUtterance:
    def __init__(self, engine: OpenAiStt, hints: Hints) -> None:
        self._engine = engine
        self._hints = hints
        self._pcm = bytearray()

    def feed(self, pcm: bytes) -> str | None:
        if len(self._pcm) + len(pcm) > self._engine.max_bytes:
            raise SttError("the utterance is longer than may be kept")
        self._pcm += pcm
        return None

    def finish(self, timeout_s: float) -> Transcript:
        if len(self._pcm) < MIN_AUDIO_S * RATE * 2:
            return Transcript("", 0.0)
        deadline = Deadline(timeout_s)
        try:
            return self._engine.provider.retrying(deadline, lambda: self._ask(deadline))
        except ProviderError as error:
            raise SttError(str(error)) from error

    def once(self, deadline: Deadline) -> Transcript:
        """Without another try. Raises SttError."""
        try:
            return self._ask(deadline)
        except ProviderError as error:
            raise SttError(str(error)) from error

    def close(self) -> None:
        self._pcm.clear()

    def _ask(self, deadline: Deadline) -> Transcript:
        prompt = ". ".join(self._hints.phrases)[:MAX_PROMPT]
        fields = {
            "model": self._engine.model,
            "language": self._hints.language.split("-")[0],
            "response_format": "json",
            "temperature": "0",
        }
        if prompt and self._hints.expect == "text":
            fields["prompt"] = prompt
        with self._engine.provider.post(
            "audio/transcriptions",
            deadline=deadline,
            data=fields,
            files={"file": ("utterance.wav", self._wav(), "audio/wav")},
        ) as reply:
            body = b"".join(reply.pieces(MAX_ANSWER_BYTES))
        answer = parse_json(body)
        text = answer.get("text") if isinstance(answer, dict) else None
        if not isinstance(text, str):
            raise ProviderError("the answer has no text")
        return Transcript(" ".join(plain(text).split())[:4000], CONFIDENCE if text.strip() else 0.0)

    def _wav(self) -> bytes:
        resampler = Resampler(RATE, SENT_RATE)
        file = io.BytesIO()
        with wave.open(file, "wb") as out:
            out.setnchannels(1)
            out.setsampwidth(2)
            out.setframerate(SENT_RATE)
            out.writeframes(resampler.feed(bytes(self._pcm)) + resampler.flush())
        return file.getvalue()
