"""A language model that calls the bot's tools: what it may, what it is told, what is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests import acting_bot
from tests.provider import Plan, Provider
from workers.acting import Result, ToolCall
from workers.bot import Bot
from workers.http_provider import Deadline
from workers.llm import openai
from workers.llm.engine import Request
from workers.llm.openai import MAX_TOOLS, REFUSED, OpenAiLlm
from workers.messages import Decision, DialogState

SAID = {"balance": "5 dollars", "due": "Thursday, December 3"}
GOOD = ("customer", '{"account": "4271"}')


@pytest.fixture
def server() -> Iterator[Provider]:
    with Provider() as one:
        yield one


@pytest.fixture
def bot(tmp_path: Path) -> Bot:
    return acting_bot.bot(tmp_path, "http://127.0.0.1:1")


def turn(
    server: Provider, bot: Bot, result: Result | None, state: DialogState | None = None
) -> tuple[str, Decision, list[ToolCall]]:
    engine = OpenAiLlm(
        server.url, "m", "", connect_timeout_s=1.0, first_token_s=5.0, token_gap_s=5.0
    )
    reply = engine.reply(Request(bot, state or DialogState(), (), "how much do I owe"), 10.0)
    said, decisions, calls = "", [], []
    sent: Result | None = None
    while True:
        try:
            piece = reply.send(sent)
        except StopIteration:
            break
        sent = None
        if isinstance(piece, ToolCall):
            calls.append(piece)
            sent = result
        elif isinstance(piece, Decision):
            decisions.append(piece)
        else:
            said += piece
    (decision,) = decisions
    return said.strip(), decision, calls


def told(server: Provider) -> list[dict[str, str]]:
    return [m for m in server.seen[-1].json["messages"] if m["role"] == "tool"]


def test_a_model_is_told_what_its_call_found(server: Provider, bot: Bot):
    server.script = [Plan(tools=[GOOD]), Plan(words=["You owe 5 dollars."])]
    said, decision, calls = turn(server, bot, Result("ok", SAID, SAID))
    assert [(c.tool, c.arguments) for c in calls] == [("customer", {"account": "4271"})]
    assert said == "You owe 5 dollars."
    assert decision.action == "none"
    (answer,) = told(server)
    assert json.loads(answer["content"]) == SAID
    assert server.faults == []


def test_only_what_can_be_asked_twice_is_offered_by_itself(server: Provider, bot: Bot):
    turn(server, bot, None)
    offered = {one["function"]["name"]: one["function"] for one in server.seen[0].json["tools"]}
    ours = {"handle_intent", "cancel_wish", "transfer", "hang_up"}
    assert set(offered) == {*ours, "customer"}
    assert offered["customer"]["parameters"]["required"] == ["account"]


@pytest.mark.parametrize(
    "call",
    [
        ("pay", '{"account": "4271"}'),
        ("no_such", "{}"),
        ("customer", '{"account": 4271}'),
        ("customer", '{"account": "4271", "url": "http://other"}'),
        ("customer", "{}"),
        ("customer", "no json"),
        ("customer", '["4271"]'),
    ],
    ids=["not offered", "unknown", "wrong type", "extra", "missing", "no JSON", "no object"],
)
def test_a_call_that_must_not_be_is_told_once_and_not_run(
    server: Provider, bot: Bot, call: tuple[str, str]
):
    server.script = [Plan(tools=[call]), Plan(tools=[call]), Plan(words=["Sorry."])]
    said, decision, calls = turn(server, bot, Result("ok", SAID, SAID))
    assert calls == []
    assert [one["content"] for one in told(server)] == [REFUSED]
    assert len(server.seen) == 2
    assert said == bot.phrases.not_understood
    assert decision.state.misses == 1


def test_a_model_that_learns_may_go_on(server: Provider, bot: Bot):
    server.script = [
        Plan(tools=[("customer", "{}")]),
        Plan(tools=[GOOD]),
        Plan(words=["5 dollars."]),
    ]
    said, _, calls = turn(server, bot, Result("ok", SAID, SAID))
    assert len(calls) == 1
    assert said == "5 dollars."


def test_of_many_calls_at_once_a_few_are_made(server: Provider, bot: Bot):
    many = [("customer", json.dumps({"account": str(n)})) for n in range(4271, 4280)]
    server.script = [Plan(tools=many), Plan(words=["Done."])]
    _, _, calls = turn(server, bot, Result("ok", SAID, SAID))
    assert len(calls) == MAX_TOOLS
    assert len(told(server)) == MAX_TOOLS


def test_the_time_that_a_tool_takes_is_not_the_models(
    server: Provider, bot: Bot, monkeypatch: pytest.MonkeyPatch
):
    made: list[Deadline] = []
    clock = SimpleNamespace(now=0.0)

    def deadline(in_s: float) -> Deadline:
        made.append(Deadline(in_s))
        return made[-1]

    def monotonic() -> float:
        clock.now += 1000.0  # so much between before and after the tool
        return clock.now

    monkeypatch.setattr(openai, "Deadline", deadline)
    monkeypatch.setattr(openai, "time", SimpleNamespace(monotonic=monotonic))
    server.script = [Plan(tools=[GOOD]), Plan(words=["You owe 5 dollars."])]
    turn(server, bot, Result("ok", SAID, SAID))
    (one,) = made
    assert one.left_s > 900


def test_a_model_that_never_stops_calling_is_stopped(server: Provider, bot: Bot):
    server.plan.tools = [GOOD]
    said, decision, calls = turn(server, bot, Result("ok", SAID, SAID))
    assert len(calls) == 3
    assert said == bot.phrases.not_understood
    assert decision.state.misses == 1


@pytest.mark.parametrize("result", [None, Result("failed"), Result("breaker open")])
def test_where_a_tool_fails_the_model_says_nothing_of_its_own(
    server: Provider, bot: Bot, result: Result | None
):
    server.script = [Plan(tools=[GOOD]), Plan(words=["You owe a million."])]
    said, decision, _ = turn(server, bot, result, DialogState("balance"))
    assert said.startswith("I can't look that up right now.")
    assert (decision.action, decision.destination) == ("transfer", "billing")
    assert len(server.seen) == 1


def test_a_refusal_of_the_server_is_told_in_the_bots_words(server: Provider, bot: Bot):
    server.script = [Plan(tools=[GOOD]), Plan(words=["There is none."])]
    turn(server, bot, Result("no", code=404))
    assert json.loads(told(server)[0]["content"]) == {"error": "There is no such account."}


def test_an_intent_that_a_model_chose_acts_as_any(server: Provider, bot: Bot):
    arguments = json.dumps({"intent": "pay", "slots": {"account": "4271"}})
    server.plan.tools = [("handle_intent", arguments)]
    said, _, calls = turn(server, bot, Result("ok", {"left": "1 dollar"}, {"left": "1.00"}))
    assert [(c.tool, c.arguments) for c in calls] == [("pay", {"account": "4271"})]
    assert "1 dollar are left" in said
