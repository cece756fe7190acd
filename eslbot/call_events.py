"""What happens to a call, and whom it concerns.

    door ───── keys, hang-up ──────┐
    clock ──── speech, playback ───┤
    link ───── what workers say ───┼──▶ post ──▶ the call's greenlet ──▶ assistant, menu, departure
    listener ─ Redis, the dead ────┘

The methods without an underscore are called from any greenlet and never wait: they only put into
the call's mailbox. The others run on the call's own, one at a time.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from eslbot.call_state import State
from eslbot.chaos.live import Blindfold
from eslbot.departure import Left
from eslbot.doors import DoorClosed
from eslbot.endpointing import Event as SpeechEvent
from eslbot.endpointing import SpeechEnded, SpeechStarted
from eslbot.media.unicast import MediaError
from workers.messages import TYPED, Final, Message

if TYPE_CHECKING:
    from eslbot.call import Call

CONVERSATION = (State.SPEAKING, State.LISTENING, State.HEARING, State.THINKING)


class CallEvents:
    """Of one call; for its door they are its doors.Ears."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._blindfold = Blindfold(call.fault) if call.fault else None

    # -- from the workers

    def worker(self, epoch: int, attempt: int, message: Message) -> None:
        if epoch == TYPED:
            if isinstance(message, Final):
                self._call.post(self._typed, message.text)
            return
        if self._blindfold is None or not self._blindfold.hides(message):
            self._call.post(self._call.assistant.on_worker, epoch, attempt, message)

    def _typed(self, words: str) -> None:
        if self._call.state in CONVERSATION and words.strip():
            self._call.assistant.on_typed(words)

    # -- from the clock

    def speech(self, event: SpeechEvent) -> None:
        speaking = self._call.state in (State.SPEAKING, State.THINKING)
        if isinstance(event, SpeechStarted) and speaking:
            # At once, on the clock: nothing this call waits for may delay the silence.
            self._call.assistant.cut_off(time.monotonic())
        self._call.post(self._speech, event)

    def _speech(self, event: SpeechEvent) -> None:
        if self._call.state is State.MENU:
            if isinstance(event, SpeechEnded):
                self._call.menu.spoken_to()
        else:
            self._call.assistant.on_speech(event)

    def played(self) -> None:
        """The playback has nothing more to say."""
        self._call.post(self._call.played)

    # -- from the door

    def key(self, digit: str) -> None:
        self._call.post(self._key, digit)

    def _key(self, digit: str) -> None:
        if self._call.state is State.MENU:
            self._call.menu.key(digit)
        elif self._call.state not in (State.LEAVING, State.ENDED, State.CONNECTING):
            self._call.assistant.on_key(digit)

    def hung_up(self) -> None:
        self._call.post(self._hung_up)

    def _hung_up(self) -> None:
        if not self._call.leave.how:
            raise DoorClosed("the call is over")

    def over(self, cause: str, disposition: str) -> None:
        self._call.post(lambda: self._call.leave.on_hung_up(cause, disposition))

    def media_gone(self, reason: str) -> None:
        self._call.post(self._media_gone, reason)

    def _media_gone(self, reason: str) -> None:
        if not self._call.leave.how:
            raise MediaError(reason)

    def taken(self) -> None:
        self._call.post(self._taken)

    def _taken(self) -> None:
        """Somebody else has the call: the watchdog, or an operator's own transfer."""
        if not self._call.leave.how:
            self._call.house.accounts.failed_over(self._call)
            self._call.leave.end("taken", "the switch took the call elsewhere")
            raise Left

    # -- from the listener

    def redis(self, healthy: bool) -> None:
        """Redis stopped working, or works again."""
        self._call.post(lambda: self._call.assistant.on_redis(healthy))

    def dead(self, names: set[str]) -> None:
        """These workers are gone."""
        self._call.post(lambda: self._call.assistant.on_dead(names))

    def send_away(self, reason: str) -> None:
        """The listener ends: FreeSWITCH's own menu takes the caller."""
        self._call.post(lambda: self._call.leave.native_menu(reason, failed=False))
