"""How a call leaves us: to a destination, to FreeSWITCH's own menu, or to its end; and what is
known of it afterwards."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from eslbot import call_state, transfers
from eslbot.accounts import FINISHED
from eslbot.call_state import State
from eslbot.chaos.live import write_down
from eslbot.doors import DoorClosed, DoorError
from workers import secret_slots
from workers.bot.routing import Route

if TYPE_CHECKING:
    from eslbot.call import Call

log = logging.getLogger(__name__)

# What FreeSWITCH still has to say of a call that is over.
LAST_EVENT_S = 3.0
# Of a listener: each keeps a connection, and some 75 KB. How further ones end is not known.
MAX_ACCOMPANIED = 1000


class Left(Exception):
    """The call is no longer ours: transferred, or hung up on purpose."""


class Departure:
    """Lives on the call's greenlet.

    how: one of accounts.FINISHED or HANDED_OVER, once the call has ended for us. failing: the
    assistant failed, and nothing else is heard yet. by_us: we hang up.
    """

    def __init__(self, call: Call) -> None:
        self._call = call
        self.how = ""
        self.failing = False
        self.by_us = False
        self.whisper: transfers.Whisper | None = None
        self._outcomes: Counter[str] = Counter()

    def transfer(self, destination: str, why: str) -> None:
        """To one of the bot's destinations; ends our part of the call, at once or, where a whisper
        has to be spoken, soon. Where nobody is to be had it is said, and the call goes on."""
        call = self._call
        route = transfers.route(call, destination)
        if route.destination != destination:
            call.record("turned away", destination=destination, to=route.destination)
            self._turn_away(route, why)
            return
        self._send(destination, f"{why}: {destination}")

    def _turn_away(self, route: Route, why: str) -> None:
        call = self._call
        if route.destination is not None:
            name = route.destination
            # Without asking once more: the caller was told.
            then = lambda: self._send(name, f"{why}, elsewhere: {name}")  # noqa: E731
            transfers.turned_away(call, route.say, then)
            return
        call.dialog = replace(call.dialog, intent=None)
        call.set_variables({"ai_intent": ""})
        in_menu = call.state is State.MENU
        then = (lambda: call.menu.start(None)) if in_menu else call.assistant.listen
        say = route.say if in_menu else (*route.say, call.bot.phrases.anything_else)
        transfers.turned_away(call, say, then)

    def _send(self, destination: str, reason: str) -> None:
        target = self._call.bot.destinations[destination]
        if target.extension is not None:
            self._reach(destination, reason)
        self._call.go(call_state.Event.HAND_OVER)
        transfers.Whisper(
            self._call,
            destination,
            lambda path: self._reach(destination, reason, {transfers.WHISPER_VARIABLE: path}),
        )

    def _reach(self, destination: str, reason: str, more: Mapping[str, str] | None = None) -> None:
        """more: variables beside those that say what is known."""
        call = self._call
        values = {**transfers.handed(call), **(more or {})}
        self._hand_over("transferred", reason)
        call.door.transfer(destination, call.bot.destinations[destination], values)
        raise Left

    def hang_up(self) -> None:
        self.by_us = True
        self.end("hung up", "the conversation is finished")
        self._call.door.hang_up()
        raise Left

    def native_menu(self, reason: str, failed: bool) -> None:
        """FreeSWITCH's own menu takes the caller. failed: because something of ours does not
        work."""
        if self.how:
            self._call.door.close()  # the last way: the dialplan goes on behind it
            return
        log.warning("%s: native menu: %s", self._call.uuid, reason)
        if failed:
            self._call.house.accounts.failing(self._call)
        try:
            self._hand_over("native menu", reason)
            self._call.door.native_menu()
        except DoorError as error:
            # Closing the socket is the last way: the dialplan goes on behind it.
            log.warning("%s: could not transfer: %s", self._call.uuid, error)
            self._call.door.close()
        self._call.house.accounts.failed_over(self._call)
        raise Left

    def _hand_over(self, end: str, reason: str) -> None:
        if self._call.state is not State.LEAVING:
            self._call.go(call_state.Event.HAND_OVER)
        self.end(end, reason)

    def end(self, end: str, reason: str) -> None:
        """Once: how our part of the call ended, and why."""
        if self.how:
            return
        self._call.admit()
        self.how = end
        if self.whisper is not None:
            self.whisper.stop()
        outcomes = {"transferred": "human", "native menu": "menu"}
        self._call.assistant.stop(outcomes.get(end, "caller gone"))
        variables = secret_slots.shown(self._call.bot, self._call.variables)
        self._call.record("ended", outcome=end, reason=reason, variables=variables)
        log.info("%s: %s: %s", self._call.uuid, end, reason)
        self._call.house.accounts.call_ended(end)

    def on_hung_up(self, cause: str, disposition: str) -> None:
        self.end("caller gone", "the call is over")
        by = self._call.house.accounts.hung_up(self._call, cause, disposition)
        self._call.record("hangup", cause=cause[:40], by=by, end=self.how)
        if self._call.fault:
            fault, end, turns = self._call.fault, self.how, dict(self._outcomes)
            self._call.house.link.put(lambda pipe: write_down(pipe, fault, end, by, turns))
        raise DoorClosed("the call is over")

    def accompany(self) -> None:
        """Stay connected, also to a call that went on elsewhere, to learn how it ended."""
        here = self.how in FINISHED
        house = self._call.house
        too_many = house.accompanied >= MAX_ACCOMPANIED
        if not here and (too_many or not self._call.door.follows):
            self._call.door.close()
            return
        house.accompanied += 1
        until = time.monotonic() + (LAST_EVENT_S if here else self._call.settings.accompany_s)
        try:
            if self._call.uuid and not here:
                self._call.door.let_go()
            while time.monotonic() < until and not self._call.over_and_told():
                self._call.next()
        except DoorError:
            pass  # it is over
        except Exception:
            log.exception("%s: accompanied", self._call.uuid)
        finally:
            house.accompanied -= 1
            self._call.door.close()

    def turn_ended(self, outcome: str, intervals_ms: Mapping[str, int]) -> None:
        self._outcomes[outcome] += 1
        self._call.house.accounts.turn_ended(outcome, intervals_ms)
