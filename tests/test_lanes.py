"""A listener's lanes to the masters of a real Redis Cluster: which of them serve, and when."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import gevent
import pytest
from redis._parsers.base import BaseParser

from eslbot.lanes import Lane, Lanes
from eslbot.writer import Writer
from tests.cluster import SLOTS, ClusterNodes, tell
from tests.house import until
from tests.test_cluster import call_on
from workers.cluster import Address, Cluster, connect
from workers.messages import AudioEnd, Turn
from workers.settings import load


def cluster_of(nodes: ClusterNodes) -> Cluster:
    found = connect(load({"ESLBOT_AUDIO_REDIS_URL": nodes.url}), 8)
    assert found is not None
    return found


def test_a_master_that_is_full_serves_no_calls_until_there_is_room(
    nodes: ClusterNodes, monkeypatch: pytest.MonkeyPatch
):
    told: list[bool] = []
    # Nothing is patched here: who waits for what workers say would have all others wait.
    monkeypatch.setattr(Lane, "_read", lambda self: None)
    lanes = Lanes(
        cluster_of(nodes), "here", 60, lambda fields: None, lambda healthy, _: told.append(healthy)
    )
    lanes.start()
    try:
        until(lambda: lanes.masters() == (3, 0), 20, "all of them serve")
        # Given a master that refuses what is written, and a turn that finds it out
        first = Address("127.0.0.1", nodes.masters[0].port)
        lane = next(one for one in lanes._lanes.values() if one.owner == first)
        tell(nodes.masters[0], "CONFIG SET", "maxmemory", 1)
        refused: list[Exception] = []

        def trouble(error: Exception) -> None:
            refused.append(error)
            Lane._trouble(lane, error)

        monkeypatch.setattr(lane, "_trouble", trouble)
        turn = Turn(call_on(nodes, 0), 1, lane.out, "0" * 16, 10.0, 10.0, "en")
        assert lanes.feed(turn, "stt", AudioEnd())
        until(lambda: len(refused) > 2, 20, "it was looked at again")
        # I expect that its calls are told once
        assert lanes.masters() == (2, 1)
        assert told == [True, True, True, False]
        # And that it serves once there is room
        tell(nodes.masters[0], "CONFIG SET", "maxmemory", 0)
        until(lambda: lanes.masters() == (3, 0), 20, "all of them serve")
        assert told[4:] == [True]
    finally:
        tell(nodes.masters[0], "CONFIG SET", "maxmemory", 0)
        lanes.stop()


def test_no_lane_is_laid_to_a_master_whose_last_slot_has_moved(monkeypatch: pytest.MonkeyPatch):
    gone, other = Address("here", 1), Address("here", 2)
    cluster: Any = SimpleNamespace(masters=[gone], owners=[other] * SLOTS)
    lanes = Lanes(cluster, "here", 60, lambda fields: None, lambda *_: None)
    # No key would ever be found to lie there
    monkeypatch.setattr(lanes, "_key", lambda tag: pytest.fail("looked for"))
    lanes._lay()
    assert lanes.masters() == (0, 0)


def test_it_ends_though_a_master_does_not_answer(monkeypatch: pytest.MonkeyPatch):
    class Mute:
        def __init__(self, cluster: Any, key: str) -> None:
            asked.append(key)

        def __enter__(self) -> Any:
            return SimpleNamespace(ask=lambda *_: gevent.sleep(3600))

        def __exit__(self, *_: object) -> None:
            """Holds nothing."""

    asked: list[str] = []
    closed: list[bool] = []
    monkeypatch.setattr("eslbot.lanes.ClusterWire", Mute)
    cluster: Any = SimpleNamespace(close=lambda: closed.append(True))
    lanes = Lanes(cluster, "here", 60, lambda fields: None, lambda *_: None)
    lanes._lanes = {"out": SimpleNamespace(stop=list)}  # type: ignore[dict-item]
    gevent.spawn(lanes.stop).get(timeout=60)
    assert asked == ["out"]
    assert closed


def test_a_writer_outlives_what_nobody_has_thought_of():
    class Wire:
        """Of which the first answer makes no sense."""

        def __enter__(self) -> Any:
            return self

        def __exit__(self, *_: object) -> None:
            """Holds nothing."""

        def ask_all(self, packed: list[bytes]) -> list[Any]:
            sent.append(packed)
            if len(sent) == 1:
                raise ValueError("no answer")
            return [b"OK" for _ in packed]

    sent: list[list[bytes]] = []
    told: list[Exception] = []
    writer = Writer(Wire, told.append)  # type: ignore[arg-type]
    writing = gevent.spawn(writer.run)
    for number in (1, 2):
        assert writer.put(lambda pipe: pipe.command("PING"), urgent=True)
        until(lambda n=number: len(sent) == n or writing.dead, 20, "it was written")
    writer.stop()
    writing.get(timeout=20)
    assert len(sent) == 2
    assert (writer.lost, len(told)) == (1, 1)


@pytest.mark.parametrize(
    ("said", "useless"),
    [
        ("READONLY You can't write against a read only replica.", True),
        ("OOM command not allowed when used memory > 'maxmemory'.", True),
        ("MISCONF Redis is configured to save RDB snapshots", True),
        ("CLUSTERDOWN The cluster is down", True),
        ("MOVED 3999 127.0.0.1:6381", True),
        ("WRONGTYPE Operation against a key", False),
        ("NOPERM this user has no permissions", False),
    ],
)
def test_one_write_that_is_refused_is_not_all_of_them(said: str, useless: bool):
    class Wire:
        """Whose Redis takes the first write and says this to the second."""

        def __enter__(self) -> Any:
            return self

        def __exit__(self, *_: object) -> None:
            """Holds nothing."""

        def ask_all(self, packed: list[bytes]) -> list[Any]:
            return [b"OK", BaseParser.parse_error(said)]

    told: list[Exception] = []
    rounds: list[int] = []
    writer = Writer(Wire, told.append, lambda: rounds.append(writer.lost))  # type: ignore[arg-type]
    for _ in range(2):
        assert writer.put(lambda pipe: pipe.command("PING"), urgent=True)
    writer.stop()
    writer.run()
    assert rounds == [1]
    assert len(told) == useless
