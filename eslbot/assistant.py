"""The conversation with the assistant: whose turn it is, barge-in, speech and keys.

    caller ── speech, keys, words ──▶ Assistant ── opens, closes ──▶ Turn
    workers ── what they say ───────▶ Assistant ── of the open turn ▶ Answer ──▶ playback

The listener owns the turn: workers only say what they have, and only the open turn takes it. What
comes of it is in answer.py, what was said so far in transcript.py, keys in key_entry.py.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from eslbot import patience
from eslbot.answer import Answer
from eslbot.call_state import Event, State
from eslbot.endpointing import Event as SpeechEvent
from eslbot.endpointing import Heard, Paused, Resumed, SpeechEnded, SpeechStarted
from eslbot.key_entry import KeyEntry
from eslbot.turn import Turn
from eslbot.turn_record import turn_record
from workers.messages import Message, Speech, SpeechEnd
from workers.messages import Turn as TurnMessage

if TYPE_CHECKING:
    from eslbot.call import Call

ANSWER_S = 20.0  # for one stage to finish; the ladder's own times are much shorter
MAX_NO_INPUT = 2


class Assistant:
    """Lives on the call's greenlet; only cut_off() is called from the clock's."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._turn: Turn | None = None
        self._answer: Answer | None = None  # the same turn's
        self._turns = 0
        # A call may come back under the same UUID, also after the switch was started anew: nothing
        # that was meant for it before must fit.
        self._epoch = random.getrandbits(32) << 16
        self._keys = KeyEntry(call)
        self._no_input = 0
        self._cut: str | None = None
        self._interruptions = 0

    # -- the caller

    def on_speech(self, event: SpeechEvent) -> None:
        state = self._call.state
        if isinstance(event, SpeechStarted):
            if self._acting:
                self._cut = None  # by the clock, before it was known: the answer goes on
                return
            if state is State.THINKING and self._turn and (self._turn.keyed or self._turn.typed):
                # A noise would undo an entry of which no audio could be heard again. By the clock,
                # it has cut off a filler; what is said next is the answer.
                self._cut = None
                return
            if state in (State.SPEAKING, State.LISTENING, State.THINKING):
                carry = self._onset()
                self._open(keyed=False).hear(carry + event.pcm)
            return
        turn = self._turn
        if state is not State.HEARING or turn is None or turn.keyed:
            return
        if isinstance(event, Heard):
            turn.hear(event.pcm)
        elif isinstance(event, Paused):
            if not turn.ended and self._call.house.link.serves(self._call.uuid):
                turn.speculate()
        elif isinstance(event, Resumed):
            if turn.held is not None:  # heard again from its beginning, with what follows
                carry = bytes(turn.pcm)
                self.close_turn("merged")
                self._open(keyed=False).hear(carry)
        elif isinstance(event, SpeechEnded):
            turn.endpoint(event.silence_ms / 1000)
            self._await_answer()
            self._release(turn)

    def on_key(self, digit: str) -> None:
        call = self._call
        slot = call.bot.slots.get(call.dialog.asked or "")
        wants_digits = slot is not None and slot.type in patience.IN_GROUPS
        if digit == "0" and not self._keys.begun and not wants_digits:
            call.to_menu("the caller pressed 0", failed=False)
            return
        if not self._keys.begun:
            if digit in "*#ABCD" or self._acting:
                return
            if call.state is State.HEARING and self._turn:
                self.close_turn("merged")
            else:
                self.cut_off(time.monotonic())
                self._onset()
            self._open(keyed=True)
        self._keys.press(digit)

    def on_typed(self, words: str) -> None:
        """Words that were typed instead of said: as if they had been recognised just so."""
        call = self._call
        if self._acting:
            return
        self._keys.drop()
        if call.state is State.HEARING and self._turn:
            self.close_turn("merged")
        else:
            self.cut_off(time.monotonic())
            self._onset()
        turn = self._open(keyed=False, typed=True)
        if call.consent.pending and self.consented(turn, words):
            call.go(Event.ENDPOINT)
            call.consent.go_on()
            return
        turn.enter(call.transcript.tell(turn, words))
        call.record("heard", typed=True, text=turn.told)
        self._await_answer()

    def entered(self, keys: str) -> None:
        """See key_entry.py."""
        call = self._call
        turn = self._turn
        if turn is None or not turn.keyed or call.state is not State.HEARING:
            return
        if not keys:
            self.close_turn("discarded")
            call.go(Event.DISCARD)
            self._await_caller()
            return
        if call.consent.pending and self.consented(turn, keys):
            call.go(Event.ENDPOINT)
            call.consent.go_on()
            return
        turn.enter(call.transcript.tell(turn, call.keyed_in(keys)))
        call.record("heard", keyed=True, text=turn.told)
        self._await_answer()

    def consented(self, turn: Turn, words: str) -> bool:
        """Whether this answers the question for consent: then the turn is over."""
        if not self._call.consent.answered(words):
            return False
        turn.heard = words
        self._call.transcript.tell(turn, words)
        self.close_turn("answered")
        return True

    @property
    def _acting(self) -> bool:
        """Whether the caller has to wait for what is being done; see acting.py."""
        return self._turn is not None and self._turn.is_open and self._turn.acting

    @staticmethod
    def _release(turn: Turn) -> None:
        """The utterance is over: what came of it already counts, in its order."""
        held, turn.held = turn.held, None
        for act in held or ():
            if not turn.is_open:
                return
            act()

    def _await_answer(self) -> None:
        self._call.go(Event.ENDPOINT)
        assert self._answer is not None
        self._answer.climb.begin()

    def cut_off(self, now: float) -> None:
        """Fall silent this instant; what was heard is remembered for the history."""
        if self._acting:
            return
        if self._call.playback.busy or self._call.state is State.SPEAKING:
            heard = self._call.playback.stop(now)
            # A key may come between the clock's cut and its speech: what was heard then counts.
            self._cut = heard if self._cut is None else self._cut

    def _onset(self) -> bytes:
        """The caller begins: close what was going on; return audio to be heard again.

        An utterance whose answer was not heard yet belongs together with what follows it.
        """
        carry = b""
        if self._call.state is State.THINKING and self._turn:
            carry = bytes(self._turn.pcm)  # nothing, where keys were pressed
            self.close_turn("merged")
        elif self._call.state is State.SPEAKING:
            how = self._turn.answered if self._turn else "answered"
            self.close_turn(how, said=self._cut or "", interrupted=True)
            self._call.record("interrupted", heard=self._cut or "")
            self._interruptions += 1
        self._cut = None
        return carry

    def _open(self, keyed: bool, typed: bool = False) -> Turn:
        call = self._call
        self._no_input = 0
        call.no_timer("no input", "said", "starved")
        if call.state is not State.HEARING:
            call.go(Event.ONSET)
        self._epoch += 1
        message = TurnMessage(
            call.uuid,
            self._epoch,
            call.house.link.out_for(call.uuid),
            call.bot.whole.sha,
            listen_s=call.settings.max_utterance_s * 2 + ANSWER_S,
            answer_s=ANSWER_S,
            language=call.variables.get("ai_language", call.bot.language),
            state=call.dialog,
            history=call.transcript.lines(),
            interruptions=self._interruptions,
            ruled=call.ruled,
        )
        self._turns += 1
        turn = Turn(message, call.house.link, self._turns, keyed=keyed, typed=typed)
        self._turn, self._answer = turn, Answer(call, turn)
        call.wait_for_silence(patience.silence_ms(call.settings, call.bot, call.dialog))
        call.house.accounts.turn_opened()
        call.house.hedges.request()
        turn.open()
        call.transcript.opened(turn)
        return turn

    # -- the workers

    def on_worker(self, epoch: int, attempt: int, message: Message) -> None:
        turn, answer = self._turn, self._answer
        if turn is None or answer is None or not turn.is_open or turn.epoch != epoch:
            return  # late, or of a turn that was closed
        if self._cut is not None and isinstance(message, Speech):
            return  # interrupted an instant ago, on the clock
        if turn.held is not None and isinstance(message, Speech | SpeechEnd):
            turn.times.first_speech = turn.times.first_speech or time.monotonic()
            self._call.no_timer("budget tts")
            turn.held.append(lambda: self.on_worker(epoch, attempt, message))
            return
        answer.take(attempt, message)

    def on_dead(self, names: set[str]) -> None:
        """These workers are gone."""
        if self._turn and self._turn.is_open and self._answer:
            self._answer.climb.on_dead(names)

    def on_redis(self, healthy: bool) -> None:
        """Redis is away, or is back and may have lost all."""
        turn, answer = self._turn, self._answer
        if turn is None or answer is None or not turn.is_open:
            return
        answer.climb.on_redis(healthy)
        if healthy:
            self._epoch += 1
            turn.restart(self._epoch)

    def workers(self) -> Iterable[str]:
        """Whose death would concern this call now."""
        if self._turn and self._turn.is_open and self._answer:
            yield from self._answer.climb.workers()

    # -- and what follows

    def listen(self) -> None:
        """It is the caller's turn."""
        if self._call.state is State.SPEAKING:
            self._call.go(Event.SAID)
        self._await_caller()

    def _await_caller(self) -> None:
        self._call.timer("no input", self._call.settings.no_input_ms / 1000, self._nothing)

    def _nothing(self) -> None:
        call = self._call
        if call.state is not State.LISTENING:
            return
        self._no_input += 1
        asked = call.bot.recording if call.consent.pending else None
        again = asked.consent if asked else call.bot.phrases.no_input
        if self._no_input > MAX_NO_INPUT or not call.say(again):
            call.to_menu("the caller said nothing", failed=False)

    def stop(self, outcome: str) -> None:
        """Close the turn and fall silent."""
        if self._call.leg:
            self._call.playback.stop(time.monotonic())
        self.close_turn(outcome)
        self._keys.drop()
        self._cut = None
        self._call.no_timer("no input", "said", "starved")

    def close_turn(self, outcome: str, said: str = "", interrupted: bool = False) -> None:
        """said: what the caller heard of the answer. The conversation so far goes on from it."""
        turn = self._turn
        call = self._call
        said = call.private.clean(said)
        if turn is None or not turn.close(outcome):
            call.transcript.said(said)  # a fixed phrase was interrupted: it belongs to no turn
            return
        if self._answer:
            self._answer.climb.stop()
        if turn.speaking is not None:
            turn.times.first_frame = call.playback.first_frame_at
        call.transcript.closed(turn, said)
        intervals = turn.intervals_ms()
        call.leave.turn_ended(outcome, intervals)
        network = call.door.network()
        more = network | ({"interrupted": True} if interrupted else {})
        if call.house.traces:
            call.house.traces.turn(call.uuid, turn.number, outcome, turn.times, turn.level)
        call.record("turn", number=turn.number, outcome=outcome, **intervals, **more)
        call.keep("turn", turn_record(turn, said, interrupted, call.private) | network)
