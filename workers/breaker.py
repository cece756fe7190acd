"""One circuit breaker per provider for the whole fleet: its state lives in Redis.

    closed ──failures in a row──▶ open ──open_s──▶ half open: one probe ──success──▶ closed
                                   ▲                                └─failure──┘

Every worker sees the same state, so the first few failures anywhere spare all other calls the
wait. While it is open nobody's turn tries the provider: one worker at a time, whoever is first,
sends a small request of its own (a probe), and closes it when that is answered. A probe that
nobody reports on is forgotten after PROBE_S, so nothing can be stuck.

Time is Redis' own, so hosts whose clocks differ agree. While Redis is away each process goes by
what it has seen itself.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass
from typing import Any, Literal

import redis

from workers.http_provider import ProviderError
from workers.wire import Wire

log = logging.getLogger(__name__)

PROBE_S = 5.0
KEEP_S = 3600
State = Literal["closed", "open", "probing"]

# KEYS[1]: a hash of failures, until (ms; while open), probe (ms, until when one is under way).
_PROBE = """
local now = redis.call('TIME')
now = now[1] * 1000 + math.floor(now[2] / 1000)
local till, probe = unpack(redis.call('HMGET', KEYS[1], 'until', 'probe'))
if not till then return 'closed' end
if tonumber(till) > now or tonumber(probe or 0) > now then return 'open' end
redis.call('HSET', KEYS[1], 'probe', now + tonumber(ARGV[1]))
return 'probing'
"""
# ARGV: failures that open it, ms that it stays open, s that its state is kept, whether a probe
_FAIL = """
local now = redis.call('TIME')
now = now[1] * 1000 + math.floor(now[2] / 1000)
local was_open = redis.call('HEXISTS', KEYS[1], 'until')
if was_open == 1 and ARGV[4] == '0' then return 'open' end
local failures = redis.call('HINCRBY', KEYS[1], 'failures', 1)
redis.call('EXPIRE', KEYS[1], ARGV[3])
if was_open == 0 and failures < tonumber(ARGV[1]) then return 'closed' end
redis.call('HSET', KEYS[1], 'until', now + tonumber(ARGV[2]))
redis.call('HDEL', KEYS[1], 'probe')
return was_open == 1 and 'open' or 'opened'
"""
# ARGV: whether a probe. Of a turn that began before it opened, an answer proves nothing.
_SUCCEED = """
if ARGV[1] == '0' and redis.call('HEXISTS', KEYS[1], 'until') == 1 then return 0 end
redis.call('DEL', KEYS[1])
return 1
"""


@dataclass(slots=True)
class _Local:
    """What this process has seen; monotonic seconds."""

    failures: int = 0
    until: float | None = None
    probe: float = 0.0


def provider_failed(error: Exception) -> bool:
    """Whether an engine's error tells of a provider in trouble."""
    cause = error.__cause__
    return isinstance(cause, ProviderError) and cause.counts


class Breaker:
    """name: of the provider, its model and region; the key under which the fleet shares it.

    after: failures in a row that open it. open_s: until the first probe, and between two.
    client None: for this process alone.
    """

    def __init__(self, client: redis.Redis | None, name: str, after: int, open_s: float) -> None:
        self.name = name
        self.key = f"eslbot:breaker:{name}"
        self._client = client
        self._after = after
        self._open_s = open_s
        self._fail: Any = client.register_script(_FAIL) if client is not None else None
        self._probe: Any = client.register_script(_PROBE) if client is not None else None
        self._succeed: Any = client.register_script(_SUCCEED) if client is not None else None
        self._local = _Local()
        self._lock = threading.Lock()
        self._stained = False  # there are failures to be wiped out
        self.opened = 0  # how often this process opened it
        self.used_at = time.monotonic()  # when this process last had an answer, or none

    def closed(self) -> bool:
        """Whether a turn may use the provider now."""
        return self._state("look") == "closed"

    def may_probe(self) -> bool:
        """True for one of all who ask, when the time for a probe has come; that one must report."""
        return self._state("probe") == "probing"

    def _state(self, ask: Literal["look", "probe"]) -> State:
        if self._client is not None:
            try:
                return self._look(self._client) if ask == "look" else self._ask_to_probe()
            except redis.RedisError:
                return self._local_state(ask)
        return self._local_state(ask)

    def _look(self, client: redis.Redis) -> State:
        """Each job does: a plain command costs Redis a fraction of a script."""
        with Wire(client) as wire:
            failures, until = wire.ask("HMGET", self.key, "failures", "until")
        if until is not None:
            return "open"
        self._stained = bool(failures)
        return "closed"

    def _ask_to_probe(self) -> State:
        state = self._probe(keys=[self.key], args=[int(PROBE_S * 1000)])
        found: State = state.decode()
        return found

    def _local_state(self, ask: str) -> State:
        with self._lock:
            local, now = self._local, time.monotonic()
            if local.until is None:
                return "closed"
            if ask == "probe" and local.until <= now and local.probe <= now:
                local.probe = now + PROBE_S
                return "probing"
            return "open"

    def succeeded(self, probe: bool = False) -> None:
        """The provider answered. Of a turn that began before it opened, it proves nothing."""
        self.used_at = time.monotonic()
        with self._lock:
            if probe or self._local.until is None:
                self._local = _Local()
        if self._client is None or not (probe or self._stained):
            return
        try:
            if self._succeed(keys=[self.key], args=[int(probe)]):
                self._stained = False
        except redis.RedisError:
            return
        if probe:
            log.warning("%s answers again: its breaker is closed", self.name)

    def failed(self, probe: bool = False) -> None:
        """The provider failed, or did not answer in time."""
        self.used_at = time.monotonic()
        opened = self._failed_here(probe)
        if self._client is not None:
            self._stained = True
            args = [self._after, int(self._open_s * 1000), KEEP_S, int(probe)]
            try:
                state = self._fail(keys=[self.key], args=args)
            except redis.RedisError:
                log.debug("%s: a failure is known here alone", self.name)
            else:
                opened = state == b"opened"
                if state == b"closed":
                    with self._lock:  # in between others had success
                        self._local.until = None
        if opened:
            self.opened += 1
            log.error("%s fails: its breaker is open for %.0f s", self.name, self._open_s)

    def _failed_here(self, probe: bool) -> bool:
        with self._lock:
            local = self._local
            local.failures += 1
            was_open = local.until is not None
            if probe or (not was_open and local.failures >= self._after):
                local.until = time.monotonic() + self._open_s
                local.probe = 0.0
            return not was_open and local.until is not None
