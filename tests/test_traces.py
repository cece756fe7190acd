"""Traces of turns, sent to a collector that speaks OTLP over HTTP."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from eslbot.traces import Traces
from eslbot.turn import Timings

CALL = "8f2b5a3e-6c7d-4e8f-9a0b-1c2d3e4f5a6b"


class Collector:
    def __init__(self) -> None:
        self.requests: list[ExportTraceServiceRequest] = []
        collector = self

        class Door(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                collector.requests.append(ExportTraceServiceRequest.FromString(body))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *args: object) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Door)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1/traces"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def spans(self) -> dict[str, object]:
        found = [
            span
            for request in self.requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]
        return {span.name: span for span in found}


@pytest.fixture
def collector() -> Iterator[Collector]:
    one = Collector()
    yield one
    one.server.shutdown()


def test_a_turn_is_a_span_with_its_parts_in_the_call_s_trace(collector: Collector):
    traces = Traces(collector.url, "here")
    times = Timings(
        onset=100.0, last_word=101.0, endpoint=101.6, final=101.9, decision=102.0,
        first_speech=102.3, first_frame=102.32,
    )  # fmt: skip
    traces.turn(CALL, 3, "answered", times, level=0)
    traces.stop()
    spans = collector.spans()
    turn = spans["turn"]
    assert turn.trace_id.hex() == CALL.replace("-", "")
    assert {a.key: a.value.string_value or a.value.int_value for a in turn.attributes} == {
        "call": CALL, "turn": 3, "outcome": "answered", "level": 0,
    }  # fmt: skip
    lasts = {n: (s.end_time_unix_nano - s.start_time_unix_nano) / 1e9 for n, s in spans.items()}
    assert lasts == pytest.approx(
        {"turn": 2.32, "endpointing": 0.6, "stt": 0.3, "llm": 0.1, "tts": 0.3, "playback": 0.02},
        abs=1e-3,
    )
    assert {s.parent_span_id for n, s in spans.items() if n != "turn"} == {turn.span_id}


def test_a_turn_that_came_to_nothing_has_the_parts_it_got_to(collector: Collector):
    traces = Traces(collector.url, "here")
    traces.turn("not-a-uuid", 1, "menu", Timings(100.0, 101.0, 101.6), level=0)
    traces.stop()
    spans = collector.spans()
    assert set(spans) == {"turn", "endpointing"}
    assert spans["turn"].status.message == "menu"
    assert len(spans["turn"].trace_id) == 16
