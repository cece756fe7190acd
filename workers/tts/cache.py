"""Spoken sentences, kept: what was said once need not be made, nor paid, again.

    get()      memory ─▶ this host's disk ─▶ Redis ─▶ None
    speak()    the engine, once for all who ask at the same time; what is complete is kept
    settle()   what any level has, to every level: warm.py

Only sentences that are the same for all callers (shared_sentences.py) go to disk and Redis, and
are looked for there. All others may hold what a caller said, an account or an address: they stay
in this process' memory, for PRIVATE_S, where a second attempt at a turn finds them; and they have
a part of it for themselves, so that many callers' answers don't push out the bot's own phrases.

A key is the SHA-256 of all that makes the audio: text, language, engine, its voice, the rate. What
is kept is at most ESLBOT_SPEECH_CACHE_TTL_S old, at any level: a provider's voice may change under
the same name. A sentence that was broken off, failed, or is shorter than anybody could say it is
not kept.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import redis

from workers.settings import Settings
from workers.tts.engine import TtsEngine
from workers.tts.flight import Flight
from workers.tts.speech_stores import MAX_AUDIO_BYTES, DiskStore, Memory, RedisStore, Spoken

MB: Final = 1_000_000
BYTES_PER_S: Final = 16_000
PRIVATE_S: Final = 300.0
PRIVATE_SHARE: Final = 0.25  # of the memory
# Ten times as fast as people speak. Some providers end a broken answer as if it were whole.
LEAST_S_PER_CHARACTER: Final = 0.007
_FORMAT: Final = 1  # grows with what phone_audio.py makes of an engine's audio


@dataclass(frozen=True, slots=True)
class Wanted:
    """A sentence in a voice. shared: it is the same for all callers."""

    sha: str
    text: str
    language: str
    shared: bool


def wanted(engine: TtsEngine, text: str, language: str, shared: bool) -> Wanted:
    parts = [_FORMAT, engine.name, engine.voice, language, BYTES_PER_S // 2, text]
    # JSON writes a lone surrogate, which UTF-8 has no way to.
    sha = hashlib.sha256(json.dumps(parts).encode()).hexdigest()
    return Wanted(sha, text, language, shared)


class SpeechCache:
    """One per process; its threads share it. memory_bytes: of shared and private sentences.

    0: none. disk, store: None where that level is not wanted. ttl_s: see above, in seconds.
    """

    def __init__(
        self, memory_bytes: int, ttl_s: int, disk: DiskStore | None, store: RedisStore | None
    ) -> None:
        private = int(memory_bytes * PRIVATE_SHARE)
        self._shared = Memory(memory_bytes - private, ttl_s)
        self._private = Memory(private, min(PRIVATE_S, ttl_s))
        self.keeps = memory_bytes > 0  # any; else it only has each sentence made once at a time
        self._disk = disk
        self._store = store
        self._flights: dict[str, Flight] = {}
        self._lock = threading.Lock()
        self.hits = 0  # sentences sent without asking the engine
        self.misses = 0  # for which the engine was asked
        self.joined = 0  # that were just being spoken for another turn

    def get(self, one: Wanted) -> bytes | None:
        """The whole sentence, L16 mono 8000 Hz, if it is at hand. Counts a hit."""
        found = self._find(one)
        if found is None:
            return None
        with self._lock:
            self.hits += 1
        return found.pcm

    def speak(
        self, engine: TtsEngine, one: Wanted, timeout_s: float
    ) -> Generator[bytes, None, None]:
        """As TtsEngine.speak, and keep it. Close it when no more is wanted."""
        deadline = time.monotonic() + timeout_s
        with self._lock:
            # Another turn may have made it since get().
            found = self._memory(one).get(one.sha)
            if found is None:
                flight = self._join(engine, one, deadline, timeout_s)
            else:
                self.hits += 1
        if found is not None:
            yield found.pcm
            return
        try:
            at = 0
            while (piece := flight.piece(at, deadline)) is not None:
                yield piece
                at += 1
        finally:
            self._leave(one, flight)

    def settle(self, one: Wanted) -> bool:
        """Have a shared sentence at each level; False: at none, it has to be spoken."""
        found = self._find(one)
        if found is None:
            return False
        for level in (self._disk, self._store):
            if level is not None and level.get(one.sha) is None:
                level.put(one.sha, found)
        return True

    def sweep(self) -> None:
        """Forget what is too old; to be called now and then."""
        with self._lock:
            self._private.sweep()
            self._shared.sweep()

    def _memory(self, one: Wanted) -> Memory:
        return self._shared if one.shared else self._private

    def _find(self, one: Wanted) -> Spoken | None:
        with self._lock:
            found = self._memory(one).get(one.sha)
        if found is not None or not one.shared:
            return found
        # The disk first: it is nearer, and there while Redis is not.
        for level in (self._disk, self._store):
            found = level.get(one.sha) if level is not None else None
            if found is not None:
                with self._lock:
                    self._shared.put(one.sha, found)
                return found
        return None

    def _join(self, engine: TtsEngine, one: Wanted, deadline: float, timeout_s: float) -> Flight:
        flight = self._flights.get(one.sha)
        # One that has little time left would fail who has still enough.
        if flight is None or flight.failed or flight.deadline < deadline - timeout_s / 2:
            source = engine.speak(one.text, one.language, timeout_s)
            flight = self._flights[one.sha] = Flight(source, deadline)
            self.misses += 1
        else:
            self.joined += 1
        flight.users += 1
        return flight

    def _leave(self, one: Wanted, flight: Flight) -> None:
        keep = None
        with self._lock:
            flight.users -= 1
            if flight.done and not flight.kept:
                flight.kept = True
                keep = _sane(one, flight.pcm)
                if keep is not None:
                    self._memory(one).put(one.sha, keep)
            over = flight.users == 0
            if (over or flight.done or flight.failed) and self._flights.get(one.sha) is flight:
                del self._flights[one.sha]
        if over and not flight.done:
            flight.close()
        if keep is not None and one.shared:
            for level in (self._disk, self._store):
                if level is not None:
                    level.put(one.sha, keep)


def _sane(one: Wanted, pcm: bytes) -> Spoken | None:
    """What is to be kept of what an engine said."""
    least = LEAST_S_PER_CHARACTER * len(one.text) * BYTES_PER_S
    fits = least <= len(pcm) <= MAX_AUDIO_BYTES and pcm and len(pcm) % 2 == 0
    return Spoken(pcm, int(time.time())) if fits else None


def open_cache(settings: Settings, client: redis.Redis) -> SpeechCache:
    """As the settings say."""
    ttl_s = settings.speech_cache_ttl_s
    if settings.speech_cache_mb == 0:
        return SpeechCache(0, ttl_s, None, None)
    disk, store = settings.speech_disk_mb * MB, settings.speech_redis_mb * MB
    return SpeechCache(
        settings.speech_cache_mb * MB,
        ttl_s,
        DiskStore(Path(settings.state_dir) / "speech", disk, ttl_s) if disk else None,
        RedisStore(client, store, ttl_s) if store else None,
    )
