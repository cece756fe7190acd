"""`python -m workers.openai_server --bot FILE`: the embedded engines behind OpenAI's protocol.

    POST /v1/audio/transcriptions   pocketsphinx
    POST /v1/chat/completions       a model that does by rules what a good one would, see below
    POST /v1/audio/speech           flite where it is installed, else espeak-ng; L16 mono 24 kHz
    GET  /v1/models

For evals and for a first look, without a key or a model hub: what is said passes the same HTTP
engines, requests and answers as with a provider. What it is not: another recogniser or a language
model. The "model" finds the wish by the bot's own example phrases, and the values of slots by the
bot's own rules; it answers with the function calls that a model would answer with, and makes up
no words. It knows the bots that it was started with, and tells them apart by their intents.

Listens on loopback alone. Bodies are bounded; each connection has a thread.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import signal
import sys
import threading
import wave
from collections.abc import Iterable, Iterator
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

from workers.bot import Bot, BotError, load
from workers.llm.rules_model import RulesModel
from workers.resample import RATES_HZ, Resampler
from workers.settings import SettingsError
from workers.settings import load as load_settings
from workers.stt.engine import Hints, SttError
from workers.stt.pocketsphinx import PocketsphinxEngine
from workers.tts.engine import TtsEngine, TtsError
from workers.tts.espeak import EspeakEngine
from workers.tts.flite import FliteEngine

MAX_BODY_BYTES: Final = 8_000_000
IDLE_S: Final = 60
ENGINE_S: Final = 20.0
RATE_HZ: Final = 8000
SPOKEN_RATE_HZ: Final = 24000  # of response_format pcm
SLOTS: Final = 8
FED_BYTES: Final = 1600
# Without a prompt it is an answer to a question: digits, or yes and no.
ANSWERS: Final = ("yes", "no", "yes please", "no thank you", "that's right", "that's wrong")


class BadRequest(Exception):
    """What is wrong with it."""


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, port: int, bots: Iterable[Bot], cache: Path) -> None:
        self.bots = tuple(bots)
        self.model = RulesModel(self.bots)
        self.stt = PocketsphinxEngine(cache, max_open=SLOTS)
        self.stt_slots = threading.BoundedSemaphore(SLOTS)
        flite = FliteEngine.available() is None
        self.tts: TtsEngine = FliteEngine() if flite else EspeakEngine()
        super().__init__(("127.0.0.1", port), _Handler)

    def phrases(self, prompt: str) -> tuple[str, ...]:
        """Of the bot whose phrases the prompt begins with; of all of them, where it is none's."""
        found = [one for one in map(_phrases, self.bots) if prompt[:100] in ". ".join(one)]
        chosen = found[:1] if prompt and found else [_phrases(bot) for bot in self.bots]
        return tuple(dict.fromkeys(phrase for phrases in chosen for phrase in phrases))

    def warm(self) -> None:
        """Build the language models now; each costs seconds."""
        self.model.warm()
        prompts = [". ".join(_phrases(bot)) for bot in self.bots]
        opened = [self.stt.open(self._hints(prompt, "en")) for prompt in (*prompts, "")]
        for utterance in opened:
            utterance.close()

    def _hints(self, prompt: str, language: str) -> Hints:
        phrases = self.phrases(prompt)
        if prompt:
            return Hints("text", phrases=phrases, language=language)
        return Hints("digits", phrases=(*phrases, *ANSWERS), language=language)

    def hear(self, pcm: bytes, prompt: str, language: str) -> str:
        with self.stt_slots:
            utterance = self.stt.open(self._hints(prompt, language))
            try:
                for at in range(0, len(pcm), FED_BYTES):
                    utterance.feed(pcm[at : at + FED_BYTES])
                return utterance.finish(ENGINE_S).text
            finally:
                utterance.close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = IDLE_S
    server: Server

    def do_GET(self) -> None:
        if self.path == "/v1/models":
            self._json({"object": "list", "data": [{"id": "embedded", "object": "model"}]})
        else:
            self._json({"error": {"message": "not here"}}, 404)

    def do_POST(self) -> None:
        try:
            body = self._body()
            if self.path == "/v1/audio/transcriptions":
                self._json({"text": self._heard(body)})
            elif self.path == "/v1/chat/completions":
                self._stream("text/event-stream", _events(self.server.model.deltas(_parsed(body))))
            elif self.path == "/v1/audio/speech":
                self._stream("audio/pcm", self._spoken(_parsed(body)))
            else:
                self._json({"error": {"message": "not here"}}, 404)
        except (BadRequest, ValueError) as error:
            self._json({"error": {"message": str(error)[:200]}}, 400)
        except (SttError, TtsError) as error:
            self._json({"error": {"message": str(error)[:200]}}, 503)

    def _heard(self, body: bytes) -> str:
        fields = _form(self.headers.get("Content-Type", ""), body)
        if "file" not in fields:
            raise BadRequest("a field is missing: file")
        language = fields.get("language", b"en").decode(errors="replace")
        prompt = fields.get("prompt", b"").decode(errors="replace")
        return self.server.hear(_pcm(fields["file"]), prompt, language)

    def _spoken(self, asked: dict[str, Any]) -> Iterator[bytes]:
        text = asked.get("input")
        if not isinstance(text, str) or not text.strip():
            raise BadRequest("no text to say")
        resampler = Resampler(RATE_HZ, SPOKEN_RATE_HZ)
        for piece in self.server.tts.speak(text, "en", ENGINE_S):
            yield resampler.feed(piece)
        yield resampler.flush()

    def _body(self) -> bytes:
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit()) or int(length) > MAX_BODY_BYTES:
            self.close_connection = True
            raise BadRequest("no Content-Length, or too much of it")
        return self.rfile.read(int(length))

    def _json(self, answer: dict[str, Any], status: int = 200) -> None:
        data = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _stream(self, kind: str, pieces: Iterator[bytes]) -> None:
        first = next(pieces, b"")  # what fails before it is answered with an error
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        try:
            self._chunk(first)
            for piece in pieces:
                self._chunk(piece)
            self.wfile.write(b"0\r\n\r\n")
        except (OSError, TtsError):
            self.close_connection = True  # the client has gone, or hears it break off

    def _chunk(self, piece: bytes) -> None:
        if piece:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing of a caller in a log."""


def _phrases(bot: Bot) -> tuple[str, ...]:
    return tuple(example for intent in bot.intents.values() for example in intent.examples)


def _events(deltas: Iterable[dict[str, Any]]) -> Iterator[bytes]:
    for delta in deltas:
        event = {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": delta}]}
        yield b"data: " + json.dumps(event).encode() + b"\n\n"
    yield b"data: [DONE]\n\n"


def _parsed(body: bytes) -> dict[str, Any]:
    asked = json.loads(body)
    if not isinstance(asked, dict) or "model" not in asked:
        raise BadRequest("no JSON object with a model")
    return asked


def _form(content_type: str, body: bytes) -> dict[str, bytes]:
    """Fields of a multipart/form-data body, by their names."""
    if not content_type.startswith("multipart/form-data"):
        raise BadRequest("not a form")
    head = f"Content-Type: {content_type}\r\n\r\n".encode("latin-1", "replace")
    message = BytesParser().parsebytes(head + body)
    if not message.is_multipart():
        raise BadRequest("a form without parts")
    fields: dict[str, bytes] = {}
    for part in message.get_payload():
        name = part.get_param("name", header="content-disposition")  # type: ignore[union-attr]
        content = part.get_payload(decode=True)  # type: ignore[union-attr]
        if isinstance(name, str) and isinstance(content, bytes):
            fields[name] = content
    return fields


def _pcm(file: bytes) -> bytes:
    """L16 mono 8000 Hz of a WAV."""
    try:
        with wave.open(io.BytesIO(file)) as audio:
            if (audio.getnchannels(), audio.getsampwidth()) != (1, 2):
                raise BadRequest("not mono, 16 bit")
            rate, pcm = audio.getframerate(), audio.readframes(audio.getnframes())
    except (wave.Error, EOFError) as error:
        raise BadRequest(f"not a WAV: {error}") from None
    if rate not in RATES_HZ:
        raise BadRequest(f"{rate} Hz")
    resampler = Resampler(rate, RATE_HZ)
    return resampler.feed(pcm) + resampler.flush()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--port", type=int, default=9300, help="0: any that is free (%(default)s)")
    parser.add_argument("--bot", type=Path, action="append", required=True, metavar="FILE",
                        help="a bot that it serves; may be given again")  # fmt: skip
    arguments = parser.parse_args()
    try:
        cache = Path(load_settings().state_dir) / "stt"
        server = Server(arguments.port, [load(path) for path in arguments.bot], cache)
        server.warm()
    except (BotError, SettingsError, SttError, OSError, OverflowError) as error:
        print(f"workers.openai_server: {error}", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    print(f"http://127.0.0.1:{server.server_address[1]}/v1", flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        server.serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main())
