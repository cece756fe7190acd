"""One call, told in order: connected, greeted, listened to, answered, handed on.

    session (ESL) ──keys, hang-up──┐
    clock ──speech, playback done──┼──▶ mailbox ──▶ the call's one greenlet
    link ──what workers say────────┘

Everything that happens to a call comes through its mailbox, so that one thing happens at a
time. The conversation with the assistant is in assistant.py, the DTMF menu in menu.py, the ways out
in departure.py; this file owns the state and the audio. Whatever fails here, the caller goes on: in
the menu, at a person, or in FreeSWITCH's own menu.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from eslbot import call_secret, call_state
from eslbot.accounts import Accounts
from eslbot.assistant import Assistant
from eslbot.call_state import State
from eslbot.chaos.live import Blindfold, draw
from eslbot.departure import Departure, Left
from eslbot.endpointing import Endpointer, SpeechEnded, SpeechStarted
from eslbot.endpointing import Event as SpeechEvent
from eslbot.esl import EslError, clean_value
from eslbot.link import Link
from eslbot.mailbox import Mailbox
from eslbot.media.clock import Clock
from eslbot.media.leg import Leg
from eslbot.media.unicast import RATE, MediaError, Unicast
from eslbot.menu import MenuRun
from eslbot.playback import Playback
from eslbot.prompts import Prompts
from eslbot.session import Session, SessionClosed, SessionError
from eslbot.today import today
from eslbot.transfers import came_back
from eslbot.vad import Vad, VadError
from eslbot.watch import Watch
from workers import secret_slots
from workers.bot import Bot
from workers.messages import TYPED, DialogState, Final, Message
from workers.retry_budget import RetryBudget
from workers.settings import Settings

log = logging.getLogger(__name__)

DIGITS = frozenset("0123456789*#ABCD")
CONVERSATION = (State.SPEAKING, State.LISTENING, State.HEARING, State.THINKING)


@dataclass(slots=True)
class House:
    """What all calls of a listener share."""

    settings: Settings
    bot: Bot
    link: Link
    clock: Clock
    vad: Vad
    prompts: Prompts
    accounts: Accounts
    hedges: RetryBudget  # stages tried once more with the same engine
    last_tick: float = 0.0


class Refused(Exception):
    """Not a call of a FreeSWITCH of ours."""


class Call:
    """run() lasts as long as the call is ours, and never raises."""

    def __init__(self, session: Session, house: House) -> None:
        self.session = session
        self.house = house
        self.bot = house.bot
        self.settings = house.settings
        self.uuid = ""
        self.state = State.CONNECTING
        self.admitted = False  # it counts as a call of ours
        self.fault = draw(house.link.chaos)
        self._blindfold = Blindfold(self.fault) if self.fault else None
        self.dialog = DialogState()
        self.variables: dict[str, str] = {}
        self.leg: Leg | None = None
        self._mailbox = Mailbox()
        self.timer = self._mailbox.timer
        self.no_timer = self._mailbox.no_timer
        self._then: Callable[[], None] | None = None
        self.leave = Departure(self)
        self._watch = Watch(self)
        self.assistant = Assistant(self)
        self.menu = MenuRun(self)

    # -- the story

    def run(self) -> None:
        """Until the call is over, or no longer ours."""
        try:
            self._connect()
            self._open_media()
            self._greet()
            while True:
                self.next()
        except Left:
            pass
        except Refused:
            self._refuse()
        except SessionClosed:
            self.leave.end("caller gone", "the call is over")
        except (MediaError, VadError) as error:
            self._go_native(f"media: {error}")
        except (EslError, SessionError) as error:
            self._go_native(f"switch: {error}")
        except Exception as error:
            log.exception("%s: a defect of ours", self.uuid)
            self._go_native(f"defect: {type(error).__name__}")
        finally:
            self._close()

    def _go_native(self, reason: str) -> None:
        with contextlib.suppress(Left):
            self.leave.native_menu(reason, failed=True)

    def _connect(self) -> None:
        settings = self.settings
        wait_s = settings.esl_timeout_ms / 1000
        headers = self.session.connect(wait_s)
        if not call_secret.admits(headers, settings.call_secrets):
            raise Refused
        self.admit()
        self.uuid = self.session.uuid
        self.session.on_event = self._on_event
        self.session.subscribe(wait_s)
        self.session.linger(2, wait_s)
        self.house.link.register(self.uuid, self._on_worker)
        if settings.call_secrets:
            # Its work is done: call records, later events and the next leg need not have it.
            self.session.post_variables({call_secret.VARIABLE: ""}, wait_s)
        self._adopt(headers)
        if headers.get("Answer-State") != "answered":
            self.session.execute("answer", timeout_s=wait_s)
        self.record(
            "call",
            bot=self.bot.name,
            known=secret_slots.shown(self.bot, {k: v for k, v in self.variables.items() if v}),
        )

    def admit(self) -> None:
        if not self.admitted:
            self.admitted = True
            self.house.accounts.accepted.inc()

    def _refuse(self) -> None:
        """As if nobody listened here: FreeSWITCH goes on with its next dialplan action."""
        log.warning("%s: refused: without the call secret", self.session.name)
        self.house.accounts.refused.labels("secret").inc()
        self.leave.how = "refused"
        self.session.close()

    def _adopt(self, headers: Mapping[str, str]) -> None:
        """What the dialplan, or an earlier listener, already knows of this call."""
        slots = {}
        for name, slot in self.bot.slots.items():
            value = headers.get(f"variable_{slot.variable}", "")
            if slot.accepts(value):
                self.variables[slot.variable] = value
                slots[name] = secret_slots.SECRET if slot.secret else value
        intent = headers.get("variable_ai_intent", "")
        if intent in self.bot.intents:
            self.variables["ai_intent"] = intent
            self.dialog = replace(self.dialog, intent=intent, slots=slots)
        else:
            self.dialog = replace(self.dialog, slots=slots)
        self.dialog = replace(self.dialog, today=today(self.bot.timezone))
        self.set_variables(
            {"ai_language": headers.get("variable_ai_language") or self.bot.language}
        )

    def _open_media(self) -> None:
        settings = self.settings
        if self.fault == "media dead":
            raise MediaError("a fault that was asked for")
        told = self.session.headers.get("Channel-Read-Codec-Rate", "8000")
        if not (told.isascii() and told.isdigit() and len(told) < 7):
            raise MediaError("the switch names no rate of its codec")
        rate = int(told)
        port = Unicast(settings.media_host, rate)
        try:
            self.session.unicast(*port.address, timeout_s=settings.esl_timeout_ms / 1000)
            place = self.house.vad.open()
        except BaseException:
            port.close()
            raise
        endpointer = Endpointer(
            start=settings.vad_start_percent / 100,
            stop=settings.vad_stop_percent / 100,
            min_speech_ms=settings.min_speech_ms,
            silence_ms=settings.endpoint_silence_ms,
            preroll_ms=settings.preroll_ms,
            max_ms=settings.max_utterance_s * 1000,
            chunk_ms=settings.audio_chunk_ms,
            pause_ms=settings.speculate_ms,
        )
        playback = Playback(
            port.frame_bytes, settings.playback_lead_frames, settings.playback_max_s
        )
        self.leg = Leg(port, endpointer, playback, place, self._on_speech, self._on_played)
        self.house.clock.add(self.leg)
        self._watch.media()
        self._watch.renew()
        deadline = time.monotonic() + settings.media_timeout_ms / 1000
        while not port.started:
            # The command was answered with +OK whether or not it worked.
            if time.monotonic() > deadline:
                raise MediaError(f"no audio from the switch in {settings.media_timeout_ms} ms")
            self.next(until=min(deadline, time.monotonic() + 0.05))

    def _greet(self) -> None:
        assert self.leg is not None
        self.leg.listening = True
        reason = self.house.link.unable()
        if reason:
            self.fail(reason)
        elif not self.say(came_back(self) or self.bot.greeting):
            self.leave.native_menu("no prompts yet", failed=True)

    # -- what happens to it: other greenlets only put into the mailbox

    def post(self, handle: Callable[..., None], *args: Any) -> None:
        """handle(*args) on the call's greenlet, in its turn."""
        if not self._mailbox.post(handle, *args):
            log.error("%s: mailbox full", self.uuid)

    def _on_worker(self, epoch: int, attempt: int, message: Message) -> None:
        if epoch == TYPED:
            if isinstance(message, Final):
                self.post(self._on_typed, message.text)
            return
        if self._blindfold is None or not self._blindfold.hides(message):
            self.post(self.assistant.on_worker, epoch, attempt, message)

    def _on_speech(self, event: SpeechEvent) -> None:
        if isinstance(event, SpeechStarted) and self.state in (State.SPEAKING, State.THINKING):
            # At once, on the clock: nothing this call waits for may delay the silence.
            self.assistant.cut_off(time.monotonic())
        self.post(self._on_speech_event, event)

    def _on_played(self) -> None:
        self.post(self.played)

    def _on_event(self, event: Any) -> None:
        name = event.get("Event-Name")
        if name == "DTMF":
            digit = event.get("DTMF-Digit", "")
            if digit in DIGITS:
                self.post(self._on_key, digit)
        elif name == "CHANNEL_HANGUP":
            self.post(self._on_hangup)
        elif name == "CHANNEL_HANGUP_COMPLETE":
            # Only now it is known who hung up.
            disposition = event.get("variable_sip_hangup_disposition", "")
            self.post(self.leave.on_hung_up, event.get("Hangup-Cause", ""), disposition)
        elif name == "CHANNEL_UNPARK":
            self.post(self._on_unpark)

    def redis(self, healthy: bool) -> None:
        """Redis stopped working, or works again."""
        self.post(self.assistant.on_redis, healthy)

    def dead(self, names: set[str]) -> None:
        """These workers are gone."""
        self.post(self.assistant.on_dead, names)

    def send_away(self, reason: str) -> None:
        """The listener ends: FreeSWITCH's own menu takes the caller."""
        self.post(self.leave.native_menu, reason, False)

    def next(self, until: float | None = None) -> None:
        """Wait for one thing to happen, or for a timer, and deal with it."""
        if not self._mailbox.next(until) and self.session.closed.is_set():
            raise SessionClosed("the switch closed the connection")

    def _on_hangup(self) -> None:
        if not self.leave.how:
            raise SessionClosed("the call is over")

    def _on_unpark(self) -> None:
        """Somebody else has the call: the watchdog, or an operator's own transfer."""
        if not self.leave.how:
            self.house.accounts.failed_over(self)
            self.leave.end("taken", "the switch took the call elsewhere")
            raise Left

    def _on_speech_event(self, event: SpeechEvent) -> None:
        if self.state is State.MENU:
            if isinstance(event, SpeechEnded):
                self.menu.spoken_to()
        else:
            self.assistant.on_speech(event)

    def _on_typed(self, words: str) -> None:
        if self.state in CONVERSATION and words.strip():
            self.assistant.on_typed(words)

    def _on_key(self, digit: str) -> None:
        if self.state is State.MENU:
            self.menu.key(digit)
        elif self.state not in (State.LEAVING, State.ENDED, State.CONNECTING):
            self.assistant.on_key(digit)

    # -- state and speech, for assistant and menu

    def go(self, event: call_state.Event) -> None:
        self.state = call_state.after(self.state, event)
        if self.leg:
            interrupting = self.state is State.SPEAKING
            self.leg.endpointer.min_speech_ms = (
                self.settings.barge_in_speech_ms if interrupting else self.settings.min_speech_ms
            )
            self.leg.listening = self.state not in (State.LEAVING, State.ENDED)

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
            self.session.post_variables(new, self.settings.esl_timeout_ms / 1000)
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
        self.house.link.record(self.uuid, what, **fields)

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
        self.leave.end("caller gone", "the connection ended")
        self.house.link.forget(self.uuid, self._on_worker)
        self._mailbox.no_timers()
        if self.state is not State.ENDED:
            self.go(call_state.Event.CLOSE)
        if self.leg:
            self.house.clock.remove(self.leg)
