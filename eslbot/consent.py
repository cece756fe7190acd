"""Whether a call is recorded: only once its caller was told, or has agreed; and not meanwhile.

    announce   the phrase, heard to its end ─▶ recorded ─▶ greeting
    ask        the phrase ─▶ "yes", or 1 ─▶ recorded ─▶ greeting;  "no", or 2 ─▶ greeting
               (a "yes" that interrupts the phrase is none)
               anything else is taken as what the caller wants: not recorded

Silence stands for both sides while a secret is asked for, and in the DTMF menu.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from eslbot.call_state import Event, State
from eslbot.media.recording import Recording, Writer
from workers import secret_slots
from workers.spoken import yes_or_no

if TYPE_CHECKING:
    from eslbot.call import Call

CONFIRM = "confirm"  # what speech-to-text expects then: a yes or a no


class Recordings:
    """Of a listener. key: for encryption; None: they are plain WAV files."""

    def __init__(self, folder: Path, key: bytes | None, max_s: int) -> None:
        self.writer = Writer()
        self._folder, self._key, self._max_s = folder, key, max_s

    def open(self) -> Recording:
        return Recording(self.writer, self._folder, self._key, self._max_s)


class Consent:
    """One call's. Lives on the call's greenlet."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._recording: Recording | None = None
        self.pending = False  # asked, and not answered yet
        self._heard_out = False  # the phrase, to its end

    def greet(self) -> bool:
        """The first words of the call. False: they have no audio yet."""
        wanted = self._call.bot.recording
        if wanted is None:
            return self._call.say(self._call.bot.greeting)
        if wanted.mode == "ask":
            self.pending = True
            self._call.dialog = replace(self._call.dialog, asked=CONFIRM)
        return self._call.say(wanted.consent, self._told)

    def _told(self) -> None:
        self._heard_out = True
        if self.pending:
            self._call.assistant.listen()
        else:
            self._record()
            self._call.go(Event.SAID)
            self._greet()

    def answered(self, text: str) -> bool:
        """Whether this was the answer; the turn that it came with is over then."""
        said = {"1": "yes", "2": "no"}.get(text) or yes_or_no(text, self._call.bot.language)
        self._settle()
        if said is None:
            return False
        if said == "yes" and self._heard_out:
            self._record()
        return True

    def give_up(self) -> None:
        """Not answered: not recorded."""
        if self.pending:
            self._settle()

    def _settle(self) -> None:
        self.pending = False
        self._call.dialog = replace(self._call.dialog, asked=None)

    def _greet(self) -> None:
        if not self._call.say(self._call.bot.greeting):
            self._call.assistant.listen()

    def go_on(self) -> None:
        """After the answer: the call begins."""
        self._greet()

    def _record(self) -> None:
        call = self._call
        if call.leg is None:
            return
        self._recording = call.house.recordings.open()
        self.look()
        call.leg.tap = self._recording.tap
        call.record("recording", file=self._recording.name)

    def look(self) -> None:
        """The state, or what is asked for, has changed."""
        if self._recording is not None:
            call = self._call
            secret = secret_slots.wanted(call.bot, call.dialog) is not None
            self._recording.tap.paused = secret or call.state is State.MENU

    def end(self) -> None:
        """The call is no longer ours, or over."""
        if self._recording is not None:
            if self._call.leg:
                self._call.leg.tap = None
            self._recording.end()
            if self._recording.failed:
                self._call.record("recording_failed", reason=self._recording.failed)
            self._recording = None
