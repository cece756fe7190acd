"""The wire between a worker and a speech process that it keeps, both ways, without I/O.

    worker ──▶ process   stdin    u32 length, then that many bytes of UTF-8 JSON:
                                  {"id": 7, "text": "Hello.", "language": "en", ...}  speak
                                  {"id": 7, "cancel": true}                           stop it
    process ──▶ worker   stdout   u8 kind, u32 id, u32 length, then that many bytes:
                                  R  ready, {"rate_hz": 22050}; once, first, id 0
                                  P  a piece of L16 mono at rate_hz; an empty one is the end
                                  E  why not, UTF-8; this id is over. id 0: the process can't
                                     start, and is about to exit

Integers are little-endian. Requests are served one after another in the order they came; each
ends with one empty piece or one error, a cancelled one too. The end of stdin ends the process.
Nobody ever writes more than the bounds below; who reads more closes the connection.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

READY: Final = ord("R")
PIECE: Final = ord("P")
ERROR: Final = ord("E")

MAX_REQUEST_BYTES: Final = 1 << 18
MAX_REPLY_BYTES: Final = 1 << 20

_LENGTH: Final = struct.Struct("<I")
_REPLY: Final = struct.Struct("<BII")


class FrameError(Exception):
    """The other side broke the protocol; nothing after this can be believed."""


@dataclass(frozen=True)
class Reply:
    """What the process says: one frame."""

    kind: int
    id: int
    body: bytes = b""

    def encode(self) -> bytes:
        return _REPLY.pack(self.kind, self.id, len(self.body)) + self.body


class ReplyReader:
    """Bytes of the process's stdout in, replies out. Raises FrameError."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Reply]:
        self._buffer += data
        while len(self._buffer) >= _REPLY.size:
            kind, request_id, length = _REPLY.unpack_from(self._buffer)
            if kind not in (READY, PIECE, ERROR) or length > MAX_REPLY_BYTES:
                raise FrameError(f"kind {kind}, {length} bytes")
            end = _REPLY.size + length
            if len(self._buffer) < end:
                return
            body = bytes(self._buffer[_REPLY.size : end])
            del self._buffer[:end]
            yield Reply(kind, request_id, body)


def encode_request(request: dict[str, Any]) -> bytes:
    """One frame of the process's stdin. Raises FrameError when it is too large."""
    body = json.dumps(request).encode()
    if len(body) > MAX_REQUEST_BYTES:
        raise FrameError(f"a request of {len(body)} bytes")
    return _LENGTH.pack(len(body)) + body


class RequestReader:
    """Bytes of the process's stdin in, requests out, each a dict with an int id. FrameError."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[dict[str, Any]]:
        self._buffer += data
        while len(self._buffer) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._buffer)
            if length > MAX_REQUEST_BYTES:
                raise FrameError(f"a request of {length} bytes")
            end = _LENGTH.size + length
            if len(self._buffer) < end:
                return
            body = bytes(self._buffer[_LENGTH.size : end])
            del self._buffer[:end]
            try:
                request = json.loads(body)
            except (ValueError, RecursionError) as error:
                raise FrameError("a request that is not JSON") from error
            if not isinstance(request, dict) or type(request.get("id")) is not int:
                raise FrameError("a request without an id")
            yield request
