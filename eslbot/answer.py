"""One turn's answer: what workers say of it, and what comes of that.

    Partial, Final        the caller's words, on to the language model
    Decision              the dialog's new state, variables onto the channel
    Working, Worked       a tool; see acting.py
    Sentence              on to the voice
    Speech, SpeechEnd     into the playback; once all was heard, what was decided is done

What is done while nothing comes is in ladder.py.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from eslbot import patience
from eslbot.acting import proceed, worked
from eslbot.call_state import Event
from eslbot.ladder import Climb
from eslbot.playback import PlaybackFull
from eslbot.turn import Turn
from workers import secret_slots
from workers.messages import (
    Decision,
    Final,
    Message,
    Partial,
    Sentence,
    SentencesEnd,
    Speech,
    SpeechEnd,
    Worked,
    Working,
)

if TYPE_CHECKING:
    from eslbot.call import Call


class Answer:
    """Lives on the call's greenlet, as long as its turn is the latest."""

    def __init__(self, call: Call, turn: Turn) -> None:
        self._call = call
        self._turn = turn
        self.climb = Climb(call, turn)
        call.when_said(self.said)  # what a phrase that was cut off would have led to is void

    def take(self, attempt: int, message: Message) -> None:
        """What a worker's attempt says, while the turn is open."""
        if not self.climb.takes(attempt, message):
            return
        self._take(attempt, message)
        if self._turn.is_open:
            self.climb.progress(message)

    def _take(self, attempt: int, message: Message) -> None:
        call, turn = self._call, self._turn
        if isinstance(message, Partial):
            call.record("partial", text=call.transcript.shown(turn, message.text))
            state = turn.message.state
            call.wait_for_silence(
                patience.silence_after_ms(call.settings, call.bot, state, message.text)
            )
        elif isinstance(message, Final) and call.consent.pending:
            self._once_over(lambda: self._consent(message.text))
        elif isinstance(message, Final):
            confidence = turn.confidence = round(message.confidence, 2)
            turn.recognised(call.transcript.tell(turn, message.text))
            self._once_over(lambda: call.record("heard", text=turn.told, confidence=confidence))
        elif isinstance(message, Decision):
            if turn.decision is None:
                turn.times.decision = time.monotonic()
                turn.decision = message
                self._once_over(lambda: self._decided(message))
        elif isinstance(message, Sentence):
            text, outside = call.private.voiced(message.text, turn.private)
            turn.sentence(message, replace(message, text=text, outside=outside))
        elif isinstance(message, SentencesEnd):
            turn.complete()
        elif isinstance(message, Working):
            self._once_over(lambda: self._proceed(attempt, message))
        elif isinstance(message, Worked):
            worked(call, turn, message)
        elif isinstance(message, Speech):
            self._speech(attempt, message)
        elif isinstance(message, SpeechEnd):
            self._speech_end(attempt, message)

    def _once_over(self, act: Callable[[], None]) -> None:
        """Now, or as soon as it is certain that the utterance is over."""
        if self._turn.held is None:
            act()
        else:
            self._turn.held.append(act)

    def _proceed(self, attempt: int, message: Working) -> None:
        if self._turn.work["llm"].chosen != attempt:
            return  # its worker is dead, and another one is at it
        proceed(self._call, self._turn, self.climb, attempt, message)
        if self._turn.speaking is not None:
            self._await_more()

    def _consent(self, text: str) -> None:
        """The answer to whether the call may be recorded; anything else is a wish."""
        call, turn = self._call, self._turn
        if call.assistant.consented(turn, text):
            call.consent.go_on()
        else:
            turn.recognised(call.transcript.tell(turn, text))
            call.record("heard", text=turn.told)

    def _decided(self, decision: Decision) -> None:
        call = self._call
        bot = call.bot  # the one that the decision was made with; a translation may follow
        state = decision.state
        known = secret_slots.known(bot, state.slots, call.variables)
        intent = state.intent if state.intent in bot.intents else None
        pending = tuple(step for step in state.pending if step.intent in bot.intents)
        call.dialog = replace(state, intent=intent, slots=known, pending=pending)
        if state.language is not None:
            call.speak(state.language)
        values = {
            bot.slots[name].variable: value
            for name, value in known.items()
            if not bot.slots[name].secret
        }
        values["ai_intent"] = intent or ""
        for name in decision.rules:
            if name in bot.rules and name not in call.ruled:
                call.ruled += (name,)
                values |= bot.rules[name].variables
        call.consent.look()
        call.set_variables(values)
        taken_for = decision.intent if decision.intent in bot.intents else intent
        chosen = {name: found for name in ("cited", "route", "mood", "rules")
                  if (found := getattr(decision, name))}  # fmt: skip
        call.record("decided", intent=taken_for, slots=known, action=decision.action, **chosen)

    # -- its voice

    def _speech(self, number: int, message: Speech) -> None:
        call, turn = self._call, self._turn
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
            call.when_said(self.said)
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

    def _speech_end(self, number: int, message: SpeechEnd) -> None:
        call, turn = self._call, self._turn
        if not message.last:
            attempt = turn.work["tts"].attempts[number]
            attempt.next_piece, attempt.skip = (message.index + 1, 0), 0
            if turn.speaking == message.index:
                call.playback.complete()
            return
        turn.all_spoken = True
        call.no_timer("starved")
        call.when_said(self.said)
        if turn.speaking is None:
            self.said()
        elif not call.playback.busy:
            call.played()

    def _await_more(self) -> None:
        """Whatever is tried: after so much silence within an answer the menu takes over."""
        call, turn = self._call, self._turn
        limit = call.playback.seconds_left + call.bot.ladder.menu.after_ms / 1000
        if turn.patient_until:
            limit += max(0.0, turn.patient_until - time.monotonic())
        call.timer("starved", limit, lambda: call.fail("the answer broke off"))

    def said(self) -> None:
        """The caller has heard what there is of it; if that is all, what was decided follows."""
        call, turn = self._call, self._turn
        if not turn.all_spoken:
            call.when_said(self.said)
            return
        decision = turn.decision or Decision(call.dialog)
        if turn.speaking is None and decision.action == "none":
            call.fail("an answer without words")
            return
        said = " ".join(turn.sentences[i] for i in sorted(turn.sentences))
        if decision.action == "transfer" and decision.destination in call.bot.destinations:
            call.assistant.close_turn("human", said)
            call.leave.transfer(decision.destination, "asked for")
        elif decision.action == "menu":
            call.assistant.close_turn("menu", said)
            call.to_menu("not understood", failed=False)
        elif decision.action == "hangup":
            call.assistant.close_turn(turn.answered, said)
            call.leave.hang_up()
        else:
            call.assistant.close_turn(turn.answered, said)
            call.assistant.listen()
