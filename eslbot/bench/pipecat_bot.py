"""Pipecat as a voice bot for many calls in one process; runs in a virtual environment of its own.

    UDP ─▶ input ─▶ STT ─▶ user aggregator (silero VAD, turns) ─▶ LLM ─▶ TTS ─▶ output ─▶ UDP

Nothing of eslbot is imported here. Audio comes and goes as L16 frames of 20 ms at 8 kHz, a UDP
port for each call, which is the least that Pipecat can be given to do: no WebSocket, no JSON, no
codec. It prints {"ports": [...]} when all pipelines run; when a line comes on standard input it
prints {"turns": [[[decided, first frame], ...] for each call]}, seconds of the wall clock, and
ends.

Source: Pipecat's own guides and its OpenAI services; see docs/performance.md for what was chosen.
"""

# Pipecat is not installed where this is checked.
# mypy: disable-error-code="misc,no-untyped-call"

from __future__ import annotations

import argparse
import asyncio
import json
import math
import struct
import sys
import time
from collections.abc import AsyncGenerator
from typing import Any

import uvloop
from loguru import logger
from pipecat.audio.vad.silero import SileroVADAnalyzer
from pipecat.audio.vad.vad_analyzer import VADParams
from pipecat.frames.frames import (
    Frame,
    InputAudioRawFrame,
    LLMContextFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
    OutputAudioRawFrame,
    StartFrame,
    TranscriptionFrame,
    TTSAudioRawFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import (
    LLMContextAggregatorPair,
    LLMUserAggregatorParams,
)
from pipecat.processors.frame_processor import FrameDirection
from pipecat.services.llm_service import LLMService
from pipecat.services.settings import LLMSettings, STTSettings, TTSSettings
from pipecat.services.stt_service import SegmentedSTTService
from pipecat.services.tts_service import TTSService
from pipecat.transports.base_input import BaseInputTransport
from pipecat.transports.base_output import BaseOutputTransport
from pipecat.transports.base_transport import TransportParams
from pipecat.turns.user_stop import SpeechTimeoutUserTurnStopStrategy
from pipecat.turns.user_turn_strategies import UserTurnStrategies
from pipecat.utils.time import time_now_iso8601
from pipecat.workers.runner import WorkerRunner

RATE = 8000
FRAME_BYTES = 320
WORDS = ("We are ", "open until ", "six. ", "Bye.")
TRANSCRIPT = "what is my balance"


def tone(seconds: float) -> bytes:
    """L16 at RATE, 440 Hz."""
    count = int(seconds * RATE)
    wave = (int(8000 * math.sin(n * 2 * math.pi * 440 / RATE)) for n in range(count))
    return struct.pack(f"<{count}h", *wave)


class Turns:
    """When utterances were decided to be over, and the first frame of each answer went out."""

    def __init__(self) -> None:
        self.found: list[list[float]] = []
        self._decided: float | None = None

    def decided(self, at: float) -> None:
        self._decided = at

    def sent(self) -> None:
        if self._decided is not None:
            self.found.append([self._decided, time.time()])
            self._decided = None


class Door(asyncio.DatagramProtocol):
    """One call's UDP port: sends to whom the first frame came from."""

    def __init__(self) -> None:
        self.take: Any = None
        self._transport: Any = None
        self._peer: Any = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    @property
    def port(self) -> int:
        return int(self._transport.get_extra_info("sockname")[1])

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self._peer = addr
        if self.take is not None:
            self.take(data)

    def send(self, audio: bytes) -> None:
        if self._peer is not None:
            for at in range(0, len(audio), FRAME_BYTES):
                self._transport.sendto(audio[at : at + FRAME_BYTES], self._peer)


class Input(BaseInputTransport):
    def __init__(self, door: Door, params: TransportParams) -> None:
        super().__init__(params)
        self._door = door

    async def start(self, frame: StartFrame) -> None:
        await super().start(frame)
        await self.set_transport_ready(frame)
        self._door.take = self._take

    def _take(self, data: bytes) -> None:
        # What push_audio_frame does, without a task for each frame.
        self._audio_in_queue.put_nowait(InputAudioRawFrame(data, RATE, 1))


class Output(BaseOutputTransport):
    """Paced as Pipecat's WebSocket transports pace."""

    def __init__(self, door: Door, turns: Turns, params: TransportParams) -> None:
        super().__init__(params)
        self._door = door
        self._turns = turns
        self._next = 0.0

    async def start(self, frame: StartFrame) -> None:
        await super().start(frame)
        await self.set_transport_ready(frame)

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        if isinstance(frame, VADUserStoppedSpeakingFrame):
            self._turns.decided(frame.timestamp)
        await super().process_frame(frame, direction)

    async def write_audio_frame(self, frame: OutputAudioRawFrame) -> bool:
        self._turns.sent()
        self._door.send(frame.audio)
        now = time.monotonic()
        wait = max(0.0, self._next - now)
        await asyncio.sleep(wait)
        interval = len(frame.audio) / 2 / RATE
        self._next = self._next + interval if wait else time.monotonic() + interval
        return True


class StubStt(SegmentedSTTService):
    def __init__(self, delay_s: float) -> None:
        super().__init__(
            ttfs_p99_latency=delay_s, settings=STTSettings(model="stub", language=None)
        )
        self._delay_s = delay_s

    async def run_stt(self, audio: bytes) -> AsyncGenerator[Frame | None, None]:
        await asyncio.sleep(self._delay_s)
        yield TranscriptionFrame(TRANSCRIPT, "", time_now_iso8601())


class StubLlm(LLMService):
    def __init__(self, delay_s: float) -> None:
        unset = ("system_instruction", "temperature", "max_tokens", "top_p", "top_k",
                 "frequency_penalty", "presence_penalty", "seed",
                 "filter_incomplete_user_turns", "user_turn_completion_config")  # fmt: skip
        settings = LLMSettings(model="stub", **dict.fromkeys(unset))
        super().__init__(settings=settings)
        self._delay_s = delay_s

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if not isinstance(frame, LLMContextFrame):
            await self.push_frame(frame, direction)
            return
        await self.push_frame(LLMFullResponseStartFrame())
        await asyncio.sleep(self._delay_s)
        for word in WORDS:
            await self.push_frame(LLMTextFrame(word))
        await self.push_frame(LLMFullResponseEndFrame())


class StubTts(TTSService):
    def __init__(self, delay_s: float, speech: bytes) -> None:
        super().__init__(
            push_start_frame=True,
            push_stop_frames=True,
            settings=TTSSettings(model="stub", voice="stub", language=None),
        )
        self._delay_s = delay_s
        self._speech = speech

    async def run_tts(self, text: str, context_id: str) -> AsyncGenerator[Frame | None, None]:
        await asyncio.sleep(self._delay_s)
        for at in range(0, len(self._speech), self.chunk_size):
            piece = self._speech[at : at + self.chunk_size]
            yield TTSAudioRawFrame(piece, RATE, 1, context_id=context_id)


def services(asked: argparse.Namespace, speech: bytes) -> tuple[Any, Any, Any]:
    """(stt, llm, tts): stubs in this process, or Pipecat's own clients of a provider."""
    delay_s = asked.delay_ms / 1000
    if not asked.provider:
        return StubStt(delay_s), StubLlm(delay_s), StubTts(delay_s, speech)
    from pipecat.services.openai.llm import OpenAILLMService
    from pipecat.services.openai.stt import OpenAISTTService
    from pipecat.services.openai.tts import OpenAITTSService

    class Stt(OpenAISTTService):
        async def _transcribe(self, audio: bytes) -> Any:
            # With the field that the API reference has and Pipecat leaves to the server's default.
            return await self._client.audio.transcriptions.create(
                file=("audio.wav", audio, "audio/wav"), model="whisper-1", response_format="json"
            )

    at: dict[str, Any] = {"base_url": asked.provider, "api_key": "none"}
    stt = Stt(**at, ttfs_p99_latency=delay_s, settings=OpenAISTTService.Settings(model="whisper-1"))
    llm = OpenAILLMService(**at, settings=OpenAILLMService.Settings(model="gpt-4o-mini"))
    tts = OpenAITTSService(
        **at, sample_rate=24000, settings=OpenAITTSService.Settings(model="tts-1", voice="alloy")
    )
    return stt, llm, tts


def worker(asked: argparse.Namespace, door: Door, turns: Turns, speech: bytes) -> PipelineWorker:
    """One call's pipeline."""
    params = TransportParams(audio_in_enabled=True, audio_out_enabled=True)
    stt, llm, tts = services(asked, speech)
    vad = VADParams(stop_secs=asked.silence_ms / 1000) if asked.turns == "silence" else VADParams()
    silence = UserTurnStrategies(stop=[SpeechTimeoutUserTurnStopStrategy(user_speech_timeout=0)])
    pair = LLMContextAggregatorPair(
        LLMContext(),
        user_params=LLMUserAggregatorParams(
            vad_analyzer=SileroVADAnalyzer(params=vad),
            # None: what Pipecat takes by itself, its Smart Turn model.
            user_turn_strategies=silence if asked.turns == "silence" else None,
        ),
    )
    pipeline = Pipeline(
        [
            Input(door, params), stt, pair.user(), llm, tts,
            Output(door, turns, params), pair.assistant(),
        ]
    )  # fmt: skip
    return PipelineWorker(
        pipeline,
        params=PipelineParams(audio_in_sample_rate=RATE, audio_out_sample_rate=RATE),
        idle_timeout_secs=None,
        enable_rtvi=False,
        enable_turn_tracking=False,
    )


async def serve(asked: argparse.Namespace) -> None:
    """Until a line comes, or the end of the input."""
    loop = asyncio.get_running_loop()
    speech = tone(1.0)
    doors: list[Door] = []
    turns = [Turns() for _ in range(asked.calls)]
    for _ in turns:
        _, door = await loop.create_datagram_endpoint(Door, local_addr=("127.0.0.1", 0))
        doors.append(door)
    runner = WorkerRunner(handle_sigint=False)
    for door, one in zip(doors, turns, strict=True):
        await runner.add_workers(worker(asked, door, one, speech))
    running = asyncio.create_task(runner.run(auto_end=False))
    while any(door.take is None for door in doors):
        if running.done():
            await running
            raise RuntimeError("Pipecat ended before it began")
        await asyncio.sleep(0.05)
    print(json.dumps({"ports": [door.port for door in doors]}), flush=True)
    await loop.run_in_executor(None, sys.stdin.readline)
    print(json.dumps({"turns": [one.found for one in turns]}), flush=True)
    await runner.cancel()
    await asyncio.wait([running], timeout=5)


def main() -> None:
    parser = argparse.ArgumentParser(description="Pipecat, for many calls over UDP.")
    parser.add_argument("--calls", type=int, default=5, help="calls at once (%(default)s)")
    parser.add_argument("--delay-ms", type=float, default=150, help="of each stub (%(default)s)")
    parser.add_argument("--turns", choices=("silence", "smart"), default="silence",
                        help="what ends an utterance: silence, or Smart Turn")  # fmt: skip
    parser.add_argument("--silence-ms", type=int, default=640,
                        help="that ends an utterance, with --turns silence")  # fmt: skip
    parser.add_argument("--provider", default="", help="URL up to /v1, in place of the stubs")
    asked = parser.parse_args()
    logger.remove()
    logger.add(sys.stderr, level="WARNING")
    uvloop.run(serve(asked))


if __name__ == "__main__":
    main()
