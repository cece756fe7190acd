"""A call's stereo recording, the caller left, the bot right: WAV, written while the call goes on.

    clock ──caller's audio, frames sent──▶ Tap ──a block a second──▶ queue ──▶ thread ──▶ file
                                           (no I/O)                 (bounded)

The clock only appends to memory; one thread of the process writes. What it can't keep up with, a
full disk, a folder that is not there: the recording ends, the call goes on.

With a key the file is a row of blocks after the magic: length (4 bytes, big-endian), nonce (12),
AES-256-GCM of the block with its number as associated data, so that none can be left out, moved or
changed unseen. The first block is the WAV header.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import secrets
import struct
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import gevent
import numpy as np
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from gevent.queue import Full, Queue
from gevent.threadpool import ThreadPool

from workers.settings import Settings

log = logging.getLogger(__name__)

RATE = 8000
BLOCK_BYTES = RATE * 2  # a second of one side
DRIFT_BYTES = BLOCK_BYTES  # a side that is so much behind is filled with silence
MAX_QUEUED = 2_000  # blocks of all calls, 32,000 bytes each
FILE = re.compile(r"[0-9a-f]{32}\.(?:wav|enc)")  # a recording's name
MAGIC = b"eslbot recording 1\n"
HEADER_BYTES = 44
MAX_SEALED_BYTES = 1 << 20  # of a block; ours have a few seconds at the most


def folder(settings: Settings) -> Path:
    """Where recordings lie, on the listener's host."""
    return Path(settings.state_dir) / "recordings"


class RecordingError(Exception):
    """A file that is no recording of ours, or whose key is not there."""


