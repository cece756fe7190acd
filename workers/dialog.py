"""The bot's rules of conversation: what to say and do, given what was understood. No I/O.

    understood ─▶ intent ─▶ next slot missing? ask ─▶ confirm? ask ─▶ look up ─▶ answer, transfer
    not understood ─▶ ask again, max_misses times ─▶ DTMF menu

Every engine ends here: the intents engine with what it matched, a language model with what it
chose. So facts, destinations and their order come from the bot's file alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from workers.bot import PLACEHOLDER, Bot, Intent, Slot
from workers.messages import Decision, DialogState
from workers.spoken import digits, spell, yes_or_no

CONFIRM = "confirm"
MAX_VALUE = 200


@dataclass(frozen=True, slots=True)
class Outcome:
    """Sentences to be said, in order, and what the turn comes to."""

    say: tuple[str, ...]
    decision: Decision


def read_slot(slot: Slot, text: str) -> str | None:
    """The value that a slot takes from an answer, or None when there is none in it."""
    if slot.type == "digits":
        value = digits(text)
    elif slot.type == "yes_no":
        value = yes_or_no(text) or ""
    else:
        value = " ".join(text.split())[:MAX_VALUE]
    return value if slot.accepts(value) else None


def slots_in(bot: Bot, intent: str, text: str) -> dict[str, str]:
    """Digits that came along with the wish ("the balance of account four two seven one")."""
    named = [n for n in bot.intents[intent].slots if bot.slots[n].type == "digits"]
    if not named:
        return {}
    value = digits(text)
    # A single figure is more often "one moment" than an account.
    if len(value) < 2:
        return {}
    return next(({n: value} for n in named if bot.slots[n].accepts(value)), {})


def handle(
    bot: Bot, state: DialogState, intent: str | None, slots: Mapping[str, object]
) -> Outcome:
    """Go on with an intent and values offered for its slots.

    Both may come from a model: an intent that the bot does not have counts as not understood,
    a value that does not fit its slot is dropped.
    """
    if intent not in bot.intents:
        return not_understood(bot, state)
    known = dict(state.slots)
    for name, value in slots.items():
        slot = bot.slots.get(name)
        if slot is not None and isinstance(value, str) and slot.accepts(value):
            known[name] = value
    if intent != state.intent:
        # Words given for another wish are not this one's; numbers of the caller stay.
        known = {n: v for n, v in known.items() if n in slots or bot.slots[n].type == "digits"}
    return _next(bot, bot.intents[intent], DialogState(intent, known))


def not_understood(bot: Bot, state: DialogState) -> Outcome:
    """Ask again; after max_misses times in a row the menu takes over."""
    misses = state.misses + 1
    missed = DialogState(state.intent, state.slots, state.asked, misses)
    if misses >= bot.max_misses:
        return Outcome((bot.phrases.to_menu,), Decision(missed, "menu"))
    if state.asked == CONFIRM:
        return Outcome((bot.phrases.yes_no,), Decision(missed))
    if state.asked in bot.slots:
        return Outcome((_again(bot.slots[state.asked]),), Decision(missed))
    return Outcome((bot.phrases.not_understood,), Decision(missed))


def confirm(bot: Bot, state: DialogState, yes: bool) -> Outcome:
    """The caller's answer to the intent's question of confirmation."""
    intent = bot.intents.get(state.intent or "")
    if intent is None:
        return not_understood(bot, state)
    if yes:
        return _finish(bot, intent, DialogState(state.intent, state.slots))
    kept = {n: v for n, v in state.slots.items() if n not in intent.slots}
    say = (bot.phrases.cancelled, bot.phrases.anything_else)
    return Outcome(say, Decision(DialogState(None, kept)))


def transfer(bot: Bot, state: DialogState, destination: str) -> Outcome:
    """To one of the bot's destinations; any other name is not understood."""
    if destination not in bot.destinations:
        return not_understood(bot, state)
    say = (bot.destinations[destination].say,)
    done = DialogState(state.intent, state.slots)
    return Outcome(say, Decision(done, "transfer", destination))


def _next(bot: Bot, intent: Intent, state: DialogState) -> Outcome:
    for name in intent.slots:
        if name not in state.slots:
            asking = DialogState(state.intent, state.slots, name)
            return Outcome((bot.slots[name].ask,), Decision(asking))
    if intent.confirm:
        asking = DialogState(state.intent, state.slots, CONFIRM)
        return Outcome((_fill(bot, intent, intent.confirm, state),), Decision(asking))
    return _finish(bot, intent, state)


def _finish(bot: Bot, intent: Intent, state: DialogState) -> Outcome:
    if intent.lookup:
        key = intent.lookup.key
        if state.slots[key] not in bot.tables[intent.lookup.table]:
            say = _fill(bot, intent, intent.lookup.missing, state)
            rest = {n: v for n, v in state.slots.items() if n != key}
            misses = state.misses + 1
            asking = DialogState(state.intent, rest, key, misses)
            return Outcome((say, bot.slots[key].ask), Decision(asking))
    if intent.transfer:
        return transfer(bot, state, intent.transfer)
    answer = _fill(bot, intent, intent.answer or "", state)
    # Nothing of it is open any more: a menu that takes over later must not go on with it.
    done = DialogState(None, state.slots)
    if intent.hangup:
        return Outcome((answer,), Decision(done, "hangup"))
    return Outcome((answer, bot.phrases.anything_else), Decision(done))


def _again(slot: Slot) -> str:
    if slot.type != "digits":
        return slot.ask
    low, high = slot.min_digits, slot.max_digits
    count = str(low) if low == high else f"{low} to {high}"
    return f"I need a number of {count} digits. {slot.ask}"


def _fill(bot: Bot, intent: Intent, text: str, state: DialogState) -> str:
    """The text with its placeholders; load() has seen to it that there is something for each."""
    row: Mapping[str, str] = {}
    if intent.lookup:
        row = bot.tables[intent.lookup.table].get(state.slots.get(intent.lookup.key, ""), {})

    def value(found: object) -> str:
        name, field = found.group(1), found.group(2)  # type: ignore[attr-defined]
        if field:
            return row.get(field, "")
        given = state.slots.get(name, "")
        return spell(given) if bot.slots[name].type == "digits" else given

    return PLACEHOLDER.sub(value, text)


def answer_to(bot: Bot, state: DialogState, text: str, keyed: bool) -> Outcome | None:
    """The text taken as the answer to what was just asked; None when it is none."""
    if state.asked == CONFIRM:
        said = {"1": "yes", "2": "no"}.get(text) if keyed else yes_or_no(text)
        return None if said is None else confirm(bot, state, said == "yes")
    slot = bot.slots.get(state.asked or "")
    if slot is None or state.asked is None or (keyed and slot.type != "digits"):
        return None
    value = read_slot(slot, text)
    return None if value is None else handle(bot, state, state.intent, {state.asked: value})
