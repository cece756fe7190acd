"""One call, told in order: connected, greeted, listened to, answered, handed on.

    call_events.py ──▶ mailbox ──▶ the call's one greenlet: arrival.py
                                       ├─ assistant.py   the conversation
                                       ├─ menu.py        the DTMF menu
                                       └─ departure.py   the ways out

Everything that happens to a call comes through its mailbox, so that one thing happens at a
time. How calls come in and go out is in doors/; this file owns the state and the audio.
Whatever fails here, the caller goes on: in the menu, at a person, or in the switch's own menu.
"""

from __future__ import annotations

import contextlib
import logging
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from eslbot import arrival, call_state
from eslbot.accounts import Accounts
from eslbot.assistant import Assistant
from eslbot.call_events import CallEvents
from eslbot.call_state import State
from eslbot.chaos.live import draw
from eslbot.consent import Consent, Recordings
from eslbot.departure import Departure, Left
from eslbot.doors import Door, DoorClosed, DoorError, NotOurs
from eslbot.esl import clean_value
from eslbot.link import Link
from eslbot.mailbox import Mailbox
from eslbot.media.clock import Clock
from eslbot.media.leg import Leg
from eslbot.media.unicast import RATE, MediaError
from eslbot.menu import MenuRun
from eslbot.playback import Playback
from eslbot.prompts import Prompts
from eslbot.records.seal import Seal
from eslbot.served import Served
from eslbot.transcript import Transcript
from eslbot.transfers import came_back
from eslbot.vad import Vad, VadError
from eslbot.watch import Watch
from workers import secret_slots
from workers.bot.languages import primary
from workers.messages import DialogState
from workers.redaction import Private
from workers.retry_budget import RetryBudget
from workers.settings import Settings

if TYPE_CHECKING:
    from eslbot.traces import Traces

log = logging.getLogger(__name__)

# Fields of a record that hold a caller's words or values.
WORDS = ("text", "heard", "said", "known", "slots", "variables")


@dataclass(slots=True)
class House:
    """What all calls of a listener share."""

    settings: Settings
    served: Served
    link: Link
    clock: Clock
    vad: Vad
    prompts: Prompts
    accounts: Accounts
    hedges: RetryBudget  # stages tried once more with the same engine
    seal: Seal
    recordings: Recordings
    traces: Traces | None = None
    last_tick: float = 0.0
    accompanied: int = 0  # calls that went on elsewhere, and whose end is awaited


