"""The bot's rules of conversation: what to say and do, given what was understood. No I/O.

    understood ─▶ intent ─▶ next slot missing? ask ─▶ confirm? ask ─▶ look up ─▶ answer, transfer
    no such row ─▶ ask once more ─▶ the intent's destination
    not understood ─▶ ask again, max_misses times ─▶ DTMF menu

Every engine ends here: the intents engine with what it matched, a language model with what it
chose. So facts, destinations and their order come from the bot's file alone.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, replace

from workers import secret_slots
from workers.bot import PLACEHOLDER, Bot, Intent, Lookup, Slot
from workers.messages import Decision, DialogState
from workers.spoken import digits, spell, yes_or_no

CONFIRM = "confirm"
MAX_VALUE = 200  # characters of what a caller says for a slot of text
YES_NO_KEYS = {"1": "yes", "2": "no"}


@dataclass(frozen=True, slots=True)
class Outcome:
    """Sentences to be said, in order, and what the turn comes to."""

    say: tuple[str, ...]
    decision: Decision


def read_slot(slot: Slot, text: str) -> str | None:
    """The value that a slot takes from an answer, or None when there is none in it."""
    if slot.secret:
        return None  # said aloud, it is none
    if slot.type == "digits":
        value = digits(text)
    elif slot.type == "yes_no":
        value = yes_or_no(text) or ""
    else:
        value = _one_line(text)
    return value if slot.accepts(value) else None


def offered(slot: Slot, value: object) -> str | None:
    """The value that a slot takes from a model, which may offer anything, or None.

    "4271" and "42-71" are digits, "four" is not: a model that was told of digits writes them.
    """
    if slot.secret or not isinstance(value, str):
        return None
    value = _one_line(value)
    if slot.type == "digits":
        value = re.sub("[ -]", "", value)
    elif slot.type == "yes_no":
        value = value.lower()
    return value if slot.accepts(value) else None


def _one_line(text: str) -> str:
    """Without control characters, line breaks and lone surrogates: this goes on the channel."""
    printable = (" " if unicodedata.category(c)[0] in "CZ" else c for c in text[: 4 * MAX_VALUE])
    return " ".join("".join(printable).split())[:MAX_VALUE].strip()


def slots_in(bot: Bot, intent: str, text: str) -> dict[str, str]:
    """Digits that came along with the wish ("the balance of account four two seven one")."""
    slots = bot.slots
    named = [
        n for n in bot.intents[intent].slots if slots[n].type == "digits" and not slots[n].secret
    ]
    if not named:
        return {}
    value = digits(text)
    # A single figure is more often "one moment" than an account.
    if len(value) < 2:
        return {}
    return next(({n: value} for n in named if bot.slots[n].accepts(value)), {})


def handle(bot: Bot, state: DialogState, intent: object, slots: object = None) -> Outcome:
    """Go on with an intent and values offered for its slots, a mapping of name to text.

    Both may come from a model: an intent that the bot does not have counts as not understood,
    a slot that the intent does not have or a value that does not fit is dropped.
    """
    if not isinstance(intent, str) or intent not in bot.intents:
        return not_understood(bot, state)
    given: dict[str, str] = {}
    if isinstance(slots, Mapping):
        for name in bot.intents[intent].slots:
            value = offered(bot.slots[name], slots.get(name))
            if value is not None:
                given[name] = value
    known = {n: v for n, v in state.slots.items() if n in bot.slots}
    if intent != state.intent:
        # Words given for another wish are not this one's; numbers of the caller stay.
        known = {n: v for n, v in known.items() if bot.slots[n].type == "digits"}
    outcome = _next(bot, intent, known | given, state)
    return Outcome(outcome.say, replace(outcome.decision, intent=intent))


def not_understood(bot: Bot, state: DialogState) -> Outcome:
    """Ask again; after max_misses times in a row the menu takes over."""
    misses = state.misses + 1
    missed = DialogState(state.intent, state.slots, state.asked, misses)
    if misses >= bot.max_misses:
        return Outcome((bot.phrases.to_menu,), Decision(missed, "menu"))
    if state.asked == CONFIRM:
        return Outcome((bot.phrases.yes_no,), Decision(missed))
    if state.asked in bot.slots:
        return Outcome((again(bot, bot.slots[state.asked]),), Decision(missed))
    return Outcome((bot.phrases.not_understood,), Decision(missed))


def confirm(bot: Bot, state: DialogState, yes: bool) -> Outcome:
    """The caller's answer to the intent's question of confirmation."""
    intent = bot.intents.get(state.intent or "")
    if intent is None:
        return not_understood(bot, state)
    if yes and all(name in state.slots for name in intent.slots):
        return _finish(bot, intent, state.slots, state)
    if yes:  # what was to be confirmed is gone from the channel
        return handle(bot, state, state.intent)
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


def _next(bot: Bot, name: str, slots: Mapping[str, str], before: DialogState) -> Outcome:
    intent = bot.intents[name]
    for slot in intent.slots:
        if slot not in slots:
            return Outcome(
                (bot.slots[slot].question,), Decision(DialogState(name, dict(slots), slot))
            )
    if intent.confirm:
        question = fill(bot, intent, intent.confirm, slots)
        return Outcome((question,), Decision(DialogState(name, dict(slots), CONFIRM)))
    return _finish(bot, intent, slots, DialogState(name, before.slots, before.asked, before.misses))


def _finish(bot: Bot, intent: Intent, slots: Mapping[str, str], before: DialogState) -> Outcome:
    state = DialogState(before.intent, dict(slots))
    if intent.lookup and slots[intent.lookup.key] not in bot.tables[intent.lookup.table]:
        return _missing(bot, intent, intent.lookup, state, before)
    if intent.transfer:
        return transfer(bot, state, intent.transfer)
    if intent.tool:  # acting.py goes on from here
        asked = replace(state, asked=before.asked, misses=before.misses)
        return Outcome((), Decision(asked, "tool"))
    return done(bot, intent, fill(bot, intent, intent.answer or "", slots), state)


def done(bot: Bot, intent: Intent, answer: str, state: DialogState) -> Outcome:
    """The intent is done, and this is said of it."""
    # Nothing of it is open any more: a menu that takes over later must not go on with it.
    closed = DialogState(None, state.slots)
    if intent.hangup:
        return Outcome((answer,), Decision(closed, "hangup"))
    return Outcome((answer, bot.phrases.anything_else), Decision(closed))


def _missing(
    bot: Bot, intent: Intent, lookup: Lookup, state: DialogState, before: DialogState
) -> Outcome:
    """There is no such row: the value is asked for once more, then people take over."""
    say = fill(bot, intent, lookup.missing, state.slots)
    rest = {n: v for n, v in state.slots.items() if n != lookup.key}
    asking = DialogState(state.intent, rest, lookup.key, before.misses + 1)
    if before.asked == lookup.key and before.misses > 0:
        handed = transfer(bot, asking, intent.destination)
        return Outcome((say, *handed.say), handed.decision)
    return Outcome((say, bot.slots[lookup.key].ask), Decision(asking))


def again(bot: Bot, slot: Slot) -> str:
    """What is asked when the answer was none."""
    # The bot's file has no phrase for this, so only an English bot says it.
    if slot.type != "digits" or not bot.language.startswith("en"):
        return slot.question
    low, high = slot.min_digits, slot.max_digits
    count = str(low) if low == high else f"{low} to {high}"
    return f"I need a number of {count} digit{'s' if high > 1 else ''}. {slot.question}"


def fill(bot: Bot, intent: Intent, text: str, slots: Mapping[str, str]) -> str:
    """The text with its placeholders; load() has seen to it that there is something for each."""
    row: Mapping[str, str] = {}
    if intent.lookup:
        row = bot.tables[intent.lookup.table].get(slots.get(intent.lookup.key, ""), {})

    def value(found: re.Match[str]) -> str:
        name, field = found.group(1), found.group(2)
        if field:
            return row.get(field, "")
        given = slots.get(name, "")
        return spell(given) if bot.slots[name].type == "digits" else given

    return PLACEHOLDER.sub(value, text)


def answer_to(bot: Bot, state: DialogState, text: str) -> Outcome | None:
    """What was said, taken as the answer to what was just asked; None when it is none."""
    if state.asked == CONFIRM:
        said = yes_or_no(text)
        return None if said is None else confirm(bot, state, said == "yes")
    slot = bot.slots.get(state.asked or "")
    if slot is None or state.asked is None:
        return None
    value = read_slot(slot, text)
    return None if value is None else handle(bot, state, state.intent, {state.asked: value})


def keyed_in(bot: Bot, state: DialogState, keys: str) -> Outcome:
    """Digits keyed in: the answer to what was asked, or a number that the open intent needs.

    keys: of a secret slot the placeholder, see secret_slots.py.
    """
    if keys in secret_slots.PLACEHOLDERS:
        secret = secret_slots.wanted(bot, state)
        if secret is None or keys == secret_slots.UNFIT:
            return not_understood(bot, state)
        return handle(bot, replace(state, slots={**state.slots, secret: keys}), state.intent)
    slot = bot.slots.get(state.asked or "")
    if state.asked == CONFIRM and keys in YES_NO_KEYS:
        return confirm(bot, state, YES_NO_KEYS[keys] == "yes")
    if state.asked is not None and slot is not None and slot.type == "yes_no":
        keys = YES_NO_KEYS.get(keys, keys)
    intent = bot.intents.get(state.intent or "")
    # What was asked for goes first; then whatever of the intent the digits fit.
    names = [n for n in (state.asked, *(intent.slots if intent else ())) if n in bot.slots]
    for name in names:
        slot = bot.slots[name]
        if slot.type != "text" and not slot.secret and slot.accepts(keys):
            return handle(bot, state, state.intent, {name: keys})
    return not_understood(bot, state)
