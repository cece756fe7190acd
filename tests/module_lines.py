"""A FreeSWITCH with mod_audio_stream and mod_audio_fork loaded: the stand-in switch, and the
modules' side of the WebSocket."""

from __future__ import annotations

import base64
import contextlib
import json
from collections import deque
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import gevent
from wsproto.events import BytesMessage, TextMessage

from eslbot.switch.channel import Channel, Dialplan
from tests.door_lines import Web


class ModuleMedia:
    """What a Media is to unicast."""

    def __init__(self, channel: ModuleChannel, url: str, protocol: str, metadata: str) -> None:
        self._channel = channel
        self._frames: deque[bytes] = deque()
        self.playing = bytearray()  # of files
        parts = urlsplit(url)
        assert parts.port is not None
        self.web = Web(parts.port, parts.path, protocol=protocol)
        self.web.send(TextMessage(metadata))
        gevent.spawn(self._read)

    def _read(self) -> None:
        text = ""
        while (event := self.web.receive()) is not None and self.web.code is None:
            if isinstance(event, BytesMessage):
                assert self._channel.frames_back, "this build plays no frames"
                assert len(event.data) == 320
                self._frames.append(bytes(event.data))
            elif isinstance(event, TextMessage):
                text += event.data
                if event.message_finished:
                    self._channel.messages.append(json.loads(text))
                    self._take(json.loads(text))
                    text = ""

    def _take(self, message: dict[str, Any]) -> None:
        if message["type"] == "killAudio":
            self._frames.clear()
            return
        data = message["data"]
        sound = base64.b64decode(data.get("audioData") or data["audioContent"])
        assert data["sampleRate"] == 8000
        self._channel.write_file(sound, "fork" if message["type"] == "playAudio" else "stream")

    def send(self, frame: bytes) -> None:
        with contextlib.suppress(Exception):  # the other side has closed: the call goes on
            self.web.send(BytesMessage(frame))

    def take(self) -> bytes:
        if self.playing:
            frame = bytes(self.playing[:320])
            del self.playing[:320]
            return frame
        return self._frames.popleft() if self._frames else b""

    def close(self) -> None:
        self.web.socket.close()


class ModuleChannel(Channel):
    """frames_back: the module's build plays binary frames; otherwise it writes files."""

    def __init__(self, port: int, folder: Path, kind: str, frames_back: bool) -> None:
        variables = {"eslbot_media": kind}
        if not frames_back:
            variables["eslbot_media_back"] = "files"
        super().__init__(Dialplan([f"127.0.0.1:{port}"]), variables=variables)
        self.frames_back = frames_back
        self.messages: list[dict[str, Any]] = []
        self.broken = 0  # how often uuid_break stopped something
        self._folder = folder
        self._count = 0

    def api(self, line: str) -> str:
        name, _, rest = line.partition(" ")
        if name in ("uuid_audio_stream", "uuid_audio_fork"):
            self._note(f"api {line}")
            uuid, *words = rest.split(" ")
            assert uuid == self.uuid
            if words[0] == "stop":
                self._end_unicast()
                return "+OK Success\n"
            gevent.spawn(self._start, name, words)
            return "+OK Success\n"
        if name == "uuid_break" and isinstance(self._media, ModuleMedia):
            self.broken += bool(self._media.playing)
            self._media.playing.clear()
        return super().api(line)

    def _start(self, name: str, words: list[str]) -> None:
        _start, url, mix, rate, *more = words
        assert (mix, rate) == ("mono", "8k")
        if name == "uuid_audio_fork":
            metadata, protocol = more[1], "audio.drachtio.org"
            assert more[2:] == ["true", str(self.frames_back).lower(), "8000"]
        else:
            (metadata,), protocol = more, ""
        self._media = ModuleMedia(self, url, protocol, metadata)  # type: ignore[assignment]
        self._note("unicast")

    def write_file(self, sound: bytes, kind: str) -> None:
        self._count += 1
        path = self._folder / f"{self.uuid}_{self._count}.tmp.r8"
        path.write_bytes(sound)
        subclass = {"stream": "mod_audio_stream::play", "fork": "mod_audio_fork::play_audio"}[kind]
        body = json.dumps({"audioDataType": "raw", "sampleRate": 8000, "file": str(path)}).encode()
        inner = (
            f"Event-Name: CUSTOM\nEvent-Subclass: {subclass.replace(':', '%3A')}\n"
            f"Unique-ID: {self.uuid}\nContent-Length: {len(body)}\n\n"
        ).encode() + body
        assert self.peer is not None
        assert "CUSTOM" in self.peer._events, "nobody has asked for it"
        head = f"Content-Length: {len(inner)}\nContent-Type: text/event-plain\n\n".encode()
        self.peer._send(head + inner)

    def _execute(self, headers: dict[str, str]) -> None:
        if headers.get("execute-app-name") == "playback" and isinstance(self._media, ModuleMedia):
            # The module goes on; with event-lock files queue.
            assert headers.get("event-lock") == "true"
            self._media.playing += Path(headers["execute-app-arg"]).read_bytes()
            return
        super()._execute(headers)
