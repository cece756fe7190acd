"""Redis fails over to its replica, by a Sentinel, and nothing of ours is restarted."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from eslbot import redis_server
from eslbot.rig.house import RedisProcess
from eslbot.switch.caller import Caller, NotAnswered, Say
from tests.conftest import free_port, wait_until
from tests.house import House, recording, until
from workers import streams


class Fleet:
    """A master, a replica, and a Sentinel that believes itself alone."""

    def __init__(self, folder: Path) -> None:
        (folder / "replica").mkdir()
        self.master = RedisProcess(folder)
        self.replica = RedisProcess(
            folder / "replica", "--replicaof", "127.0.0.1", str(self.master.port)
        )
        self.port = free_port()
        self.url = f"sentinel://127.0.0.1:{self.port}/calls/0"
        self._conf = folder / "sentinel.conf"
        self._conf.write_text(
            f"port {self.port}\nbind 127.0.0.1\n"
            f"sentinel monitor calls 127.0.0.1 {self.master.port} 1\n"
            "sentinel down-after-milliseconds calls 1000\n"
            "sentinel failover-timeout calls 5000\n"
        )
        self._sentinel: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.master.start()
        self.replica.start()
        binary = str(redis_server.binary())
        with (self._conf.parent / "sentinel.log").open("wb") as log:
            self._sentinel = subprocess.Popen(
                [binary, str(self._conf), "--sentinel"], stdout=log, stderr=log
            )
        link = self.replica.client(2)
        wait_until(lambda: link.info("replication")["master_link_status"] == "up", 20)
        sentinel = streams.connect(f"redis://127.0.0.1:{self.port}", 2.0, 2)
        wait_until(lambda: self._knows_replica(sentinel), 30, "the Sentinel knows the replica")

    @staticmethod
    def _knows_replica(sentinel) -> bool:
        try:
            return len(sentinel.execute_command("SENTINEL", "SLAVES", "calls")) == 1
        except Exception:
            return False

    def stop(self) -> None:
        for one in (self.master, self.replica):
            one.kill()
        if self._sentinel:
            self._sentinel.kill()
            self._sentinel.wait()


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    one = Fleet(tmp_path)
    one.start()
    yield one
    one.stop()


def test_a_call_after_the_failover_is_answered_by_the_same_processes(fleet: Fleet, tmp_path: Path):
    folder = tmp_path / "house"
    folder.mkdir()
    house = House(folder, tmp_path / "state", patient=False, REDIS_URL=fleet.url)
    try:
        house.start("stt", "llm", "tts", "listener")
        until(lambda: "READY" in house.log("listener"), 120, "READY")
        call = house.dial()
        caller = Caller(call)
        caller.wait_bot()
        fleet.master.kill()
        call.say(recording("hours"))
        caller.wait_bot(30, call.recording.ticks)  # fillers, an answer, or the menu
        assert call.where == "socket"
        call.hangup()

        def answered() -> bool:
            again = house.dial()
            other = Caller(again)
            try:
                other.wait_bot()
                other.do(Say(recording("hours")))
            except NotAnswered:
                return False
            finally:
                again.hangup()
            told = fleet.replica.client(2).xrange(streams.log_key(again.uuid))
            return any(b"We are open" in entry[b"fields"] for _, entry in told)

        until(answered, 90, "an answer by way of the new master")
        assert all(process.poll() is None for process in house.processes.values())
    finally:
        house.stop()


@pytest.mark.parametrize(
    "url",
    ["sentinel://", "sentinel://h/s", "sentinel://h:x/s", "sentinel://h:1", "sentinel://h:1/s/x"],
)
def test_a_wrong_url_of_sentinels_is_refused(url: str):
    with pytest.raises(ValueError, match="sentinel://host:port"):
        streams.connect(url, 1.0, 2)
