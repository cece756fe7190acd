"""Tools: their definition, what gets into a request, what comes out of an answer, and failures.

The servers are real ones on loopback.
"""

from __future__ import annotations

import json
import re
import socket
import threading
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from eslbot.examples.backend import Backend
from eslbot.examples.records import Records
from tests import acting_bot
from workers.acting import Result, ToolCall, carried_out
from workers.bot import Bot, BotError
from workers.bot.tools import Tool
from workers.dialog import Outcome, handle
from workers.messages import Decision, DialogState
from workers.settings import Settings
from workers.tools.request import build
from workers.tools.runner import Runner, SecretsError, read_secrets
from workers.tools.values import BadArguments, arguments, results


@pytest.fixture
def backend() -> Iterator[Backend]:
    with Backend(Records(date(2026, 11, 23))) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join(5)


@pytest.fixture
def bot(tmp_path: Path, backend: Backend) -> Bot:
    return acting_bot.bot(tmp_path, backend.url)


def runner(**settings: Any) -> Runner:
    return Runner(Settings(**settings), None)


def tool(**changes: Any) -> Tool:
    given = {
        "description": "d",
        "url": "http://host/a/{word}?q={query}",
        "arguments": {
            "word": {"type": "text"},
            "query": {"type": "text", "default": "none"},
        },
        "on_error": "sorry",
    }
    return Tool.model_validate(given | changes)


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
                self.requests.append(_request(sock))
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
        if not piece or (ends and len(body) >= (int(length[1]) if length else 0)):
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


# -- the definition


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"url": "ftp://host/x"}, "url"),
        ({"url": "http://{account}/x"}, "host"),
        ({"url": "http://a{account}.host/x"}, "host"),
        ({"url": "http://host:{account}/x"}, "url"),
        ({"url": "http://me:secret@host/{account}"}, "secret"),
        ({"url": "http://host/{account}#x"}, "fragment"),
        ({"url": "http://host/{account.x}"}, "placeholder"),
        ({"url": "http://host/{number}"}, "number"),
        ({"headers": {"Host": "other"}}, "Host"),
        ({"headers": {"X-A": "{account}"}}, "X-A"),
        ({"headers": {"X-A": "{secret}"}}, "secret"),
        ({"headers": {"X A": "b"}}, "headers"),
        ({"body": {"a": "b"}}, "GET"),
        ({"timeout_ms": "60000"}, "timeout_ms"),
        ({"timeout": "60"}, "timeout"),
        ({"arguments": {"account": {"type": "number"}}}, "type"),
        ({"arguments": {"account": {"type": "digits", "required": "no"}}}, "required"),
        ({"arguments": {"account": {"type": "digits"}, "more": {"type": "text"}}}, "more"),
        ({"keep": {"account": "nothing"}}, "nothing"),
        ({"errors": {"500": {"say": "x"}}}, "errors"),
        ({"errors": {"404": {"say": "x", "ask": "no_slot"}}}, "no_slot"),
        ({"say": "{nothing}"}, "nothing"),
    ],
)
def test_a_mistake_is_refused_with_its_key(tmp_path: Path, change: dict[str, Any], key: str):
    with pytest.raises(BotError, match=r"line \d+") as error:
        acting_bot.bot(tmp_path, "http://host", customer=change)
    assert key in str(error.value)
    assert "tools" in str(error.value)


def changed(folder: Path, change: Callable[[dict[str, Any]], None]) -> str:
    import yaml

    from workers.bot import load

    found = acting_bot.definition("http://host")
    change(found)
    path = folder / "bot.yaml"
    path.write_text(yaml.safe_dump(found, sort_keys=False))
    with pytest.raises(BotError) as error:
        load(path)
    return str(error.value)


def test_an_intent_and_its_tool_have_to_fit(tmp_path: Path):
    def unknown(found: dict[str, Any]) -> None:
        found["intents"]["balance"]["tool"] = "nothing"

    def no_slot(found: dict[str, Any]) -> None:
        found["intents"]["balance"]["slots"] = []
        found["intents"]["balance"]["answer"] = "x"

    def secret(found: dict[str, Any]) -> None:
        found["slots"]["account"]["secret"] = "true"
        found["intents"]["balance"]["answer"] = "x"

    def kind(found: dict[str, Any]) -> None:
        found["slots"]["account"] = {"type": "text", "ask": "a?", "variable": "ai_account"}

    def field(found: dict[str, Any]) -> None:
        found["intents"]["balance"]["answer"] = "{customer.phone}"

    def transfer(found: dict[str, Any]) -> None:
        found["intents"]["pay"]["transfer"] = "billing"

    def taken(found: dict[str, Any]) -> None:
        found["tools"]["hang_up"] = found["tools"]["pay"]

    assert "intents.balance.tool: 'nothing' is not defined" in changed(tmp_path, unknown)
    assert "needs a slot 'account'" in changed(tmp_path, no_slot)
    assert "secret slot" in changed(tmp_path, secret)
    assert "slot account is a text, its argument a digits" in changed(tmp_path, kind)
    assert "'phone' is not defined" in changed(tmp_path, field)
    assert "no transfer" in changed(tmp_path, transfer)
    assert "tools.hang_up" in changed(tmp_path, taken)


