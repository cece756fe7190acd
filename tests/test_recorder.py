"""The recorder, a real process between a real Redis and a real database: what is told is written,
whoever is killed; what can't be is counted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from eslbot.outbox import MAX_KEPT, Outbox
from eslbot.records import read
from eslbot.records.recorder import Recorder
from eslbot.records.seal import Seal, new_key
from eslbot.records.store import Store, url_of
from tests.conftest import RedisServer, wait_until
from tests.house import ROOT
from workers import streams
from workers.settings import Settings


class Recorders:
    """Processes with one database."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self.url = folder, url
        self.running: list[subprocess.Popen[bytes]] = []
        self.settings = Settings(state_dir=str(folder))

    def start(self, **environ: str) -> subprocess.Popen[bytes]:
        with (self.folder / "recorder.log").open("ab") as log:
            one = subprocess.Popen(
                [sys.executable, "-m", "eslbot", "recorder"], cwd=ROOT, stdout=log, stderr=log,
                env={"PATH": os.environ["PATH"], "REDIS_URL": self.url,
                     "ESLBOT_STATE_DIR": str(self.folder), **environ},
            )  # fmt: skip
        self.running.append(one)
        return one

    def store(self) -> Store:
        return Store.of(self.settings)

    def written(self) -> int:
        return sum(call["turn_count"] or 0 for call in read.calls(self.store(), limit=10_000))

    def log(self) -> str:
        return (self.folder / "recorder.log").read_text()

    def stop(self) -> None:
        for one in self.running:
            if one.poll() is None:
                one.terminate()
            one.wait(20)


@pytest.fixture
def recorders(tmp_path: Path, shared_redis: RedisServer, client: redis.Redis
              ) -> Iterator[Recorders]:  # fmt: skip
    found = Recorders(tmp_path, shared_redis.url)
    yield found
    found.stop()


def tell(outbox: Outbox, call: str, turns: int, first: int = 1) -> None:
    for number in range(first, first + turns):
        outbox.add(call, "leg", "sha", "turn", {"number": number, "outcome": "answered",
                                                "heard": f"words {number}"})  # fmt: skip


def test_recorders_killed_at_work_lose_nothing_and_write_nothing_twice(recorders, client):
    """Given 3,000 turns / if recorders are killed, again and again, while they write / then all of
    it is in the database once, and nothing is left in Redis."""
    outbox = Outbox(client, "host", 100_000)
    for step in range(3):
        for n in range(100):
            tell(outbox, f"call-{step}-{n}", 10)
        outbox.send()
        before = recorders.written()
        one = recorders.start()
        wait_until(lambda: recorders.written() > before, 60, "it writes")  # noqa: B023
        one.kill()
        one.wait()
    recorders.start()
    wait_until(lambda: client.xlen(streams.RECORDS) == 0, 90, "all is written")
    assert recorders.written() == 3000
    store = recorders.store()
    with store.begin() as connection:
        count = connection.exec_driver_sql("SELECT count(*) FROM turns").scalar()
    assert count == 3000


def test_while_the_database_is_away_all_waits_in_redis(recorders, client, tmp_path):
    outbox = Outbox(client, "host", 1000)
    recorders.start(ESLBOT_RECORDS_URL=f"sqlite:///{tmp_path / 'later' / 'x.sqlite3'}").wait(30)
    assert "ESLBOT_RECORDS_URL" in recorders.log()  # it does not start without one
    first = recorders.start()
    tell(outbox, "c", 1)
    outbox.send()
    wait_until(lambda: recorders.written() == 1, 30, "the first turn")
    lock = recorders.store()
    with lock.begin():  # nobody else writes now
        tell(outbox, "c", 5, 2)
        outbox.send()
        wait_until(lambda: "records wait in Redis" in recorders.log(), 40, "it is told")
        assert client.xlen(streams.RECORDS) == 5
    wait_until(lambda: client.xlen(streams.RECORDS) == 0, 40, "all is written")
    assert recorders.written() == 6
    assert first.poll() is None


def test_what_is_none_of_ours_is_put_aside_and_stops_nobody(recorders, client):
    client.xadd(streams.RECORDS, {"fields": "{"})
    client.xadd(streams.RECORDS, {"id": "1"})
    outbox = Outbox(client, "host", 1000)
    tell(outbox, "c", 2)
    outbox.send()
    recorders.start()
    wait_until(lambda: client.xlen(streams.RECORDS) == 0, 30, "all is taken")
    assert recorders.written() == 2
    assert client.llen(streams.RECORDS_REFUSED) == 2
    assert client.ttl(streams.RECORDS_REFUSED) > 0


