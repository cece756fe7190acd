"""The DTMF menu of a call in progress: plays what ivr.py says, and tells it the keys.

It plays over the same audio channel as the assistant did, from prompts on disk, so that it needs
no worker and no Redis, and the caller can go back to the assistant.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from eslbot import transfers
from eslbot.ivr import Menu, Resume, Step, Transfer
from workers import secret_slots

if TYPE_CHECKING:
    from eslbot.call import Call


class MenuRun:
    """Lives on the call's greenlet."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._menu: Menu | None = None

    def start(self, announce: str | None) -> None:
        """Begin, with what is known so far; announce is said first."""
        call = self._call
        if not call.house.prompts.complete(call.bot):
            call.bot = call.bot.whole  # rather in another language than not at all
        self._menu = Menu(
            call.bot,
            call.dialog,
            may_resume=not call.ai_off,
            gap_ms=call.settings.dtmf_gap_ms,
        )
        self._do(self._menu.start(), announce)

    def key(self, digit: str) -> None:
        if self._menu is None:
            return
        if self._menu.resumes(digit) and self._call.house.link.unable(self._call.uuid):
            self._nothing()  # who would answer there?
        else:
            self._do(self._menu.digit(digit))

    def spoken_to(self) -> None:
        """The caller spoke, which is no key: the answer is the same, but not awaited in silence."""
        if not self._call.playback.busy:
            self._nothing()

    def _nothing(self) -> None:
        if self._menu is not None:
            self._do(self._menu.timeout())

    def _do(self, step: Step | None, announce: str | None = None) -> None:
        """step None: go on as before, the prompt included."""
        call = self._call
        if step is None:
            return
        call.no_timer("menu", "said")
        self._take(step.updates)
        prompts = [announce] if announce else []
        prompts += step.prompts
        if isinstance(step.done, Transfer):
            target = step.done.destination
            prompts += transfers.announced(call, target)
            self._menu = None
            self._say(prompts, lambda: call.leave.transfer(target, "menu"))
        elif isinstance(step.done, Resume):
            self._menu = None
            call.playback.stop(0.0)
            call.resume()
        else:
            wait_s = step.wait_ms / 1000
            self._say(prompts, lambda: call.timer("menu", wait_s, self._nothing))

    def _take(self, updates: dict[str, str]) -> None:
        call = self._call
        if not updates:
            return
        call.set_variables(updates)
        slots = dict(call.dialog.slots)
        for name, slot in call.bot.slots.items():
            if slot.variable in updates:
                value = updates[slot.variable]
                slots[name] = secret_slots.placeholder(slot, value) if slot.secret else value
        intent = updates.get("ai_intent", call.dialog.intent)
        call.dialog = replace(call.dialog, intent=intent, slots=slots, asked=None, misses=0)

    def _say(self, prompts: list[str], then: Callable[[], None]) -> None:
        """A key stops the prompts; without a prompt's audio FreeSWITCH's own menu has to do."""
        call = self._call
        call.playback.stop(0.0)
        call.playback.begin()
        for text in prompts:
            pcm = call.house.prompts.get(text)
            if pcm is None:
                call.leave.native_menu("a prompt has no audio", failed=True)
                return
            call.playback.say(text, pcm)
        if prompts:
            call.record("said", text=" ".join(prompts), fixed=True)
        call.when_said(then)
        if not prompts:
            call.played()
