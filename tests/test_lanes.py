"""A listener's lanes to the masters of a real Redis Cluster: which of them serve, and when."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from eslbot.lanes import Lane, Lanes
from tests.cluster import SLOTS, ClusterNodes, tell
from tests.house import until
from tests.test_cluster import call_on
from workers.cluster import Address, Cluster, connect
from workers.messages import AudioEnd, Turn
from workers.settings import load


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterNodes]:
    one = ClusterNodes(tmp_path_factory.mktemp("cluster"))
    try:
        one.start()
        yield one
    finally:
        one.stop()


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
