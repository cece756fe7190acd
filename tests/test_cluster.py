"""A real Redis Cluster: keys are found, slots move, a master dies."""

from __future__ import annotations

import itertools
import re
import subprocess
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from eslbot import redis_acl, redis_server
from eslbot.doctor import house as doctor
from tests.cluster import ClusterNodes, free_cluster_port, tell
from tests.conftest import RedisServer, free_port, wait_until
from tests.house import ROOT
from workers import streams
from workers.cluster import Address, Cluster, ClusterWire, connect, slot_of
from workers.settings import SettingsError, load
from workers.wire import Pipe, pack


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterNodes]:
    one = ClusterNodes(tmp_path_factory.mktemp("cluster"), replicated=(2,))
    try:
        one.start()
        yield one
    finally:
        one.stop()


@pytest.fixture
def cluster(nodes: ClusterNodes) -> Iterator[Cluster]:
    found = connect(load({"ESLBOT_AUDIO_REDIS_URL": nodes.url}), 8)
    assert found is not None
    yield found
    found.close()


def call_on(nodes: ClusterNodes, number: int) -> str:
    """A call whose keys lie on this master, as it was in the beginning."""
    slots = nodes.slots(number)
    calls = (str(uuid.uuid4()) for _ in itertools.count())
    return next(one for one in calls if slot_of(streams.call_tag(one)) in slots)


def add(pipe: Pipe, key: str, *numbers: int) -> None:
    for number in numbers:
        pipe.xadd(key, {"n": number})


def numbers_in(cluster: Cluster, key: str) -> list[int]:
    with ClusterWire(cluster, key) as wire:
        return [int(fields[1]) for _, fields in wire.ask("XRANGE", key, "-", "+")]


def test_keys_of_a_call_lie_together_and_calls_on_all_masters(
    nodes: ClusterNodes, cluster: Cluster
):
    for number, node in enumerate(nodes.masters):
        tag = streams.call_tag(call_on(nodes, number))
        assert len({slot_of(f"{tag}:1:{name}") for name in ("audio", "text", "say")}) == 1
        with ClusterWire(cluster, f"{tag}:1:audio") as wire:
            pipe = Pipe(wire)
            add(pipe, f"{tag}:1:audio", 1)
            add(pipe, f"{tag}:1:text", 2)
            pipe.execute()
        assert {one.decode() for one in node.client(2).keys(f"{tag}*")} == {
            f"{tag}:1:audio", f"{tag}:1:text"
        }  # fmt: skip
    assert sorted(cluster.masters) == sorted(Address("127.0.0.1", n.port) for n in nodes.masters)
    assert sorted(cluster.replicas.values()) == [0, 0, 1]
    assert None not in cluster.owners


def test_what_lies_elsewhere_is_sent_there_in_its_order(nodes: ClusterNodes, cluster: Cluster):
    here, there = (f"{streams.call_tag(call_on(nodes, n))}:1:audio" for n in (0, 1))
    with ClusterWire(cluster, here) as wire:
        pipe = Pipe(wire)
        for number in range(20):
            add(pipe, here if number % 2 else there, number)
        assert not [one for one in pipe.execute() if isinstance(one, Exception)]
    assert numbers_in(cluster, here) == list(range(1, 20, 2))
    assert numbers_in(cluster, there) == list(range(0, 20, 2))


def test_a_slot_that_moves_takes_its_writer_and_its_reader_with_it(
    nodes: ClusterNodes, cluster: Cluster
):
    source, target = nodes.masters[0], nodes.masters[1]
    key = f"{streams.call_tag(call_on(nodes, 0))}:1:audio"
    other = key.replace(":audio", ":text")  # of the same slot; does not exist yet
    slot = slot_of(key)
    ids = nodes.id(source), nodes.id(target)
    with ClusterWire(cluster, key) as wire, ClusterWire(cluster, key) as reader:
        pipe = Pipe(wire)
        add(pipe, key, 1, 2)
        pipe.execute()
        last = reader.ask("XREAD", "STREAMS", key, "0")[0][1][-1][0]
        got: list[object] = []

        def read() -> None:
            got.append(reader.ask("XREAD", "BLOCK", 30000, "STREAMS", key, last, within_s=31))

        thread = threading.Thread(target=read)
        thread.start()
        wait_until(lambda: "blocked_clients:1" in str(tell(source, "INFO clients")), 10)
        tell(target, f"CLUSTER SETSLOT {slot} IMPORTING {ids[0]}")
        tell(source, f"CLUSTER SETSLOT {slot} MIGRATING {ids[1]}")
        add(pipe, other, 1)  # ASK: a key that is not there is made at the target
        assert not [one for one in pipe.execute() if isinstance(one, Exception)]
        assert tell(target, "DBSIZE") >= 1
        tell(source, f"MIGRATE 127.0.0.1 {target.port} {key} 0 5000")
        add(pipe, key, 3)
        pipe.execute()
        for node in (target, source, nodes.masters[2]):
            tell(node, f"CLUSTER SETSLOT {slot} NODE {ids[1]}")
        add(pipe, key, 4)  # MOVED
        add(pipe, other, 2)
        assert not [one for one in pipe.execute() if isinstance(one, Exception)]
        thread.join(35)
        assert got
        assert got[0] is not None
    assert numbers_in(cluster, key) == [1, 2, 3, 4]
    assert numbers_in(cluster, other) == [1, 2]
    assert cluster.owners[slot] == ("127.0.0.1", target.port)


