"""The listener's turns, with a call that only writes down: their numbers, and what they decide."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from eslbot import call_state
from eslbot.answer import Answer
from eslbot.assistant import Assistant
from eslbot.call_state import State
from eslbot.transcript import Transcript
from eslbot.turn import Turn
from tests.test_ladder import Notes
from tests.test_understanding import PARCELS
from workers.bot import Bot, load
from workers.bot.rules import Noticed, Rule
from workers.messages import Decision, DialogState
from workers.messages import Turn as TurnMessage
from workers.redaction import Private
from workers.settings import Settings

FIRST, SECOND = "4111 1111", "1111 1111"  # of a card's number


class Call(Notes):
    """A conversation in which the caller is listened to."""

    uuid = "call"
    out = "out"

    def __init__(self, bot: Bot) -> None:
        super().__init__(bot)
        self.settings = Settings()
        self.state = State.LISTENING
        self.dialog = DialogState()
        self.variables: dict[str, str] = {}
        self.ruled: tuple[str, ...] = ()
        self.private = Private(bot)
        self.records: list[tuple[str, dict[str, Any]]] = []
        self.forgotten: list[float] = []
        self.leg = None
        self.consent = SimpleNamespace(pending=False, look=lambda: None)
        self.door = SimpleNamespace(network=dict)
        self.leave = SimpleNamespace(turn_ended=lambda outcome, intervals: None)
        self.playback.stop = lambda now: ""
        self.house.traces = None
        self.house.accounts.turn_opened = lambda: None
        self.transcript = Transcript(self)  # type: ignore[arg-type]
        self.assistant = Assistant(self)  # type: ignore[arg-type]

    def go(self, event: call_state.Event) -> None:
        self.state = call_state.after(self.state, event)

    def speak(self, language: str) -> None:
        self.bot = self.bot.speaking(language)

    def set_variables(self, values: dict[str, str]) -> None:
        self.variables |= values

    def keep(self, what: str, fields: dict[str, Any]) -> None:
        self.records.append((what, fields))

    def forget_heard(self, call: str, since: float) -> None:
        self.forgotten.append(since)

    def when_said(self, then: Any) -> None:
        """Nothing is ever said here."""

    def wait_for_silence(self, silence_ms: int) -> None:
        """Nobody speaks here."""

    def numbers(self, what: str) -> list[int]:
        return [fields["number"] for one, fields in self.records if one == what]


@pytest.fixture
def call(energy: Bot) -> Call:
    return Call(energy)


def test_a_turns_number_stays_when_redis_lost_it(call: Call):
    call.assistant.on_typed("hello")
    call.assistant.on_redis(True)
    call.assistant.stop("menu")
    call.state = State.LISTENING
    call.assistant.on_typed("hello again")
    call.assistant.stop("menu")
    assert call.numbers("turn") == [1, 2]


def test_a_number_told_in_parts_is_taken_back_from_a_turn_that_redis_lost(call: Call):
    # Given that Redis comes back after the first part was heard
    call.assistant.on_typed(FIRST)
    call.assistant.on_redis(True)
    call.assistant.stop("menu")
    call.state = State.LISTENING
    # I expect that its record is found by the second
    call.assistant.on_typed(SECOND)
    assert call.numbers("amended") == call.numbers("turn") == [1]
    assert FIRST not in [line.text for line in call.transcript.lines()]
    assert call.forgotten and call.forgotten[0] > 0


def test_a_rule_acts_also_where_the_call_goes_on_in_another_language():
    whole = load(PARCELS)
    rule = Rule(when=Noticed(anger="high"), variables={"ai_priority": "high"})
    call = Call(whole.model_copy(update={"rules": {"angry": rule}}))
    turn = Turn(TurnMessage("call", 1, "out", "sha", 60.0, 20.0), call)  # type: ignore[arg-type]
    turn.open()
    answer = Answer(call, turn)  # type: ignore[arg-type]
    # Given a translation without the rule
    assert not call.bot.speaking("de").rules
    answer.take(0, Decision(DialogState(language="de"), rules=("angry",)))
    assert call.bot.language == "de"
    assert call.variables["ai_priority"] == "high"
    assert call.ruled == ("angry",)