class Call:
    """run() lasts as long as the call is ours, and never raises."""

    def __init__(self, door: Door, house: House) -> None:
        self.door = door
        self.house = house
        self.bot = house.served.now.first  # until it is known who calls
        self.variant = ""
        self.settings = house.settings
        self.uuid = ""
        self.state = State.CONNECTING
        self.admitted = False  # it counts as a call of ours
        self.fault = draw(house.link.chaos)
        self.ai_off = ""  # why an operator keeps the assistant from this call
        self.bot_sha = self.bot.sha
        self.leg_id = secrets.token_hex(8)
        self.private = Private(self.bot)
        self.dialog = DialogState()
        self.ruled: tuple[str, ...] = ()  # rules of the bot that have acted
        self.variables: dict[str, str] = {}
        self.leg: Leg | None = None
        self._mailbox = Mailbox()
        self.timer = self._mailbox.timer
        self.no_timer = self._mailbox.no_timer
        self._then: Callable[[], None] | None = None
        self.events = CallEvents(self)
        self.leave = Departure(self)
        self.watch = Watch(self)
        self.transcript = Transcript(self)
        self.assistant = Assistant(self)
        self.menu = MenuRun(self)
        self.consent = Consent(self)

    # -- the story

    def run(self) -> None:
        """Until the call is over, or no longer ours."""
        try:
            arrival.connect(self)
            arrival.open_media(self)
            self._greet()
            while True:
                self.next()
        except Left:
            pass
        except NotOurs as error:
            self._refuse(error)
        except DoorClosed:
            self.leave.end("caller gone", "the call is over")
        except (MediaError, VadError) as error:
            self._go_native(f"media: {error}")
        except DoorError as error:
            self._go_native(f"switch: {error}")
        except Exception as error:
            log.exception("%s: a defect of ours", self.uuid)
            self._go_native(f"defect: {type(error).__name__}")
        finally:
            self._close()

    def _go_native(self, reason: str) -> None:
        with contextlib.suppress(Left):
            self.leave.native_menu(reason, failed=True)

    def admit(self) -> None:
        if not self.admitted:
            self.admitted = True
            self.house.accounts.call_began(self.door.kind)

    def _refuse(self, error: NotOurs) -> None:
        """As if nobody listened here: the switch goes on with its next dialplan action."""
        log.warning("%s: refused: %s", self.door.name, error)
        self.house.accounts.refused.labels(error.why).inc()
        self.leave.how = "refused"
        self.door.close()

    def speak(self, language: str, only_with_audio: bool = False) -> None:
        """Go on in this language, as far as the bot speaks it. only_with_audio: not where its
        fixed phrases are not rendered yet."""
        bot = self.bot.speaking(language)
        if only_with_audio and bot is not self.bot and not self.house.prompts.complete(bot):
            log.warning("%s: no prompts in %s yet", self.uuid, bot.language)
        else:
            self.bot = bot
        # A variant of it ("en-GB") is kept for whoever hears and speaks.
        mine = primary(language) == primary(self.bot.language)
        values = {"ai_language": language if mine else self.bot.language}
        if self.variant:
            values["ai_variant"] = self.variant
        self.set_variables(values)

    def _greet(self) -> None:
        assert self.leg is not None
        self.leg.listening = True
        reason = self.house.link.unable(self.uuid)
        if self.ai_off:
            self.to_menu(f"the assistant is off: {self.ai_off}", failed=False)
        elif reason:
            self.fail(reason)
        elif not self._first_words():
            self.leave.native_menu("no prompts yet", failed=True)

    def _first_words(self) -> bool:
        """Whether they have audio."""
        back = came_back(self)
        return self.say(back) if back else self.consent.greet()

    # -- what happens to it; see call_events.py

    def post(self, handle: Callable[..., None], *args: Any) -> None:
        """handle(*args) on the call's greenlet, in its turn."""
        if not self._mailbox.post(handle, *args):
            log.error("%s: mailbox full", self.uuid)

    def over_and_told(self) -> bool:
        """The connection has ended, and all that came before its end was dealt with."""
        return self.door.closed.is_set() and self._mailbox.empty

    def next(self, until: float | None = None) -> None:
        """Wait for one thing to happen, or for a timer, and deal with it."""
        if not self._mailbox.next(until) and self.door.closed.is_set():
            raise DoorClosed("the switch closed the connection")

    # -- state and speech, for assistant and menu

    def go(self, event: call_state.Event) -> None:
        self.state = call_state.after(self.state, event)
        self.record("state", state=self.state.value)
        if self.leg:
            interrupting = self.state is State.SPEAKING
            self.leg.endpointer.min_speech_ms = (
                self.settings.barge_in_speech_ms if interrupting else self.settings.min_speech_ms
            )
            self.leg.listening = self.state not in (State.LEAVING, State.ENDED)
        self.consent.look()

    @property
    def playback(self) -> Playback:
        assert self.leg is not None
        return self.leg.playback

    def say(self, text: str, then: Callable[[], None] | None = None) -> bool:
        """Say a fixed phrase; then() when the caller has heard it. False: it has no audio."""
        pcm = self.house.prompts.get(text)
        if pcm is None:
            return False
        self.playback.begin()
        self.playback.say(text, pcm)
        self.when_said(then or self.assistant.listen)
        if self.state is not State.MENU:
            self.go(call_state.Event.SPEAK)
        self.record("said", text=text, fixed=True)
        return True

    def fill(self, text: str) -> float:
        """Say a filler while the answer, or more of it, is awaited; its length in seconds, 0 where
        it has no audio."""
        pcm = self.house.prompts.get(text)
        if pcm is None:
            return 0.0
        self.playback.fill(text, pcm)
        assert self.leg is not None
        self.leg.endpointer.min_speech_ms = self.settings.barge_in_speech_ms
        self.record("said", text=text, filler=True)
        return len(pcm) / 2 / RATE

    def wait_for_silence(self, silence_ms: int) -> None:
        """So much of it ends the caller's utterance."""
        if self.leg:
            self.leg.endpointer.silence_ms = silence_ms

    def when_said(self, then: Callable[[], None]) -> None:
        """What to do when all that is in the playback was heard."""
        self._then = then

    def played(self) -> None:
        left = self.playback.drained_at() - time.monotonic()
        self.timer("said", max(0.0, left), self._said)

    def _said(self) -> None:
        if self.playback.busy:
            return
        then, self._then = self._then, None
        if then:
            then()

    def set_variables(self, values: dict[str, str]) -> None:
        """Onto the channel, at once; what stands there already is not sent again."""
        clean = {k: clean_value(v) for k, v in values.items()}
        new = {k: v for k, v in clean.items() if self.variables.get(k, "") != v}
        if new:
            self.door.set_variables(new)
            self.door.tell("variables", {"values": secret_slots.shown(self.bot, new)})
            self.variables.update(new)

    def keyed_in(self, keys: str) -> str:
        """What is told of these keys: of a secret nothing, it goes onto the channel alone."""
        name = secret_slots.wanted(self.bot, self.dialog)
        if name is None:
            return keys
        slot = self.bot.slots[name]
        if slot.accepts(keys):
            self.set_variables({slot.variable: keys})
        return secret_slots.placeholder(slot, keys)

    def record(self, what: str, **fields: Any) -> None:
        """Into the call's log and its record, redacted."""
        told = {k: self.private.clean_values(v) if k in WORDS else v for k, v in fields.items()}
        self.door.tell(what, told)
        if not self.uuid:
            return  # a connection that was refused is no call
        self.house.link.record(self.uuid, what, **told)
        # A turn's parts come with its end, see keep().
        if what in ("partial", "heard", "decided") or (what == "said" and not told.get("fixed")):
            return
        if what not in ("turn", "state"):
            self.keep(what, told)

    def keep(self, what: str, fields: dict[str, Any]) -> None:
        """Into the record alone."""
        self.house.link.keep(self.uuid, self.leg_id, self.bot_sha, what, fields)

    # -- the ways out

    def fail(self, reason: str) -> None:
        """The assistant can't go on: the menu takes over, and knows what it knew."""
        self.to_menu(reason, failed=True)

    def to_menu(self, reason: str, failed: bool) -> None:
        """failed: the caller is told that there is trouble; otherwise he chose it, or knows."""
        if self.state in (State.MENU, State.LEAVING, State.ENDED):
            return
        log.info("%s: menu: %s", self.uuid, reason)
        self.record("menu", reason=reason)
        if failed:
            self.house.accounts.failing(self)
        self.assistant.stop("menu")
        self.consent.give_up()
        self.go(call_state.Event.FAIL)
        self.menu.start(self.bot.phrases.to_menu if failed else None)
        if failed:
            self.house.accounts.failed_over(self)

    def resume(self) -> None:
        """From the menu back to the assistant."""
        self.record("resumed")
        self.go(call_state.Event.RESUME)
        if not self.say(self.bot.phrases.anything_else):
            self.assistant.listen()

    def _close(self) -> None:
        """Give back what a call has while it is ours."""
        try:
            self.leave.end("caller gone", "the connection ended")
            self._mailbox.no_timers()
            if self.state is not State.ENDED:
                self.go(call_state.Event.CLOSE)
            self.consent.end()
        finally:  # also where one of those fails: what the others need is free again
            self.house.link.forget(self.uuid, self.events.worker)
            if self.leg:
                self.house.clock.remove(self.leg)

    def let_go(self) -> None:
        """After run() and accompany(). Its parts know it, and it knows them: taken apart, it is
        freed at once and need not wait for the garbage collector."""
        self._mailbox.clear()
        self._then = self.leg = None
        del self.assistant, self.consent, self.door, self.events, self.leave, self.menu
        del self.transcript, self.watch
