"""Where a caller goes who can not be sent where he wanted: there, or on with the bot."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from eslbot import transfers
from eslbot.call_state import Event, State
from eslbot.departure import Departure, Left
from workers.bot import Bot
from workers.bot.routing import Route
from workers.messages import DialogState


class Call:
    """Stands in for a call: what it says is at once heard to its end."""

    def __init__(self, bot: Bot) -> None:
        self.bot = bot
        self.uuid = "call"
        self.state = State.LISTENING
        self.dialog = DialogState("billing")
        self.variables: dict[str, str] = {}
        self.said: list[str] = []
        self.sent: list[str] = []
        self.listened = 0
        self.admit = lambda: None
        self.record = lambda what, **fields: None
        self.assistant = SimpleNamespace(stop=lambda outcome: None, listen=self._listen)
        self.house = SimpleNamespace(accounts=SimpleNamespace(call_ended=lambda how: None))
        self.door = SimpleNamespace(
            variable=lambda name: "", transfer=lambda name, to, values: self.sent.append(name)
        )
        self.leave = Departure(self)  # type: ignore[arg-type]

    def say(self, text: str, then: Callable[[], None]) -> bool:
        self.said.append(text)
        then()
        return True

    def go(self, event: Event) -> None:
        self.state = State.LEAVING

    def set_variables(self, values: dict[str, str]) -> None:
        self.variables |= values

    def _listen(self) -> None:
        self.listened += 1


@pytest.mark.parametrize(
    ("route", "said", "sent"),
    [
        (Route("billing", ()), [], ["billing"]),
        (Route("agent", ("Busy.", "To a colleague.")), ["Busy.", "To a colleague."], ["agent"]),
    ],
)
def test_a_caller_goes_where_there_is_room(
    energy: Bot, monkeypatch: pytest.MonkeyPatch, route: Route, said: list[str], sent: list[str]
):
    call: Any = Call(energy)
    monkeypatch.setattr(transfers, "route", lambda call, name: route)
    with pytest.raises(Left):
        call.leave.transfer("billing", "asked for")
    assert (call.said, call.sent, call.leave.how) == (said, sent, "transferred")


def test_where_nobody_is_to_be_had_the_call_goes_on(energy: Bot, monkeypatch: pytest.MonkeyPatch):
    call: Any = Call(energy)
    monkeypatch.setattr(transfers, "route", lambda call, name: Route(None, ("All are at home.",)))
    call.leave.transfer("billing", "asked for")
    assert call.said == ["All are at home.", energy.phrases.anything_else]
    assert (call.sent, call.leave.how, call.listened) == ([], "", 1)
    # Or the menu, and who comes next, would send him there again.
    assert call.dialog.intent is None
    assert call.variables == {"ai_intent": ""}