def checked(url: str) -> list[str]:
    return [one.line for one in doctor.audio_redis(load({"ESLBOT_AUDIO_REDIS_URL": url}))]


def test_the_check_looks_at_every_master(nodes: ClusterNodes):
    found = checked(nodes.url)
    assert len([one for one in found if "has no replica" in one]) == 2
    assert not [one for one in found if not one.startswith("warning: ")]
    assert "redis+cluster://" in checked("redis+cluster://nowhere")[0]
    away = checked(f"redis+cluster://127.0.0.1:{free_port()}")
    assert away[0].startswith("ESLBOT_AUDIO_REDIS_URL: ConnectionError")


def test_a_replica_takes_over(nodes: ClusterNodes, cluster: Cluster):
    key = f"{streams.call_tag(call_on(nodes, 2))}:1:audio"
    safe = f"{streams.call_tag(call_on(nodes, 0))}:1:audio"
    with ClusterWire(cluster, key) as wire, ClusterWire(cluster, safe) as other:
        wire.ask("XADD", key, "*", "n", 1)
        other.ask("XADD", safe, "*", "n", 1)
        nodes.masters[2].kill()
        with pytest.raises(redis.RedisError):
            wire.ask("XADD", key, "*", "n", 2)
        other.ask("XADD", safe, "*", "n", 2)

        def taken() -> bool:
            try:
                return bool(wire.ask("XADD", key, "*", "n", 3))
            except redis.RedisError:
                other.ask("XLEN", safe)  # the others go on all the while
                return False

        wait_until(taken, 60, "the replica is the master")
        assert cluster.owners[slot_of(key)] == ("127.0.0.1", nodes.replicas[2].port)
        assert other.ask("XLEN", safe) == 2
    assert [one for one in checked(nodes.url) if "has no replica" in one]  # and no more is wrong


def test_listeners_and_workers_need_no_more_than_their_users_have(
    tmp_path: Path, nodes: ClusterNodes
):
    """The same rules on each node as on any other Redis of ours."""
    for node in nodes.masters[:2]:
        for line in redis_acl.lines(dict.fromkeys(redis_acl.RULES, "pass-word"))[1:]:
            _, user, *rules = line.split()
            tell(node, "ACL SETUSER", user, *rules)
    for user in (redis_acl.LISTENER, redis_acl.WORKER):
        found = connect(
            load({"ESLBOT_AUDIO_REDIS_URL": nodes.url.replace("//", f"//{user}:pass-word@")}), 4
        )
        assert found is not None
        key = f"{streams.call_tag(call_on(nodes, 1))}:1:audio"
        # By way of another node, as when the slot has moved.
        with ClusterWire(found, f"{streams.call_tag(call_on(nodes, 0))}:1:audio") as wire:
            pipe = Pipe(wire)
            add(pipe, key, 1)
            pipe.expire(key, 60)
            assert not [one for one in pipe.execute() if isinstance(one, Exception)]
            assert wire.ask("XREAD", "STREAMS", key, "0")
            wire.ask("DEL", key)
            with pytest.raises(redis.exceptions.NoPermissionError):
                wire.ask("CLUSTER", "RESET")
            assert wire.ask_all([pack(("ASKING",))]) == [b"OK"]
            if user == redis_acl.LISTENER:
                wire.ask("XTRIM", key, "MINID", "~", "0")
        found.close()


def test_a_redis_that_is_no_cluster_is_told(redis_process: RedisServer):
    url = f"redis+cluster://127.0.0.1:{redis_process.port}"
    found = connect(load({"ESLBOT_AUDIO_REDIS_URL": url}), 2)
    assert found is not None
    with pytest.raises(redis.ResponseError, match="cluster support disabled"):
        found.look()


@pytest.mark.parametrize(
    "url", ["redis://h:1", "redis+cluster://", "redis+cluster://h", "redis+cluster://h:1/0",
            "redis+cluster://h:1,", "redis+cluster://h:1?ssl_cert_reqs=none"]
)  # fmt: skip
def test_a_wrong_url_is_refused(url: str):
    with pytest.raises(SettingsError, match=r"ESLBOT_AUDIO_REDIS_URL: not redis\+cluster://"):
        connect(load({"ESLBOT_AUDIO_REDIS_URL": url}), 2)


def test_redis_takes_the_file_that_deploy_has(tmp_path: Path):
    file = (ROOT / "deploy" / "redis" / "cluster.conf").read_text()
    (tmp_path / "cluster.conf").write_text(file.replace("bind 10.0.0.31", "bind 127.0.0.1"))
    port = free_cluster_port()
    with (tmp_path / "log").open("wb") as log:
        server = subprocess.Popen(
            [redis_server.binary(), str(tmp_path / "cluster.conf"), "--port", str(port),
             "--dir", str(tmp_path)], stdout=log, stderr=log,
        )  # fmt: skip
    try:
        with redis.Redis(port=port, protocol=2) as client:
            streams.wait_for_redis(client, 20)
            assert client.info("cluster")["cluster_enabled"] == 1
            name = "cluster-require-full-coverage"
            assert client.config_get(name) == {name: "no"}
    finally:
        server.kill()
        server.wait()
    # What stands in its first lines is a URL of ours.
    (url,) = re.findall(r"ESLBOT_AUDIO_REDIS_URL=(\S+)", file)
    assert connect(load({"ESLBOT_AUDIO_REDIS_URL": url}), 2) is not None


def test_without_one_there_is_none(tmp_path: Path):
    assert connect(load({}), 2) is None