def test_a_call_that_no_key_opens_stops_no_other(recorders, client, shared_redis):
    """What was amended is read again when the turn comes; its key may be gone by then."""

    def entry(call: str, what: str, **fields: object) -> tuple[bytes, dict[bytes, bytes]]:
        one = {"id": f"{call}-{what}", "call": call, "leg": "leg", "seq": "1", "at": "1000.0",
               "what": what, "fields": json.dumps(fields)}  # fmt: skip
        return b"1-1", {k.encode(): v.encode() for k, v in one.items()}

    database = url_of(recorders.settings)
    settings = Settings(redis_url=shared_redis.url, state_dir=str(recorders.folder))
    before = Recorder(settings, Store(database, Seal([new_key()], b"pepper")))
    before._record([entry("a", "amended", number=1, text="words")])
    after = Recorder(settings, Store(database, Seal([new_key()], b"pepper")))
    after._record([entry("a", "turn", number=1), entry("b", "turn", number=1)])
    assert recorders.written() == 1
    refused = [json.loads(one) for one in client.lrange(streams.RECORDS_REFUSED, 0, -1)]
    assert [one["id"] for one in refused] == ["a-turn"]


def test_a_recorder_told_to_end_ends_with_what_it_has(recorders, client):
    one = recorders.start()
    outbox = Outbox(client, "host", 1000)
    tell(outbox, "c", 3)
    outbox.send()
    wait_until(lambda: recorders.written() == 3, 30, "written")
    one.terminate()
    assert one.wait(20) == 0
    assert client.xlen(streams.RECORDS) == 0


def test_a_redis_emptied_under_it_is_no_trouble(recorders, client):
    recorders.start()
    outbox = Outbox(client, "host", 1000)
    tell(outbox, "a", 1)
    outbox.send()
    wait_until(lambda: recorders.written() == 1, 30, "written")
    client.flushall()
    tell(outbox, "b", 1)
    outbox.send()
    wait_until(lambda: recorders.written() == 2, 30, "written")


# -- the listener's side


def test_nothing_is_put_beyond_the_bound_and_what_is_lost_is_counted(client, caplog):
    outbox = Outbox(client, "host", 100)
    tell(outbox, "c", 100)
    outbox.send()
    tell(outbox, "c", 7, 101)
    outbox.send()
    assert client.xlen(streams.RECORDS) == 100
    assert outbox.lost == 7 and "7 entries lost" in caplog.text
    client.delete(streams.RECORDS)
    outbox.look()
    tell(outbox, "c", 1, 200)
    outbox.send()
    assert client.xlen(streams.RECORDS) == 1 and client.ttl(streams.RECORDS) > 0


def test_what_redis_does_not_take_is_kept_in_its_order(redis_process):
    client = redis_process.client()
    outbox = Outbox(client, "host", 10_000)
    tell(outbox, "c", 3)
    redis_process.kill()
    with pytest.raises(redis.RedisError):
        outbox.send()
    tell(outbox, "c", 3, 4)
    assert outbox.kept == 6 and outbox.lost == 0
    redis_process.start()
    outbox.send()
    found = [json.loads(e[b"fields"])["number"] for _, e in client.xrange(streams.RECORDS)]
    assert found == [1, 2, 3, 4, 5, 6]
    client.config_set("maxmemory", "1")
    tell(outbox, "c", 1, 7)
    with pytest.raises(redis.RedisError, match="OutOfMemory"):
        outbox.send()
    assert outbox.kept == 1
    client.config_set("maxmemory", "0")
    outbox.send()
    assert client.xlen(streams.RECORDS) == 7


def test_the_listener_keeps_no_more_than_its_bound(client):
    outbox = Outbox(client, "host", 10)
    tell(outbox, "c", MAX_KEPT + 5)
    assert outbox.kept == MAX_KEPT and outbox.lost == 5
    outbox.add("c", "leg", "sha", "said", {"text": "x" * 40_000})
    assert outbox.lost == 6


def test_without_records_nothing_is_told(client):
    outbox = Outbox(client, "host", 0)
    tell(outbox, "c", 3)
    outbox.send()
    outbox.look()
    assert client.exists(streams.RECORDS) == 0 and outbox.lost == 0
