"""How long a caller may be silent within an answer, by what was asked. No I/O.

    digits, date, time, amount   people look them up and group them: longer
    yes or no                    shorter
    a value that is complete     shorter: nothing can follow
    all else                     as always

"No" may go on ("no, on Friday"): it is given the usual time.
"""

from __future__ import annotations

from workers.bot import Bot
from workers.messages import DialogState
from workers.settings import Settings
from workers.values.slot_values import complete, yes_or_no

IN_GROUPS = ("digits", "date", "time", "amount")


def silence_ms(settings: Settings, bot: Bot, state: DialogState) -> int:
    """That ends an utterance, before anything of it is known."""
    slot = bot.slots.get(state.asked or "")
    if slot is not None and slot.type in IN_GROUPS and not slot.secret:
        return settings.endpoint_number_ms
    return settings.endpoint_silence_ms


def silence_after_ms(settings: Settings, bot: Bot, state: DialogState, partial: str) -> int:
    """The same, once so much of it was recognised."""
    slot = bot.slots.get(state.asked or "")
    if state.asked == "confirm" or (slot is not None and slot.type == "yes_no"):
        said = yes_or_no(partial, bot.language)
        return settings.endpoint_short_ms if said == "yes" else settings.endpoint_silence_ms
    if slot is None or slot.secret:
        return settings.endpoint_silence_ms
    if complete(slot, partial, bot.language, state.today):
        return settings.endpoint_short_ms
    return silence_ms(settings, bot, state)
