"""FreeSWITCH's modules that carry sound over a WebSocket: mod_audio_stream and mod_audio_fork.

    event socket ── uuid_audio_stream UUID start ws://US/stream mono 8k TICKET ──▶ FreeSWITCH
    FreeSWITCH ──── WebSocket: first TICKET, then the caller's frames ──────────▶ the call's port

The call is FreeSWITCH's own, with all that its event socket can do; only the frames take another
way than `unicast`. Back they go as frames (builds that play what comes) or as files: then a message
is written to a file by the module, which reports it by an event, and the door has it played.
"""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass

from eslbot.doors.websocket import WebSocket
from eslbot.media.stream import FRAME, RATE, StreamPort

MAX_TICKET = 200  # characters of the first message
MAX_MESSAGE = 16 * 1024
CHUNK = 25 * FRAME  # bytes of a file: half a second
FILE_LEAD_FRAMES = 100  # sent ahead, so that one file follows on the other; a break drops them


@dataclass(frozen=True, slots=True)
class Module:
    """kind: a door's, and the path of the URL. events: what reports a file to be played."""

    kind: str
    api: str
    subprotocol: str | None
    event: str

    def start(self, uuid: str, url: str, ticket: str, frames_back: bool) -> tuple[str, ...]:
        """The words of the api command."""
        words = (self.api, uuid, "start", f"{url}/{self.kind}", "mono", "8k")
        if self.kind == "fork":
            # name of the media bug, metadata, sound back at all, as frames, at this rate
            return (*words, "eslbot", ticket, "true", str(frames_back).lower(), str(RATE))
        return (*words, ticket)

    def stop(self, uuid: str) -> tuple[str, ...]:
        words = (self.api, uuid, "stop")
        return (*words, "eslbot") if self.kind == "fork" else words

    def message(self, pcm: bytes) -> str:
        """Sound as a message, to become a file."""
        sound = base64.b64encode(pcm).decode()
        if self.kind == "fork":
            data = {"audioContentType": "raw", "sampleRate": RATE, "audioContent": sound}
            return json.dumps({"type": "playAudio", "data": data})
        data = {"audioDataType": "raw", "sampleRate": RATE, "audioData": sound}
        return json.dumps({"type": "streamAudio", "data": data})


MODULES = {
    "stream": Module("stream", "uuid_audio_stream", None, "mod_audio_stream::play"),
    "fork": Module("fork", "uuid_audio_fork", "audio.drachtio.org", "mod_audio_fork::play_audio"),
}


class ModulePort(StreamPort):
    """Begins when the module has connected. on_clear: a break, where files are played."""

    def __init__(self, module: Module, frames_back: bool, on_clear: Callable[[], None]) -> None:
        super().__init__(RATE, self._frame if frames_back else self._collect, self._cut)
        self.module = module
        self.frames_back = frames_back
        self.files = 0  # messages that were sent and whose files were not reported yet
        self.unwanted = 0  # of these, the first so many are not to be played any more
        self.lost = False
        self._on_clear = on_clear
        self._web: WebSocket | None = None
        self._chunk = bytearray()
        self._grew = False
        self.on_lost: Callable[[], None] = lambda: None

    @property
    def started(self) -> bool:
        return self._web is not None

    @property
    def lead_frames(self) -> int:
        return 0 if self.frames_back else FILE_LEAD_FRAMES

    def join(self, web: WebSocket) -> None:
        self._web = web
        self._began = self._last = self._clock()
        self._taken_s = 0.0

    def _frame(self, frame: bytes) -> None:
        if self._web is not None:
            self._web.send_sound(frame)

    def _collect(self, frame: bytes) -> None:
        if not any(frame):
            return  # silence is made by FreeSWITCH
        self._chunk += frame
        self._grew = True
        if len(self._chunk) >= CHUNK:
            self._flush()

    def _flush(self) -> None:
        if self._chunk and self._web is not None:
            self._web.send_text(self.module.message(bytes(self._chunk)))
            self.files += 1
        self._chunk.clear()

    def receive(self) -> bytes:
        # Once in a tick, after its frames: nothing new, so that was the end of a sentence.
        if self._chunk and not self._grew:
            self._flush()
        self._grew = False
        return super().receive()

    def reported(self) -> bool:
        """A file is there: whether it is to be played."""
        self.files = max(0, self.files - 1)
        if self.unwanted:
            self.unwanted -= 1
            return False
        return True

    def _cut(self) -> None:
        self._chunk.clear()
        self.unwanted = self.files
        if self._web is None:
            return
        self._web.clear_sound()
        if self.module.kind == "fork":
            self._web.send_text('{"type": "killAudio"}')
        if not self.frames_back:
            self._on_clear()

    def close(self) -> None:
        if self._web is not None:
            self._web.close(1000, "the call goes on elsewhere")


class Tickets:
    """Ports that wait for their module, by ticket: a secret of one call, good for once."""

    def __init__(self) -> None:
        self._waiting: dict[str, ModulePort] = {}

    def issue(self, port: ModulePort) -> str:
        ticket = secrets.token_hex(16)
        self._waiting[ticket] = port
        return ticket

    def redeem(self, ticket: str, kind: str) -> ModulePort | None:
        port = self._waiting.get(ticket)
        if port is None or port.module.kind != kind:
            return None
        return self._waiting.pop(ticket)

    def void(self, ticket: str) -> None:
        self._waiting.pop(ticket, None)


def carry(web: WebSocket, port: ModulePort) -> None:
    """Feed the port with what comes, until the end. Raises WebSocketError."""
    port.join(web)
    try:
        while (message := web.receive()) is not None:
            if isinstance(message, bytes):
                port.feed(message)
    finally:
        port.lost = True
        port.on_lost()
