"""The conversation with the assistant: turns, barge-in, keys, and what is said.

The listener owns the turn: workers only say what they have, and only the open turn takes it. What
is done while nothing comes is in ladder.py.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from eslbot import patience
from eslbot.acting import proceed, worked
from eslbot.call_state import Event, State
from eslbot.endpointing import Event as SpeechEvent
from eslbot.endpointing import Heard, Paused, Resumed, SpeechEnded, SpeechStarted
from eslbot.ladder import Climb
from eslbot.playback import PlaybackFull
from eslbot.turn import Turn
from eslbot.turn_record import turn_record
from workers import secret_slots
from workers.messages import (
    Decision,
    Final,
    Line,
    Message,
    Partial,
    Sentence,
    SentencesEnd,
    Speech,
    SpeechEnd,
    Worked,
    Working,
)
from workers.messages import Turn as TurnMessage
from workers.values.slot_values import POINT_KEY, keys_end

if TYPE_CHECKING:
    from eslbot.call import Call

log = logging.getLogger(__name__)

ANSWER_S = 20.0  # for one stage to finish; the ladder's own times are much shorter
MAX_KEYS = 32
MAX_OPENED = 16
MAX_NO_INPUT = 2


class Assistant:
    """Lives on the call's greenlet; only cut_off() is called from the clock's."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._turn: Turn | None = None
        self._climb: Climb | None = None
        # A call may come back under the same UUID, also after the switch was started anew: nothing
        # that was meant for it before must fit.
        self._first_epoch = self._epoch = random.getrandbits(32) << 16
        self._history: list[Line] = []
        self._opened: dict[int, float] = {}  # when the last turns were, by the time of day
        self._keys = ""
        self._no_input = 0
        self._cut: str | None = None
        self._interruptions = 0
        self._ruled: tuple[str, ...] = ()  # rules of the bot that have acted

    # -- the caller

    def on_speech(self, event: SpeechEvent) -> None:
        state = self._call.state
        if isinstance(event, SpeechStarted):
            if self._acting:
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
                self._close_turn("merged")
                self._open(keyed=False).hear(carry)
        elif isinstance(event, SpeechEnded):
            turn.endpoint(event.silence_ms / 1000)
            self._await_answer()
            self._release(turn)

    def on_key(self, digit: str) -> None:
        call = self._call
        slot = call.bot.slots.get(call.dialog.asked or "")
        wants_digits = slot is not None and slot.type in patience.IN_GROUPS
        if digit == "0" and not self._keys and not wants_digits:
            call.to_menu("the caller pressed 0", failed=False)
            return
        if not self._keys:
            if digit in "*#ABCD" or self._acting:
                return
            if call.state is State.HEARING and self._turn:
                self._close_turn("merged")
            else:
                self.cut_off(time.monotonic())
                self._onset()
            self._open(keyed=True)
        if digit == "#":
            self._entered()
            return
        if digit == POINT_KEY and self._keys and POINT_KEY not in self._keys and self._sum_is_due():
            self._keys += digit
        elif digit == "*":  # the field's usual key for starting over
            self._keys = ""
        elif digit.isdigit():
            self._keys = (self._keys + digit)[:MAX_KEYS]
        if slot is not None and keys_end(slot, self._keys, call.dialog.today):
            self._entered()
        else:
            call.timer("keys", call.settings.dtmf_gap_ms / 1000, self._entered)

    def _sum_is_due(self) -> bool:
        """Whether keys are meant for an amount: it was asked for, or the open intent needs it."""
        bot, dialog = self._call.bot, self._call.dialog
        intent = bot.intents.get(dialog.intent or "")
        name = dialog.asked
        if name is None and intent is not None:
            name = next((n for n in intent.slots if n not in dialog.slots), None)
        return name in bot.slots and bot.slots[name].type == "amount"

    def on_typed(self, words: str) -> None:
        """Words that were typed instead of said: as if they had been recognised just so."""
        call = self._call
        if self._acting:
            return
        call.no_timer("keys")
        self._keys = ""
        if call.state is State.HEARING and self._turn:
            self._close_turn("merged")
        else:
            self.cut_off(time.monotonic())
            self._onset()
        turn = self._open(keyed=False, typed=True)
        if call.consent.pending and call.consent.answered(words):
            turn.heard = words
            self._tell(turn, words)
            self._close_turn("answered")
            call.go(Event.ENDPOINT)
            call.consent.go_on()
            return
        turn.enter(self._tell(turn, words))
        call.record("heard", typed=True, text=turn.told)
        self._await_answer()

    def _entered(self) -> None:
        call = self._call
        call.no_timer("keys")
        keys, self._keys = self._keys, ""
        turn = self._turn
        if turn is None or not turn.keyed or call.state is not State.HEARING:
            return
        if not keys:
            self._close_turn("discarded")
            call.go(Event.DISCARD)
            self._await_caller()
            return
        if call.consent.pending and call.consent.answered(keys):
            turn.heard = keys
            self._tell(turn, keys)
            self._close_turn("answered")
            call.go(Event.ENDPOINT)
            call.consent.go_on()
            return
        keyed = call.keyed_in(keys)
        keyed = self._tell(turn, keyed)
        turn.enter(keyed)
        call.record("heard", keyed=True, text=turn.told)
        self._await_answer()

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
        assert self._climb is not None
        self._climb.begin()

    def cut_off(self, now: float) -> None:
        """Fall silent this instant; what was heard is remembered for the history."""
        if self._acting:
            return
        if self._call.playback.busy or self._call.state is State.SPEAKING:
            self._cut = self._call.playback.stop(now)

    def _onset(self) -> bytes:
        """The caller begins: close what was going on; return audio to be heard again.

        An utterance whose answer was not heard yet belongs together with what follows it.
        """
        carry = b""
        if self._call.state is State.THINKING and self._turn:
            carry = bytes(self._turn.pcm)  # nothing, where keys were pressed
            self._close_turn("merged")
        elif self._call.state is State.SPEAKING:
            self._close_turn(self._answered(), said=self._cut or "", interrupted=True)
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
            history=tuple(self._history[-call.settings.history_lines :]),
            interruptions=self._interruptions,
            ruled=self._ruled,
        )
        turn = self._turn = Turn(message, call.house.link, keyed=keyed, typed=typed)
        call.when_said(self._said)  # what a phrase that was cut off would have led to is void
        call.wait_for_silence(patience.silence_ms(call.settings, call.bot, call.dialog))
        self._climb = Climb(call, turn)
        call.house.accounts.turn_opened()
        call.house.hedges.request()
        turn.open()
        self._opened[self._epoch - self._first_epoch] = turn.opened_at
        while len(self._opened) > MAX_OPENED:
            del self._opened[next(iter(self._opened))]
        return turn

    # -- the workers

    def on_worker(self, epoch: int, attempt: int, message: Message) -> None:
        turn, climb = self._turn, self._climb
        if turn is None or climb is None or not turn.is_open or turn.epoch != epoch:
            return  # late, or of a turn that was closed
        if self._cut is not None and isinstance(message, Speech):
            return  # interrupted an instant ago, on the clock
        if turn.held is not None and isinstance(message, Speech | SpeechEnd):
            turn.times.first_speech = turn.times.first_speech or time.monotonic()
            self._call.no_timer("budget tts")
            turn.held.append(lambda: self.on_worker(epoch, attempt, message))
            return
        if not climb.takes(attempt, message):
            return
        self._take(turn, attempt, message)
        if turn.is_open:
            climb.progress(message)

    def _take(self, turn: Turn, attempt: int, message: Message) -> None:
        call = self._call
        if isinstance(message, Partial):
            call.record("partial", text=self._shown(turn, message.text))
            state = turn.message.state
            call.wait_for_silence(
                patience.silence_after_ms(call.settings, call.bot, state, message.text)
            )
        elif isinstance(message, Final) and call.consent.pending:
            _once_over(turn, lambda: self._consent(turn, message.text))
        elif isinstance(message, Final):
            confidence = turn.confidence = round(message.confidence, 2)
            turn.recognised(self._tell(turn, message.text))
            _once_over(turn, lambda: call.record("heard", text=turn.told, confidence=confidence))
        elif isinstance(message, Decision):
            if turn.decision is None:
                turn.times.decision = time.monotonic()
                turn.decision = message
                _once_over(turn, lambda: self._decided(message))
        elif isinstance(message, Sentence):
            turn.sentence(message)
        elif isinstance(message, SentencesEnd):
            turn.complete()
        elif isinstance(message, Working):
            _once_over(turn, lambda: self._proceed(turn, attempt, message))
        elif isinstance(message, Worked):
            worked(call, turn, message)
        elif isinstance(message, Speech):
            self._speech(turn, attempt, message)
        elif isinstance(message, SpeechEnd):
            self._speech_end(turn, attempt, message)

    def _proceed(self, turn: Turn, attempt: int, message: Working) -> None:
        assert self._climb is not None
        if turn.work["llm"].chosen != attempt:
            return  # its worker is dead, and another one is at it
        proceed(self._call, turn, self._climb, attempt, message)
        if turn.speaking is not None:
            self._await_more()

    def _consent(self, turn: Turn, text: str) -> None:
        """The answer to whether the call may be recorded; anything else is a wish."""
        if self._call.consent.answered(text):
            turn.heard = text
            self._tell(turn, text)
            self._close_turn("answered")
            self._call.consent.go_on()
        else:
            turn.recognised(self._tell(turn, text))
            self._call.record("heard", text=turn.told)

    def _tell(self, turn: Turn, heard: str) -> str:
        """What was heard, as workers get it; and kept as others may see it, in turn.told. Parts of
        a number that were dictated over several turns are taken back."""
        call = self._call
        shown = self._shown(turn, heard)
        number = turn.epoch - self._first_epoch
        turn.told, amended = call.private.hear(number, shown, turn.message.state)
        turn.private = dict(call.private.kept)
        for one in amended:
            for at, line in enumerate(self._history):
                if line.who == "caller" and line.text == one.before[:1000]:
                    self._history[at] = Line("caller", one.text[:1000])
            call.keep("amended", {"number": one.number, "text": one.text})
        if amended:
            since = min(self._opened.get(one.number, 0.0) for one in amended)
            call.house.link.forget_heard(call.uuid, since)
        return turn.told if amended else heard

    def _shown(self, turn: Turn, heard: str) -> str:
        return secret_slots.speech(self._call.bot, turn.message.state, heard)

    def _decided(self, decision: Decision) -> None:
        call = self._call
        state = decision.state
        known = secret_slots.known(call.bot, state.slots, call.variables)
        intent = state.intent if state.intent in call.bot.intents else None
        pending = tuple(step for step in state.pending if step.intent in call.bot.intents)
        call.dialog = replace(state, intent=intent, slots=known, pending=pending)
        if state.language is not None:
            call.speak(state.language)
        values = {
            call.bot.slots[name].variable: value
            for name, value in known.items()
            if not call.bot.slots[name].secret
        }
        values["ai_intent"] = intent or ""
        for name in decision.rules:
            if name in call.bot.rules and name not in self._ruled:
                self._ruled += (name,)
                values |= call.bot.rules[name].variables
        call.consent.look()
        call.set_variables(values)
        taken_for = decision.intent if decision.intent in call.bot.intents else intent
        chosen = {name: found for name in ("cited", "route", "mood", "rules")
                  if (found := getattr(decision, name))}  # fmt: skip
        call.record("decided", intent=taken_for, slots=known, action=decision.action, **chosen)

    def _speech(self, turn: Turn, number: int, message: Speech) -> None:
        call = self._call
        attempt = turn.work["tts"].attempts[number]
        attempt.next_piece = (message.index, message.seq + 1)
        pcm = message.pcm[attempt.skip :]
        attempt.skip -= len(message.pcm) - len(pcm)
        playback = call.playback
        try:
            if turn.speaking is None:
                turn.times.first_speech = turn.times.first_speech or time.monotonic()
                playback.begin()
                call.go(Event.SPEAK)
            call.when_said(self._said)
            if turn.speaking != message.index:
                turn.speaking = message.index
                turn.received = 0
                text = turn.sentences.get(message.index, "")
                playback.sentence(text)
                call.record("said", text=text)
            turn.received += len(pcm)
            starved = playback.starving
            playback.feed(pcm)
            if starved and call.leg:
                call.leg.play(time.monotonic())  # at once, not at the next tick
        except PlaybackFull as error:
            call.fail(f"tts: {error}")
            return
        self._await_more()

    def _speech_end(self, turn: Turn, number: int, message: SpeechEnd) -> None:
        if not message.last:
            attempt = turn.work["tts"].attempts[number]
            attempt.next_piece, attempt.skip = (message.index + 1, 0), 0
            if turn.speaking == message.index:
                self._call.playback.complete()
            return
        turn.all_spoken = True
        self._call.no_timer("starved")
        self._call.when_said(self._said)
        if turn.speaking is None:
            self._said()
        elif not self._call.playback.busy:
            self._call.played()

    def on_dead(self, names: set[str]) -> None:
        """These workers are gone."""
        if self._turn and self._turn.is_open and self._climb:
            self._climb.on_dead(names)

    def on_redis(self, healthy: bool) -> None:
        """Redis is away, or is back and may have lost all."""
        turn, climb = self._turn, self._climb
        if turn is None or climb is None or not turn.is_open:
            return
        climb.on_redis(healthy)
        if healthy:
            self._epoch += 1
            turn.restart(self._epoch)

    def workers(self) -> Iterable[str]:
        """Whose death would concern this call now."""
        if self._turn and self._turn.is_open and self._climb:
            yield from self._climb.workers()

    # -- and what follows

    def _await_more(self) -> None:
        """Whatever is tried: after so much silence within an answer the menu takes over."""
        limit = self._call.playback.seconds_left + self._call.bot.ladder.menu.after_ms / 1000
        if self._turn is not None and self._turn.patient_until:
            limit += max(0.0, self._turn.patient_until - time.monotonic())
        self._call.timer("starved", limit, lambda: self._call.fail("the answer broke off"))

    def _said(self) -> None:
        """The caller has heard all of the turn's answer."""
        call = self._call
        turn = self._turn
        if turn is None or not turn.all_spoken:
            call.when_said(self._said)
            return
        decision = turn.decision or Decision(call.dialog)
        if turn.speaking is None and decision.action == "none":
            call.fail("an answer without words")
            return
        said = " ".join(turn.sentences[i] for i in sorted(turn.sentences))
        if decision.action == "transfer" and decision.destination in call.bot.destinations:
            self._close_turn("human", said)
            call.leave.transfer(decision.destination, "asked for")
        elif decision.action == "menu":
            self._close_turn("menu", said)
            call.to_menu("not understood", failed=False)
        elif decision.action == "hangup":
            self._close_turn(self._answered(), said)
            call.leave.hang_up()
        else:
            self._close_turn(self._answered(), said)
            self.listen()

    def _answered(self) -> str:
        """How the turn came to its answer."""
        turn = self._turn
        if turn is not None and turn.level > 0:
            return "failed over"
        return "masked" if turn is not None and turn.filled else "answered"

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
        self._close_turn(outcome)
        self._keys = ""
        self._cut = None
        self._call.no_timer("no input", "said", "starved", "keys")

    def _close_turn(self, outcome: str, said: str = "", interrupted: bool = False) -> None:
        """said: what the caller heard of the answer. The conversation so far goes on from it."""
        turn = self._turn
        said = self._call.private.clean(said)
        if turn is None or not turn.close(outcome):
            if said:  # a fixed phrase was interrupted: it belongs to no turn
                self._history.append(Line("bot", said[:1000]))
            return
        if self._climb:
            self._climb.stop()
        if turn.speaking is not None:
            turn.times.first_frame = self._call.playback.first_frame_at
        number = turn.epoch - self._first_epoch
        if outcome == "merged":
            self._call.private.drop(number)
        elif turn.heard:
            self._history.append(Line("caller", turn.told[:1000]))
        if said:
            self._history.append(Line("bot", said[:1000]))
        keep = self._call.settings.history_lines
        del self._history[: max(0, len(self._history) - keep)]
        intervals = turn.intervals_ms()
        self._call.leave.turn_ended(outcome, intervals)
        more = self._call.door.network() | ({"interrupted": True} if interrupted else {})
        if self._call.house.traces:
            self._call.house.traces.turn(self._call.uuid, number, outcome, turn.times, turn.level)
        self._call.record("turn", number=number, outcome=outcome, **intervals, **more)
        kept = turn_record(turn, number, said, interrupted, self._call.private)
        self._call.keep("turn", kept | self._call.door.network())


def _once_over(turn: Turn, act: Callable[[], None]) -> None:
    """Now, or as soon as it is certain that the utterance is over."""
    if turn.held is None:
        act()
    else:
        turn.held.append(act)
