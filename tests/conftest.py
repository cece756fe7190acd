"""What tests share: a real Redis of their own, free ports, and waiting for events."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from eslbot.rig.house import RedisProcess as RedisServer
from eslbot.rig.house import free_port
from workers.bot import Bot, load

__all__ = ["ENERGY", "RedisServer", "free_port", "wait_until"]

ENERGY = Path(__file__).parent.parent / "eslbot" / "bots" / "energy.yaml"


def wait_until(condition: Callable[[], object], within_s: float = 10.0, what: str = "") -> None:
    """Until the condition holds; fails the test when it does not in time."""
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"not within {within_s} s: {what or condition}")
        time.sleep(0.01)


@pytest.fixture
def redis_process(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis of this test alone."""
    server = RedisServer(tmp_path)
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="session")
def shared_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One Redis for all tests that leave it running."""
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.kill()


@pytest.fixture
def client(shared_redis: RedisServer) -> Iterator[redis.Redis]:
    """An empty database."""
    one = shared_redis.client()
    one.flushall()
    yield one
    one.close()


@pytest.fixture(scope="session")
def energy() -> Bot:
    """The example bot."""
    return load(ENERGY)
