"""The conversation with the assistant: turns, barge-in, keys, deadlines.

The listener owns the turn: workers only say what they have, and only the open turn takes it.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from eslbot.call_state import Event, State
from eslbot.endpointing import Event as SpeechEvent
from eslbot.endpointing import Heard, SpeechEnded, SpeechStarted
from eslbot.playback import PlaybackFull
from eslbot.turn import Turn
from workers.messages import (
    Decision,
    DialogState,
    Failed,
    Final,
    Line,
    Message,
    Partial,
    Sentence,
    Speech,
    SpeechEnd,
)

if TYPE_CHECKING:
    from eslbot.call import Call

log = logging.getLogger(__name__)

ANSWER_S = 20.0  # for one stage to finish; the deadline to the first audio is much shorter
MAX_KEYS = 32
MAX_NO_INPUT = 2


class Assistant:
    """Lives on the call's greenlet; only cut_off() is called from the clock's."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._turn: Turn | None = None
        self._epoch = 0
        self._history: list[Line] = []
        self._keys = ""
        self._no_input = 0
        self._cut: str | None = None

    # -- the caller

    def on_speech(self, event: SpeechEvent) -> None:
        state = self._call.state
        if isinstance(event, SpeechStarted):
            if state in (State.SPEAKING, State.LISTENING, State.THINKING):
                carry = self._onset()
                turn = self._open(keyed=False)
                if turn and not (turn.hear(carry + event.pcm)):
                    self._call.fail("Redis is away")
            return
        turn = self._turn
        if state is not State.HEARING or turn is None or turn.keyed:
            return
        if isinstance(event, Heard):
            if not turn.hear(event.pcm):
                self._call.fail("Redis is away")
        elif isinstance(event, SpeechEnded):
            deadline_s = self._call.settings.turn_deadline_ms / 1000
            turn.endpoint(event.silence_ms / 1000, deadline_s)
            self._call.go(Event.ENDPOINT)
            self._await_answer(deadline_s)

    def on_key(self, digit: str) -> None:
        call = self._call
        slot = call.bot.slots.get(call.dialog.asked or "")
        wants_digits = slot is not None and slot.type == "digits"
        if digit == "0" and not self._keys and not wants_digits:
            call.to_menu("the caller pressed 0", announce=False)
            return
        if not self._keys:
            if digit in "*#ABCD":
                return
            if call.state is State.HEARING and self._turn:
                self._close_turn("superseded")
            else:
                self.cut_off(time.monotonic())
                self._onset()
            if not self._open(keyed=True):
                return
        if digit == "#":
            self._entered()
            return
        if digit == "*":  # the field's usual key for starting over
            self._keys = ""
        elif digit.isdigit():
            self._keys = (self._keys + digit)[:MAX_KEYS]
        if wants_digits and slot and len(self._keys) >= slot.max_digits:
            self._entered()
        else:
            call.timer("keys", call.settings.dtmf_gap_ms / 1000, self._entered)

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
        deadline_s = call.settings.turn_deadline_ms / 1000
        turn.enter(keys, deadline_s)
        call.record("heard", keyed=True, text=keys)
        call.go(Event.ENDPOINT)
        self._await_answer(deadline_s)

    def cut_off(self, now: float) -> None:
        """Fall silent this instant; what was heard is remembered for the history."""
        if self._call.playback.busy or self._call.state is State.SPEAKING:
            self._cut = self._call.playback.stop(now)

    def _onset(self) -> bytes:
        """The caller begins: close what was going on; return audio to be heard again.

        An utterance whose answer was not heard yet belongs together with what follows it.
        """
        carry = b""
        if self._call.state is State.THINKING and self._turn:
            carry = bytes(self._turn.pcm)  # nothing, where keys were pressed
            self._close_turn("superseded")
        elif self._call.state is State.SPEAKING:
            self._close_turn("interrupted", said=self._cut or "")
            self._call.record("interrupted", heard=self._cut or "")
        self._cut = None
        return carry

    def _open(self, keyed: bool) -> Turn | None:
        call = self._call
        self._no_input = 0
        call.no_timer("no input", "answer", "said", "starved")
        if call.state is not State.HEARING:
            call.go(Event.ONSET)
        self._epoch += 1
        turn, sent = Turn.open(
            call.house.link,
            call=call.uuid,
            epoch=self._epoch,
            bot=call.bot.sha,
            state=call.dialog,
            history=tuple(self._history[-call.settings.history_lines :]),
            language=call.variables.get("ai_language", call.bot.language),
            listen_s=call.settings.max_utterance_s * 2 + ANSWER_S,
            answer_s=ANSWER_S,
            keyed=keyed,
        )
        self._turn = turn
        if not sent:
            call.fail("Redis is away")
            return None
        return turn

    # -- the workers

    def on_worker(self, epoch: int, message: Message) -> None:
        turn = self._turn
        if turn is None or not turn.is_open or turn.epoch != epoch:
            return  # late, or another worker was faster
        call = self._call
        now = time.monotonic()
        if isinstance(message, Partial):
            call.record("partial", text=message.text)
        elif isinstance(message, Final):
            turn.times.final = now
            turn.heard = message.text
            call.record("heard", text=message.text, confidence=round(message.confidence, 2))
        elif isinstance(message, Decision):
            turn.times.decision = now
            turn.decision = message
            self._decided(message)
        elif isinstance(message, Sentence):
            turn.sentences[message.index] = message.text
        elif isinstance(message, Speech):
            self._speech(turn, message)
        elif isinstance(message, SpeechEnd):
            self._speech_end(turn, message)
        elif isinstance(message, Failed):
            call.fail(f"{message.stage}: {message.reason}")

    def _decided(self, decision: Decision) -> None:
        call = self._call
        state = decision.state
        known = {n: v for n, v in state.slots.items() if n in call.bot.slots}
        intent = state.intent if state.intent in call.bot.intents else None
        call.dialog = DialogState(intent, known, state.asked, state.misses)
        values = {call.bot.slots[name].variable: value for name, value in known.items()}
        values["ai_intent"] = intent or ""
        call.set_variables(values)
        taken_for = decision.intent if decision.intent in call.bot.intents else intent
        call.record("decided", intent=taken_for, slots=known, action=decision.action)

    def _speech(self, turn: Turn, message: Speech) -> None:
        call = self._call
        if self._cut is not None:
            return  # interrupted an instant ago, on the clock
        if (message.index, message.seq) != turn.next_speech:
            call.fail("tts: a piece of speech is missing")
            return
        turn.next_speech = (message.index, message.seq + 1)
        playback = call.playback
        try:
            if turn.speaking is None:
                turn.times.first_speech = time.monotonic()
                playback.begin()
                call.go(Event.SPEAK)
                call.no_timer("answer")
                call.when_said(self._said)
            if turn.speaking != message.index:
                turn.speaking = message.index
                text = turn.sentences.get(message.index, "")
                playback.sentence(text)
                call.record("said", text=text)
            playback.feed(message.pcm)
        except PlaybackFull as error:
            call.fail(f"tts: {error}")
            return
        self._await_more()

    def _speech_end(self, turn: Turn, message: SpeechEnd) -> None:
        if not message.last:
            turn.next_speech = (message.index + 1, 0)
            if turn.speaking == message.index:
                self._call.playback.complete()
            return
        turn.all_spoken = True
        self._call.no_timer("starved")
        if turn.speaking is None:
            self._said()
        elif not self._call.playback.busy:
            self._call.played()

    # -- and what follows

    def _await_answer(self, deadline_s: float) -> None:
        self._call.timer("answer", deadline_s, lambda: self._call.fail("no answer in time"))

    def _await_more(self) -> None:
        """Between two pieces of speech no more may pass than to the first."""
        left = self._call.playback.seconds_left
        limit = left + self._call.settings.turn_deadline_ms / 1000
        self._call.timer("starved", limit, lambda: self._call.fail("the answer broke off"))

    def _said(self) -> None:
        """The caller has heard all of the turn's answer."""
        call = self._call
        turn = self._turn
        if turn is None or not turn.all_spoken:
            call.when_said(self._said)
            return
        decision = turn.decision or Decision(call.dialog)
        nothing = turn.speaking is None
        self._close_turn("answered", " ".join(turn.sentences[i] for i in sorted(turn.sentences)))
        if decision.action == "transfer" and decision.destination in call.bot.destinations:
            call.transfer(decision.destination, "asked for")
        elif decision.action == "menu":
            call.to_menu("not understood", announce=False)
        elif decision.action == "hangup":
            call.hang_up()
        elif nothing:
            call.fail("an answer without words")
        else:
            self.listen()

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
        if self._no_input > MAX_NO_INPUT or not call.say(call.bot.phrases.no_input):
            call.fail("the caller said nothing")

    def stop(self, outcome: str) -> None:
        """Close the turn and fall silent."""
        if self._call.leg:
            self._call.playback.stop(time.monotonic())
        self._close_turn(outcome)
        self._keys = ""
        self._cut = None
        self._call.no_timer("no input", "answer", "said", "starved", "keys")

    def _close_turn(self, outcome: str, said: str = "") -> None:
        """said: what the caller heard of the answer. The conversation so far goes on from it."""
        turn = self._turn
        if turn is None or not turn.close(outcome):
            if said:  # a fixed phrase was interrupted: it belongs to no turn
                self._history.append(Line("bot", said[:1000]))
            return
        if turn.speaking is not None:
            turn.times.first_frame = self._call.playback.first_frame_at
        if turn.heard and outcome != "superseded":
            self._history.append(Line("caller", turn.heard[:1000]))
        if said:
            self._history.append(Line("bot", said[:1000]))
        keep = self._call.settings.history_lines
        del self._history[: max(0, len(self._history) - keep)]
        self._call.record("turn", epoch=turn.epoch, outcome=outcome, **turn.intervals_ms())
