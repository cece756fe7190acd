"""The fleet's circuit breaker, on a real Redis and without one."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import redis

from tests.conftest import RedisServer, wait_until
from workers.breaker import Breaker


def breakers(client: redis.Redis, count: int, open_s: float = 0.2) -> list[Breaker]:
    return [Breaker(client, "llm:m@h", after=3, open_s=open_s) for _ in range(count)]


def test_failures_in_a_row_anywhere_in_the_fleet_open_it_for_all(client: redis.Redis):
    one, two, three = breakers(client, 3, open_s=60)
    one.failed()
    two.failed()
    assert all(b.closed() for b in (one, two, three))
    three.failed()
    assert not any(b.closed() for b in (one, two, three))
    assert (one.opened, two.opened, three.opened) == (0, 0, 1)


def test_what_is_known_of_a_provider_that_nobody_uses_any_more_is_forgotten(client: redis.Redis):
    (one,) = breakers(client, 1, open_s=60)
    for _ in range(3):
        one.failed()
        assert 0 < client.ttl(one.key) <= 3600  # type: ignore[operator]


def test_a_success_in_between_starts_the_count_anew(client: redis.Redis):
    one, two = breakers(client, 2)
    for _ in range(5):
        one.failed()
        two.failed()
        assert two.closed()
        two.succeeded()
    assert one.closed()


def test_half_open_lets_exactly_one_of_many_probe(client: redis.Redis):
    fleet = breakers(client, 16, open_s=0.1)
    for one in fleet[:3]:
        one.failed()
    assert not any(one.may_probe() for one in fleet)
    wait_until(lambda: client.hget(fleet[0].key, "until") and _due(client, fleet[0].key))
    gate = threading.Barrier(len(fleet))
    found: list[bool] = []

    def ask(one: Breaker) -> None:
        gate.wait()
        found.append(one.may_probe())

    threads = [threading.Thread(target=ask, args=(one,)) for one in fleet]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [False] * 15 + [True]
    assert not any(one.closed() for one in fleet)  # no turn is the guinea pig


def _due(client: redis.Redis, key: str) -> bool:
    seconds, micro = client.time()
    return int(client.hget(key, "until")) <= seconds * 1000 + micro // 1000


def test_a_good_probe_closes_it_and_a_bad_one_opens_it_again(client: redis.Redis):
    one, two = breakers(client, 2, open_s=0.1)
    for _ in range(3):
        one.failed()
    wait_until(two.may_probe)
    two.failed(probe=True)
    assert not one.closed()
    wait_until(one.may_probe)
    one.succeeded(probe=True)
    assert one.closed()
    assert two.closed()


def test_a_success_of_a_turn_from_before_does_not_close_it(client: redis.Redis):
    one, two = breakers(client, 2, open_s=60)
    two.failed()
    assert two.closed()  # and knows that there are failures
    one.failed()
    one.failed()
    two.succeeded()
    assert not two.closed()


def test_a_probe_that_nobody_reports_on_is_forgotten(client: redis.Redis, monkeypatch):
    monkeypatch.setattr("workers.breaker.PROBE_S", 0.1)
    one, two = breakers(client, 2, open_s=0.05)
    for _ in range(3):
        one.failed()
    wait_until(one.may_probe)  # and its process dies
    wait_until(two.may_probe)


def test_it_holds_while_redis_is_away(tmp_path: Path):
    server = RedisServer(tmp_path)
    server.start()
    try:
        one = Breaker(server.client(), "tts:m@h", after=2, open_s=0.2)
        one.failed()
        server.kill()
        one.failed()
        assert not one.closed()
        wait_until(one.may_probe)
        assert not one.may_probe()
        one.succeeded(probe=True)
        assert one.closed()
        server.start()
        assert one.closed()
        one.failed()
        one.failed()
        assert not one.closed()
    finally:
        server.kill()


@pytest.mark.parametrize("after", [1, 5])
def test_without_a_fleet_it_counts_for_itself(after: int):
    one = Breaker(None, "stt:m@h", after=after, open_s=60)
    for _ in range(after - 1):
        one.failed()
        assert one.closed()
    one.failed()
    assert not one.closed()
    assert one.opened == 1