# -- what gets into a request


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ("digits", {"42-71": "4271", "42 71": "4271"}, ["", "four", "४२", 4271, True, "4" * 33]),
        ("integer", {7: 7, "-7": -7}, [7.5, "7.0", True, None, 10**13, "1e3"]),
        ("boolean", {True: True, "no": False}, ["maybe", 1, 0.0]),
        ("amount", {"12.5": "12.50", 12: "12.00"}, ["NaN", "1e400", "12.505", True, "x", "1" * 40]),
        ("date", {"2026-12-03": "2026-12-03"}, ["2026-02-30", "20261203", "tomorrow", 5]),
        ("time", {"17:30": "17:30"}, ["25:00", "5 pm", "17:30:00"]),
        ("text", {" a\nb\x00 ": "a b"}, ["", "\x00", "x" * 201, ["a"], {"a": 1}, 5]),
    ],
)
def test_an_argument_goes_out_as_its_type_or_not_at_all(
    kind: str, good: dict[Any, Any], bad: list[Any]
):
    one = tool(url="http://host/{word}", arguments={"word": {"type": kind}})
    for given, value in good.items():
        assert arguments(one, {"word": given}) == {"word": value}
        assert type(arguments(one, {"word": given})["word"]) is type(value)
    for given in bad:
        with pytest.raises(BadArguments):
            arguments(one, {"word": given})


@pytest.mark.parametrize("given", [None, [], "x", {"word": "a", "more": 1}, {"query": "q"}])
def test_extra_and_missing_arguments_are_refused(given: object):
    with pytest.raises(BadArguments):
        arguments(tool(), given)


@pytest.mark.parametrize("word", ["..", ".", "../admin", "a/b", "a\\b", "%2e%2e/x/.."])
def test_no_argument_leads_to_another_path(word: str):
    with pytest.raises(BadArguments):
        build(tool(), {"word": word, "query": "x"}, "", "")


def test_arguments_are_encoded_where_they_stand():
    odd = "a?b#c&d=e%2f @host é\u2028"
    request = build(tool(), {"word": odd, "query": "../" + odd}, "", "")
    assert request.url == (
        "http://host/a/a%3Fb%23c%26d%3De%252f%20%40host%20%C3%A9%E2%80%A8"
        "?q=..%2Fa%3Fb%23c%26d%3De%252f%20%40host%20%C3%A9%E2%80%A8"
    )


def test_a_body_is_json_whatever_is_filled_in():
    one = tool(
        method="POST",
        body={"whole": "{n}", "part": "no {n}!", "list": ["{word}"], "gone": "{maybe}"},
        url="http://host/x",
        arguments={
            "n": {"type": "integer"},
            "word": {"type": "text"},
            "maybe": {"type": "text", "required": False},
        },
    )
    request = build(one, {"n": 7, "word": '"}, {"a": "b'}, "", "key")
    assert json.loads(request.body or b"") == {
        "whole": 7, "part": "no 7!", "list": ['"}, {"a": "b'],
    }  # fmt: skip
    assert request.headers["Idempotency-Key"] == "key"


def test_a_secret_is_a_header_and_nothing_that_is_shown():
    bearer = build(tool(secret="crm"), {"word": "a", "query": "b"}, "canary", "")
    assert bearer.headers["Authorization"] == "Bearer canary"
    own = tool(secret="crm", headers={"X-Key": "k {secret}"})
    request = build(own, {"word": "a", "query": "b"}, "canary", "")
    assert request.headers["X-Key"] == "k canary"
    assert "Authorization" not in request.headers
    assert "canary" not in repr(request)


def test_secrets_come_from_a_file(tmp_path: Path):
    path = tmp_path / "secrets"
    path.write_text("# ours\n\ncrm = canary=1\n")
    assert read_secrets(str(path)) == {"crm": "canary=1"}
    for wrong in ("crm", "=x", "a b=c", "crm=", "crm=caf\u00e9"):
        path.write_text(f"\n{wrong}\n")
        with pytest.raises(SecretsError, match="line 2") as error:
            read_secrets(str(path))
        assert "caf" not in str(error.value)


# -- what comes out of an answer


def test_what_is_said_of_an_answer():
    one = tool(
        result={
            "owed": {"path": "a.0.owed", "type": "amount"},
            "day": {"path": "day", "type": "date"},
            "at": {"path": "times", "type": "time", "most": 2},
            "ref": {"path": "ref", "type": "digits"},
            "note": {"path": "no.such", "optional": True, "missing": "nothing"},
        }
    )
    answer = {
        "a": [{"owed": 120.5}],
        "day": "2026-12-03T10:00:00Z",
        "times": ["09:00", "14:30", "16:00"],
        "ref": 4271,
    }
    said, plain = results(one, answer, "en")
    assert said == {
        "owed": "120 dollars and 50 cents",
        "day": "Thursday, December 3",
        "at": "9 AM and 2 30 PM",
        "ref": "4 2 7 1",
        "note": "nothing",
    }
    assert plain["day"] == "2026-12-03"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ({"type": "amount"}, "NaN"), ({"type": "amount"}, "lots"), ({"type": "amount"}, None),
        ({"type": "date"}, "soon"), ({"type": "time"}, "9"), ({"type": "digits"}, "12a"),
        ({"type": "boolean"}, "yes"), ({"type": "integer"}, 1.5), ({}, {"a": 1}), ({}, "\x00"),
        ({}, [[1]]), ({"type": "digits"}, "1" * 40),
    ],
)  # fmt: skip
def test_what_is_not_of_its_type_is_not_said(field: dict[str, Any], value: object):
    one = tool(result={"x": {"path": "x", **field}})
    with pytest.raises(BadArguments):
        results(one, {"x": value}, "en")


def test_a_text_of_a_server_is_bounded_and_plain():
    one = tool(result={"x": {"path": "x"}})
    said, _ = results(
        one, {"x": "a\r\nEvent: b\x00 ${api} <break/> {account} \ud800" + "x" * 10**6}, "en"
    )
    assert len(said["x"]) <= 200
    assert not set(said["x"]) & set("\r\n\0{}<>")


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
