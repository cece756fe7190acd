"""Redis by TLS, through a proxy that ends it: who is trusted, and what is said when it fails."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from eslbot.switch.caller import Caller, Keys
from tests.conftest import RedisServer
from tests.house import ROOT, House, until
from tests.tls import Authority, TlsProxy
from workers import streams
from workers.settings import Settings, SettingsError, load


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ours"))


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("other"))


@pytest.fixture(scope="module")
def server(authority: Authority) -> tuple[Path, Path]:
    return authority.issue("server")


@pytest.fixture
def proxy(shared_redis: RedisServer, server: tuple[Path, Path]) -> Iterator[TlsProxy]:
    with TlsProxy(shared_redis.port, server) as one:
        yield one


def settings(proxy: TlsProxy, scheme: str = "rediss", host: str = "localhost", **files: Any):
    given = {f"ESLBOT_REDIS_{name.upper()}_FILE": str(path) for name, path in files.items()}
    return load({"REDIS_URL": f"{scheme}://:canary@{host}:{proxy.port}/0", **given})


def reached(one: Settings, within_s: float = 10) -> redis.Redis:
    client = streams.connect(one.redis, 2.0, 2, one.redis_tls)
    streams.wait_for_redis(client, within_s)
    return client


@pytest.fixture
def login(shared_redis: RedisServer) -> Iterator[None]:
    """The shared Redis asks for a password, so that none goes out by chance."""
    client = shared_redis.client(2)
    client.config_set("requirepass", "canary")
    yield
    with_password = redis.Redis(port=shared_redis.port, password="canary")
    with_password.config_set("requirepass", "")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_with_the_right_authority_redis_is_reached(login, proxy, authority, host):
    client = reached(settings(proxy, host=host, ca=authority.cert))
    client.set("eslbot:bot:x", "1", ex=5)
    assert client.get("eslbot:bot:x") == b"1"


def test_a_redis_that_asks_for_a_certificate_is_given_ours(login, shared_redis, server, authority):
    cert, key = authority.issue("client")
    with TlsProxy(shared_redis.port, server, clients=authority.cert) as proxy:
        assert reached(settings(proxy, ca=authority.cert, cert=cert, key=key)).ping()


def refused(one: Settings, proxy: TlsProxy, within_s: float = 0) -> str:
    """What the operator is told; the password was not sent, and is not told either."""
    with pytest.raises(redis.ConnectionError) as caught:
        reached(one, within_s)
    told = streams.plain(caught.value)
    assert "canary" not in told
    assert b"canary" not in proxy.received
    return told


def test_another_authority_is_refused(proxy: TlsProxy, other: Authority):
    assert "certificate verify failed" in refused(settings(proxy, ca=other.cert), proxy, 2.0)
    assert proxy.connections == 1  # it will not become right by waiting


def test_with_a_file_of_ours_the_systems_authorities_do_not_count(
    proxy: TlsProxy, authority: Authority, other: Authority, monkeypatch: pytest.MonkeyPatch
):
    # Given a system that trusts whoever signed for this Redis
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.cert))
    assert reached_without_login(settings(proxy))
    # If another one is named, I expect that alone to count
    assert "certificate verify failed" in refused(settings(proxy, ca=other.cert), proxy)


def reached_without_login(one: Settings) -> bool:
    client = streams.connect(one.redis.replace(":canary@", ""), 2.0, 2, one.redis_tls)
    return bool(client.ping())


def test_without_a_file_a_private_authority_is_refused(proxy: TlsProxy):
    assert "certificate verify failed" in refused(settings(proxy), proxy)


def test_another_hosts_certificate_is_refused(shared_redis, authority):
    with TlsProxy(shared_redis.port, authority.issue("elsewhere", "DNS:redis.example")) as proxy:
        told = refused(settings(proxy, ca=authority.cert), proxy)
    assert "Hostname mismatch" in told


def test_a_certificate_that_has_expired_is_refused(shared_redis, authority):
    with TlsProxy(shared_redis.port, authority.issue("expired", days=-1)) as proxy:
        assert "has expired" in refused(settings(proxy, ca=authority.cert), proxy)


@pytest.mark.parametrize("kind", ["missing", "expired", "foreign"])
def test_without_a_good_certificate_of_ours_a_redis_that_asks_refuses(
    shared_redis, server, authority, other, kind
):
    pair = {"missing": None, "expired": authority.issue("gone", days=-1),
            "foreign": other.issue("foreign")}[kind]  # fmt: skip
    files = {} if pair is None else {"cert": pair[0], "key": pair[1]}
    with TlsProxy(shared_redis.port, server, clients=authority.cert) as proxy:
        told = refused(settings(proxy, ca=authority.cert, **files), proxy)
    # Why is told by an alert, unless the connection's end has overtaken it.
    assert "ALERT" in told or "ESLBOT_REDIS_CERT_FILE" in told


def test_plain_text_to_the_port_of_tls_is_refused(proxy: TlsProxy):
    with pytest.raises(redis.RedisError) as caught:
        reached(settings(proxy, scheme="redis"), 0)
    assert "rediss://" in streams.plain(caught.value)


def test_tls_to_a_redis_without_it_is_refused(shared_redis: RedisServer):
    one = load({"REDIS_URL": f"rediss://localhost:{shared_redis.port}/0"})
    with pytest.raises(redis.RedisError) as caught:
        reached(one, 0)
    assert "does this Redis speak TLS?" in streams.plain(caught.value)


# -- settings that can't be used are named at the start


def test_a_setting_that_can_not_be_used_is_named(tmp_path: Path, authority: Authority, server):
    cert, key = server
    text = tmp_path / "text.pem"
    text.write_text("no certificate")
    url = {"REDIS_URL": "rediss://redis.example/0"}
    named = {
        "ESLBOT_REDIS_CA_FILE: /nowhere.crt: No such file or directory":
            url | {"ESLBOT_REDIS_CA_FILE": "/nowhere.crt"},
        f"ESLBOT_REDIS_CA_FILE: {text}: not PEM": url | {"ESLBOT_REDIS_CA_FILE": str(text)},
        "ESLBOT_REDIS_KEY_FILE: is not set, but ESLBOT_REDIS_CERT_FILE is":
            url | {"ESLBOT_REDIS_CERT_FILE": str(cert)},
        "ESLBOT_REDIS_CERT_FILE: is not set, but ESLBOT_REDIS_KEY_FILE is":
            url | {"ESLBOT_REDIS_KEY_FILE": str(key)},
        "ESLBOT_REDIS_CERT_FILE: /nowhere.crt: No such file":
            url | {"ESLBOT_REDIS_CERT_FILE": "/nowhere.crt", "ESLBOT_REDIS_KEY_FILE": str(key)},
        "ESLBOT_REDIS_KEY_FILE: /nowhere.key: No such file":
            url | {"ESLBOT_REDIS_CERT_FILE": str(cert), "ESLBOT_REDIS_KEY_FILE": "/nowhere.key"},
        "ESLBOT_REDIS_CERT_FILE, ESLBOT_REDIS_KEY_FILE: ":
            url | {"ESLBOT_REDIS_CERT_FILE": str(authority.cert),
                   "ESLBOT_REDIS_KEY_FILE": str(key)},
        "ESLBOT_REDIS_CA_FILE: is set, but REDIS_URL is not rediss://":
            {"REDIS_URL": "redis://redis.example", "ESLBOT_REDIS_CA_FILE": str(authority.cert)},
        "REDIS_URL: ssl_cert_reqs stands in it":
            {"REDIS_URL": "rediss://redis.example/0?ssl_cert_reqs=none"},
    }  # fmt: skip
    for cause, environ in named.items():
        with pytest.raises(SettingsError) as caught:
            _ = load(environ).redis_tls
        assert str(caught.value).startswith(cause)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("module", [["eslbot", "serve"], ["workers", "llm"], ["eslbot", "check"],
                                    ["eslbot", "call", "--keys", "0"],
                                    ["eslbot", "chaos", "report"]])  # fmt: skip
def test_every_process_says_so_in_one_line(module: list[str], tmp_path: Path):
    run = subprocess.run(
        [sys.executable, "-m", *module],
        cwd=ROOT, capture_output=True, text=True, timeout=60,
        env={"REDIS_URL": "rediss://localhost:1/0", "ESLBOT_REDIS_CA_FILE": "/nowhere.crt",
             "ESLBOT_STATE_DIR": str(tmp_path)},
    )  # fmt: skip
    assert run.returncode == 2
    (line,) = run.stderr.splitlines()
    assert "ESLBOT_REDIS_CA_FILE: /nowhere.crt: No such file or directory" in line


# -- and in earnest


def test_a_whole_call_with_all_of_redis_by_tls(
    tmp_path: Path, server: tuple[Path, Path], authority: Authority
):
    cert, key = authority.issue("house")
    house = House(tmp_path, tmp_path / "state")
    with TlsProxy(house.redis.port, server, clients=authority.cert) as proxy:
        house.environ |= {
            "REDIS_URL": f"rediss://localhost:{proxy.port}/0",
            "ESLBOT_REDIS_CA_FILE": str(authority.cert),
            "ESLBOT_REDIS_CERT_FILE": str(cert),
            "ESLBOT_REDIS_KEY_FILE": str(key),
        }
        try:
            house.start_all()
            call = house.dial(variables={"ai_intent": "balance"})
            caller = Caller(call)
            caller.wait_bot()
            caller.do(Keys("4271#"))
            until(lambda: "one hundred and twenty" in house.said(call), 15, "the answer")
            call.hangup()
        finally:
            house.stop()
    assert b"one hundred and twenty" in proxy.received
