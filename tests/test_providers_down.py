"""Worker processes whose provider fails: next engine, breaker, probes, retries in bounds."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import RedisServer, wait_until
from tests.provider import Plan, Provider
from tests.test_workers import Pool
from workers import streams
from workers.bot import Bot
from workers.http_provider import Deadline, ProviderError
from workers.http_provider import Provider as Client
from workers.messages import Failed, Final, Message, SentencesEnd, Started
from workers.retry_budget import LEAST, RetryBudget


@pytest.fixture
def pool(redis_process: RedisServer, energy: Bot, tmp_path: Path) -> Iterator[Pool]:
    one = Pool(redis_process, energy, tmp_path)
    yield one
    one.stop()


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider() as one:
        yield one


def settings(provider: Provider, **more: str) -> dict[str, str]:
    return {"ESLBOT_LLM_URL": provider.url, "ESLBOT_BREAKER_OPEN_MS": "300", **more}


def ask(pool: Pool, call: str, level: int = 0, attempt: int = 0) -> list[Message]:
    """One turn of the language model, until it is answered or given up."""
    turn = dataclasses.replace(pool.turn(call), level=level, attempt=attempt)
    pool.enqueue(turn, "llm")
    pool.feed(turn, "llm", Final("when are you open"))
    wait_until(lambda: any(isinstance(m, SentencesEnd | Failed) for m in pool.told(call)), 20, call)
    return pool.told(call)


def started(told: list[Message]) -> list[tuple[str, int]]:
    return [(m.engine, m.level) for m in told if isinstance(m, Started)]


def test_a_worker_says_which_engines_it_has(pool: Pool, provider: Provider):
    pool.start("llm", **settings(provider))
    (about,) = streams.living(pool.client, "llm")
    assert about["levels"] == ["openai", "intents"]
    assert about["usable"] == [True, True]


def test_the_next_engine_is_used_when_the_listener_asks_for_it(pool: Pool, provider: Provider):
    pool.start("llm", **settings(provider))
    told = ask(pool, "c", level=1)
    assert started(told) == [("intents", 1)]
    assert provider.seen == []


def test_failures_open_the_breaker_and_from_then_on_nobody_waits(pool: Pool, provider: Provider):
    pool.start("llm", **settings(provider, ESLBOT_BREAKER_OPEN_MS="60000"))
    provider.plan = Plan(body=b"<html>", content_type="text/html")
    for n in range(3):
        told = ask(pool, f"c{n}")
        assert started(told) == [("openai", 0)]
        assert isinstance(told[-1], Failed)
    asked = len(provider.seen)
    told = ask(pool, "after")
    assert started(told) == [("intents", 1)]
    assert isinstance(told[-1], SentencesEnd)
    assert len(provider.seen) == asked
    assert streams.living(pool.client, "llm")


def test_a_provider_that_is_well_again_is_noticed_without_a_caller(pool: Pool, provider: Provider):
    pool.start("llm", **settings(provider))
    provider.plan = Plan(body=b"garbage")
    for n in range(3):
        ask(pool, f"c{n}")
    assert started(ask(pool, "open")) == [("intents", 1)]
    provider.plan = Plan()
    wait_until(
        lambda: not pool.client.exists(f"eslbot:breaker:llm:gpt-4o-mini@{host(provider)}"), 20,
        "a probe closed it",
    )  # fmt: skip
    assert started(ask(pool, "closed")) == [("openai", 0)]
    probes = [one for one in provider.seen if one.json.get("max_tokens") == 1]
    assert probes


def host(provider: Provider) -> str:
    return provider.url.split("/")[2]


def test_an_unused_provider_is_asked_how_it_is(pool: Pool, provider: Provider):
    provider.plan = Plan(body=b"garbage")
    pool.start("llm", **settings(provider, ESLBOT_HEALTH_PROBE_S="1"))
    wait_until(lambda: not usable(pool), 30, "its trouble is known before any caller meets it")


def usable(pool: Pool) -> Any:
    found = streams.living(pool.client, "llm")
    return found[0]["usable"][0] if found else True


def test_a_second_provider_comes_before_the_embedded_engine(pool: Pool, provider: Provider):
    with Provider() as second:
        pool.start("llm", **settings(provider, ESLBOT_LLM_BACKUP_URL=second.url))
        (about,) = streams.living(pool.client, "llm")
        assert about["levels"] == ["openai", "openai", "intents"]
        assert started(ask(pool, "c", level=1)) == [("openai", 1)]
        assert provider.seen == []
        assert len(second.seen) == 1


def test_a_worker_starts_while_its_provider_is_away(pool: Pool):
    pool.start("llm", ESLBOT_LLM_URL="http://127.0.0.1:9/v1", ESLBOT_LLM="openai")
    told = ask(pool, "c")
    assert isinstance(told[-1], Failed)
    assert isinstance(ask(pool, "d", level=1)[-1], SentencesEnd)


def test_without_an_embedded_engine_nobody_serves_once_the_breaker_is_open(
    pool: Pool, provider: Provider
):
    pool.start("llm", **settings(provider, ESLBOT_LLM_EMBEDDED="off"))
    provider.plan = Plan(body=b"garbage")
    for n in range(3):
        ask(pool, f"c{n}")
    wait_until(lambda: not usable(pool), 20)
    (failed,) = [m for m in ask(pool, "after") if isinstance(m, Failed)]
    assert "NoEngine" in failed.reason


def test_retries_stay_within_their_share():
    now = [0.0]
    budget = RetryBudget(10, clock=lambda: now[0])
    granted = 0
    for _ in range(1000):
        budget.request()
        granted += budget.retry()
        now[0] += 0.01
    assert granted == 100
    now[0] += 61
    assert sum(budget.retry() for _ in range(50)) == LEAST


def test_a_provider_in_trouble_gets_few_requests_more(provider: Provider):
    provider.plan = Plan(statuses=[503] * 10_000)
    client = Client(provider.url, "", connect_timeout_s=1.0, retry_percent=10)
    for _ in range(40):
        deadline = Deadline(5.0)

        def attempt(deadline: Deadline = deadline) -> None:
            with client.post("chat/completions", deadline=deadline, json={
                "model": "m", "messages": [{"role": "user", "content": "x"}]}):  # fmt: skip
                raise AssertionError("unreachable")

        with pytest.raises(ProviderError, match="503"):
            client.retrying(deadline, attempt)
    assert len(provider.seen) == 40 + LEAST
