"""Whole calls whose audio crosses a Redis Cluster, and whose jobs are on one of two more Redis;
a master, and a Redis with queues, are killed."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import httpx
import pytest

from eslbot.switch.caller import Caller, Say
from eslbot.switch.channel import Channel
from tests.cluster import ClusterNodes, tell
from tests.house import House, RedisProcess, recording, until
from tests.test_cluster import call_on
from workers import streams


@pytest.fixture(scope="module")
def queues(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[RedisProcess]]:
    both = [RedisProcess(tmp_path_factory.mktemp(f"queues{number}")) for number in (0, 1)]
    for one in both:
        one.start()
    yield both
    for one in both:
        one.kill()


@pytest.fixture(scope="module")
def house(
    tmp_path_factory: pytest.TempPathFactory, nodes: ClusterNodes, queues: list[RedisProcess]
) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("house")
    one = House(
        folder,
        folder / "state",
        ESLBOT_AUDIO_REDIS_URL=nodes.url,
        ESLBOT_QUEUE_REDIS_URLS=" ".join(one.url for one in queues),
    )
    try:
        one.start("redis", *streams.STAGES, "listener")
        until(lambda: "READY" in one.log("listener"), 300, "the listener says READY")
        yield one
    finally:
        one.stop()


def greeted(house: House, uuid: str) -> tuple[Channel, Caller]:
    call = house.dial(uuid=uuid)
    caller = Caller(call)
    caller.wait_bot()
    return call, caller


def up(house: House, what: str) -> int:
    text = httpx.get(f"http://127.0.0.1:{house.metrics_port}/metrics", timeout=5).text
    line = next(ln for ln in text.splitlines() if ln.startswith(f'{what}{{state="up"}}'))
    return int(float(line.split()[-1]))


def masters_up(house: House) -> int:
    return up(house, "eslbot_audio_masters")


def in_menu(house: House, call: Channel) -> bool:
    return any(what == "menu" for what, _ in house.told(call))


def test_calls_are_answered_and_each_has_its_keys_on_one_master(house: House, nodes: ClusterNodes):
    for number, node in enumerate(nodes.masters):
        call, caller = greeted(house, call_on(nodes, number))
        caller.do(Say(recording("hours")))
        assert "We are open" in house.said(call)
        tag = streams.call_tag(call.uuid)
        audio = [one for one in keys(node) if one.startswith(tag) and one.endswith(":audio")]
        assert audio
        assert all(tell(node, "XLEN", one) for one in audio)
        call.hangup()
    # What workers say has a stream on each; of turns nothing lies where all else does.
    assert all(
        [one for one in keys(node) if one.startswith("eslbot:out:")] for node in nodes.masters
    )
    at_home = [key.decode() for key in house.redis.client(2).keys("eslbot:*")]
    assert not [one for one in at_home if one.startswith("eslbot:{")]
    assert masters_up(house) == 3


def test_when_the_redis_of_its_jobs_dies_workers_go_to_the_other(
    house: House, queues: list[RedisProcess]
):
    assert not house.redis.client(2).keys("rq:*")
    first = [one for one in queues if one.client(2).smembers("rq:workers")]
    assert first
    used = first[0]
    (other,) = [one for one in queues if one is not used]
    used.kill()
    until(lambda: up(house, "eslbot_queue_shards") == 1, 60, "the listener knows")
    until(
        lambda: all(streams.living(other.client(2), stage) for stage in streams.STAGES),
        60, "all workers have gone there",
    )  # fmt: skip
    ready = f"http://127.0.0.1:{house.metrics_port}/ready"
    until(lambda: httpx.get(ready, timeout=5).status_code == 200, 30, "the listener is ready")
    call, caller = greeted(house, str(uuid.uuid4()))
    caller.do(Say(recording("hours")))
    assert "We are open" in house.said(call)
    call.hangup()
    used.start()
    until(lambda: up(house, "eslbot_queue_shards") == 2, 60, "it is back")


def test_a_master_that_dies_takes_its_own_calls_to_the_menu_and_no_others(
    house: House, nodes: ClusterNodes
):
    hit, _ = greeted(house, call_on(nodes, 0))
    spared, caller_spared = greeted(house, call_on(nodes, 1))
    nodes.masters[0].kill()
    hit.say(recording("hours"))
    caller_spared.do(Say(recording("hours")))
    assert "We are open" in house.said(spared)
    until(lambda: in_menu(house, hit), 60, "the menu")
    assert not in_menu(house, spared)
    until(lambda: house.said(hit).endswith("press 0."), 60, "the menu is read out")
    hit.keys("0")
    until(lambda: hit.where == "extension:2000", 30, "a person, by the menu")
    later = house.dial(uuid=call_on(nodes, 0))
    until(lambda: in_menu(house, later), 30, "the menu, at once")
    assert later.where == "socket"
    caller_spared.do(Say(recording("hours")))
    assert house.said(spared).count("We are open") == 2
    assert masters_up(house) == 2
    assert httpx.get(f"http://127.0.0.1:{house.metrics_port}/ready", timeout=5).status_code == 200
    # It comes back, empty, and is one of them again.
    nodes.masters[0].start()
    until(lambda: masters_up(house) == 3, 60, "all three serve")
    back, caller_back = greeted(house, call_on(nodes, 0))
    caller_back.do(Say(recording("hours")))
    assert "We are open" in house.said(back)
    for call in (spared, later, back):
        call.hangup()
    assert all(process.poll() is None for process in house.processes.values())


def keys(node) -> list[str]:
    return [key.decode() for key in node.client(2).keys("eslbot:*")]
