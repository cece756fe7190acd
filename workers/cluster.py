"""Redis Cluster: which node has a key, and a Wire that goes where the key is.

    eslbot:{CALL}:... ── CRC16 of CALL ── one of 16384 slots ── the master that has it ── its pool

Any node knows the map. It is asked for again after a redirect and after a broken connection, at
most every LOOK_EVERY_S; a single slot that has moved is known from the redirect itself. redis-py's
RedisCluster does the same, and each of its commands costs several times what wire.py's do.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import unquote

import redis
from redis.crc import REDIS_CLUSTER_HASH_SLOTS as SLOTS
from redis.crc import key_slot
from redis.exceptions import AskError, MovedError

from workers import streams
from workers.settings import Settings, SettingsError
from workers.wire import Argument, Wire, pack

LOOK_EVERY_S = 0.3
MAX_REDIRECTS = 3
FORM = "redis+cluster://[user:password@]host:port[,host:port...], or rediss+cluster://"
_URL = re.compile(
    r"rediss?\+cluster://(?:(?P<user>[^:@/]*):(?P<password>[^@/]*)@)?"
    r"(?P<hosts>[^/@,]+:\d{1,5}(?:,[^/@,]+:\d{1,5})*)/?"
)


# Has no types.
_POOL: Any = redis.BlockingConnectionPool


class Address(NamedTuple):
    host: str
    port: int


def connect(settings: Settings, connections: int) -> Cluster | None:
    """That of ESLBOT_AUDIO_REDIS_URL, None where it is empty. connections: to each node at the
    most. Raises SettingsError."""
    if not settings.audio_redis_url:
        return None
    timeout_s = settings.redis_timeout_ms / 1000
    options = streams.waits(timeout_s) | settings.tls_of(settings.audio_redis_url)
    try:
        return Cluster(settings.audio_redis_url, timeout_s, connections, options)
    except ValueError as error:
        raise SettingsError(f"ESLBOT_AUDIO_REDIS_URL: {error}") from None


def wire_to(key: str, client: redis.Redis, cluster: Cluster | None) -> Wire:
    """A wire to where a turn's key lies."""
    return Wire(client) if cluster is None else ClusterWire(cluster, key)


def slot_of(key: str) -> int:
    """What stands in braces decides, where there is something."""
    return key_slot(key.encode())


class Cluster:
    """owners: of each slot its master, None: nobody's, as far as it is known.

    connections: to each node at the most. options: of each connection, as redis-py has them.
    Connects when it is first used. Raises ValueError.
    """

    def __init__(
        self, url: str, timeout_s: float, connections: int, options: Mapping[str, Any]
    ) -> None:
        found = _URL.fullmatch(url)
        if found is None:
            raise ValueError(f"not {FORM}")
        hosts = [host.rpartition(":") for host in found["hosts"].split(",")]
        self.owners: list[Address | None] = [None] * SLOTS
        self.replicas: dict[Address, int] = {}  # of each master, how many
        self._seeds = [Address(host.strip("[]"), int(port)) for host, _, port in hosts]
        self._options = {
            **options,
            "username": unquote(found["user"] or "") or None,
            "password": unquote(found["password"] or "") or None,
            "max_connections": connections,
            "timeout": timeout_s,
        }
        self._nodes: dict[Address, redis.Redis] = {}
        self._stale = True
        self._looked = float("-inf")
        self._lock = threading.Lock()

    @property
    def masters(self) -> list[Address]:
        return list(self.replicas)

    def node(self, key: str) -> redis.Redis:
        """The master that has it. Raises redis.RedisError."""
        if self._stale:
            self.look()
        slot = slot_of(key)
        owner = self.owners[slot]
        if owner is None:
            raise redis.ConnectionError(f"no node of the cluster has slot {slot}")
        return self.at(owner)

    def at(self, address: Address) -> redis.Redis:
        with self._lock:
            if address not in self._nodes:
                at = {"host": address.host, "port": address.port}
                pool: Any = _POOL(**at, **self._options)
                self._nodes[address] = redis.Redis(connection_pool=pool)
            return self._nodes[address]

    def doubt(self) -> None:
        """The map may not be right any more."""
        self._stale = True

    def moved(self, slot: int, to: Address) -> None:
        self.owners[slot] = to
        self._stale = True

    def look(self) -> None:
        """Ask for the map, unless that was done just now. Raises redis.RedisError where no node
        answers."""
        now = time.monotonic()
        if now - self._looked < LOOK_EVERY_S and any(self.owners):
            return
        self._looked = now
        known = list(dict.fromkeys([*self.masters, *self._seeds]))
        # Another one first each time: one that is cut off from the others knows an old map.
        self._seeds = [*self._seeds[1:], self._seeds[0]]
        first = self._seeds[0]
        failed: redis.RedisError | None = None
        for address in sorted(known, key=lambda one: one != first):
            try:
                with Wire(self.at(address)) as wire:
                    answer = wire.ask("CLUSTER", "SLOTS")
            except redis.RedisError as error:
                failed = error
                continue
            self._take(address, answer)
            return
        assert failed is not None
        raise failed

    def _take(self, asked: Address, answer: Any) -> None:
        owners: list[Address | None] = [None] * SLOTS
        replicas: dict[Address, int] = {}
        for first, last, (host, port, *_), *others in answer:
            # A node that does not know its own address leaves it to us.
            master = Address(host.decode() if host else asked.host, port)
            replicas[master] = max(replicas.get(master, 0), len(others))
            owners[first : last + 1] = [master] * (last + 1 - first)
        self.owners, self.replicas = owners, replicas
        self._stale = False
        with self._lock:
            kept = {*replicas, *self._seeds}
            gone = [self._nodes.pop(one) for one in list(self._nodes) if one not in kept]
        for client in gone:
            client.connection_pool.disconnect()

    def close(self) -> None:
        with self._lock:
            nodes, self._nodes = self._nodes, {}
        for client in nodes.values():
            client.close()


