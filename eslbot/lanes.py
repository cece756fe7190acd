"""Turns' streams on a Redis Cluster: a lane to each of its masters, and each call has the lane of
the master that its own keys lie on.

    call a ─┐                       ┌─ writer ─▶ eslbot:{a}:1:audio ...   ┐
    call b ─┼─ slot ─▶ lane ────────┤                                     ├ one master
    call c ─┘   └────▶ lane ...     └─ reader ◀─ eslbot:out:LISTENER:{3}  ┘

XREAD reads from one slot, and one reader serves many calls: so each master has a stream of ours
for what workers say, under a tag whose slot it has. A turn tells its workers which one is its own:
a call depends on one master and no other. A master that is gone has its calls told, as they are
told when Redis is; those of the others notice nothing.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import time
from collections.abc import Callable

import gevent
import redis
from gevent.event import Event

from eslbot.writer import Writer
from workers import streams
from workers.cluster import Address, Cluster, ClusterWire, slot_of
from workers.messages import Audio, Cancel, Message, Stage, Turn
from workers.wire import Pipe

log = logging.getLogger(__name__)

KEEP_EVERY_S = 2.0
AGAIN_S = 0.3

HandOut = Callable[[dict[bytes, bytes]], None]
# (healthy, which calls are concerned)
OnHealth = Callable[[bool, Callable[[str], bool]], None]


class Lane:
    """To one master and back. out: our stream there."""

    def __init__(
        self,
        cluster: Cluster,
        out: str,
        ttl_s: int,
        hand_out: HandOut,
        on_health: Callable[[bool], None],
    ) -> None:
        self.out = out
        self.slot = slot_of(out)
        self.healthy = False
        self.writer = Writer(self._wire, self._trouble)
        self._cluster = cluster
        self._ttl_s = ttl_s
        self._hand_out = hand_out
        self._on_health = on_health
        self._look_now = Event()
        self._last: bytes = b"0"
        self._running = True
        self._tasks = [gevent.spawn(task) for task in (self.writer.run, self._read, self._keep)]

    @property
    def owner(self) -> Address | None:
        """The master that has it now."""
        return self._cluster.owners[self.slot]

    def stop(self) -> list[gevent.Greenlet]:
        """What writes the rest."""
        self._running = False
        self.writer.stop()
        self._look_now.set()
        return self._tasks

    def _wire(self) -> ClusterWire:
        return ClusterWire(self._cluster, self.out)

    def _read(self) -> None:
        with self._wire() as wire:
            while self._running:
                try:
                    found = wire.ask(
                        "XREAD", "COUNT", 500, "BLOCK", 500, "STREAMS", self.out, self._last
                    )
                except redis.RedisError as error:
                    self._trouble(error)
                    self._last = b"0"  # a replica that took over may count from before
                    gevent.sleep(0.2)
                    continue
                for entry_id, fields in found[0][1] if found else ():
                    self._last = entry_id
                    self._hand_out(streams.pairs(fields))

    def _keep(self) -> None:
        """Is it there, and takes what is written? And trim what is read."""
        with self._wire() as wire:
            while self._running:
                try:
                    pipe = Pipe(wire)
                    # One that is full still trims, but refuses this: to say that it works would
                    # have all its turns begun anew, and refused, again and again.
                    pipe.command("SET", f"{self.out}:full", "no", "EX", self._ttl_s)
                    pipe.command("XTRIM", self.out, "MINID", "~", self._last)
                    pipe.expire(self.out, self._ttl_s)
                    pipe.execute()
                except redis.RedisError as error:
                    self._trouble(error)
                else:
                    if not self.healthy:
                        log.info("%s: its master answers", self.out)
                        self.healthy = True
                        self._on_health(True)
                self._look_now.clear()
                self._look_now.wait(KEEP_EVERY_S if self.healthy else AGAIN_S)

    def _trouble(self, error: Exception) -> None:
        self._cluster.doubt()
        was, self.healthy = self.healthy, False
        if was:
            log.error("%s: its master fails: %s", self.out, streams.plain(error))
            self._look_now.set()
            self._on_health(False)


class Lanes:
    """A Lane for each master there is, as long as the listener lives."""

    def __init__(
        self,
        cluster: Cluster,
        listener: str,
        ttl_s: int,
        hand_out: HandOut,
        on_health: OnHealth,
    ) -> None:
        self._cluster = cluster
        self._listener = listener
        self._ttl_s = ttl_s
        self._hand_out = hand_out
        self._on_health = on_health
        self._lanes: dict[str, Lane] = {}
        self._running = True
        self._task: gevent.Greenlet | None = None

    def start(self) -> None:
        self._task = gevent.spawn(self._look)

    def stop(self) -> None:
        """Write what waits, and take our streams away: a second at the most for each; and end."""
        self._running = False
        tasks = [task for lane in self._lanes.values() for task in lane.stop()]
        gevent.joinall(tasks, timeout=1.0)
        gevent.killall([*tasks, *([self._task] if self._task else [])])
        with gevent.Timeout(1.0, False):  # they expire by themselves
            for out in self._lanes:
                with contextlib.suppress(redis.RedisError), ClusterWire(self._cluster, out) as wire:
                    wire.ask("DEL", out)
        self._cluster.close()

    def out(self, call: str) -> str:
        """The stream on which workers answer this call; of no lane while there is none."""
        lane = self._of(call)
        return lane.out if lane else streams.out_key(self._listener)

    def feed(self, turn: Turn, stage: Stage, message: Message) -> bool:
        """See Link.feed()."""
        lane = self._lanes.get(turn.out)
        if lane is None:
            return False
        urgent = not isinstance(message, Audio | Cancel)
        taken = lane.writer.put(
            lambda pipe: streams.feed(pipe, turn, stage, message, self._ttl_s), urgent
        )
        return taken and lane.healthy

    def healthy(self, call: str = "") -> bool:
        """Whether the call's master works; "": whether any does."""
        if not call:
            return any(lane.healthy for lane in self._lanes.values())
        lane = self._of(call)
        return lane is not None and lane.healthy

    @property
    def lost(self) -> int:
        return sum(lane.writer.lost for lane in self._lanes.values())

    def masters(self) -> tuple[int, int]:
        """(that work, that do not)."""
        works = sum(lane.healthy for lane in self._lanes.values())
        return works, len(self._lanes) - works

    def _of(self, call: str) -> Lane | None:
        owner = self._cluster.owners[slot_of(streams.call_tag(call))]
        if owner is None:
            return None
        return next((lane for lane in self._lanes.values() if lane.owner == owner), None)

    def _look(self) -> None:
        warned = 0.0
        while self._running:
            try:
                self._cluster.look()
                self._lay()
            except redis.RedisError as error:
                if time.monotonic() - warned > 30 or not warned:
                    warned = time.monotonic()
                    log.error("the audio's Redis fails: %s", streams.plain(error))
            works, others = self.masters()
            gevent.sleep(KEEP_EVERY_S if works and not others else AGAIN_S)

    def _lay(self) -> None:
        """A lane to each master that has none."""
        for master in self._cluster.masters:
            if any(lane.owner == master for lane in self._lanes.values()):
                continue
            if master not in self._cluster.owners:
                continue  # its last slots have moved since the map was read
            out = next(
                out
                for tag in itertools.count()
                if self._cluster.owners[slot_of(out := self._key(tag))] == master
            )
            lane = Lane(self._cluster, out, self._ttl_s, self._hand_out, self._told(out))
            self._lanes[out] = lane

    def _key(self, tag: int) -> str:
        return f"{streams.out_key(self._listener)}:{{{tag}}}"

    def _told(self, out: str) -> Callable[[bool], None]:
        def on_health(healthy: bool) -> None:
            self._on_health(healthy, lambda call: self.out(call) == out)

        return on_health
