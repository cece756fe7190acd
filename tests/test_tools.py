"""Tools at work: what is sent and asked again, what fails, and what is said of it.

The servers are real ones on loopback.
"""

from __future__ import annotations

import json
import re
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from eslbot.examples.backend import Backend
from tests import acting_bot
from workers.acting import Result, ToolCall, carried_out
from workers.bot import Bot
from workers.dialog import Outcome, handle
from workers.messages import Decision, DialogState
from workers.settings import Settings
from workers.tools.runner import Runner


@pytest.fixture
def backend() -> Iterator[Backend]:
    with acting_bot.backend() as server:
        yield server


@pytest.fixture
def bot(tmp_path: Path, backend: Backend) -> Bot:
    return acting_bot.bot(tmp_path, backend.url)


def runner(**settings: Any) -> Runner:
    return Runner(Settings(**settings), None)


class Wire:
    """A server of so many bytes: it counts connections, reads a request and answers as it is told.

    None: it never answers. b"": it closes after the request.
    """

    def __init__(self, *answers: bytes | None) -> None:
        self.requests: list[bytes] = []
        self._answers = list(answers)
        self._over = threading.Event()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                sock, _ = self._listening.accept()
            except OSError:
                return
            with sock:
                sock.settimeout(10)
                request = _request(sock)
                if b" HTTP/1.1\r\n" not in request:
                    continue  # somebody looks for another server that had this port
                self.requests.append(request)
                answer = self._answers.pop(0) if self._answers else b""
                if answer is None:
                    self._over.wait(20)
                elif answer:
                    sock.sendall(answer)

    def close(self) -> None:
        self._over.set()
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join(5)


def _request(sock: socket.socket) -> bytes:
    """All of one request."""
    got = b""
    while True:
        got += (piece := sock.recv(65536))
        head, ends, body = got.partition(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head.lower())
        other = b" HTTP/1.1\r\n" not in got and b"\r\n" in got
        if not piece or other or (ends and len(body) >= (int(length[1]) if length else 0)):
            return got


@pytest.fixture
def wire() -> Iterator[Callable[..., Wire]]:
    made: list[Wire] = []

    def make(*answers: bytes | None) -> Wire:
        made.append(Wire(*answers))
        return made[-1]

    yield make
    for one in made:
        one.close()


def http(status: str, body: bytes = b"{}", headers: bytes = b"") -> bytes:
    length = b"Content-Length: %d\r\nConnection: close\r\n" % len(body)
    return b"HTTP/1.1 " + status.encode() + b"\r\n" + length + headers + b"\r\n" + body


# -- the server


def test_a_balance_by_tool(bot: Bot):
    result = runner().run(bot, "customer", {"account": "4271"}, "k", "en")
    assert (result.status, result.code) == ("ok", 200)
    assert result.said["balance"] == "120 dollars and 50 cents"


def test_a_secret_is_sent_and_a_missing_one_is_no_request(tmp_path: Path, backend: Backend):
    backend.token = "canary"
    ours = acting_bot.bot(tmp_path, backend.url, customer={"secret": "crm"})
    assert runner().missing(ours) == ["crm"]
    assert runner().run(ours, "customer", {"account": "4271"}, "", "en").status == "no secret"
    (tmp_path / "s").write_text("crm=canary\n")
    found = runner(tool_secrets_file=str(tmp_path / "s"))
    assert found.run(ours, "customer", {"account": "4271"}, "", "en").ok


def test_a_refusal_with_a_phrase_is_a_no_and_closes_nothing(bot: Bot):
    one = runner(breaker_failures=1)
    assert one.run(bot, "customer", {"account": "0000"}, "", "en").status == "no"
    assert one.run(bot, "customer", {"account": "4271"}, "", "en").ok


@pytest.mark.parametrize(
    "given", [{"account": "x"}, {}, {"account": "4271", "url": "http://h"}, []]
)
def test_a_bad_call_is_not_sent(tmp_path: Path, wire: Callable[..., Wire], given: object):
    server = wire()
    ours = acting_bot.bot(tmp_path, server.url)
    assert runner().run(ours, "customer", given, "", "en").status == "bad arguments"
    assert server.requests == []


GOOD = json.dumps({"balance": "1.00", "due": "2026-12-03"}).encode()


def test_what_is_idempotent_is_asked_again(tmp_path: Path, wire: Callable[..., Wire]):
    server = wire(b"", http("503 Busy"), http("200 OK", GOOD))
    ours = acting_bot.bot(tmp_path, server.url)
    assert runner(retry_percent=100).run(ours, "customer", {"account": "4271"}, "", "en").ok
    assert len(server.requests) == 3


@pytest.mark.parametrize("answer", [b"", http("503 Busy"), http("200 OK", b"<html>"), None])
def test_what_can_not_be_asked_twice_goes_out_once(
    tmp_path: Path, wire: Callable[..., Wire], answer: bytes | None
):
    server = wire(answer, answer, answer)
    ours = acting_bot.bot(tmp_path, server.url, pay={"timeout_ms": "1000"})
    result = runner(retry_percent=100).run(ours, "pay", {"account": "4271"}, "key-1", "en")
    assert result.status == "unknown"
    (request,) = server.requests
    assert b"Idempotency-Key: key-1" in request
    assert request.endswith(b'{"account":"4271","amount":"20.00"}')