class ClusterWire(Wire):
    """A connection to the master that has `key`; commands for what lies elsewhere are sent on, in
    their order, as the cluster says."""

    def __init__(self, cluster: Cluster, key: str) -> None:
        self._cluster = cluster
        self._key = key
        self._connection: Any = None

    def ask(self, *command: Argument, within_s: float | None = None) -> Any:
        try:
            return super().ask(*command, within_s=within_s)
        except AskError as error:  # or that it has moved
            (answer,) = self._follow([pack(command)], [error], within_s)
        if isinstance(answer, redis.RedisError):
            raise answer
        return answer

    def ask_all(self, packed: Sequence[bytes], within_s: float | None = None) -> list[Any]:
        return self._follow(packed, super().ask_all(packed, within_s), within_s)

    def _follow(
        self, packed: Sequence[bytes], answers: list[Any], within_s: float | None
    ) -> list[Any]:
        """The answers, with those that send us elsewhere replaced by what was said there."""
        if not any(isinstance(answer, AskError) for answer in answers):
            return answers
        for _ in range(MAX_REDIRECTS):
            elsewhere: dict[tuple[Address, bool], list[int]] = {}
            for number, answer in enumerate(answers):
                if isinstance(answer, AskError):
                    to = Address(answer.host or self._host(), answer.port)
                    asking = not isinstance(answer, MovedError)
                    if not asking:
                        self._cluster.moved(answer.slot_id, to)
                    elsewhere.setdefault((to, asking), []).append(number)
            if not elsewhere:
                break
            for (to, asking), numbers in elsewhere.items():
                told = self._tell(to, asking, [packed[n] for n in numbers], within_s)
                for number, answer in zip(numbers, told, strict=True):
                    answers[number] = answer
        else:
            self._cluster.doubt()
        if self._pool is not self._cluster.node(self._key).connection_pool:
            self.close()  # the key itself has moved: the next command goes there at once
        return answers

    def _tell(
        self, to: Address, asking: bool, packed: list[bytes], within_s: float | None
    ) -> list[Any]:
        try:
            with Wire(self._cluster.at(to)) as there:
                if not asking:
                    return there.ask_all(packed, within_s)
                word = pack(("ASKING",))
                both = [part for command in packed for part in (word, command)]
                return there.ask_all(both, within_s)[1::2]
        except redis.RedisError:
            self._cluster.doubt()
            raise

    def _host(self) -> str:
        return str(self._pool.connection_kwargs["host"])

    def _send(self, packed: Sequence[bytes]) -> Any:
        if self._connection is None:
            self._pool = self._cluster.node(self._key).connection_pool
        return super()._send(packed)

    def _give_up(self) -> None:
        self._cluster.doubt()
        super()._give_up()
