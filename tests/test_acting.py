"""The listener's part in a tool's call: when it may run, how often, and what waits meanwhile."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import redis

from eslbot.acting import proceed, worked
from eslbot.ladder import Climb
from eslbot.turn import Turn
from tests import acting_bot
from tests.test_ladder import Notes
from workers import jobs, streams
from workers.acting import Result, ToolCall
from workers.messages import DialogState, Proceed, Worked, Working
from workers.messages import Turn as TurnMessage
from workers.wire import Wire


class Told:
    """One turn of a bot with tools, and what workers say to it."""

    def __init__(self, folder: Path) -> None:
        self.notes = Notes(acting_bot.bot(folder, "http://127.0.0.1:1"))
        self.notes.uuid = "call"  # type: ignore[attr-defined]
        message = TurnMessage("call", 7, "out", "sha", 60, 20, state=DialogState())
        self.turn = Turn(message, self.notes)  # type: ignore[arg-type]
        self.climb = Climb(self.notes, self.turn)  # type: ignore[arg-type]
        self.turn.open()
        self.turn.recognised("pay")
        self.climb.begin()

    def ask(self, tool: str, attempt: int = 0, act: str = "act") -> Proceed:
        asked = Working(tool, f"{act} of {tool}")
        assert self.climb.takes(attempt, asked)
        proceed(self.notes, self.turn, self.climb, attempt, asked)  # type: ignore[arg-type]
        self.climb.progress(asked)
        word = self.notes.fed[-1][2]
        assert isinstance(word, Proceed)
        return word


@pytest.fixture
def told(tmp_path: Path) -> Told:
    return Told(tmp_path)


def test_all_that_waits_for_the_answer_waits_for_the_tool(told: Told):
    before = {name: told.notes.timers[name][0] for name in ("deadline", "budget llm")}
    word = told.ask("customer")
    assert (word.go, word.attempt, word.key) == (True, 0, "call-7")
    for name, at in before.items():
        assert told.notes.timers[name][0] == at + 2.0


def test_the_tools_own_filler_is_the_next_one(told: Told):
    told.notes.ring("filler")
    told.ask("customer")
    told.notes.ring("filler")
    told.notes.ring("filler")
    assert told.notes.said == ["One moment, please.", "Let me look that up.", "Just a moment more."]


def test_the_callers_words_end_no_turn_that_pays(told: Told):
    told.ask("customer")
    assert not told.turn.acting
    told.ask("pay")
    assert told.turn.acting
    worked(told.notes, told.turn, Worked("pay", "ok", 201, 40))  # type: ignore[arg-type]
    assert not told.turn.acting


def test_a_turn_whose_worker_is_gone_pays_no_more_and_the_caller_may_end_it(told: Told):
    told.ask("pay")
    told.turn.again("tts", 0)
    assert told.turn.acting
    told.turn.again("llm", 0)
    assert not told.turn.acting


@pytest.mark.parametrize(("tool", "again"), [("customer", True), ("pay", False)])
def test_another_attempt_may_look_up_again_and_not_pay_again(told: Told, tool: str, again: bool):
    first = told.ask(tool)
    told.turn.again("llm", 0)
    second = told.ask(tool, attempt=1)
    assert (first.go, second.go, second.key) == (True, again, first.key)


@pytest.mark.parametrize(("tool", "again"), [("customer", True), ("pay", False)])
def test_in_other_words_it_may_still_be_the_same_act(told: Told, tool: str, again: bool):
    assert told.ask(tool).go
    told.turn.again("llm", 0)
    assert told.ask(tool, attempt=1, act="nearly the same act").go is again


def test_one_attempt_may_pay_two_bills(told: Told):
    assert told.ask("pay").go
    assert told.ask("pay", act="another act").go


def test_the_voice_has_so_much_longer_as_well(told: Told):
    began = time.monotonic()
    told.ask("customer")
    assert told.turn.patient_until >= began + 2.0
    worked(told.notes, told.turn, Worked("customer", "ok", 200, 40))  # type: ignore[arg-type]
    assert told.turn.patient_until == 0.0


def test_after_redis_lost_all_it_is_the_same_act(told: Told):
    first = told.ask("pay")
    told.turn.restart(8)
    second = told.ask("pay", told.turn.work["llm"].latest.number)
    assert (second.go, second.key) == (False, first.key)


def test_of_two_attempts_one_alone_gets_the_word(told: Told):
    told.turn.again("llm", 0)
    told.ask("pay", attempt=1)
    assert not told.climb.takes(0, Working("pay", "act of pay"))


def test_a_worker_heeds_the_word_for_its_own_attempt_alone(client: redis.Redis, tmp_path: Path):
    bot = acting_bot.bot(tmp_path, "http://127.0.0.1:1")
    call = ToolCall("pay", {"account": "4271"})
    turn = TurnMessage("call", 1, "out", "sha", 5.0, 5.0, attempt=1)
    ran: list[str] = []
    tools = SimpleNamespace(run=lambda *given: ran.append(given[3]) or Result("ok"))
    context: Any = SimpleNamespace(client=client, stage="llm", tools=tools)
    with Wire(client) as wire:
        line = jobs.Line(context, turn, wire)
        for attempt, act, go in ((0, call.act, True), (1, "another act", True),
                                 (1, call.act, False)):  # fmt: skip
            streams.feed(client, turn, "llm", Proceed(attempt, act, "key", go), 60)
        assert jobs._act(context, line, bot, call) == Result("unknown")
        assert ran == []
        streams.feed(client, turn, "llm", Proceed(1, call.act, "key", True), 60)
        assert jobs._act(context, line, bot, call) == Result("ok")
    assert ran == [f"key-{call.act}"]
