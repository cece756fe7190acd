"""What the console reads: calls as they go on, kept ones, and the state of the house."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis
from sqlalchemy import update

from eslbot.console import feed as feeds
from eslbot.console import health
from eslbot.console.archive import Archive, told_again
from eslbot.console.feed import Feed, TooMany
from eslbot.console.story import Summary
from eslbot.media import recording
from eslbot.records import read, schema
from eslbot.records.store import Store
from tests.conftest import wait_until
from workers import streams
from workers.settings import Settings
from workers.wire import Wire

STORY = [
    ("call", {"bot": "energy", "caller_shown": "…678", "called": "7000", "listener": "here"}),
    ("state", {"state": "speaking"}),
    ("said", {"text": "Welcome to Northwind Energy.", "fixed": True}),
    ("state", {"state": "hearing"}),
    ("partial", {"text": "what is"}),
    ("heard", {"text": "what is my balance", "confidence": 0.9}),
    ("failed", {"stage": "llm", "attempt": 0, "reason": "HTTP 503"}),
    ("decided", {"intent": "balance", "slots": {}, "action": "none"}),
    ("said", {"text": "What is your account number?"}),
    ("turn", {"number": 1, "outcome": "answered", "endpoint_ms": 640, "first_frame_ms": 910}),
]
ENDED = [
    ("ended", {"outcome": "caller gone", "reason": "the call is over"}),
    ("hangup", {"cause": "NORMAL_CLEARING", "by": "caller", "end": "caller gone"}),
]


def tell(client: redis.Redis, call: str, story: list[tuple[str, dict[str, Any]]]) -> None:
    for what, fields in story:
        entry = {"at": f"{time.time():.3f}", "what": what, "fields": json.dumps(fields)}
        client.xadd(streams.log_key(call), entry)
        if what == "call":
            streams.enlist(client, call, time.time(), 3600)


@pytest.fixture
def feed(client: redis.Redis) -> Feed:
    streams.introduce(client, "here", {"calls": 1})
    return Feed(client)


def read_until(feed: Feed, condition: Callable[[], object], what: str) -> None:
    """Step by step: in this process nothing is patched, and reading would stop everything else."""

    def met() -> object:
        feed.step()
        return condition()

    wait_until(met, 20, what)


def test_a_story_comes_to_a_summary():
    one = Summary("c1")
    for at, (what, fields) in enumerate(STORY):
        one.take(100.0 + at, what, fields)
    assert one.shown() == {
        "uuid": "c1", "began": 100.0, "last": 109.0, "caller": "…678", "called": "7000",
        "bot": "energy", "listener": "here", "state": "hearing",
        "words": "What is your account number?", "who": "bot", "intent": "balance", "turns": 1,
        "failures": 1, "wait_ms": 910, "turn_outcome": "answered", "outcome": "", "reason": "",
    }  # fmt: skip
    assert one.matches("BALANCE northwind")
    assert not one.matches("balance address")


def test_a_turn_that_was_merged_is_none():
    one = Summary("c1")
    one.take(1.0, "turn", {"outcome": "merged", "first_frame_ms": 1})
    assert (one.turns, one.wait_ms) == (0, None)


def test_calls_are_told_as_they_go_on(client: redis.Redis, feed: Feed):
    with feed.page() as page:
        tell(client, "c1", STORY[:5])
        read_until(
            feed, lambda: [one.words for one in feed.live()] == ["what is"], "the words so far"
        )
        read_until(feed, lambda: "c1" in page.take(0.1), "the page is told")
        tell(client, "c1", STORY[5:] + ENDED)
        read_until(feed, lambda: feed.calls["c1"].over, "its end")
        assert feed.live() == []
        assert feed.search("balance", 10) == [feed.calls["c1"]]
    read_until(feed, lambda: not feed._last, "a call that is over is read no more")


def test_what_a_page_missed_is_one_change(client: redis.Redis, feed: Feed):
    with feed.page() as page:
        tell(client, "c1", STORY)
        read_until(feed, lambda: feed.calls.get("c1") and feed.calls["c1"].turns, "all of it")
        assert page.take(1.0) == {"c1"}
        assert page.changed == set()


def test_pages_are_bounded(client: redis.Redis, feed: Feed):
    pages = [feed.page() for _ in range(feeds.MAX_PAGES)]
    for one in pages:
        one.__enter__()
    with pytest.raises(TooMany), feed.page():
        pass
    for one in pages:
        one.__exit__(None, None, None)
    with feed.page():
        pass


def test_a_call_whose_listener_died_is_lost(
    client: redis.Redis, feed: Feed, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(feeds, "MUTE_S", 0.2)
    tell(client, "c1", STORY)
    read_until(feed, lambda: feed.live(), "it is there")
    client.delete(streams.listener_key("here"))
    read_until(feed, lambda: not feed.live(), "it is lost")
    assert feed.calls["c1"].outcome == "native menu"
    assert feed.calls["c1"].reason == feeds.LOST


def test_calls_that_are_kept_are_bounded(
    client: redis.Redis, feed: Feed, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(feeds, "MAX_CALLS", 3)
    for n in range(6):
        tell(client, f"c{n}", STORY[:1] + ENDED)
    read_until(feed, lambda: list(feed.calls) == ["c3", "c4", "c5"], "the newest three")


def test_nonsense_in_a_log_is_passed_over(client: redis.Redis, feed: Feed):
    tell(client, "c1", STORY[:1])
    client.xadd(streams.log_key("c1"), {"x": "y"})
    client.xadd(streams.log_key("c1"), {"at": "1", "what": "heard", "fields": "[]"})
    client.xadd(streams.log_key("c1"), {"at": "x", "what": "heard", "fields": "{}"})
    tell(client, "c1", STORY[1:])
    read_until(feed, lambda: feed.calls.get("c1") and feed.calls["c1"].turns == 1, "the rest")


def test_redis_may_go_and_come_back(redis_process: Any):
    client = redis_process.client()
    feed = Feed(client)
    redis_process.kill()
    with pytest.raises(redis.RedisError):
        feed._looked = 0.0
        feed.step()
    redis_process.start()
    streams.introduce(client, "here", {"calls": 1})
    tell(client, "c1", STORY)
    read_until(feed, lambda: feed.live(), "calls")
    client.close()


# -- kept calls


@pytest.fixture
def kept(client: redis.Redis, tmp_path: Path) -> Archive:
    """One call in the database, which Redis has forgotten."""
    settings = Settings(state_dir=str(tmp_path))
    store = Store.of(settings)
    with store.begin() as connection:
        store.add(connection, schema.calls, {
            "uuid": "old", "bot": "energy", "listener": "there", "started_at": 1000.0,
            "ended_at": 1030.0, "outcome": "transferred", "intent": "billing", "turn_count": 1,
            "variables": '{"ai_account": "4271"}', "caller": store.seal.caller("+49301234"),
        })  # fmt: skip
        store.add(connection, schema.turns, {
            "call": "old", "leg": "a", "number": 1, "at": 1020.0, "opened_at": 1010.0,
            "heard": "my bill", "said": "I'll connect you.", "intent": "billing", "slots": "{}",
            "outcome": "human", "first_frame_ms": 700, "tools": '[{"name": "lookup"}]',
            "more": '{"network_ms": 40}', "interrupted": False, "keyed": False,
        })  # fmt: skip
        store.add(connection, schema.events, {
            "id": "a1", "call": "old", "leg": "a", "seq": 1, "at": 1000.0, "what": "call",
            "fields": '{"bot": "energy", "called": "7000"}',
        })  # fmt: skip
        store.add(connection, schema.events, {
            "id": "a2", "call": "old", "leg": "a", "seq": 2, "at": 1030.0, "what": "ended",
            "fields": '{"outcome": "transferred", "reason": "asked for: billing"}',
        })  # fmt: skip
    store.close()
    return Archive(client, Feed(client), settings)


def test_kept_calls_are_listed_and_found(kept: Archive):
    assert [one["uuid"] for one in kept.calls("", 10)] == ["old"]
    for query in ("billing", "4271 transferred", "+49301234", "OLD"):
        assert [one["uuid"] for one in kept.calls(query, 10)] == ["old"], query
    for query in ("+49309999", "nobody", "billing nobody"):
        assert kept.calls(query, 10) == [], query
    assert kept.calls("", 10)[0]["last"] == 1030.0


def test_a_kept_call_is_told_again_in_its_order(kept: Archive):
    found = kept.call("old", "a test")
    assert found is not None
    told = [(event["what"], event["at"]) for event in found["events"]]
    assert told == [("call", 1000.0), ("heard", 1010.0), ("decided", 1010.0), ("tool", 1010.0),
                    ("said", 1010.0), ("turn", 1020.0), ("ended", 1030.0)]  # fmt: skip
    turn = found["events"][5]
    assert (turn["first_frame_ms"], turn["network_ms"], turn["outcome"]) == (700, 40, "human")
    assert found["audio"] is None
    assert kept.call("none", "a test") is None


def test_that_a_call_was_read_is_written_down(kept: Archive, tmp_path: Path):
    kept.call("old", "the console, from ::1")
    store = Store.of(Settings(state_dir=str(tmp_path)))
    assert (
        read.audit(store)[0] | {"who": "the console, from ::1", "call": "old"}
        == (read.audit(store)[0])
    )
    store.close()


def test_without_anything_kept_of_a_turn_nothing_is_made_up():
    turn = dict.fromkeys([column.name for column in schema.turns.columns])
    turn |= {"at": 5.0, "more": {}, "tools": {}, "slots": {}, "outcome": "merged"}
    assert told_again({"events": [], "turns": [turn]}) == [
        {"at": 5.0, "outcome": "merged", "what": "turn"}
    ]


# -- the house


def worker(role: str, **more: Any) -> dict[str, Any]:
    return {"engine": "x", "levels": ["x", "y"], "usable": [True, True], "slots": 4} | more


def test_a_house_that_is_well_has_no_troubles(client: redis.Redis):
    streams.introduce(client, "l1", {"calls": 2, "max_calls": 500, "not_ready": "", "lag_ms": 1.0})
    for role in streams.STAGES:
        streams.announce(client, role, f"{role}-1", worker(role))
        with Wire(client) as wire:
            streams.beat(wire, f"{role}-1")
    found = health.look(client, 1.5)
    assert found["troubles"] == []
    assert found["redis"]["ok"]
    assert [one["calls"] for one in found["listeners"]] == [2]
    assert [one["alive"] for one in found["workers"]] == [True] * 3
    assert [one["jobs"] for one in found["queues"]] == [0, 0, 0]


def test_troubles_are_named(client: redis.Redis):
    assert "No listener is there" in health.look(client, 0.0)["troubles"][0]
    streams.introduce(client, "l1", {"calls": 0, "not_ready": "draining"})
    streams.announce(client, "stt", "stt-1", worker("stt"))  # its heart does not beat
    client.hset("eslbot:breaker:api.example/m", mapping={"failures": 3, "until": 1})
    job = "rq:job:j1"
    client.rpush("rq:queue:llm", "j1")
    client.hset(job, "enqueued_at", "2026-01-01T00:00:00.000000Z")
    client.set("eslbot:chaos", json.dumps({"fault": "llm mute"}))
    told = "\n".join(health.look(client, 0.0)["troubles"])
    for part in ("l1: draining", "No stt worker", "No tts worker", "api.example/m", "llm queue is",
                 "llm mute"):  # fmt: skip
        assert part in told, part


def test_without_redis_it_says_so(redis_process: Any):
    client = redis_process.client()
    redis_process.kill()
    found = health.look(client, 0.0)
    assert not found["redis"]["ok"]
    assert "Redis is away" in found["troubles"][0]


def test_half_written_things_do_no_harm(client: redis.Redis):
    client.set("eslbot:listener:x", "{")
    client.set("eslbot:worker:stt:x", "[]")
    client.set("eslbot:chaos", "1")
    client.rpush("rq:queue:stt", "gone")
    client.hset("eslbot:breaker:x", "until", "soon")
    found = health.look(client, 0.0)
    assert found["queues"][0] == {"name": "stt", "jobs": 1, "age_s": 0.0}


def test_each_who_hears_a_recording_is_written_down_once(kept: Archive, tmp_path: Path):
    """A player asks for it piece by piece; another listener is another one."""
    name = f"{'0' * 32}.wav"
    sounds = recording.folder(Settings(state_dir=str(tmp_path)))
    sounds.mkdir()
    (sounds / name).write_bytes(recording.header(4) + bytes(4))
    store = Store.of(Settings(state_dir=str(tmp_path)))
    with store.begin() as connection:
        connection.execute(update(schema.calls).values(recording=name))
    for who in ("a", "a", "b", "a"):
        assert kept.audio("old", who) == recording.header(4) + bytes(4)
    heard = [row["who"] for row in read.audit(store) if row["what"] == "listened"]
    assert sorted(heard) == ["a", "b"]
    store.close()
