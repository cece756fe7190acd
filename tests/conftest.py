"""What tests share: a real Redis of their own, free ports, and waiting for events."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from eslbot import redis_server
from workers import streams
from workers.bot import Bot, load

ENERGY = Path(__file__).parent.parent / "eslbot" / "bots" / "energy.yaml"


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def wait_until(condition: Callable[[], object], within_s: float = 10.0, what: str = "") -> None:
    """Until the condition holds; fails the test when it does not in time."""
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"not within {within_s} s: {what or condition}")
        time.sleep(0.01)


class RedisServer:
    """A Redis process that a test may kill, stop and start again."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._folder = folder
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.process = subprocess.Popen(redis_server.arguments(self.port, self._folder))
        streams.wait_for_redis(self.client(), within_s=10)

    def client(self, connections: int = 16) -> redis.Redis:
        return streams.connect(self.url, 2.0, connections)

    def kill(self) -> None:
        if self.process:
            self.process.kill()
            self.process.wait()


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
