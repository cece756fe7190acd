"""A turn that acts: what a tool does is done when the utterance is over, once, and not cut short.

    worker ──Working──▶ here ──Proceed──▶ worker ─▶ the server ─▶ worker ──Worked──▶ here

The worker asks and the listener says so, because it alone knows whether the utterance is over,
which attempt counts, and what an earlier attempt may have done already. Meanwhile the ladder's
times follow the tool's. While something that can't be asked twice is under way, the caller's words
do not end the turn: they would have it done again.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from workers.messages import Proceed, Worked, Working

if TYPE_CHECKING:
    from eslbot.call import Call
    from eslbot.ladder import Climb
    from eslbot.turn import Turn


def proceed(call: Call, turn: Turn, climb: Climb, attempt: int, asked: Working) -> None:
    """The utterance is over, and this attempt is the one that counts."""
    if not turn.is_open:
        return
    tool = call.bot.tools.get(asked.tool)
    # Of what is not idempotent, an earlier attempt may have done it: then nobody knows. In other
    # words as well: a model may put the same wish in another way the second time.
    first = turn.acted.setdefault(asked.tool, attempt) == attempt and asked.act not in turn.acts
    go = tool is not None and (tool.retries or first)
    turn.acts.add(asked.act)
    turn.acts_as = turn.acts_as or f"{call.uuid}-{turn.epoch}"
    if tool is not None and go:
        turn.acting = not tool.retries
        timeout_s = tool.timeout_ms / 1000
        turn.patient_until = time.monotonic() + timeout_s
        climb.working(timeout_s, tool.filler)
    call.house.link.feed(turn.message, "llm", Proceed(attempt, asked.act, turn.acts_as, go))


def worked(call: Call, turn: Turn, told: Worked) -> None:
    turn.acting = False
    turn.patient_until = 0.0
    call.record("tool", name=told.tool, status=told.status, code=told.code, ms=told.ms)
