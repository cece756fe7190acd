"""What is kept of a turn once it is over: one entry with all of it, so that no finished turn lacks
a part, whatever dies afterwards. No I/O."""

from __future__ import annotations

from typing import Any

from eslbot.turn import Turn
from workers.redaction import Private


def turn_record(turn: Turn, said: str, interrupted: bool, private: Private) -> dict[str, Any]:
    """said: what the caller heard of the answer. Words and values come redacted."""
    decision = turn.decision
    merged = turn.outcome == "merged"  # the next turn has it all
    record: dict[str, Any] = {
        "number": turn.number,
        "outcome": turn.outcome,
        "opened_at": round(turn.opened_at, 3),
        "keyed": turn.keyed,
        "heard": None if merged or turn.heard is None else turn.told,
        "confidence": turn.confidence,
        "said": said or None,
        "interrupted": interrupted,
        **turn.intervals_ms(),
    }
    if decision is not None and not merged:
        state = decision.state
        record |= {
            "intent": decision.intent or state.intent,
            "open_intent": state.intent,
            "asked": state.asked,
            "misses": state.misses,
            "slots": private.clean_values(dict(state.slots)),
            "action": decision.action,
            "destination": decision.destination,
        }
    notes: dict[str, Any] = private.clean_values(turn.notes)
    return record | notes
