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
from eslbot.esl import EslError
from eslbot.session import SessionClosed, SessionError
from workers import secret_slots
from workers.bot.routes import Route

if TYPE_CHECKING:
    from eslbot.call import Call

log = logging.getLogger(__name__)

# What FreeSWITCH still has to say of a call that is over.
LAST_EVENT_S = 3.0


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
            self._hand_over("transferred", reason, target.extension, target.context, told=True)
            raise Left
        self._call.go(call_state.Event.HAND_OVER)
        transfers.Whisper(
            self._call, destination, lambda path: self._reach(destination, reason, path)
        )

    def _reach(self, destination: str, reason: str, whisper: str) -> None:
        context = self._call.settings.context
        extension = f"{transfers.REACH}{destination}"
        more = {transfers.WHISPER_VARIABLE: whisper}
        self._hand_over("transferred", reason, extension, context, told=True, more=more)
        raise Left

    def hang_up(self) -> None:
        self.by_us = True
        self.end("hung up", "the conversation is finished")
        self._call.session.hangup("NORMAL_CLEARING")
        raise Left

    def native_menu(self, reason: str, failed: bool) -> None:
        """FreeSWITCH's own menu takes the caller. failed: because something of ours does not
        work."""
        if self.how:
            self._call.session.close()  # the last way: the dialplan goes on behind it
            return
        log.warning("%s: native menu: %s", self._call.uuid, reason)
        settings = self._call.settings
        if failed:
            self._call.house.accounts.failing(self._call)
        try:
            self._hand_over("native menu", reason, settings.menu_extension, settings.context)
        except (EslError, SessionError) as error:
            # Closing the socket is the last way: the dialplan goes on behind it.
            log.warning("%s: could not transfer: %s", self._call.uuid, error)
            self._call.session.close()
        self._call.house.accounts.failed_over(self._call)
        raise Left

    def _hand_over(
        self,
        end: str,
        reason: str,
        extension: str,
        context: str,
        told: bool = False,
        more: Mapping[str, str] | None = None,
    ) -> None:
        """told: who takes over is told what is known. more: variables beside that."""
        call = self._call
        if call.state is not State.LEAVING:
            call.go(call_state.Event.HAND_OVER)
        values = {**(transfers.handed(call) if told else {}), **(more or {})}
        self.end(end, reason)
        call.session.transfer(extension, context, call.settings.esl_timeout_ms / 1000, values)

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
        raise SessionClosed("the call is over")

    def accompany(self) -> None:
        """Stay connected, also to a call that went on elsewhere, to learn how it ended."""
        here = self.how in FINISHED
        until = time.monotonic() + (LAST_EVENT_S if here else self._call.settings.accompany_s)
        try:
            if self._call.uuid and not here:
                self._call.session.mute(self._call.settings.esl_timeout_ms / 1000)
            while time.monotonic() < until and not self._call.session.closed.is_set():
                self._call.next()
        except (EslError, SessionError):
            pass  # it is over
        except Exception:
            log.exception("%s: accompanied", self._call.uuid)
        finally:
            self._call.session.close()

    def turn_ended(self, outcome: str, intervals_ms: Mapping[str, int]) -> None:
        self._outcomes[outcome] += 1
        self._call.house.accounts.turn_ended(outcome, intervals_ms)
