"""What a listener knows of the workers and their queues, as Prometheus reads it.

Each listener tells the same of the fleet, so take max() over listeners, never sum(). What workers
count (requests, cache hits) is the sum over those that live now: it falls when one goes, hence a
gauge and no counter.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

import gevent
import redis
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from eslbot.link import Link
from workers.messages import Stage
from workers.streams import STAGES, QueueState

log = logging.getLogger(__name__)

LOOK_AT_QUEUES_S = 2.0
# What presence.about() counts, and what it means.
COUNTS = {
    "requests": "Requests to the stage's providers.",
    "retries": "Of these, those that were tried again.",
    "over_rate": "Requests that were not sent, by the rate limit.",
    "speech_hits": "Sentences whose speech was kept.",
    "speech_misses": "Sentences that had to be spoken.",
    "breakers_opened": "Breakers that opened.",
}

STATES = ("up", "down")


class Fleet(Collector):
    """Register it; look() asks Redis for the queues until it is killed."""

    def __init__(self, link: Link, client: redis.Redis) -> None:
        self._link = link
        self._client = client
        self._queues: dict[Stage, QueueState] = {}

    def look(self) -> None:
        while True:
            try:
                self._queues = self._link.queue_states()
            except redis.RedisError:
                self._queues = {}  # nothing is known: better no figure than an old one
            gevent.sleep(LOOK_AT_QUEUES_S)

    def collect(self) -> Iterable[GaugeMetricFamily]:
        up = GaugeMetricFamily("eslbot_redis_up", "Whether Redis serves this listener.")
        up.add_metric([], float(self._link.healthy))
        lost = GaugeMetricFamily(
            "eslbot_redis_writes_lost", "Writes that never reached Redis, since the start."
        )
        lost.add_metric([], float(self._link.all_lost))
        yield from (up, lost, *self._parts(), *self._workers(), *self._waiting())

    def _parts(self) -> Iterable[GaugeMetricFamily]:
        masters = GaugeMetricFamily(
            "eslbot_audio_masters",
            "Masters of the audio's Redis Cluster, as this listener finds them.",
            labels=["state"],
        )
        if self._link.lanes:
            for state, count in zip(STATES, self._link.lanes.masters(), strict=True):
                masters.add_metric([state], count)
        queues = GaugeMetricFamily(
            "eslbot_queue_shards",
            "Redis with queues, where there are several, as this listener finds them.",
            labels=["state"],
        )
        if self._link.shards:
            for state, count in zip(STATES, self._link.shards.healthy(), strict=True):
                queues.add_metric([state], count)
        yield from (masters, queues)

    def _workers(self) -> Iterable[GaugeMetricFamily]:
        workers = GaugeMetricFamily("eslbot_workers", "Living workers.", labels=["stage"])
        slots = GaugeMetricFamily(
            "eslbot_worker_slots", "Jobs that they take at once.", labels=["stage"]
        )
        usable = GaugeMetricFamily(
            "eslbot_engine_usable",
            "Workers whose engine of this level (0 the first) is not known to fail.",
            labels=["stage", "level"],
        )
        counts = {
            name: GaugeMetricFamily(f"eslbot_workers_{name}", what, labels=["stage"])
            for name, what in COUNTS.items()
        }
        for stage in STAGES:
            those = self._link.workers[stage]
            workers.add_metric([stage], len(those))
            slots.add_metric([stage], sum(one["slots"] for one in those))
            for level in range(max((len(one["levels"]) for one in those), default=0)):
                able = sum(level < len(one["usable"]) and one["usable"][level] for one in those)
                usable.add_metric([stage, str(level)], able)
            for name, family in counts.items():
                family.add_metric([stage], sum(one.get(name, 0) for one in those))
        return (workers, slots, usable, *counts.values())

    def _waiting(self) -> Iterable[GaugeMetricFamily]:
        jobs = GaugeMetricFamily(
            "eslbot_queue_jobs", "Jobs that no worker has taken yet.", labels=["stage"]
        )
        age = GaugeMetricFamily(
            "eslbot_queue_oldest_seconds", "Age of the oldest of them.", labels=["stage"]
        )
        for stage, state in self._queues.items():
            jobs.add_metric([stage], state.jobs)
            age.add_metric([stage], state.oldest_s)
        return jobs, age
