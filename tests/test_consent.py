"""Whether a call is recorded: who was told, who agreed, and when silence stands in its place."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from eslbot.call_state import Event, State
from eslbot.consent import Consent
from eslbot.switch.caller import Caller, Keys, Say
from tests.conftest import ENERGY
from tests.house import PATIENT, House, recording, until
from tests.secret_bot import definition, write
from workers.bot import Bot, load
from workers.messages import DialogState

ASKED = "May we record this call?"


class Call:
    """Stands in for a call: says what it is told to, and is at once heard to its end."""

    def __init__(self, mode: str) -> None:
        raw = load(ENERGY).model_dump(mode="json") | {
            "recording": {"consent": ASKED, "mode": mode},
        }
        self.bot = Bot.model_validate(raw)
        self.dialog = DialogState()
        self.state = State.SPEAKING
        self.said: list[str] = []
        self.then: Callable[[], None] = lambda: None
        self.recorded: list[str] = []
        self.opened: list[Any] = []
        self.leg = SimpleNamespace(tap=None)
        self.assistant = SimpleNamespace(listen=lambda: None)
        self.house = SimpleNamespace(recordings=SimpleNamespace(open=self._open))
        self.consent = Consent(self)  # type: ignore[arg-type]

    def say(self, text: str, then: Callable[[], None] = lambda: None) -> bool:
        self.said.append(text)
        self.then = then
        return True

    def go(self, event: Event) -> None:
        self.state = State.LISTENING

    def record(self, what: str, **fields: Any) -> None:
        self.recorded.append(what)

    def _open(self) -> Any:
        tap = SimpleNamespace(paused=False)
        self.opened.append(SimpleNamespace(name="x.wav", tap=tap, failed="", end=lambda: None))
        return self.opened[-1]


def test_who_was_told_is_recorded_once_the_phrase_was_heard_to_its_end():
    call = Call("announce")
    assert call.consent.greet()
    assert (call.said, call.opened) == ([ASKED], [])
    call.then()
    assert call.said == [ASKED, call.bot.greeting]
    assert call.leg.tap is call.opened[0].tap
    assert call.recorded == ["recording"]


@pytest.mark.parametrize(
    ("answer", "settled", "kept"),
    [
        ("yes", True, True), ("yes please", True, True), ("1", True, True),
        ("no", True, False), ("no thank you", True, False), ("2", True, False),
        ("what is my balance", False, False), ("", False, False), ("3", False, False),
        ("yes and no", False, False),
    ],
)  # fmt: skip
def test_only_who_agrees_is_recorded(answer: str, settled: bool, kept: bool):
    call = Call("ask")
    call.consent.greet()
    assert call.consent.pending
    call.then()
    assert call.consent.answered(answer) is settled
    assert bool(call.opened) is kept
    assert not call.consent.pending
    assert call.dialog.asked is None


def test_a_yes_before_the_question_was_heard_is_none():
    call = Call("ask")
    call.consent.greet()
    assert call.consent.answered("yes")
    assert call.opened == []


def test_a_question_without_an_answer_is_no_consent():
    call = Call("ask")
    call.consent.greet()
    call.then()
    call.consent.give_up()
    assert (call.consent.pending, call.opened, call.dialog.asked) == (False, [], None)


def test_silence_stands_for_the_menu_and_for_a_secret(tmp_path: Path):
    call = Call("announce")
    call.bot = load(write(tmp_path / "bot.yaml", definition()))
    call.bot = call.bot.model_copy(update={"recording": Call("announce").bot.recording})
    call.consent.greet()
    call.then()
    (tap,) = (one.tap for one in call.opened)

    def paused(state: State, **dialog: Any) -> bool:
        call.state, call.dialog = state, DialogState(**dialog)
        call.consent.look()
        return bool(tap.paused)

    assert not paused(State.LISTENING)
    assert paused(State.MENU)
    assert not paused(State.SPEAKING, intent="balance", asked="account")
    assert paused(State.SPEAKING, intent="pay", asked="pin")
    assert paused(State.HEARING, intent="pay")  # the next thing that it needs
    assert not paused(State.LISTENING)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("house")
    raw = definition() | {"ladder": PATIENT, "recording": {"consent": ASKED, "mode": "ask"}}
    one = House(folder, folder / "state", ESLBOT_BOT=str(write(folder / "bot.yaml", raw)),
                ESLBOT_SHED_LAG_MS="5000")  # fmt: skip
    one.start("redis", "stt", "llm", "tts", "listener")
    one.wait_ready()
    yield one
    one.stop()


def asked(house: House) -> tuple[Any, Caller]:
    call = house.dial()
    until(lambda: ASKED in house.said(call), 20, "the question")
    caller = Caller(call)
    caller.wait_bot()
    return call, caller


def recorded(house: House, call: Any) -> bool:
    return "recording" in [what for what, _ in house.told(call)]


def test_a_caller_says_yes_by_a_key_and_another_one_has_a_wish_instead(house: House):
    call, caller = asked(house)
    caller.do(Keys("1#"))
    until(lambda: "How can I help you?" in house.said(call), 20, "the greeting")
    assert recorded(house, call)
    call.hangup()
    other, caller = asked(house)
    caller.do(Say(recording("hours")))
    until(lambda: "We are open" in house.said(other), 30, "the answer to the wish")
    assert not recorded(house, other)
    other.hangup()
