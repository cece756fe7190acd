"""What was said in a call so far, as workers and others may see it: without private data.

A turn adds what the caller said, and what he heard of the answer, when it is over. A number that
was dictated over several turns shows what it is with its last part only: then the earlier parts
are taken back, here, in the call's log and in its record.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from workers import secret_slots
from workers.messages import Line

if TYPE_CHECKING:
    from eslbot.call import Call
    from eslbot.turn import Turn

MAX_LINE = 1000  # characters
MAX_OPENED = 16


class Transcript:
    """Of one call; it keeps the last settings.history_lines lines."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._lines: list[Line] = []
        self._opened: dict[int, float] = {}  # when the last turns were, by the time of day

    def lines(self) -> tuple[Line, ...]:
        return tuple(self._lines)

    def opened(self, turn: Turn) -> None:
        self._opened[turn.number] = turn.opened_at
        while len(self._opened) > MAX_OPENED:
            del self._opened[next(iter(self._opened))]

    def shown(self, turn: Turn, heard: str) -> str:
        """What is told of these words: of a secret that was asked for, nothing."""
        return secret_slots.speech(self._call.bot, turn.message.state, heard)

    def tell(self, turn: Turn, heard: str) -> str:
        """What was heard, as workers get it; and kept as others may see it, in turn.told. Parts of
        a number that were dictated over several turns are taken back."""
        call = self._call
        shown = self.shown(turn, heard)
        turn.told, amended = call.private.hear(turn.number, shown, turn.message.state)
        turn.private = dict(call.private.kept)
        for one in amended:
            for at, line in enumerate(self._lines):
                if line.who == "caller" and line.text == one.before[:MAX_LINE]:
                    self._lines[at] = Line("caller", one.text[:MAX_LINE])
            call.keep("amended", {"number": one.number, "text": one.text})
        if amended:
            since = min(self._opened.get(one.number, 0.0) for one in amended)
            call.house.link.forget_heard(call.uuid, since)
        return turn.told if amended else heard

    def closed(self, turn: Turn, said: str) -> None:
        """said: what the caller heard of the answer, redacted."""
        if turn.outcome == "merged":
            self._call.private.drop(turn.number)
        elif turn.heard:
            self._lines.append(Line("caller", turn.told[:MAX_LINE]))
        self.said(said)

    def said(self, words: str) -> None:
        """What the caller heard of the bot, redacted; also of a fixed phrase, within no turn."""
        if words:
            self._lines.append(Line("bot", words[:MAX_LINE]))
        keep = self._call.settings.history_lines
        del self._lines[: max(0, len(self._lines) - keep)]
