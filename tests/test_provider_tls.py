"""Providers by TLS: who is trusted, and that a key goes to nobody else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.provider import Provider
from tests.test_http_provider import KEY, ask
from tests.tls import Authority, TlsProxy
from workers.http_provider import Provider as Client
from workers.http_provider import ProviderError


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ours"))


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("other"))


@pytest.fixture
def server() -> Iterator[Provider]:
    with Provider() as one:
        yield one


def client(proxy: TlsProxy, host: str = "localhost") -> Client:
    return Client(f"https://{host}:{proxy.port}/v1", KEY, connect_timeout_s=5.0)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_an_authority_of_ones_own_is_named_in_the_environment(
    server: Provider, authority: Authority, monkeypatch: pytest.MonkeyPatch, host: str
):
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.cert))
    with TlsProxy(server.server_port, authority.issue("server")) as proxy:
        one = client(proxy, host)
        for _ in range(3):
            assert b"[DONE]" in ask(one)
        assert proxy.connections == 1
    assert server.seen[0].headers["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize("kind", ["foreign", "unknown", "elsewhere", "expired", "plain"])
def test_who_can_not_prove_to_be_the_provider_is_sent_nothing(
    server: Provider,
    authority: Authority,
    other: Authority,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
):
    pairs: dict[str, tuple[Path, Path]] = {
        "foreign": other.issue("server"),
        "unknown": authority.issue("server"),
        "elsewhere": authority.issue("elsewhere", "DNS:provider.example"),
        "expired": authority.issue("expired", days=-1),
    }
    causes = {
        "foreign": "unable to get local issuer certificate",
        "unknown": "unable to get local issuer certificate",
        "elsewhere": "Hostname mismatch",
        "expired": "certificate has expired",
        "plain": "ConnectError",
    }
    if kind != "unknown":  # there the system's authorities count, and ours is none of them
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.cert))
    with TlsProxy(server.server_port, pairs.get(kind, pairs["unknown"])) as proxy:
        if kind == "plain":
            one = Client(f"https://localhost:{server.server_port}/v1", KEY, connect_timeout_s=5.0)
        else:
            one = client(proxy)
        with pytest.raises(ProviderError, match="can't connect") as caught:
            ask(one, in_s=2.0)
        assert causes[kind] in str(caught.value)
        assert KEY not in str(caught.value)
        assert not proxy.received
        # A certificate is no better the next time.
        assert kind == "plain" or proxy.connections == 1
    assert server.seen == []
