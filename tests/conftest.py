"""What tests share: a real Redis and databases of their own, free ports, waiting for events."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import redis
from sqlalchemy import text

from eslbot.records.seal import Seal
from eslbot.records.store import Store
from eslbot.rig.house import RedisProcess as RedisServer
from eslbot.rig.house import free_port
from tests import postgres
from workers.bot import Bot, load

if TYPE_CHECKING:
    from tests.cluster import ClusterNodes

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


@pytest.fixture(scope="session", autouse=True)
def models(tmp_path_factory: pytest.TempPathFactory) -> None:
    """One folder of language models for the houses of a run: to build them takes 10 s each time."""
    from tests import house  # which itself has need of this module

    base = tmp_path_factory.getbasetemp()
    house.models = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "models"


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterNodes]:
    """A Redis Cluster of a test file's own: masters and slots are lost in it."""
    from tests.cluster import ClusterNodes  # which itself has need of this module

    one = ClusterNodes(tmp_path_factory.mktemp("cluster"))
    try:
        one.start()
        yield one
    finally:
        one.stop()


@pytest.fixture(scope="session")
def energy() -> Bot:
    """The example bot."""
    return load(ENERGY)


@pytest.fixture(scope="session")
def postgres_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    yield from postgres.server(tmp_path_factory.mktemp("postgres"))


@pytest.fixture(params=["sqlite", "postgresql"])
def records_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database for records, of each kind that there may be."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'records.sqlite3'}"
    found: str = request.getfixturevalue("postgres_url")
    store = Store(found)
    with store.engine.begin() as connection:
        connection.execute(text("DROP SCHEMA public CASCADE"))
        connection.execute(text("CREATE SCHEMA public"))
    store.close()
    return found


@pytest.fixture
def store(records_url: str) -> Iterator[Store]:
    """Records, none yet."""
    one = Store(records_url, Seal([], b"p" * 32))
    yield one
    one.close()
