"""The bound on requests to a provider: exact for the whole fleet, and no failure of anyone's."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from eslbot.switch.caller import Caller, Say
from tests.conftest import RedisServer, wait_until
from tests.house import House, recording
from tests.provider import Plan, Provider
from tests.test_http_provider import ask as request
from tests.test_providers_down import ask, host, started
from tests.test_workers import Pool
from workers import streams
from workers.bot import Bot
from workers.engines import choose
from workers.http_provider import OverRate, ProviderError
from workers.http_provider import Provider as Client
from workers.messages import Failed, SentencesEnd
from workers.rate_limit import RateLimit
from workers.settings import Settings
from workers.tts.cache import SpeechCache
from workers.tts.warm import speak_ahead

NAME = "llm:m@h"
HOUR_S = 3600.0  # a window that no test outlasts, however slow the machine


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider() as one:
        yield one


@pytest.fixture
def pool(redis_process: RedisServer, energy: Bot, tmp_path: Path) -> Iterator[Pool]:
    one = Pool(redis_process, energy, tmp_path)
    yield one
    one.stop()


def limit(client: redis.Redis, bound: int) -> RateLimit:
    return RateLimit(client, NAME, bound, HOUR_S)


def taken(one: RateLimit) -> bool:
    try:
        one.take()
    except OverRate:
        return False
    return True


def asked_ago(client: redis.Redis, one: RateLimit, *ago_s: float) -> None:
    """As if requests had been made then, the last one first."""
    seconds, micro = client.time()
    now = seconds * 1000 + micro // 1000
    client.delete(one.key)
    client.rpush(one.key, *(now - int(ago * 1000) for ago in ago_s))


def test_many_clients_at_once_get_exactly_the_bound(shared_redis, client: redis.Redis):
    workers = [limit(shared_redis.client(), 50) for _ in range(8)]
    gate = threading.Barrier(len(workers))
    granted: list[bool] = []

    def work(one: RateLimit) -> None:
        gate.wait()
        granted.extend(taken(one) for _ in range(20))

    threads = [threading.Thread(target=work, args=(one,)) for one in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (granted.count(True), granted.count(False)) == (50, 110)
    assert sum(one.refused for one in workers) == 110
    assert client.llen(workers[0].key) == 50


def test_the_window_moves_with_each_request(client: redis.Redis):
    one = limit(client, 3)
    asked_ago(client, one, 600, 1800, HOUR_S)
    assert taken(one)
    assert not taken(one)  # the third last is half an hour old now
    asked_ago(client, one, 600, 600, 1800)
    assert not taken(one)
    asked_ago(client, one, 600, HOUR_S, HOUR_S)
    assert [taken(one) for _ in range(3)] == [True, True, False]


def test_what_is_refused_does_not_count_and_the_key_is_bounded(client: redis.Redis):
    one = limit(client, 2)
    assert [taken(one) for _ in range(9)] == [True, True] + [False] * 7
    assert client.llen(one.key) == 2
    assert 0 < client.pttl(one.key) <= HOUR_S * 1000  # type: ignore[operator]


def test_a_clock_that_was_set_back_holds_nobody_up(client: redis.Redis):
    one = limit(client, 2)
    asked_ago(client, one, -7200, -7200)
    assert [taken(one) for _ in range(3)] == [True, True, False]


def test_providers_have_bounds_of_their_own(client: redis.Redis):
    one, other = limit(client, 1), RateLimit(client, "tts:m@h", 1, HOUR_S)
    assert [taken(one), taken(other), taken(one), taken(other)] == [True, True, False, False]


@pytest.mark.parametrize(("bound", "half"), [(1, 1), (2, 1), (7, 3), (10, 5)])
def test_half_of_it_is_kept_for_callers(client: redis.Redis, bound: int, half: int):
    one = limit(client, bound)
    for _ in range(half):
        assert one.spare()
        assert one.spare()  # looking costs nothing
        one.take()
    assert not one.spare()
    assert [taken(one) for _ in range(bound - half + 1)] == [True] * (bound - half) + [False]


def test_without_redis_no_limit_is_applied(
    redis_process: RedisServer, caplog: pytest.LogCaptureFixture
):
    one = limit(redis_process.client(), 1)
    assert [taken(one), taken(one)] == [True, False]
    redis_process.kill()
    with caplog.at_level(logging.WARNING):
        assert all(taken(one) for _ in range(3))
    assert [r.message for r in caplog.records].count(
        f"{one.key}: no limit is applied: ConnectionError"
    ) == 1
    redis_process.start()
    assert [taken(one), taken(one)] == [True, False]


def test_over_it_nothing_is_sent_nor_tried_again(client: redis.Redis, provider: Provider):
    one = Client(provider.url, "", connect_timeout_s=1.0)
    one.limit = limit(client, 2)
    for _ in range(2):
        request(one)
    with pytest.raises(OverRate, match="over the rate limit"):
        request(one)
    assert len(provider.seen) == 2
    assert one.limit.refused == 1


def test_retries_are_requests(client: redis.Redis, provider: Provider):
    one = Client(provider.url, "", connect_timeout_s=1.0)
    one.limit = limit(client, 2)
    provider.plan = Plan(statuses=[503] * 10)
    # And what the provider did is told, or its breaker would not hear of it.
    with pytest.raises(ProviderError, match="503"):
        request(one)
    assert len(provider.seen) == 2
    assert one.limit.refused == 1


def test_each_provider_has_the_bound_that_is_set_for_it(client: redis.Redis):
    url = "http://127.0.0.1:9/v1"
    settings = Settings(
        llm_url=url, llm_rate_per_min=3, llm_strong_url=url, llm_strong_rate_per_min=2,
        llm_backup_url=url, llm_backup_model="b", tts="openai", tts_url=url, tts_rate_per_min=1,
    )  # fmt: skip
    routed, backup, embedded = choose("llm", settings, client)
    local, strong = routed.parts
    assert (backup.limit, embedded.limit) == (None, None)
    assert backup.engine.provider.limit is None
    for level, bound in ((local, 3), (strong, 2), (choose("tts", settings, client)[0], 1)):
        assert level.engine.provider.limit is level.limit
        assert [taken(level.limit) for _ in range(bound + 1)] == [True] * bound + [False]  # type: ignore[arg-type]
    assert choose("tts", settings)[0].limit is None  # for a check, without Redis


def test_speaking_ahead_leaves_callers_the_room(client: redis.Redis, provider: Provider):
    provider.plan = Plan(speech_s=1.5)
    settings = Settings(tts="openai", tts_url=provider.url, tts_rate_per_min=6)
    level = choose("tts", settings, client)[0]
    assert level.limit is not None
    level.limit._window_ms = int(HOUR_S * 1000)
    cache = SpeechCache(1_000_000, 600, None, None)
    texts = [f"Sentence number {n}." for n in range(5)]

    def ahead() -> bool:
        return speak_ahead(client, cache, level, texts, "en", lambda: False)

    assert not ahead()
    assert len(provider.seen) == 3
    assert [taken(level.limit) for _ in range(4)] == [True] * 3 + [False]
    assert not ahead()
    assert len(provider.seen) == 3
    client.delete(level.limit.key)  # the time has passed
    assert ahead()
    assert sorted(one.json["input"] for one in provider.seen) == texts


def test_between_a_look_and_the_request_callers_may_be_faster(
    client: redis.Redis, provider: Provider, monkeypatch: pytest.MonkeyPatch
):
    settings = Settings(tts="openai", tts_url=provider.url, tts_rate_per_min=1)
    level = choose("tts", settings, client)[0]
    assert level.limit is not None
    level.limit.take()
    monkeypatch.setattr(level.limit, "spare", lambda: True)
    cache = SpeechCache(1_000_000, 600, None, None)
    assert not speak_ahead(client, cache, level, ["A sentence."], "en", lambda: False)
    assert provider.seen == []


# -- workers


def provided(provider: Provider, **more: str) -> dict[str, str]:
    return {"ESLBOT_LLM_URL": provider.url, "ESLBOT_HEALTH_PROBE_S": "0", **more}


def about(pool: Pool) -> dict[str, Any]:
    return dict(streams.living(pool.client, "llm")[0])


def use_up(client: redis.Redis, provider: Provider, bound: int) -> str:
    """All that a minute allows, from now; its key."""
    key = f"eslbot:rate:llm:gpt-4o-mini@{host(provider)}"
    now, _ = client.time()
    client.delete(key)
    client.rpush(key, *[now * 1000] * bound)
    return key


def test_over_it_the_next_engine_answers_and_the_breaker_stays_closed(
    pool: Pool, provider: Provider
):
    pool.start(
        "llm", **provided(provider, ESLBOT_LLM_RATE_PER_MIN="2", ESLBOT_BREAKER_FAILURES="1")
    )
    for call in ("a", "b"):
        told = ask(pool, call)
        assert started(told) == [("openai", 0)]
        assert isinstance(told[-1], SentencesEnd)
    use_up(pool.client, provider, 2)  # again: a minute is not long for a slow machine
    told = ask(pool, "c")
    assert [m.reason for m in told if isinstance(m, Failed)] == ["LlmError: over the rate limit"]
    told = ask(pool, "d", level=1)
    assert started(told) == [("intents", 1)]
    assert isinstance(told[-1], SentencesEnd)
    assert len(provider.seen) == 2
    wait_until(lambda: about(pool)["over_rate"] == 1)
    assert about(pool)["usable"] == [True, True]
    assert not list(pool.client.scan_iter("eslbot:breaker:*"))


def test_a_probe_that_may_not_be_sent_says_nothing_of_the_provider(pool: Pool, provider: Provider):
    provider.plan = Plan(body=b"garbage")
    pool.start(
        "llm",
        **provided(provider, ESLBOT_LLM_RATE_PER_MIN="1", ESLBOT_BREAKER_FAILURES="1",
                   ESLBOT_BREAKER_OPEN_MS="1000"),
    )  # fmt: skip
    ask(pool, "a")
    key = use_up(pool.client, provider, 1)
    provider.plan = Plan()
    wait_until(lambda: about(pool)["over_rate"] >= 1, 30, "a probe was due")
    assert pool.client.hexists(f"eslbot:breaker:llm:gpt-4o-mini@{host(provider)}", "until")
    assert len(provider.seen) == 1
    pool.client.delete(key)  # the minute is over, and nobody else asks
    wait_until(lambda: not list(pool.client.scan_iter("eslbot:breaker:*")), 30, "it is closed")
    assert len(provider.seen) == 2


def test_without_a_bound_redis_hears_nothing_of_it(pool: Pool, provider: Provider):
    pool.start("llm", **provided(provider))
    ask(pool, "a")
    assert not list(pool.client.scan_iter("eslbot:rate:*"))
    assert about(pool)["over_rate"] == 0


def test_a_caller_hears_the_next_engine(tmp_path: Path, provider: Provider):
    provider.plan = Plan(words=["The provider ", "says this."])
    house = House(tmp_path, tmp_path / "state", **provided(provider, ESLBOT_LLM_RATE_PER_MIN="1"))
    try:
        house.start("redis", "stt", "llm", "tts", "listener")
        house.wait_ready()
        call = house.dial()
        caller = Caller(call)
        caller.wait_bot()
        caller.do(Say(recording("hours")))
        assert "The provider says this." in house.said(call)
        use_up(house.redis.client(), provider, 1)
        caller.do(Say(recording("hours")))
        assert "We are open" in house.said(call)
        rungs = [fields for what, fields in house.told(call) if what == "rung"]
        assert [(one["rung"], one["stage"], one["reason"]) for one in rungs] == [
            ("backup", "llm", "LlmError: over the rate limit")
        ]
        assert len(provider.seen) == 1
        call.hangup()
    finally:
        house.stop()
