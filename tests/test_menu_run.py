"""The DTMF menu of a call: what a caller hears before it sends him on, open or closed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from eslbot.call_state import State
from eslbot.departure import Departure
from eslbot.menu import MenuRun
from tests.test_hours import definition, loaded
from workers.bot import Bot
from workers.messages import DialogState
from workers.settings import Settings

WEEK = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class Call:
    """In its menu; keeps what the caller hears, to the end of each phrase."""

    state = State.MENU
    ai_off = ""
    uuid = "call"

    def __init__(self, bot: Bot) -> None:
        self.bot = bot
        self.settings = Settings()
        self.dialog = DialogState()
        self.heard: list[str] = []
        self.sent: list[str] = []
        self._then: Callable[[], None] | None = None
        prompts = SimpleNamespace(complete=lambda bot: True, get=lambda text: b"\0" * 320)
        self.house = SimpleNamespace(prompts=prompts)
        self.playback = SimpleNamespace(
            stop=lambda now: "", begin=lambda: None, busy=False,
            say=lambda text, pcm: self.heard.append(text),
        )  # fmt: skip
        self.leave = Departure(self)  # type: ignore[arg-type]
        self.leave._send = lambda name, why: self.sent.append(name)  # type: ignore[method-assign]
        self.menu = MenuRun(self)  # type: ignore[arg-type]

    def say(self, text: str, then: Callable[[], None]) -> bool:
        self.heard.append(text)
        self.when_said(then)
        return True

    def when_said(self, then: Callable[[], None]) -> None:
        self._then = then

    def played(self) -> None:
        """Nothing to wait for: listen() goes on."""

    def listen(self) -> None:
        """Until the menu waits for a key, or the caller is sent on."""
        while (then := self._then) is not None:
            self._then = None
            then()

    def timer(self, name: str, in_s: float, action: Callable[[], None]) -> None:
        """No key is waited for here."""

    def no_timer(self, *names: str) -> None:
        """There are none."""

    def record(self, what: str, **fields: Any) -> None:
        """Not looked at."""

    def set_variables(self, values: dict[str, str]) -> None:
        """Not looked at."""


def bot(folder: Path, opened: dict[str, bool]) -> Bot:
    """Billing, and the person behind key 0, by these hours."""
    found = definition()
    for name, is_open in opened.items():
        weekly = {day: ["00:00-24:00"] if is_open else [] for day in WEEK}
        found["hours"][name] = {"zone": "Europe/Berlin", "weekly": weekly}
        found["destinations"][name]["hours"] = name
    return loaded(folder, found)


@pytest.mark.parametrize("is_open", [True, False])
def test_nobody_is_told_of_a_connection_to_where_it_is_closed(tmp_path: Path, is_open: bool):
    call = Call(bot(tmp_path, {"billing": False, "agent": is_open}))
    call.menu.start(None)
    call.heard.clear()
    call.menu.key("0")
    call.listen()
    said = call.bot.destinations["agent"].say
    assert call.sent == (["agent"] if is_open else [])
    assert call.heard.count(said) == is_open
    assert ("All are at home." in call.heard) is not is_open
    # And then the menu once more, for who is not sent anywhere.
    assert (call.bot.menu.intro in call.heard) is not is_open
