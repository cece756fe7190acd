"""Where a spoken sentence is kept: in this process, on this host's disk, in Redis for all.

    Memory       a dictionary, the least recently used goes first
    DiskStore    STATE_DIR/speech/SHA, the oldest goes first
    RedisStore   eslbot:speech:SHA, the first to expire goes first; its key layout: streams.py

On disk and in Redis an entry is one string, checked before it is believed:

    "esp1"   u32 CRC-32 of all that follows   u64 made, in seconds of Unix time   L16 mono 8000 Hz

The audio is as it will be played. zlib takes a quarter off it, which is not worth its time; mu-law
would halve it, and be heard on a line that carries more.
"""

from __future__ import annotations

import logging
import os
import struct
import threading
import time
import zlib
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import redis

log = logging.getLogger(__name__)

MAX_AUDIO_BYTES: Final = 960_000  # 60 s; whatever is longer is no sentence
OVERHEAD_BYTES: Final = 200  # of an entry in memory, beside its audio
PART_S: Final = 60.0  # a half-written file this old has been left by a process that died
INDEX: Final = "eslbot:speeches"
_MAGIC: Final = b"esp1"
_HEAD: Final = struct.Struct("<4sI")
_MADE: Final = struct.Struct("<Q")
MAX_ENTRY_BYTES: Final = _HEAD.size + _MADE.size + MAX_AUDIO_BYTES

# KEYS: the index (member: "SHA BYTES", score: when it expires, ms), the entry.
# ARGV: the entry's SHA, the entry, its life in ms, bytes of all entries at the most, key prefix.
# Sizes are summed up each time, so no count can drift: entries are few, and seldom put.
# SET comes first: a Redis that is full refuses it, while a script that has written is let finish.
_PUT = """
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
local now = redis.call('TIME')
now = now[1] * 1000 + math.floor(now[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
local kept, left = {}, tonumber(ARGV[4]) - #ARGV[2]
for _, member in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  local sha, bytes = string.match(member, '^(%S+) (%d+)$')
  if sha == ARGV[1] then
    redis.call('ZREM', KEYS[1], member)
  else
    kept[#kept + 1] = {member, sha, tonumber(bytes)}
    left = left - tonumber(bytes)
  end
end
for _, one in ipairs(kept) do
  if left >= 0 then break end
  redis.call('DEL', ARGV[5] .. one[2])
  redis.call('ZREM', KEYS[1], one[1])
  left = left + one[3]
end
redis.call('ZADD', KEYS[1], now + ARGV[3], ARGV[1] .. ' ' .. #ARGV[2])
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[3]) then
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
end
"""
_PREFIX: Final = "eslbot:speech:"


@dataclass(frozen=True, slots=True)
class Spoken:
    """A sentence's audio, L16 mono 8000 Hz. made: Unix time in seconds."""

    pcm: bytes
    made: int


class CorruptEntry(ValueError):
    """An entry that is not one, or not whole."""


def pack(spoken: Spoken) -> bytes:
    body = _MADE.pack(spoken.made) + spoken.pcm
    return _HEAD.pack(_MAGIC, zlib.crc32(body)) + body


def unpack(raw: bytes) -> Spoken:
    """Raises CorruptEntry."""
    audio = len(raw) - _HEAD.size - _MADE.size
    if not 0 < audio <= MAX_AUDIO_BYTES or audio % 2:
        raise CorruptEntry(f"{len(raw)} bytes")
    magic, check = _HEAD.unpack_from(raw)
    body = raw[_HEAD.size :]
    if magic != _MAGIC or zlib.crc32(body) != check:
        raise CorruptEntry("its check does not fit")
    return Spoken(body[_MADE.size :], _MADE.unpack_from(body)[0])


