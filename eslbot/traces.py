"""Traces of turns for OpenTelemetry: a trace per call, a span per turn, a span per part of it.

    turn ├── endpointing   the caller's last word → the utterance is over
         ├── stt           → its text
         ├── llm           → what to do
         ├── tts           → first audio
         └── playback      → first frame on its way to the caller

The spans are made when the turn has ended, of times that were taken anyway, and are sent by a
greenlet of their own; what can't be sent is dropped. No word of the caller's is in them.
"""

from __future__ import annotations

import logging
import time
import uuid as uuids

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

from eslbot.turn import Timings

MAX_WAITING = 2048  # spans
SEND_WITHIN_S = 5
PARTS = (
    ("endpointing", "last_word", "endpoint"),
    ("stt", "endpoint", "final"),
    ("llm", "final", "decision"),
    ("tts", "decision", "first_speech"),
    ("playback", "first_speech", "first_frame"),
)
WENT_WRONG = ("failed over", "menu")


class Traces:
    """Sends to url, by OTLP over HTTP; listener names the process that the spans are of."""

    def __init__(self, url: str, listener: str, processor: SpanProcessor | None = None) -> None:
        for name in ("opentelemetry.exporter", "opentelemetry.sdk"):
            logging.getLogger(name).setLevel(
                logging.CRITICAL
            )  # a collector that is away is no news
        about = {
            "service.name": "eslbot",
            "service.instance.id": listener,
        }
        self._provider = TracerProvider(resource=Resource.create(about), shutdown_on_exit=False)
        self._provider.add_span_processor(
            processor
            or BatchSpanProcessor(
                OTLPSpanExporter(endpoint=url, timeout=SEND_WITHIN_S),
                max_queue_size=MAX_WAITING,
                schedule_delay_millis=1000,
            )
        )
        self._tracer = self._provider.get_tracer("eslbot")

    def turn(self, call: str, number: int, outcome: str, times: Timings, level: int) -> None:
        """A turn has ended. level: of the lowest engine that had a share in it, 0 the first."""
        start = times.last_word or times.onset
        offset = time.time() - time.monotonic()

        def wall(at: float) -> int:
            return int((at + offset) * 1e9)

        ends = [at for _, _, end in PARTS if (at := getattr(times, end)) is not None]
        span = self._tracer.start_span(
            "turn",
            _of_call(call),
            start_time=wall(min(times.onset, start)),
            attributes={"call": call, "turn": number, "outcome": outcome, "level": level},
        )
        if outcome in WENT_WRONG:
            span.set_status(Status(StatusCode.ERROR, outcome))
        within = set_span_in_context(span)
        for name, begin, end in PARTS:
            begun, ended = getattr(times, begin), getattr(times, end)
            if begun is not None and ended is not None and ended >= begun:
                part = self._tracer.start_span(name, within, start_time=wall(begun))
                part.end(wall(ended))
        span.end(wall(max(ends, default=start)))

    def stop(self) -> None:
        """Send what waits."""
        self._provider.shutdown()


def _of_call(call: str):  # type: ignore[no-untyped-def]
    """All turns of a call are in one trace, which its UUID names: no turn has to know another."""
    try:
        number = uuids.UUID(call).int
    except ValueError:
        number = uuids.uuid5(uuids.NAMESPACE_URL, call).int
    parent = SpanContext(number, number & (1 << 64) - 1 or 1, True, TraceFlags(TraceFlags.SAMPLED))
    return set_span_in_context(NonRecordingSpan(parent))
