"""A scripted caller: does the next thing when the bot has finished speaking."""

from __future__ import annotations

from dataclasses import dataclass

from eslbot.switch.channel import Channel

PAUSE_S = 0.8  # the bot's silence after which a caller begins
# A caller who never hears the bot begins all the same, after so long.
PATIENCE_S = 15.0


class NotAnswered(Exception):
    """The bot did not say anything where it should have."""


@dataclass(frozen=True, slots=True)
class Say:
    pcm: bytes  # L16 mono at the call's rate


@dataclass(frozen=True, slots=True)
class Interrupt:
    """Speak while the bot does, after_s seconds into what it says."""

    pcm: bytes
    after_s: float = 0.8


@dataclass(frozen=True, slots=True)
class Keys:
    digits: str


Step = Say | Interrupt | Keys


class Caller:
    """Goes through steps on a call. Times are seconds of the recording."""

    def __init__(self, call: Channel) -> None:
        self.call = call
        self.gaps: list[float] = []  # from the caller's last word to the bot's first audio
        self.silenced: list[float] = []  # from an interruption to the bot's silence

    def wait_bot(self, within_s: float = PATIENCE_S, since: int = 0) -> None:
        """Until the bot was heard after tick `since`, and is quiet. Raises NotAnswered."""
        call, recording = self.call, self.call.recording

        def done() -> bool:
            if call.where not in ("dialplan", "socket"):
                return True
            spoke = recording.first_heard("bot", since) is not None
            return spoke and recording.quiet_s("bot") >= PAUSE_S

        if not call.wait_for(done, within_s):
            raise NotAnswered(f"the bot said nothing in {within_s:.0f} s, or never ended")

    def do(self, step: Step, wait: bool = True) -> None:
        """Do the step, wait for the answer to begin, and with wait=True to end."""
        call, recording = self.call, self.call.recording
        if isinstance(step, Interrupt):
            self._interrupt(step)
        elif isinstance(step, Say):
            call.say(step.pcm)
        else:
            call.keys(step.digits)
        call.wait_for(lambda: not call.saying, 120)
        since = recording.ticks
        spoke = call.wait_for(
            lambda: recording.first_heard("bot", since) is not None or call.where != "socket",
            PATIENCE_S,
        )
        if not spoke:
            raise NotAnswered(f"no answer in {PATIENCE_S:.0f} s")
        heard = recording.first_heard("bot", since)
        if heard is not None and not isinstance(step, Keys):
            last = recording.last_heard("caller")
            self.gaps.append((heard - (since if last is None else last)) * recording.tick_s)
        if wait:
            self.wait_bot(60.0, since)

    def _interrupt(self, step: Interrupt) -> None:
        call, recording = self.call, self.call.recording
        since = max(0, recording.ticks - 5)
        if not call.wait_for(lambda: recording.first_heard("bot", since) is not None, PATIENCE_S):
            raise NotAnswered("there was nothing to interrupt")
        call.sleep(step.after_s)
        begin = recording.ticks
        call.say(step.pcm)
        call.wait_for(lambda: recording.quiet_s("bot") >= 0.3, 10)
        word = recording.first_heard("caller", begin)
        bot = recording.last_heard("bot", begin)
        if word is not None and bot is not None:
            self.silenced.append(max(0, bot - word) * recording.tick_s)