class Memory:
    """Bounded by max_bytes; nothing is kept for longer than ttl_s seconds after it was made.

    Not locked: SpeechCache does that.
    """

    def __init__(self, max_bytes: int, ttl_s: float) -> None:
        self._max_bytes = max_bytes
        self._ttl_s = ttl_s
        self._held: OrderedDict[str, tuple[float, Spoken]] = OrderedDict()
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._held)

    def get(self, sha: str) -> Spoken | None:
        found = self._held.get(sha)
        if found is None:
            return None
        until, spoken = found
        if until < time.monotonic():
            self._drop(sha)
            return None
        self._held.move_to_end(sha)
        return spoken

    def put(self, sha: str, spoken: Spoken) -> None:
        self._drop(sha)
        size = len(spoken.pcm) + OVERHEAD_BYTES
        if size > self._max_bytes:
            return
        left_s = self._ttl_s - max(0.0, time.time() - spoken.made)
        self._held[sha] = (time.monotonic() + left_s, spoken)
        self.bytes += size
        while self.bytes > self._max_bytes:
            self._drop(next(iter(self._held)))

    def sweep(self) -> None:
        """Drop what has expired, also where nobody asks for it again."""
        now = time.monotonic()
        for sha in [sha for sha, (until, _) in self._held.items() if until < now]:
            self._drop(sha)

    def _drop(self, sha: str) -> None:
        found = self._held.pop(sha, None)
        if found is not None:
            self.bytes -= len(found[1].pcm) + OVERHEAD_BYTES


class RedisStore:
    """For the whole fleet. Redis full, slow or away: nothing is found, nothing is kept."""

    def __init__(self, client: redis.Redis, max_bytes: int, ttl_s: int) -> None:
        self._client = client
        self._max_bytes = max_bytes
        self._ttl_ms = ttl_s * 1000
        self._put: Any = client.register_script(_PUT)

    def get(self, sha: str) -> Spoken | None:
        try:
            raw: Any = self._client.get(_PREFIX + sha)
            return None if raw is None else unpack(raw)
        except redis.RedisError as error:
            log.debug("no speech from Redis: %s", type(error).__name__)
        except CorruptEntry as error:
            log.warning("speech in Redis left out: %s", error)
        return None

    def put(self, sha: str, spoken: Spoken) -> None:
        raw = pack(spoken)
        age_ms = max(0, int(time.time()) - spoken.made) * 1000
        if len(raw) > self._max_bytes or age_ms >= self._ttl_ms:
            return
        args = [sha, raw, self._ttl_ms - age_ms, self._max_bytes, _PREFIX]
        try:
            self._put(keys=[INDEX, _PREFIX + sha], args=args)
        except redis.RedisError as error:
            log.debug("speech not kept in Redis: %s", type(error).__name__)


class DiskStore:
    """For this host. Any number of processes share the folder: a file is there whole or not at
    all, and one that is damaged is taken away, so that it is made anew."""

    def __init__(self, folder: Path, max_bytes: int, ttl_s: int) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._ttl_s = ttl_s

    def get(self, sha: str) -> Spoken | None:
        path = self._folder / sha
        try:
            with path.open("rb") as file:
                spoken = unpack(file.read(MAX_ENTRY_BYTES + 1))
        except FileNotFoundError:
            return None
        except OSError as error:
            log.warning("speech on disk left out: %s", error.strerror)
            return None
        except CorruptEntry as error:
            log.warning("damaged speech on disk taken away: %s", error)
            self._remove(path)
            return None
        if time.time() - spoken.made > self._ttl_s:
            self._remove(path)
            return None
        return spoken

    def put(self, sha: str, spoken: Spoken) -> None:
        raw = pack(spoken)
        if len(raw) > self._max_bytes:
            return
        part = self._folder / f"{sha}.{os.getpid()}-{threading.get_ident()}.part"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._make_room(len(raw))
            part.write_bytes(raw)
            part.replace(self._folder / sha)
        except OSError as error:
            log.warning("speech not kept on disk: %s", error.strerror)
            self._remove(part)

    def _make_room(self, needed: int) -> None:
        """Of all files the oldest go, until so many bytes more fit."""
        found = []
        for path in self._folder.iterdir():
            try:
                about = path.lstat()
            except FileNotFoundError:
                continue  # another process made room
            found.append((about.st_mtime, about.st_size, path))
        total = sum(size for _, size, _ in found)
        for mtime, size, path in sorted(found):
            left_over = path.suffix == ".part" and time.time() - mtime > PART_S
            if left_over or total + needed > self._max_bytes:
                self._remove(path)
                total -= size

    @staticmethod
    def _remove(path: Path) -> None:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            log.warning("speech on disk not removed: %s", error.strerror)
