"""Tools: their definition, what gets into a request, and what comes out of an answer."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests import acting_bot
from workers.bot import BotError
from workers.bot.tools import Tool
from workers.tools.request import build
from workers.tools.runner import SecretsError, read_secrets
from workers.tools.values import BadArguments, arguments, results


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
    said, plain = results(one, answer, "en", "2026-11-21")
    assert said == {
        "owed": "120 dollars and 50 cents",
        "day": "Thursday, the third of December",
        "at": "9 o'clock in the morning and 2 30 in the afternoon",
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
