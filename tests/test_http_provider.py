"""The client of all HTTP providers, against servers that drip, lie, vanish and send bombs."""

from __future__ import annotations

import email.utils
import gzip
import logging
import socket
import threading
from collections.abc import Iterator

import pytest

from tests.provider import Plan, Provider
from workers.http_provider import Deadline, ProviderError, parse_json
from workers.http_provider import Provider as Client

KEY = "sk-canary-4271"
OK = b"HTTP/1.1 200 OK\r\n"
FOREVER = 1_000_000
SPEECH = {"model": "m", "voice": "v", "input": "hello"}


HTTP2 = False  # True: httpcore serves, in HTTP/1.1 where there is no TLS


@pytest.fixture(params=["http1", "httpcore"], autouse=True)
def served_by(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of it holds for either way to speak HTTP."""
    monkeypatch.setattr("tests.test_http_provider.HTTP2", request.param == "httpcore")


@pytest.fixture
def server() -> Iterator[Provider]:
    with Provider() as one:
        yield one


def client(url: str, connections: int = 8) -> Client:
    return Client(url, KEY, connect_timeout_s=1.0, connections=connections, http2=HTTP2)


def ask(one: Client, in_s: float = 5.0, first_s: float | None = None, body: str = "hi") -> bytes:
    deadline = Deadline(in_s)
    json = {"model": "m", "messages": [{"role": "user", "content": body}]}

    def attempt() -> bytes:
        with one.post("chat/completions", deadline=deadline, first_s=first_s, json=json) as answer:
            return b"".join(answer.pieces(1_000_000))

    return one.retrying(deadline, attempt)


# -- nothing lasts for ever


@pytest.mark.parametrize(
    ("head", "drop"),
    [
        (b"", b"H"),
        (OK + b"X-Endless: ", b"x"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n5;", b"x"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
        (OK + b"Content-Length: 1000000\r\n\r\n", b"x"),
        (OK + b"\r\n", b"x"),
    ],
    ids=["status", "header", "interim", "chunk extension", "chunks", "length", "until closed"],
)
def test_an_answer_that_drips_ends_with_the_deadline(
    server: Provider, head: bytes, drop: bytes
) -> None:
    server.plan.wire, server.plan.gap_s = [head or drop] + [drop] * FOREVER, 0.05
    with pytest.raises(ProviderError):
        ask(client(server.url), in_s=0.4)


def test_a_server_that_reads_nothing_is_given_up_at_the_deadline() -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        one = client(f"http://127.0.0.1:{deaf.getsockname()[1]}/v1")
        with pytest.raises(ProviderError, match="in time"):
            ask(one, in_s=0.4, body="x" * 20_000_000)


def test_a_server_that_never_answers_is_given_up_at_the_first_bytes_own_limit(
    server: Provider,
) -> None:
    server.plan.first_delay_s = 30.0
    with pytest.raises(ProviderError, match="in time"):
        ask(client(server.url), in_s=3600.0, first_s=0.2)
    assert len(server.seen) == 1


def test_a_full_pool_is_waited_for_no_longer_than_a_connection(server: Provider) -> None:
    one = client(server.url, connections=1)
    held = one.post("audio/speech", deadline=Deadline(5), json=SPEECH)
    with held, pytest.raises(ProviderError, match="PoolTimeout"):
        ask(one, in_s=0.3)


# -- what may be read


def test_a_compressed_bomb_is_neither_asked_for_nor_opened(server: Provider) -> None:
    bomb = gzip.compress(bytes(1_000_000))
    head = OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb)
    server.plan.wire = [head + bomb]
    with pytest.raises(ProviderError, match="compressed"):
        ask(client(server.url))
    assert server.seen[0].headers["accept-encoding"] == "identity"


def test_what_is_not_http_is_not_asked_again(server: Provider) -> None:
    server.plan.wire = [b"220 smtp.example ESMTP\r\n\r\n"]
    with pytest.raises(ProviderError, match="not HTTP"):
        ask(client(server.url))
    assert len(server.seen) == 1


def test_a_redirect_takes_the_key_nowhere(server: Provider) -> None:
    with Provider() as elsewhere:
        server.plan.wire = [
            b"HTTP/1.1 307 Temporary Redirect\r\nContent-Length: 0\r\nLocation: "
            + elsewhere.url.encode() + b"/chat/completions\r\n\r\n"
        ]  # fmt: skip
        with pytest.raises(ProviderError, match="status 307"):
            ask(client(server.url))
        assert elsewhere.connections == 0


@pytest.mark.parametrize("status", [204, 206, 304])
def test_an_answer_that_is_none_is_told_by_its_status(server: Provider, status: int) -> None:
    server.plan.wire = [b"HTTP/1.1 %d Odd\r\n\r\n" % status]
    with pytest.raises(ProviderError, match=f"status {status}"):
        ask(client(server.url))
    assert len(server.seen) == 1


@pytest.mark.parametrize(
    "text",
    [b"", b"NaN", b"-Infinity", b"1e999", b'{"a": [1, -1e400]}', b"<html>", b'{"a": 1',
     b"[" * 100_000, b'{"a":' * 100_000, b"9" * 5000, b"\xff", b"{} {}"],
)  # fmt: skip
def test_what_is_no_json_is_refused_without_being_told(text: bytes) -> None:
    with pytest.raises(ProviderError) as caught:
        parse_json(text)
    assert len(str(caught.value)) < 50


# -- retries


@pytest.mark.parametrize("asked", ["0", "0.05", "soon", "", "-1", "nan", "past",
                                   "Tue, 14 Nov 2023 22:13:20 +999999999999999",
                                   "Tue, 14 Nov 99999999999 22:13:20 GMT"])  # fmt: skip
def test_a_provider_that_wants_a_short_pause_gets_it(server: Provider, asked: str) -> None:
    server.plan.statuses = [429]
    server.plan.retry_after = email.utils.formatdate(0, usegmt=True) if asked == "past" else asked
    assert ask(client(server.url))
    assert len(server.seen) == 2


@pytest.mark.parametrize("asked", ["6", "7200", "1e99", "inf", "Wed, 01 Jan 2300 00:00:00 GMT"])
def test_a_provider_that_wants_a_longer_pause_than_there_is_time_is_left_alone(
    server: Provider, asked: str
) -> None:
    server.plan.statuses, server.plan.retry_after = [429] * 9, asked
    with pytest.raises(ProviderError, match="status 429"):
        ask(client(server.url), in_s=5.0)
    assert len(server.seen) == 1


def test_a_connection_that_the_server_closed_meanwhile_is_made_anew(server: Provider) -> None:
    server.script = [Plan(wire=[OK + b"Content-Length: 2\r\n\r\nhi"]), Plan(wire=[]), Plan()]
    one = client(server.url)
    assert ask(one) == b"hi"
    assert b"[DONE]" in ask(one)  # closed without a byte at first
    assert len(server.seen) == 3


# -- one client, many calls


def test_an_answer_left_half_read_gives_its_connection_back(server: Provider) -> None:
    one = client(server.url, connections=1)
    with one.post("audio/speech", deadline=Deadline(5), json=SPEECH) as answer:
        next(answer.pieces(100_000))
    assert b"[DONE]" in ask(one)


def test_refusals_keep_the_connection(server: Provider) -> None:
    server.plan.statuses = [503, 503]
    ask(client(server.url))
    assert (len(server.seen), server.connections) == (3, 1)


def test_a_request_that_stalls_holds_up_none_of_its_neighbours(server: Provider) -> None:
    # Given one of eight requests at once, all of one client, gets a first byte and no more
    server.script = [Plan(wire=[OK + b"\r\nx", b""], gap_s=30.0)]
    one = client(server.url)
    failed: list[str] = []
    answered: list[bytes] = []

    def call(in_s: float) -> None:
        try:
            answered.append(ask(one, in_s))
        except ProviderError as error:
            failed.append(str(error))

    stalled = threading.Thread(target=call, args=(1.0,))
    stalled.start()
    while not server.seen:
        stalled.join(0.01)
    # If the others ask meanwhile
    threads = [threading.Thread(target=call, args=(20.0,)) for _ in range(7)]
    for thread in threads:
        thread.start()
    for thread in [*threads, stalled]:
        thread.join(30)
    # I expect theirs to be answered, and one to fail
    assert len(answered) == 7
    assert failed == ["the answer broke off: nothing came in time"]


# -- addresses and secrets


def test_the_environments_proxy_is_used(server: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", server.url.removesuffix("/v1"))
    monkeypatch.setenv("no_proxy", "")
    assert b"[DONE]" in ask(client("http://provider.invalid/v1"))
    assert server.seen[0].path == "http://provider.invalid/v1/chat/completions"
    monkeypatch.setenv("no_proxy", "provider.invalid")
    with pytest.raises(ProviderError, match="can't connect"):
        ask(client("http://provider.invalid/v1"), in_s=0.3)


@pytest.mark.parametrize(
    "url", ["", "provider.example/v1", "ftp://h/v1", "http://", "http://h:port/v1"]
)
def test_what_is_no_url_is_refused_at_the_start(url: str) -> None:
    with pytest.raises(ValueError, match="URL"):
        client(url)


@pytest.mark.parametrize("key", ["sk-canary\nX-Injected: 1", "sk-canary-ключ"])
def test_a_key_that_no_header_can_carry_is_refused_without_being_told(key: str) -> None:
    with pytest.raises(ValueError, match="key") as caught:
        Client("http://127.0.0.1/v1", key, connect_timeout_s=1.0)
    assert "canary" not in str(caught.value)


def test_no_log_and_no_error_tells_key_query_or_words(
    server: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    one = client(server.url + "?token=canary-of-the-url")
    with pytest.raises(ProviderError) as caught:
        ask(one, body="canary of the caller")
    assert server.seen[0].path == "/v1/chat/completions?token=canary-of-the-url"
    assert server.seen[0].headers["authorization"] == f"Bearer {KEY}"
    ask(client(server.url), body="canary of the caller")
    assert caplog.records or not HTTP2  # httpcore tells of each step
    assert "canary" not in caplog.text + str(caught.value)
