"""Parts of a model's prompt: the call so far, within bounds, and what its slots take.

summary of what was done ─┐
older lines, cut short  ──┼─▶ at most MAX_HISTORY characters, the latest lines whole
latest lines ─────────────┘
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from workers.bot import Bot, Slot
from workers.messages import DialogState, Line

MAX_HISTORY: Final = 6000  # characters of whole lines
MAX_EARLIER: Final = 800  # of those that are cut short
MAX_LINE: Final = 80  # one of them

_FORMS: Final = {
    "digits": "figures only",
    "yes_no": "yes or no",
    "date": "YYYY-MM-DD",
    "time": "HH:MM, 24 hours",
    "amount": "a decimal number, as 12.50",
}
_NAMES: Final = {"en": "English", "de": "German", "fr": "French", "es": "Spanish", "it": "Italian",
                 "nl": "Dutch", "pl": "Polish", "pt": "Portuguese", "tr": "Turkish"}  # fmt: skip


def slot_schema(slot: Slot) -> dict[str, Any]:
    """The JSON Schema of a slot's value."""
    if slot.type == "choice":
        return {"type": "string", "enum": list(slot.options), "description": slot.ask}
    form = _FORMS.get(slot.type)
    return {"type": "string", "description": f"{slot.ask} ({form})" if form else slot.ask}


def speaks(bot: Bot) -> str:
    """Which language the model has to speak."""
    return f"Speak {_NAMES.get(bot.language[:2], bot.language)}."


def state_line(state: DialogState) -> str:
    """What the call knows, as JSON: bounded, as each of its parts is."""
    known: dict[str, Any] = {"intent": state.intent, "slots": state.slots, "asked": state.asked}
    if state.pending:
        known["to be done after it"] = [step.intent for step in state.pending]
    if state.today:
        known["today"] = state.today
    line = f"State of this call: {json.dumps(known)}"
    return f"{line}\nDone so far: {state.summary}" if state.summary else line


def bounded(history: Sequence[Line]) -> tuple[str, tuple[Line, ...]]:
    """Older lines in one short text, "" where there are none, and the latest ones whole."""
    left = MAX_HISTORY
    at = len(history)
    while at and len(history[at - 1].text) <= left:
        at -= 1
        left -= len(history[at].text)
    older = [f"{line.who}: {line.text[:MAX_LINE]}" for line in history[:at]]
    while older and len(" / ".join(older)) > MAX_EARLIER:
        older.pop(0)
    text = f"Earlier, in short: {' / '.join(older)}" if older else ""
    return text, tuple(history[at:])