class Tap:
    """What the clock gives of one call. on_block(stereo) gets a second at a time; must not wait.

    paused: silence stands for both sides, so that the time goes on. max_s: no more is taken.
    """

    def __init__(self, on_block: Callable[[bytes], None], max_s: int) -> None:
        self.paused = False
        self._on_block = on_block
        self._left = bytearray()
        self._right = bytearray()
        self._room = max_s * RATE * 2

    def heard(self, pcm: bytes) -> None:
        self._take(self._left, pcm)

    def said(self, pcm: bytes) -> None:
        self._take(self._right, pcm)

    def _take(self, side: bytearray, pcm: bytes) -> None:
        if self._room:
            side += bytes(len(pcm)) if self.paused else pcm
            if len(side) >= BLOCK_BYTES:
                self._flush()

    def end(self) -> None:
        """What is left, however short."""
        self._flush(last=True)

    def _flush(self, last: bool = False) -> None:
        short, long = sorted((self._left, self._right), key=len)
        if last or len(long) - len(short) >= DRIFT_BYTES:
            short += bytes(len(long) - len(short))
        size = min(len(self._left), len(self._right), self._room) // 2 * 2
        if not size:
            return
        stereo = np.empty((size // 2, 2), "<i2")
        stereo[:, 0] = np.frombuffer(bytes(self._left[:size]), "<i2")
        stereo[:, 1] = np.frombuffer(bytes(self._right[:size]), "<i2")
        del self._left[:size], self._right[:size]
        self._room -= size
        self._on_block(stereo.tobytes())
        if not self._room:
            self._left.clear()
            self._right.clear()


class Recording:
    """One file. failed: why it ended early, "" while all is well."""

    def __init__(self, writer: Writer, folder: Path, key: bytes | None, max_s: int) -> None:
        self.name = f"{secrets.token_hex(16)}.{'enc' if key else 'wav'}"
        self.failed = ""
        self.tap = Tap(self._block, max_s)
        self._writer = writer
        self._path = folder / self.name
        self._key = AESGCM(key) if key else None
        self._file: BinaryIO | None = None
        self._bytes = 0
        self._blocks = 0
        self._ended = False

    def end(self) -> None:
        """No more comes; the file is closed once all is written."""
        if not self._ended:
            self._ended = True
            self.tap.end()
            self._writer.put(self, None)

    def _block(self, stereo: bytes) -> None:
        if not self.failed and not self._writer.put(self, stereo):
            self.failed = "the disk does not keep up"

    # -- on the writer's thread

    def write(self, stereo: bytes | None) -> None:
        """None: the end. Raises OSError."""
        if stereo is None:
            if self._file is not None:
                self._file.close()
            return
        if self._file is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
            self._file = os.fdopen(os.open(self._path, flags, 0o600), "wb")
            if self._key:
                self._file.write(MAGIC)
                self._seal(header(0xFFFFFFFF - HEADER_BYTES))
            else:
                self._file.write(header(0))
        self._bytes += len(stereo)
        if self._key:
            self._seal(stereo)
        else:
            self._file.write(stereo)
            # Whatever happens now, what is there is a whole WAV file.
            self._file.seek(0)
            self._file.write(header(self._bytes))
            self._file.seek(0, os.SEEK_END)
        self._file.flush()

    def _seal(self, block: bytes) -> None:
        assert self._key is not None and self._file is not None
        self._file.write(sealed(self._key, self._blocks, block))
        self._blocks += 1

    def give_up(self, why: str) -> None:
        self.failed = why
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()


class Writer:
    """Writes all recordings of a process, on a thread of its own; calls only queue."""

    def __init__(self) -> None:
        self._queue: Queue = Queue(maxsize=MAX_QUEUED)
        self._pool = ThreadPool(1)
        self._greenlet: gevent.Greenlet | None = None

    def put(self, recording: Recording, stereo: bytes | None) -> bool:
        """Never waits. False: there is no room."""
        if self._greenlet is None:
            self._greenlet = gevent.spawn(self._run)
        try:
            self._queue.put_nowait((recording, stereo))
        except Full:
            return False
        return True

    def _run(self) -> None:
        while True:
            recording, stereo = self._queue.get()
            if recording.failed and stereo is not None:
                continue
            try:
                self._pool.apply(recording.write, (stereo,))
            except Exception as error:
                why = getattr(error, "strerror", None) or type(error).__name__
                log.error("a recording ends early: %s", why)
                recording.give_up(why)

    def stop(self, within_s: float) -> None:
        """Write what waits, for so long at the most."""
        with gevent.Timeout(within_s, False):
            while not self._queue.empty():
                gevent.sleep(0.02)
        if self._greenlet is not None:
            self._greenlet.kill(timeout=1.0)


def header(data_bytes: int) -> bytes:
    """Of a WAV file: stereo, 16 bit, 8000 Hz."""
    return struct.pack(
        "<4sI4s4sIHHIIHH4sI", b"RIFF", data_bytes + 36, b"WAVE", b"fmt ", 16, 1, 2, RATE,
        RATE * 4, 4, 16, b"data", data_bytes,
    )  # fmt: skip


def read(path: Path, keys: Sequence[bytes]) -> bytes:
    """The whole recording as a WAV file. Raises RecordingError, OSError."""
    with path.open("rb") as file:
        if file.read(len(MAGIC)) == MAGIC:
            pcm = b"".join(islice(blocks(file, keys), 1, None))
            return header(len(pcm)) + pcm
        file.seek(0)
        raw = file.read()
    if raw[:4] != b"RIFF":
        raise RecordingError("not a recording of ours")
    return raw


def sealed(key: AESGCM, number: int, block: bytes) -> bytes:
    """A block as it stands in a file."""
    nonce = secrets.token_bytes(12)
    body = key.encrypt(nonce, block, struct.pack(">Q", number))
    return struct.pack(">I", len(body)) + nonce + body


def blocks(file: BinaryIO, keys: Sequence[bytes]) -> Iterator[bytes]:
    """What is sealed in a file behind its magic: the header, then the seconds. One that a killed
    process did not write to its end is left out. Raises RecordingError, OSError."""
    candidates = [AESGCM(key) for key in keys]
    number = 0
    while len(start := file.read(16)) == 16:
        (size,) = struct.unpack_from(">I", start)
        if size > MAX_SEALED_BYTES:
            raise RecordingError("a block is larger than any of ours: the file was changed")
        body = file.read(size)
        if len(body) < size:
            return
        block, key = _opened(candidates, start[4:], body, number)
        candidates = [key]
        number += 1
        yield block


def _opened(keys: Sequence[AESGCM], nonce: bytes, body: bytes, number: int) -> tuple[bytes, AESGCM]:
    for key in keys:
        with contextlib.suppress(InvalidTag):
            return key.decrypt(nonce, body, struct.pack(">Q", number)), key
    raise RecordingError("no key that is set opens this recording, or it was changed")