def test_where_nothing_went_out_it_is_tried_again(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        ours = acting_bot.bot(tmp_path, f"http://127.0.0.1:{free.getsockname()[1]}")
        result = runner(retry_percent=100).run(ours, "pay", {"account": "4271"}, "k", "en")
    assert result.status == "failed"
    assert "can't connect" in caplog.text
    assert "4271" not in caplog.text


@pytest.mark.parametrize(
    "answer",
    [
        http("302 Found", b"", b"Location: http://127.0.0.1:1/\r\n"),
        http("200 OK", b"x" * 300_000),
        http("200 OK", b"[" * 50_000),
        http("200 OK", b'{"balance": NaN, "due": "2026-12-03"}'),
        http("200 OK", b'{"balance": "1.00"}'),
        http("200 OK", GOOD, b"Content-Encoding: gzip\r\n"),
        http("204 No Content", b""),
        b"SMTP ready\r\n",
    ],
    ids=["redirect", "long", "deep", "NaN", "field missing", "compressed", "empty", "no HTTP"],
)
def test_an_answer_that_is_none_is_a_failure(
    tmp_path: Path, wire: Callable[..., Wire], answer: bytes
):
    server = wire(answer)
    ours = acting_bot.bot(tmp_path, server.url)
    result = runner(retry_percent=0).run(ours, "customer", {"account": "4271"}, "", "en")
    assert result.status == "failed"
    assert not result.said


def test_a_server_that_fails_is_left_alone_until_its_breaker_lets_one_try(
    tmp_path: Path, wire: Callable[..., Wire]
):
    server = wire(b"", b"", http("200 OK", GOOD), http("200 OK", GOOD))
    ours = acting_bot.bot(tmp_path, server.url, customer={"idempotent": "false"})
    one = runner(retry_percent=0, breaker_failures=2, breaker_open_ms=100)

    def status() -> str:
        return one.run(ours, "customer", {"account": "4271"}, "", "en").status

    assert [status(), status()] == ["unknown", "unknown"]
    seen = []
    while "ok" not in seen:
        seen.append(status())
    assert set(seen) <= {"breaker open", "ok"}
    assert len(server.requests) == 3
    assert status() == "ok"


# -- what is said of it


def acted(bot: Bot, result: Result | None, **slots: str) -> tuple[ToolCall, Outcome]:
    """The balance, asked for with these slots, and this result."""
    acting = carried_out(bot, handle(bot, DialogState(slots=slots), "balance"))
    call = next(acting)
    assert isinstance(call, ToolCall)
    try:
        acting.send(result)
    except StopIteration as end:
        return call, end.value
    raise AssertionError("it goes on")


def test_an_intent_says_what_its_tool_found(bot: Bot):
    said = {"balance": "5 dollars", "due": "Thursday, December 3"}
    call, outcome = acted(bot, Result("ok", said, said), account="4271")
    assert (call.tool, call.arguments) == ("customer", {"account": "4271"})
    assert outcome.say[0] == "Account 4 2 7 1 owes 5 dollars, due on Thursday, December 3."
    assert outcome.decision.action == "none"
    assert outcome.decision.state.intent is None


@pytest.mark.parametrize("status", ["failed", "unknown", "breaker open", "no secret"])
def test_a_tool_that_fails_leads_to_the_intents_destination(bot: Bot, status: str):
    _, outcome = acted(bot, Result(status), account="4271")
    assert outcome.say[0] == "I can't look that up right now."
    assert (outcome.decision.action, outcome.decision.destination) == ("transfer", "billing")


def test_without_a_runner_it_failed(bot: Bot):
    assert acted(bot, None, account="4271")[1].decision.action == "transfer"


def test_a_refusal_asks_for_the_slot_again_and_at_last_for_a_person(bot: Bot):
    _, outcome = acted(bot, Result("no", code=404), account="0000")
    assert outcome.say == ("There is no such account.", "What is your account number?")
    state = outcome.decision.state
    assert (state.intent, state.asked, "account" in state.slots) == ("balance", "account", False)
    for _ in range(bot.max_misses):
        assert outcome.decision.action == "none"
        wanted = Decision(
            DialogState("balance", {"account": "0000"}, None, outcome.decision.state.misses), "tool"
        )
        acting = carried_out(bot, Outcome((), wanted))
        next(acting)
        with pytest.raises(StopIteration) as end:
            acting.send(Result("no", code=404))
        outcome = end.value.value
    assert outcome.decision.destination == "billing"


def test_the_same_call_is_the_same_act(bot: Bot):
    one, other = ToolCall("pay", {"a": "1", "b": "2"}), ToolCall("pay", {"b": "2", "a": "1"})
    assert one.act == other.act
    assert one.act != ToolCall("pay", {"a": "1", "b": "3"}).act
