"""Queues on several Redis: which one a call's jobs go to, and a worker takes from."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterator

import pytest
import redis

from eslbot import redis_acl
from eslbot.doctor import house as doctor
from eslbot.rig.house import until
from eslbot.shards import Shards
from tests.conftest import RedisServer
from workers import queues, streams
from workers.messages import Turn
from workers.queues import Place
from workers.settings import SettingsError, load

ABOUT = {"usable": [True], "ready": [], "levels": ["x"], "slots": 1}
BROKEN = ABOUT | {"usable": [False]}


@pytest.fixture
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[RedisServer]]:
    all_of_them = [RedisServer(tmp_path_factory.mktemp(f"queues{n}")) for n in range(3)]
    for one in all_of_them:
        one.start()
    yield all_of_them
    for one in all_of_them:
        one.kill()


@pytest.fixture
def shards(servers: list[RedisServer]) -> Iterator[Shards]:
    one = Shards([server.client(4) for server in servers])
    one.start()
    yield one
    one.stop()


def turn(call: str) -> Turn:
    return Turn(call, 1, "eslbot:out:x", "0" * 16, 10.0, 10.0, "en")


def waiting(server: RedisServer, stage: str = "llm") -> list[str]:
    client = server.client(2)
    raw = [client.hget(f"rq:job:{job.decode()}", "description") for job in
           client.lrange(f"rq:queue:{stage}", 0, -1)]  # fmt: skip
    return [one.decode().split()[1] for one in raw]


def test_calls_are_spread_and_a_call_stays_where_it_is(servers, shards: Shards):
    for server in servers:
        streams.announce(server.client(2), "llm", "w", ABOUT)
    until(lambda: all(s.usable("llm") for s in shards._shards), 20, "all have workers")
    calls = [str(uuid.uuid4()) for _ in range(300)]
    for call in calls * 2:
        assert shards.dispatch(turn(call), "llm")
    until(lambda: sum(len(waiting(server)) for server in servers) == 600, 20, "all are there")
    before = [set(waiting(server)) for server in servers]
    assert sum(len(one) for one in before) == 300  # both jobs of a call lie together
    assert min(len(one) for one in before) > 60
    assert shards.states()["llm"].jobs == 600
    assert shards.states()["llm"].oldest_s > 0
    # One is gone: its calls go to the others, and those of the others stay.
    servers[0].kill()
    until(lambda: shards.healthy() == (2, 1), 20, "it is known to be gone")
    for call in calls:
        assert shards.dispatch(turn(call), "llm")
    until(lambda: sum(len(waiting(server)) for server in servers[1:]) == len(before[1] | before[2])
          * 2 + 300, 20, "all are there")  # fmt: skip
    for number in (1, 2):
        counted = Counter(waiting(servers[number]))
        assert {call for call, count in counted.items() if count == 3} == before[number]
        assert {call for call, count in counted.items() if count == 1} <= before[0]
    assert set(shards.states()) == set(streams.STAGES)


def test_where_nobody_takes_jobs_none_are_put(servers, shards: Shards):
    assert not shards.usable("tts")
    assert not shards.dispatch(turn("a"), "tts")
    streams.announce(servers[0].client(2), "tts", "w", BROKEN)
    streams.announce(servers[1].client(2), "tts", "w", ABOUT)
    until(lambda: shards.usable("tts"), 20, "one has a worker")
    for number in range(20):
        assert shards.dispatch(turn(str(number)), "tts")
    until(lambda: len(waiting(servers[1], "tts")) == 20, 20, "all are there")
    assert not waiting(servers[0], "tts")
    assert not shards.usable("llm")


def test_what_was_written_to_one_that_dies_is_counted(servers, shards: Shards):
    streams.announce(servers[0].client(2), "llm", "w", ABOUT)
    until(lambda: shards.usable("llm"), 20, "it has a worker")
    servers[0].kill()
    writer = shards._shards[0].writer
    assert writer.put(lambda pipe: streams.enqueue(pipe, turn("a"), "llm"), urgent=True)
    until(lambda: shards.lost == 1, 20, "it is lost")
    assert not shards.usable("llm")


def test_a_worker_goes_where_the_fewest_are(servers, client: redis.Redis, shared_redis):
    urls = " ".join(server.url for server in servers)
    settings = load({"REDIS_URL": shared_redis.url, "ESLBOT_QUEUE_REDIS_URLS": urls})
    place = Place(settings, client, "stt")
    assert place.several
    # Of equals each in its turn: workers that start at once do not all go to one.
    assert sorted(port(place) for _ in range(3)) == sorted(server.port for server in servers)
    streams.announce(servers[0].client(2), "stt", "a", ABOUT)
    streams.announce(servers[1].client(2), "stt", "b", ABOUT)
    streams.announce(servers[2].client(2), "llm", "of another stage", ABOUT)
    assert {port(place) for _ in range(3)} == {servers[2].port}
    servers[2].kill()
    assert {port(place) for _ in range(4)} == {servers[0].port, servers[1].port}
    servers[0].kill()
    servers[1].kill()
    with pytest.raises(redis.ConnectionError):
        place.choose()


def port(place: Place) -> int:
    queue, look = place.choose()
    assert look is not None
    ports = {one.connection_pool.connection_kwargs["port"] for one in (queue, look)}
    assert len(ports) == 1
    return int(ports.pop())


def test_listeners_and_workers_need_no_more_than_their_users_have(servers):
    admin = servers[0].client(2)
    for line in redis_acl.lines(dict.fromkeys(redis_acl.RULES, "pass-word"))[1:]:
        _, user, *rules = line.split()
        admin.execute_command("ACL", "SETUSER", user, *rules)
    worker, listener = (
        streams.connect(servers[0].url.replace("//", f"//{user}:pass-word@"), 2.0, 4)
        for user in (redis_acl.WORKER, redis_acl.LISTENER)
    )
    assert streams.next_turn(worker, "llm") == 1
    assert streams.next_turn(worker, "llm") == 2
    assert admin.ttl("eslbot:queues:llm") > 0
    streams.announce(worker, "llm", "w", ABOUT)
    shard = Shards([listener])
    shard.start()
    try:
        until(lambda: shard.usable("llm"), 20, "the listener sees the worker")
        assert shard.dispatch(turn("a"), "llm")
        until(lambda: waiting(servers[0]) == ["a"], 20, "the job is there")
        assert shard.states()["llm"].jobs == 1
    finally:
        shard.stop()
    assert not admin.acl_log()


def test_the_check_says_which_one_is_away(servers):
    urls = " ".join(server.url for server in servers)
    settings = load({"ESLBOT_QUEUE_REDIS_URLS": urls})
    assert doctor.queue_redis(settings) == []
    servers[1].kill()
    (one,) = doctor.queue_redis(settings)
    assert one.warning
    assert one.what.startswith("ESLBOT_QUEUE_REDIS_URLS: 2: ConnectionError")
    servers[0].kill()
    servers[2].kill()
    assert [one.warning for one in doctor.queue_redis(settings)] == [False] * 3


def test_without_several_the_queue_is_where_all_else_is(client: redis.Redis, shared_redis):
    queue, look = Place(load({"REDIS_URL": shared_redis.url}), client, "stt").choose()
    assert look is None
    assert queue.ping()


@pytest.mark.parametrize(
    ("urls", "cause"),
    [
        ("redis://h:1 nonsense", "ESLBOT_QUEUE_REDIS_URLS: 2: "),
        ("sentinel://h", "ESLBOT_QUEUE_REDIS_URLS: 1: not sentinel://"),
        (" ".join(["redis://h:1"] * 65), "ESLBOT_QUEUE_REDIS_URLS: more than 64"),
        ("rediss://h:1?ssl_cert_reqs=none", "ssl_cert_reqs"),
    ],
)
def test_what_is_wrong_is_named(urls: str, cause: str):
    with pytest.raises(SettingsError, match=cause):
        queues.connect(load({"ESLBOT_QUEUE_REDIS_URLS": urls}), 1.0, 2)
