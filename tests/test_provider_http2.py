"""HTTP/2 to a provider, where its server offers it: a request to itself on each connection."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import wait_until
from tests.h2_gateway import H2Gateway
from tests.provider import Plan, Provider
from tests.test_http_provider import KEY, SPEECH, ask
from tests.tls import Authority
from workers.engines import choose
from workers.http_provider import Deadline, ProviderError
from workers.http_provider import Provider as Client
from workers.messages import Stage
from workers.settings import Settings
from workers.streams import STAGES


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ours"))


@pytest.fixture(scope="module")
def pair(authority: Authority) -> tuple[Path, Path]:
    return authority.issue("server")


@pytest.fixture
def server(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> Iterator[Provider]:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.cert))
    with Provider() as one:
        yield one


@pytest.fixture
def gateway(server: Provider, pair: tuple[Path, Path]) -> Iterator[H2Gateway]:
    with H2Gateway(server.server_port, pair) as one:
        yield one


@pytest.fixture
def client(gateway: H2Gateway) -> Iterator[Client]:
    one = to(gateway)
    yield one
    one.close()


def to(gateway: H2Gateway, http2: bool = True) -> Client:
    url = f"https://localhost:{gateway.port}/v1"
    return Client(url, KEY, connect_timeout_s=5.0, connections=8, http2=http2)


def test_it_is_spoken_where_it_is_offered(server: Provider, gateway: H2Gateway, client: Client):
    for _ in range(3):
        assert b"[DONE]" in ask(client)
    assert gateway.spoken == ["h2"]
    assert [one.headers["authorization"] for one in server.seen] == [f"Bearer {KEY}"] * 3
    assert not server.faults


def test_where_it_is_not_http_1_1_is(server: Provider, pair: tuple[Path, Path]):
    with H2Gateway(server.server_port, pair, "http/1.1") as gateway:
        one = to(gateway)
        for _ in range(3):
            assert b"[DONE]" in ask(one)
        assert gateway.spoken == ["http/1.1"]
    assert len(server.seen) == 3


@pytest.mark.parametrize("role", STAGES)
@pytest.mark.parametrize(("setting", "spoken"), [("on", "h2"), ("off", "http/1.1")])
def test_the_setting_is_for_the_engines_of_each_role(
    gateway: H2Gateway, role: Stage, setting: str, spoken: str
):
    url = f"https://localhost:{gateway.port}/v1"
    levels = choose(
        role,
        Settings(
            stt="openai", stt_url=url, stt_backup_url=url, stt_embedded="off",
            llm="openai", llm_url=url, llm_backup_url=url, llm_embedded="off",
            tts="openai", tts_url=url, tts_backup_url=url, tts_embedded="off",
            provider_http2=setting,
        ),
    )  # fmt: skip
    for level in levels:
        level.engine.probe(10.0)
    assert gateway.spoken == [spoken, spoken]


def test_a_time_out_of_one_is_nothing_to_the_others(
    server: Provider, gateway: H2Gateway, client: Client
):
    server.plan = Plan(speech_s=2.0)
    server.script = [server.plan, Plan(first_delay_s=30.0)]
    with client.post("audio/speech", deadline=Deadline(30), json=SPEECH) as answer:
        pieces = answer.pieces(1_000_000)
        first = next(pieces)
        with pytest.raises(ProviderError, match="in time"):
            ask(client, in_s=30.0, first_s=0.2)
        assert len(first + b"".join(pieces)) == 2 * 24000 * 2
    assert gateway.spoken == ["h2", "h2"]


def test_what_is_broken_off_takes_nothing_from_the_next(
    server: Provider, gateway: H2Gateway, client: Client
):
    server.plan = Plan(speech_s=2.0)
    for _ in range(3):
        with client.post("audio/speech", deadline=Deadline(10), json=SPEECH) as answer:
            assert next(answer.pieces(1_000_000))
    assert len(ask(client)) > 0
    assert gateway.spoken == ["h2"] * 4  # what nobody reads is nobody's any more


def test_a_connection_that_the_server_has_ended_costs_no_retry(
    server: Provider, gateway: H2Gateway, client: Client
):
    for count in range(1, 4):
        ask(client)
        gateway.goodbye.set()
        wait_until(lambda count=count: gateway.left == count)
        gateway.goodbye.clear()
        (kept,) = client._pool._idle  # type: ignore[attr-defined]
        wait_until(lambda kept=kept: not kept.fit(), what="it has come here")
    assert gateway.spoken == ["h2"] * 3
    assert client.retries.retries == 0


def test_a_request_that_is_turned_away_is_tried_again(
    server: Provider, gateway: H2Gateway, client: Client
):
    gateway.reset = 1
    assert b"[DONE]" in ask(client)
    assert client.retries.retries == 1
    assert len(server.seen) == 1


def test_what_is_no_http_2_is_an_error_of_ours(gateway: H2Gateway, client: Client):
    gateway.garble = True
    with pytest.raises(ProviderError):
        ask(client)
    gateway.garble = False
    assert b"[DONE]" in ask(client)


def test_a_full_pool_is_waited_for_no_longer_than_a_connection(
    server: Provider, gateway: H2Gateway
):
    one = Client(
        f"https://localhost:{gateway.port}/v1", "", connect_timeout_s=0.3, connections=1, http2=True
    )
    ask(one)
    with (
        one.post("audio/speech", deadline=Deadline(10), json=SPEECH),
        pytest.raises(ProviderError, match="PoolTimeout"),
    ):
        ask(one, in_s=5.0)
