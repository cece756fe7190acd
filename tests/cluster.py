"""A real Redis Cluster of processes on this machine."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import redis

from eslbot.rig.house import RedisProcess
from tests.conftest import free_port, wait_until

SLOTS = 16384


class ClusterNodes:
    """So many masters, each with its share of the slots, and a replica of each of `replicated`.

    Without full coverage: while a master is away the others go on.
    """

    def __init__(
        self, folder: Path, masters: int = 3, replicated: tuple[int, ...] = (), *more: str
    ) -> None:
        self._more = more
        self._folders = folder
        self.masters = [self._node(f"master{n}") for n in range(masters)]
        self.replicas = {n: self._node(f"replica{n}") for n in replicated}
        self._replicated = replicated

    def _node(self, name: str) -> RedisProcess:
        folder = self._folders / name
        folder.mkdir()
        node = RedisProcess(
            folder,
            *("--cluster-enabled", "yes", "--cluster-node-timeout", "1000"),
            *("--cluster-require-full-coverage", "no", *self._more),
        )
        node.port = free_cluster_port()
        node.url = f"redis://127.0.0.1:{node.port}/0"
        return node

    @property
    def url(self) -> str:
        return "redis+cluster://" + ",".join(f"127.0.0.1:{one.port}" for one in self.masters)

    @property
    def nodes(self) -> list[RedisProcess]:
        return [*self.masters, *self.replicas.values()]

    def start(self) -> None:
        for node in self.nodes:
            node.start()
        first = self.masters[0]
        for number, node in enumerate(self.masters):
            tell(node, "CLUSTER SET-CONFIG-EPOCH", number + 1)
            tell(node, "CLUSTER ADDSLOTS", *self.slots(number))
        for node in self.nodes[1:]:
            tell(node, "CLUSTER MEET", "127.0.0.1", first.port)
        everyone = len(self.nodes)
        wait_until(lambda: all(len(view(node)) == everyone for node in self.nodes), 30, "all met")
        for number, node in self.replicas.items():
            tell(node, "CLUSTER REPLICATE", self.id(self.masters[number]))
        wait_until(lambda: all(self._well(node) for node in self.nodes), 60, "the cluster is well")

    def _well(self, node: RedisProcess) -> bool:
        info = str(tell(node, "CLUSTER INFO"))
        replicas = sum("slave" in one for one in view(node).values())
        master_link = True
        if node in self.replicas.values():
            with node.client(2) as client:
                master_link = client.info("replication").get("master_link_status") == "up"
        well = "cluster_state:ok" in info and f"cluster_slots_ok:{SLOTS}" in info
        return well and replicas == len(self.replicas) and master_link

    def slots(self, number: int) -> range:
        """Of a master, in the beginning."""
        share = SLOTS // len(self.masters)
        last = SLOTS if number == len(self.masters) - 1 else (number + 1) * share
        return range(number * share, last)

    @staticmethod
    def id(node: RedisProcess) -> str:
        return str(_text(tell(node, "CLUSTER MYID")))

    def stop(self) -> None:
        for node in self.nodes:
            node.kill()


def tell(node: RedisProcess, command: str, *arguments: Any) -> Any:
    """The answer of one node, as it sends it."""
    with redis.Redis(port=node.port, protocol=2, socket_timeout=5) as client:
        client.response_callbacks.clear()
        return _text(client.execute_command(*command.split(), *arguments))


def view(node: RedisProcess) -> dict[str, str]:
    """A line for each node, by its id, that this one knows the address of."""
    lines = [line.split(" ") for line in str(tell(node, "CLUSTER NODES")).splitlines()]
    return {line[0]: line[2] for line in lines if "handshake" not in line[2]}


def _text(raw: Any) -> Any:
    return raw.decode() if isinstance(raw, bytes) else raw


def free_cluster_port() -> int:
    """Free, as is the one of the cluster's bus, 10,000 above."""
    while True:
        port = free_port()
        if port + 10_000 > 65535:
            continue
        with socket.socket() as one:
            try:
                one.bind(("127.0.0.1", port + 10_000))
            except OSError:
                continue
        return port
