"""Slots whose value nobody but the switch may have: a PIN, a card's number.

    caller ──keys──▶ listener ──value──▶ channel variable ─▶ whoever gets the call
                        └──placeholder──▶ workers, the call's log, the conversation so far

The listener itself says whether the keys fit. A secret is keyed in only: what is said while it is
asked for is never its value. No I/O.
"""

from __future__ import annotations

from collections.abc import Mapping

from workers.bot import Bot, Slot
from workers.messages import DialogState

SECRET = "<secret>"  # noqa: S105  # a value is there, and fits
UNFIT = "<not fitting>"  # something was keyed in that can't be the value
SPEECH = "<speech>"  # what was said while a secret was asked for
PLACEHOLDERS = (SECRET, UNFIT)


def wanted(bot: Bot, state: DialogState) -> str | None:
    """The secret slot that keys are meant for now, or None.

    Where no slot was asked for, it is the next one that the open intent needs: a model may have
    said something else in between.
    """
    intent = bot.intents.get(state.intent or "")
    name = state.asked
    if name is None and intent is not None:
        name = next((n for n in intent.slots if n not in state.slots), None)
    return name if name in bot.slots and bot.slots[name].secret else None


def placeholder(slot: Slot, keys: str) -> str:
    """What stands for these keys everywhere but on the channel."""
    return SECRET if slot.accepts(keys) else UNFIT


def filled(slot: Slot, value: str) -> bool:
    """Whether a call's state holds a value of this slot."""
    return value == SECRET if slot.secret else slot.accepts(value)


def speech(bot: Bot, state: DialogState, text: str) -> str:
    """What the caller said, as others may see it: people say aloud what they should key in."""
    if wanted(bot, state) is None or text in PLACEHOLDERS:
        return text
    return SPEECH


def shown(bot: Bot, variables: Mapping[str, str]) -> dict[str, str]:
    """Channel variables as others may see them."""
    secret = {slot.variable for slot in bot.slots.values() if slot.secret}
    return {name: SECRET if name in secret and v else v for name, v in variables.items()}


def known(bot: Bot, slots: Mapping[str, str], variables: Mapping[str, str]) -> dict[str, str]:
    """The slots of a worker's decision: of a secret it can only say that it is still there."""
    found = {}
    for name, value in slots.items():
        slot = bot.slots.get(name)
        if slot is None:
            continue
        if not slot.secret:
            found[name] = value
        elif slot.accepts(variables.get(slot.variable, "")):
            found[name] = SECRET
    return found
