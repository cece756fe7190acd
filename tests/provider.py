"""A local server that speaks OpenAI's protocol, well or badly: `python -m tests.provider --port N`.

Paths: /v1/models, /v1/audio/transcriptions, /v1/chat/completions (server-sent events),
/v1/audio/speech (chunked). A request that is not as the API reference says gets a 400, and its
reason is in `faults`. The next requests are answered as the plans in `script` say, one each, the
others as `plan` says; what was asked is in `seen`.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import math
import struct
import threading
import time
import wave
from dataclasses import dataclass, field
from email.parser import BytesParser
from email.policy import HTTP
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

RATE = 24000


@dataclass
class Plan:
    """An answer. Delays in seconds, before the first byte and between two pieces."""

    statuses: list[int] = field(default_factory=list)  # errors first, in this order
    retry_after: str | None = None
    first_delay_s: float = 0.0
    gap_s: float = 0.0
    transcript: str = "what is my balance"
    words: list[str] = field(default_factory=lambda: ["We are ", "open until ", "six. ", "Bye."])
    tools: list[tuple[str, str]] = field(default_factory=list)
    speech_s: float = 1.0
    body: bytes | None = None  # in place of any answer, with this content type
    content_type: str = "application/json"
    stop_after: int | None = None  # pieces, then the connection is cut
    piece_bytes: int | None = None  # server-sent events in pieces of this size, cut anywhere
    wire: list[bytes] | None = None  # in place of all HTTP: pieces, then the connection is cut


@dataclass
class Asked:
    path: str
    headers: dict[str, str]
    json: Any = None
    fields: dict[str, bytes] = field(default_factory=dict)


def tone(seconds: float, rate: int = RATE) -> bytes:
    count = int(seconds * rate)
    return struct.pack(
        f"<{count}h", *(int(8000 * math.sin(n * 2764.6 / rate)) for n in range(count))
    )


class Provider(ThreadingHTTPServer):
    """connections: how many were made to it."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.plan = Plan()
        self.script: list[Plan] = []
        self.seen: list[Asked] = []
        self.faults: list[str] = []
        self.broken_off = 0  # answers that whoever asked did not want to their end
        self.connections = 0
        self.url = f"http://127.0.0.1:{self.server_port}/v1"

    def __enter__(self) -> Provider:
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def get_request(self) -> Any:
        self.connections += 1
        return super().get_request()

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()

    def handle_error(self, *_: object) -> None:
        """A client that goes away is none of this server's business."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Provider
    # Two small writes after one another must not wait for the other side's acknowledgement.
    disable_nagle_algorithm = True

    def log_message(self, *_: object) -> None:
        """Quiet."""

    def do_GET(self) -> None:
        models = {"object": "list", "data": [{"id": "local", "object": "model"}]}
        self._whole(json.dumps(models).encode(), "application/json")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        asked = Asked(self.path, {k.lower(): v for k, v in self.headers.items()})
        kind = self.headers.get("Content-Type", "")
        if kind.startswith("application/json"):
            asked.json = json.loads(body)
        elif kind.startswith("multipart/"):
            head = f"Content-Type: {kind}\r\n\r\n".encode()
            for part in BytesParser(policy=HTTP).parsebytes(head + body).iter_parts():
                name = part.get_param("name", header="content-disposition")
                payload = part.get_payload(decode=True)
                asked.fields[str(name)] = payload if isinstance(payload, bytes) else b""
        self.server.seen.append(asked)
        self.plan = self.server.script.pop(0) if self.server.script else self.server.plan
        plan = self.plan
        if fault := _fault(asked):
            self.server.faults.append(fault)
            self._error(400)
            return
        if plan.statuses:
            self._error(plan.statuses.pop(0))
            return
        time.sleep(plan.first_delay_s)
        try:
            if plan.wire is not None:
                self._wire(plan.wire)
            elif plan.body is not None:
                self._whole(plan.body, plan.content_type)
            elif self.path.endswith("/transcriptions"):
                self._whole(json.dumps({"text": plan.transcript}).encode(), "application/json")
            elif self.path.endswith("/completions"):
                self._chunks(self._events(plan), "text/event-stream")
            elif self.path.endswith("/speech"):
                audio = tone(plan.speech_s)
                pieces = [audio[n : n + 4801] for n in range(0, len(audio), 4801)]
                self._chunks(pieces, "audio/pcm")
            else:
                self._error(404)
        except OSError:
            self.server.broken_off += 1  # who asked has closed

    def _events(self, plan: Plan) -> list[bytes]:
        deltas: list[dict[str, Any]] = [{"role": "assistant"}]
        deltas += [{"content": word} for word in plan.words if not plan.tools]
        for index, (name, arguments) in enumerate(plan.tools):
            deltas.append({"tool_calls": [{"index": index, "function": {"name": name}}]})
            half = len(arguments) // 2
            for part in (arguments[:half], arguments[half:]):
                deltas.append({"tool_calls": [{"index": index, "function": {"arguments": part}}]})
        found = [": a comment\n\n"]
        for delta in deltas:
            data = json.dumps({"choices": [{"index": 0, "delta": delta}]}, ensure_ascii=False)
            found.append(f"data: {data}\r\n\r\n")
        found.append("data: [DONE]\n\n")
        pieces = [event.encode() for event in found]
        if plan.piece_bytes:
            size, stream = plan.piece_bytes, b"".join(pieces)
            pieces = [stream[n : n + size] for n in range(0, len(stream), size)]
        return pieces

    def _wire(self, pieces: list[bytes]) -> None:
        self.close_connection = True
        for sent, piece in enumerate(pieces):
            if sent:
                time.sleep(self.plan.gap_s)
            self.wfile.write(piece)

    def _whole(self, body: bytes, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _chunks(self, pieces: list[bytes], kind: str) -> None:
        plan = self.plan
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for sent, piece in enumerate(pieces):
            if plan.stop_after is not None and sent >= plan.stop_after:
                self.close_connection = True
                return
            if sent:
                time.sleep(plan.gap_s)
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        self.wfile.write(b"0\r\n\r\n")

    def _error(self, status: int) -> None:
        self.send_response(status)
        if self.plan.retry_after is not None:
            self.send_header("Retry-After", self.plan.retry_after)
        body = b'{"error": {"message": "secret-of-the-provider"}}'
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _fault(asked: Asked) -> str | None:
    """What is wrong with a request by the API reference, or None."""
    if asked.path.endswith("/transcriptions"):
        if not {"file", "model", "response_format"} <= set(asked.fields):
            return "a field is missing"
        try:
            with wave.open(io.BytesIO(asked.fields["file"])) as file:
                if (file.getnchannels(), file.getsampwidth()) != (1, 2):
                    return "not L16 mono"
                if file.getnframes() < 0.1 * file.getframerate():
                    return "less than 0.1 s of audio"
        except (wave.Error, EOFError):
            return "not a WAV"
        return None
    if not isinstance(asked.json, dict):
        return "not a JSON object"
    needed = {"/completions": {"model", "messages"}, "/speech": {"model", "voice", "input"}}
    for path, names in needed.items():
        if asked.path.endswith(path) and not names <= set(asked.json):
            return "a field is missing"
    for message in asked.json.get("messages", ()):
        if message["role"] == "tool" and not message.get("tool_call_id"):
            return "a tool's answer to no call"
        needs = not message.get("tool_calls")
        roles = ("system", "user", "assistant", "tool")
        if message["role"] not in roles or (needs and not message["content"]):
            return "a message that makes no sense"
    return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=9000, help="0: any that is free")
    parser.add_argument("--first-delay-s", type=float, default=0.0)
    parser.add_argument("--gap-s", type=float, default=0.0)
    arguments = parser.parse_args()
    server = Provider(arguments.port)
    server.plan.first_delay_s = arguments.first_delay_s
    server.plan.gap_s = arguments.gap_s
    print(server.url, flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        server.serve_forever()


if __name__ == "__main__":
    main()
