"""Looks at the running house once a second: processes, queues, the listeners' /metrics."""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import gevent
import redis
from prometheus_client.parser import text_string_to_metric_families

from eslbot.loadtest.processes import Cost, UdpDrops, cost, machine_cpu_s
from workers import streams

EVERY_S = 1.0
COUNT_EVERY_S = 10.0  # greenlets: /metrics takes the listener a few milliseconds

Metrics = dict[tuple[str, tuple[tuple[str, str], ...]], float]


@dataclass(slots=True)
class Sample:
    """at_s: since the start. machine_s: (busy, all) of all cores, since the machine began."""

    at_s: float
    costs: dict[str, Cost]
    machine_s: tuple[float, float]
    keys: int = 0  # in Redis
    greenlets: int = 0  # of all listeners


@dataclass(slots=True)
class Seen:
    samples: list[Sample] = field(default_factory=list)
    waiting: dict[str, list[int]] = field(default_factory=dict)  # jobs on a stage's queue
    oldest_ms: dict[str, list[float]] = field(default_factory=dict)  # age of the oldest one


def metrics(port: int) -> Metrics:
    """A listener's, by name and labels; of all listeners they may be added up."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def added(several: list[Metrics]) -> Metrics:
    """The sums."""
    found: Metrics = {}
    for one in several:
        for key, value in one.items():
            found[key] = found.get(key, 0.0) + value
    return found


class Watch:
    """pids: by name; listeners: pid and port of /metrics of each. run() until stop()."""

    def __init__(
        self, pids: Mapping[str, int], listeners: Mapping[int, int], client: redis.Redis,
        start_at: float,
    ) -> None:  # fmt: skip
        self.seen = Seen()
        self.drops = [UdpDrops(pid) for pid in listeners]
        self._ports = list(listeners.values())
        self._counted_at = -COUNT_EVERY_S
        self._greenlets = 0
        self._pids = pids
        self._client = client
        self._start_at = start_at
        self._running = True

    def run(self) -> None:
        while self._running:
            self.look()
            gevent.sleep(EVERY_S)

    def stop(self) -> None:
        self._running = False

    def look(self) -> None:
        costs = {name: found for name, pid in self._pids.items() if (found := cost(pid))}
        at_s = time.monotonic() - self._start_at
        if at_s - self._counted_at >= COUNT_EVERY_S:
            self._counted_at, self._greenlets = at_s, self._count()
        self.seen.samples.append(
            Sample(at_s, costs, machine_cpu_s(), self._keys(), self._greenlets)
        )
        for drops in self.drops:
            drops.look()
        for stage in streams.STAGES:
            waiting, oldest_ms = self._queue(stage)
            self.seen.waiting.setdefault(stage, []).append(waiting)
            self.seen.oldest_ms.setdefault(stage, []).append(oldest_ms)

    def _keys(self) -> int:
        try:
            return int(self._client.dbsize())
        except redis.RedisError:
            return 0

    def _count(self) -> int:
        """Greenlets; as they were, where a listener does not answer."""
        try:
            found = added([metrics(port) for port in self._ports])
        except OSError:
            return self._greenlets
        return int(found.get(("eslbot_greenlets", ()), 0))

    def _queue(self, stage: str) -> tuple[int, float]:
        """(jobs that no worker has taken, age in milliseconds of the oldest)"""
        try:
            key = f"rq:queue:{stage}"
            waiting = int(self._client.llen(key))
            job = self._client.lindex(key, 0)
            since = self._client.hget(f"rq:job:{job.decode()}", "enqueued_at") if job else None  # type: ignore[union-attr]
        except redis.RedisError:
            return 0, 0.0
        if not since:
            return waiting, 0.0
        enqueued = datetime.fromisoformat(since.decode().replace("Z", "+00:00"))  # type: ignore[union-attr]
        return waiting, max(0.0, (datetime.now(UTC) - enqueued).total_seconds() * 1000)
