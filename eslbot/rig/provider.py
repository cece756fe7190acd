"""A provider for faults and load: `python -m eslbot.rig.provider --port N --phrases FILE.json`.

It speaks OpenAI's protocol as far as our engines do, hundreds of requests at a time, after stated
delays; what it says names the call and the turn (see answers.py). It prints its URL when ready.

    POST /v1/audio/transcriptions   stt: {"text": ...}
    POST /v1/chat/completions       llm: server-sent events, a word each
    POST /v1/audio/speech           tts: L16 mono 24 kHz, chunked
    GET  /v1/models
    POST /control                   {"role": ..., "mode": ..., "seconds": ..., "transcript": ...}
    GET  /control                   what was asked for, see Role and counts()

A mode holds for one role or for "all", until another is set or its seconds are over:

    ok        as it should be               timeout  accepted, never answered
    429 ...   refused; 429 says when to     trickle  one byte a second
              come back (1 s)               half     the first half, then the connection is cut
    html      200, and a web page           refuse   the connection is closed without a word
    garbage   the right type, but noise     slow     3 s more before the first byte

It listens on 127.0.0.1 alone and serves wire.MAX_CLIENTS connections at once; others wait.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import gevent

from eslbot.rig import wire
from eslbot.rig.answers import deltas, voice
from eslbot.rig.control import control, counts
from eslbot.rig.tones import FIXED

__all__ = ["Delays", "Provider", "control", "counts"]

ROLES: Final = ("llm", "stt", "tts")
REFUSALS: Final = {
    "429": "429 Too Many Requests",
    "500": "500 Internal Server Error",
    "503": "503 Service Unavailable",
}
MODES: Final = (
    "ok", *REFUSALS, "timeout", "trickle", "half", "garbage", "html", "refuse", "slow",
)  # fmt: skip
PATHS: Final = {
    "/v1/chat/completions": "llm",
    "/v1/audio/transcriptions": "stt",
    "/v1/audio/speech": "tts",
}
KINDS: Final = {"llm": "text/event-stream", "stt": "application/json", "tts": "audio/pcm"}
MAX_PHRASES: Final = FIXED - 1  # the last index stands for any other text
SLOW_S: Final = 3.0
TTS_PIECE: Final = 9600  # bytes: 200 ms

_PAGE: Final = b"<!DOCTYPE html><title>Welcome</title><h1>It works!</h1>" * 20
_BROKEN_EVENT: Final = b'data: {"choices": [{"del\xff\xfe\n\n'


@dataclass
class Delays:
    """Seconds before the first byte, and between two words of the llm."""

    stt_s: float = 0.3
    llm_s: float = 0.3
    llm_gap_s: float = 0.02
    tts_s: float = 0.15


@dataclass
class Role:
    """What was asked of a role, by mode, and how it answers now. until: monotonic, seconds."""

    mode: str = "ok"
    until: float = float("inf")
    modes: Counter[str] = field(default_factory=Counter)
    now: int = 0
    peak: int = 0

    def current(self) -> str:
        if time.monotonic() >= self.until:
            self.mode, self.until = "ok", float("inf")
        return self.mode


class Provider:
    """The WSGI application."""

    def __init__(
        self,
        phrases: Sequence[str] = (),
        delays: Delays | None = None,
        transcript: str = "what is my balance",
        person: str = "colleague",
    ) -> None:
        if len(phrases) > MAX_PHRASES:
            raise ValueError(f"{len(phrases)} phrases: no more than {MAX_PHRASES} have a chord")
        self.roles = {name: Role() for name in ROLES}
        self.together = Role()  # all roles: now and peak
        self._delays = delays or Delays()
        self._transcript = transcript
        self._person = person
        self._speak = voice([" ".join(phrase.split()) for phrase in phrases])

    def __call__(self, environ: dict[str, Any], start: wire.Start) -> Iterator[bytes]:
        path, method = environ["PATH_INFO"], environ["REQUEST_METHOD"]
        try:
            if method == "POST" and path in PATHS:
                yield from self._serve(PATHS[path], environ, start)
            elif path == "/control" and method in ("GET", "POST"):
                if method == "POST":
                    self._control(wire.parsed(wire.body(environ)))
                yield from wire.whole(self.counts(), start)
            elif method == "GET" and path == "/v1/models":
                models = {"object": "list", "data": [{"id": "rig", "object": "model"}]}
                yield from wire.whole(models, start)
            else:
                error = wire.error(f"no {method} {path} here")
                yield from wire.whole(error, start, "404 Not Found")
        except wire.BadRequest as fault:
            yield from wire.whole(wire.error(str(fault)), start, "400 Bad Request")

    def counts(self) -> dict[str, dict[str, Any]]:
        """For each role: requests, of which modes, how many now and at the most; now and peak
        of all together under "all"."""
        found: dict[str, dict[str, Any]] = {
            name: {
                "mode": role.current(), "requests": role.modes.total(), "modes": dict(role.modes),
                "now": role.now, "peak": role.peak,
            }
            for name, role in self.roles.items()
        }  # fmt: skip
        requests = sum(role.modes.total() for role in self.roles.values())
        found["all"] = {
            "requests": requests, "now": self.together.now, "peak": self.together.peak,
        }  # fmt: skip
        return found

    def _control(self, asked: Any) -> None:
        if not isinstance(asked, dict):
            raise wire.BadRequest("a control is no JSON object")
        role, mode, seconds = asked.get("role"), asked.get("mode"), asked.get("seconds")
        transcript = asked.get("transcript", self._transcript)
        if role not in (*ROLES, "all"):
            raise wire.BadRequest(f"role {role!r} is not one of {', '.join(ROLES)}, all")
        if mode not in MODES:
            raise wire.BadRequest(f"mode {mode!r} is not one of {', '.join(MODES)}")
        number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
        if seconds is not None and not (number and seconds > 0):
            raise wire.BadRequest(f"seconds {seconds!r} is no positive number")
        if not isinstance(transcript, str):
            raise wire.BadRequest("transcript is no text")
        self._transcript = transcript
        for name in ROLES if role == "all" else (role,):
            self.roles[name].mode = mode
            self.roles[name].until = time.monotonic() + (seconds or float("inf"))

    def _serve(self, name: str, environ: dict[str, Any], start: wire.Start) -> Iterator[bytes]:
        role = self.roles[name]
        mode = role.current()
        role.modes[mode] += 1
        counted = (role, self.together)
        for one in counted:
            one.now += 1
            one.peak = max(one.peak, one.now)
        try:
            yield from self._answer(name, mode, environ, start)
        finally:
            for one in counted:
                one.now -= 1

    def _answer(
        self, name: str, mode: str, environ: dict[str, Any], start: wire.Start
    ) -> Iterator[bytes]:
        if mode == "refuse":
            raise wire.Cut
        body = wire.body(environ)
        asked_at = time.monotonic()
        if mode in REFUSALS:
            after = [("Retry-After", "1")] if mode == "429" else []
            yield from wire.whole(wire.error("as told"), start, REFUSALS[mode], after)
            return
        if mode == "timeout":
            wire.until_gone(environ[wire.SOCKET])
            raise wire.Cut
        pieces, first_s, gap_s = self._pieces(name, environ, body)
        # What it takes to make the answer is part of the stated delay, not on top of it.
        due = asked_at + first_s + (SLOW_S if mode == "slow" else 0.0)
        gevent.sleep(max(0.0, due - time.monotonic()))
        if mode == "html":
            start("200 OK", [("Content-Type", "text/html"), ("Content-Length", str(len(_PAGE)))])
            yield _PAGE
            return
        if mode == "garbage":
            pieces = [_BROKEN_EVENT if name == "llm" else os.urandom(8000)]
        headers = [("Content-Type", KINDS[name])]
        if name == "stt":  # whole; the others are chunked
            headers.append(("Content-Length", str(sum(map(len, pieces)))))
        start("200 OK", headers)
        yield from _paced(pieces, mode, gap_s)

    def _pieces(
        self, name: str, environ: dict[str, Any], body: bytes
    ) -> tuple[Sequence[bytes], float, float]:
        """(the answer, seconds before it, seconds between two of its pieces)"""
        if name == "stt":
            if not environ.get("CONTENT_TYPE", "").startswith("multipart/form-data"):
                raise wire.BadRequest("not a form")
            if b'name="file"' not in body or b'name="model"' not in body:
                raise wire.BadRequest("a field is missing")
            return [json.dumps({"text": self._transcript}).encode()], self._delays.stt_s, 0.0
        asked = wire.parsed(body)
        if not isinstance(asked, dict) or "model" not in asked:
            raise wire.BadRequest("no JSON object with a model")
        if name == "llm":
            said = _messages(asked.get("messages"))
            events = [_event(delta) for delta in deltas(said, self._person)]
            return [*events, b"data: [DONE]\n\n"], self._delays.llm_s, self._delays.llm_gap_s
        text = asked.get("input")
        if not isinstance(text, str) or not text.strip():
            raise wire.BadRequest("no text to say")
        audio = self._speak(text)
        cuts = range(0, len(audio), TTS_PIECE)
        return [audio[at : at + TTS_PIECE] for at in cuts], self._delays.tts_s, 0.0


def _paced(pieces: Sequence[bytes], mode: str, gap_s: float) -> Iterator[bytes]:
    """The pieces as a mode lets them out."""
    if mode == "trickle":
        whole = b"".join(pieces)
        for at in range(min(len(whole), int(wire.MAX_HELD_S))):
            yield whole[at : at + 1]
            gevent.sleep(1.0)
        if len(whole) > wire.MAX_HELD_S:
            raise wire.Cut
        return
    if mode == "half":
        half = (len(pieces) + 1) // 2
        pieces = pieces[:half] if len(pieces) > 1 else [pieces[0][: len(pieces[0]) // 2]]
    began = time.monotonic()
    for sent, piece in enumerate(pieces):
        if sent and gap_s:  # by the clock, so that being late does not add up
            gevent.sleep(max(0.0, began + sent * gap_s - time.monotonic()))
        yield piece
    if mode == "half":
        raise wire.Cut


def _event(delta: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps({"choices": [{"index": 0, "delta": delta}]}).encode() + b"\n\n"


def _messages(given: Any) -> list[dict[str, str]]:
    if isinstance(given, list) and all(
        isinstance(one, dict)
        and one.get("role") in ("system", "user", "assistant")
        and isinstance(one.get("content"), str)
        for one in given
    ):
        return given
    raise wire.BadRequest("messages that make no sense")


def _phrases(file: str) -> list[str]:
    try:
        found = json.loads(Path(file).read_text())
    except (OSError, ValueError) as error:
        raise argparse.ArgumentTypeError(f"{file}: {error}") from None
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        raise argparse.ArgumentTypeError(f"{file}: not a JSON list of strings")
    if len(found) > MAX_PHRASES:
        raise argparse.ArgumentTypeError(f"{file}: more than {MAX_PHRASES} phrases")
    return found


def _seconds(text: str) -> float:
    value = float(text) / 1000
    if not 0 <= value <= 600:
        raise argparse.ArgumentTypeError(f"{text} ms: not within 0 to 600000")
    return value


def main() -> int:
    parser = argparse.ArgumentParser(description="A local provider for faults and load.")
    parser.add_argument("--port", type=int, default=9000, help="0: any that is free")
    parser.add_argument("--phrases", type=_phrases, default=[], help="JSON list of fixed phrases")
    default = Delays()
    for name, seconds, what in (
        ("--stt-ms", default.stt_s, "before a transcript"),
        ("--llm-ms", default.llm_s, "before the first word"),
        ("--llm-gap-ms", default.llm_gap_s, "between two words"),
        ("--tts-ms", default.tts_s, "before the first audio"),
    ):
        parser.add_argument(name, type=_seconds, default=seconds, help=f"milliseconds {what}")
    parser.add_argument("--transcript", default="what is my balance")
    parser.add_argument("--person", default="colleague", help="destination of a transfer")
    asked = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    delays = Delays(asked.stt_ms, asked.llm_ms, asked.llm_gap_ms, asked.tts_ms)
    provider = Provider(asked.phrases, delays, asked.transcript, asked.person)
    try:
        server = wire.serve(provider, asked.port)
    except (OSError, OverflowError) as error:
        print(f"provider: 127.0.0.1:{asked.port}: {error}", file=sys.stderr)
        return 2
    for number in (signal.SIGTERM, signal.SIGINT):
        gevent.signal_handler(number, server.stop, 1)
    print(f"http://127.0.0.1:{server.server_port}/v1", flush=True)
    server.serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main())
