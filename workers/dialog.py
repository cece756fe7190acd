"""The bot's rules of conversation: what to say and do, given what was understood. No I/O.

    understood ─▶ intent ─▶ next slot missing? ask ─▶ confirm? ask ─▶ look up ─▶ answer, transfer
                    ▲                                  │ no: which one is wrong?
                    └──── the next of several wishes ◀─┴──────────────────────────┘
    no such row ─▶ ask once more ─▶ the intent's destination
    not understood ─▶ ask again, max_misses times ─▶ DTMF menu

Every engine ends here: the intents engine with what it matched, a language model with what it
chose. So facts, destinations and their order come from the bot's file alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from workers import correction, secret_slots, summary
from workers.bot import PLACEHOLDER, Bot, Intent, Lookup, Slot
from workers.bot.menu import STEP
from workers.correction import Correction
from workers.messages import Decision, DialogState, Step
from workers.spoken import digits, yes_or_no
from workers.values.slot_values import YES_NO_KEYS, keyed, offered, read, said

CONFIRM = "confirm"
WHICH = "which"
MAX_PENDING = 3
# For so many turns "it" stands for what was named, where its slot says nothing else.
ABOUT_TURNS = 6
MEASURES = ("date", "time", "amount")


@dataclass(frozen=True, slots=True)
class Outcome:
    """Sentences to be said, in order, and what the turn comes to."""

    say: tuple[str, ...]
    decision: Decision


def begin(state: DialogState) -> DialogState:
    """The state in which a turn of the caller is answered: one turn later."""
    # Without an open intent it was whether the call may be recorded: the listener's question.
    asked = None if state.asked == CONFIRM and state.intent is None else state.asked
    return replace(state, asked=asked, turns=state.turns + 1)


def slots_in(bot: Bot, intent: str, text: str, today: str = "") -> dict[str, str]:
    """What came along with the wish ("the balance of account four two seven one")."""
    found: dict[str, str] = {}
    kinds: set[str] = set()
    for name in bot.intents[intent].slots:
        slot = bot.slots[name]
        # Two slots of a kind: the first one is meant.
        if slot.type == "digits" or slot.type in kinds:
            continue
        value = read(slot, text, bot.language, today, strict=True)
        if value is not None:
            kinds.add(slot.type)
            found[name] = value
    if kinds & set(MEASURES):
        return found  # the figures are those of a day or a sum
    return _digits_in(bot, intent, text) | found


def _digits_in(bot: Bot, intent: str, text: str) -> dict[str, str]:
    value = digits(text, bot.language)
    # A single figure is more often "one moment" than an account.
    if len(value) < 2:
        return {}
    for name in bot.intents[intent].slots:
        slot = bot.slots[name]
        if slot.type == "digits" and not slot.secret and slot.accepts(value):
            return {name: value}
    return {}


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
            value = offered(bot.slots[name], slots.get(name), bot.language, state.today)
            if value is not None:
                given[name] = value
    known = _carried(bot, state, intent) | given
    since = {n: t for n, t in state.since.items() if n in known} | dict.fromkeys(given, state.turns)
    outcome = _next(bot, intent, known, replace(state, since=since))
    return Outcome(outcome.say, replace(outcome.decision, intent=intent))


def wishes(
    bot: Bot, state: DialogState, wanted: Iterable[Step], unchanged: bool = False
) -> Outcome:
    """Several intents of one utterance, one after another; what ends the bot's part comes last.

    unchanged: the caller has said what shall stay as it is.
    """
    steps = {step.intent: step for step in wanted if step.intent in bot.intents}
    order = sorted(steps.values(), key=lambda step: _ends(bot.intents[step.intent]))
    if not order:
        return not_understood(bot, state)
    first, *rest = order[: MAX_PENDING + 1]
    later = [step for step in state.pending if step.intent not in steps]
    state = replace(state, pending=tuple([*rest, *later][:MAX_PENDING]))
    outcome = handle(bot, state, first.intent, first.slots)
    before = [bridge(bot, bot.phrases.first, first.intent)] if rest else []
    before += [bot.phrases.unchanged] if unchanged else []
    return Outcome((*before, *outcome.say), outcome.decision)


def not_understood(bot: Bot, state: DialogState) -> Outcome:
    """Ask again; after max_misses times in a row the menu takes over."""
    missed = replace(state, misses=state.misses + 1)
    if missed.misses >= bot.max_misses:
        return Outcome((bot.phrases.to_menu,), Decision(missed, "menu"))
    if state.asked == CONFIRM:
        return Outcome((bot.phrases.yes_no,), Decision(missed))
    if state.asked == WHICH:
        return Outcome((bot.phrases.which,), Decision(missed))
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
    if not intent.slots:
        return cancel(bot, state)
    wrong = intent.slots if len(intent.slots) == 1 else ()
    return correct(bot, state, Correction(wrong=wrong, which=not wrong))


def cancel(bot: Bot, state: DialogState) -> Outcome:
    """Nothing of the open intent is done; on with what else was wanted."""
    intent = bot.intents.get(state.intent or "")
    if intent is None:
        return not_understood(bot, state)
    told = summary.with_step(bot, state.summary, state.intent or "", {}, "changed nothing")
    kept = {n: v for n, v in state.slots.items() if n not in intent.slots}
    done = replace(state, intent=None, slots=kept, asked=None, misses=0, summary=told)
    return _go_on(bot, done, (bot.phrases.cancelled,))


def correct(bot: Bot, state: DialogState, what: Correction) -> Outcome:
    """Do what the caller corrects in the open intent."""
    if what.cancelled:
        return cancel(bot, state)
    if what.values:
        # As it was, but for these; so that a question in between is asked again.
        return handle(bot, state, state.intent, what.values)
    if what.wrong:
        rest = {n: v for n, v in state.slots.items() if n not in what.wrong}
        return handle(bot, replace(state, slots=rest), state.intent)
    return Outcome((bot.phrases.which,), Decision(replace(state, asked=WHICH, misses=0)))


def transfer(bot: Bot, state: DialogState, destination: str) -> Outcome:
    """To one of the bot's destinations; any other name is not understood."""
    if destination not in bot.destinations:
        return not_understood(bot, state)
    say = (bot.destinations[destination].say,)
    done = replace(state, asked=None, misses=0)
    return Outcome(say, Decision(done, "transfer", destination))


def _carried(bot: Bot, state: DialogState, name: str) -> dict[str, str]:
    """What is known already and may serve this intent; what may not is forgotten."""
    known = {n: v for n, v in state.slots.items() if n in bot.slots}
    if name == state.intent:
        return known
    intent = bot.intents[name]
    return {n: v for n, v in known.items() if n not in intent.slots or _serves(bot, state, n, name)}


def _serves(bot: Bot, state: DialogState, slot: str, intent: str) -> bool:
    """Words given for another wish are not this one's, unless it is about them; numbers of the
    caller stay."""
    turns = bot.slots[slot].keep_turns
    if turns is None:
        if bot.slots[slot].type == "digits":
            return True
        turns = ABOUT_TURNS if bot.intents[intent].about == slot else -1
    return state.turns - state.since.get(slot, 0) <= turns


def favoured(bot: Bot, state: DialogState) -> frozenset[str]:
    """Intents about something that was named a short while ago."""
    return frozenset(
        name
        for name, intent in bot.intents.items()
        if intent.about in state.slots and intent.about and _serves(bot, state, intent.about, name)
    )


def _next(bot: Bot, name: str, slots: Mapping[str, str], before: DialogState) -> Outcome:
    intent = bot.intents[name]
    state = replace(before, intent=name, slots=dict(slots), misses=0)
    for slot in intent.slots:
        if slot not in slots:
            return Outcome((bot.slots[slot].question,), Decision(replace(state, asked=slot)))
    if intent.confirm:
        question = _fill(bot, intent, intent.confirm, state)
        return Outcome((question,), Decision(replace(state, asked=CONFIRM)))
    return _finish(bot, intent, slots, replace(before, intent=name))


def _finish(bot: Bot, intent: Intent, slots: Mapping[str, str], before: DialogState) -> Outcome:
    state = replace(before, slots=dict(slots), asked=None, misses=0)
    if intent.lookup and slots[intent.lookup.key] not in bot.tables[intent.lookup.table]:
        return _missing(bot, intent, intent.lookup, state, before)
    if intent.tool:  # acting.py goes on from here
        return Outcome((), Decision(replace(state, misses=before.misses), "tool"))
    return done(bot, intent, intent.answer or "", state)


def done(bot: Bot, intent: Intent, answer: str, state: DialogState) -> Outcome:
    """The open intent has come to its end; answer may hold placeholders of slots."""
    name = state.intent or ""
    told = summary.with_step(bot, state.summary, name, state.slots)
    state = replace(state, last=state.intent, summary=told, misses=0)
    if intent.transfer:
        return transfer(bot, state, intent.transfer)
    # Nothing of it is open any more: a menu that takes over later must not go on with it.
    closed = replace(state, intent=None)
    if intent.language:
        bot = bot.speaking(intent.language)
        intent = bot.intents[name]
        answer = intent.answer or ""
        closed = replace(closed, language=bot.language)
    words = _fill(bot, intent, answer, state)
    if intent.hangup:
        return Outcome((words,), Decision(closed, "hangup"))
    if intent.language and not closed.pending:
        return Outcome((words,), Decision(closed))
    return _go_on(bot, closed, (words,))


def _go_on(bot: Bot, state: DialogState, told: tuple[str, ...]) -> Outcome:
    """The open intent is over: the next of several wishes, or whatever else there is."""
    pending = [step for step in state.pending if step.intent in bot.intents]
    if not pending:
        return Outcome((*told, bot.phrases.anything_else), Decision(replace(state, pending=())))
    step = pending[0]
    state = replace(state, pending=tuple(pending[1:]))
    outcome = handle(bot, state, step.intent, step.slots)
    going_on = bridge(bot, bot.phrases.next, step.intent)
    return Outcome((*told, going_on, *outcome.say), outcome.decision)


def bridge(bot: Bot, phrase: str, name: str) -> str:
    """A phrase with the intent's title in it."""
    return phrase.replace(STEP, bot.intents[name].title or name.replace("_", " "))


def _ends(intent: Intent) -> bool:
    """Whether the bot's part is over with it."""
    return bool(intent.transfer or intent.hangup)


def _missing(
    bot: Bot, intent: Intent, lookup: Lookup, state: DialogState, before: DialogState
) -> Outcome:
    """There is no such row: the value is asked for once more, then people take over."""
    say = _fill(bot, intent, lookup.missing, state)
    rest = {n: v for n, v in state.slots.items() if n != lookup.key}
    asking = replace(state, slots=rest, asked=lookup.key, misses=before.misses + 1)
    if before.asked == lookup.key and before.misses > 0:
        handed = transfer(bot, asking, intent.destination)
        return Outcome((say, *handed.say), handed.decision)
    return Outcome((say, bot.slots[lookup.key].ask), Decision(asking))


def again(bot: Bot, slot: Slot) -> str:
    """What is asked when the answer was none."""
    if slot.retry is not None:
        return slot.retry
    # Without a phrase of the bot's file only an English bot has one.
    if slot.type != "digits" or not bot.language.startswith("en"):
        return slot.question
    low, high = slot.min_digits, slot.max_digits
    count = str(low) if low == high else f"{low} to {high}"
    return f"I need a number of {count} digit{'s' if high > 1 else ''}. {slot.question}"


def _fill(bot: Bot, intent: Intent, text: str, state: DialogState) -> str:
    """The text with its placeholders; load() has seen to it that there is something for each."""
    row: Mapping[str, str] = {}
    slots = state.slots
    if intent.lookup:
        row = bot.tables[intent.lookup.table].get(slots.get(intent.lookup.key, ""), {})

    def value(found: re.Match[str]) -> str:
        name, field = found.group(1), found.group(2)
        if field:
            return row.get(field, "")
        return said(bot.slots[name], slots.get(name, ""), bot.language, state.today)

    return PLACEHOLDER.sub(value, text)


def answer_to(bot: Bot, state: DialogState, text: str, leaving: bool = False) -> Outcome | None:
    """What was said, taken as the answer to what was just asked; None when it is none.

    leaving: there is another wish in it, so that a mere "no" drops this one.
    """
    intent = bot.intents.get(state.intent or "")
    if state.asked in (CONFIRM, WHICH) and intent is not None:
        return _answer_to_confirm(bot, state, intent, text, leaving)
    slot = bot.slots.get(state.asked or "")
    if slot is None or state.asked is None:
        return None
    value = read(slot, text, bot.language, state.today)
    if (value is None or slot.type == "text") and correction.cancels(bot, text):
        return cancel(bot, state) if intent is not None else None
    earlier = _earlier(bot, state, text) if value is None or slot.type == "text" else None
    if earlier is not None:
        return earlier
    if value is None:
        return None
    more = {}
    if intent is not None and slot.type != "text":
        more = {
            name: one
            for name, one in slots_in(bot, state.intent or "", text, state.today).items()
            if name not in state.slots and bot.slots[name].type != slot.type
            and not (bot.slots[name].type == "digits" and slot.type in MEASURES)
        }  # fmt: skip
    return handle(bot, state, state.intent, more | {state.asked: value})


def _answer_to_confirm(
    bot: Bot, state: DialogState, intent: Intent, text: str, leaving: bool
) -> Outcome | None:
    what = correction.of(bot, state, intent.slots, text)
    if what is not None and leaving and not (what.values or what.named):
        return cancel(bot, state)
    if what is not None and state.asked == WHICH and what.which:
        # "No", or nothing that is known, to the question which one is wrong.
        return cancel(bot, state) if yes_or_no(text, bot.language) == "no" else None
    if what is not None:
        return correct(bot, state, what)
    if state.asked == CONFIRM and yes_or_no(text, bot.language) == "yes":
        return confirm(bot, state, True)
    return None


def _earlier(bot: Bot, state: DialogState, text: str) -> Outcome | None:
    """ "No, I said four two seven two": of a slot that was filled before this question."""
    intent = bot.intents.get(state.intent or "")
    if intent is None or not correction.denies(bot, text):
        return None
    filled = [name for name in intent.slots if name in state.slots and name != state.asked]
    what = correction.of(bot, state, filled, text)
    return correct(bot, state, what) if what is not None and what.values else None


def corrected_after(bot: Bot, state: DialogState, text: str) -> Outcome | None:
    """The same once more with another value, after an answer to the wrong one; None: it is no
    correction. What was confirmed stays done."""
    intent = bot.intents.get(state.last or "")
    if intent is None or state.asked is not None or intent.confirm or intent.transfer:
        return None
    if not correction.denies(bot, text):
        return None
    open_again = replace(state, intent=state.last)
    what = correction.of(bot, open_again, intent.slots, text)
    return correct(bot, open_again, what) if what is not None and what.values else None


def keyed_in(bot: Bot, state: DialogState, keys: str) -> Outcome:
    """What was keyed in: the answer to what was asked, or a value that the open intent needs.

    keys: of a secret slot the placeholder, see secret_slots.py.
    """
    if keys in secret_slots.PLACEHOLDERS:
        secret = secret_slots.wanted(bot, state)
        if secret is None or keys == secret_slots.UNFIT:
            return not_understood(bot, state)
        return handle(bot, replace(state, slots={**state.slots, secret: keys}), state.intent)
    intent = bot.intents.get(state.intent or "")
    if state.asked == CONFIRM and keys in YES_NO_KEYS:
        return confirm(bot, state, YES_NO_KEYS[keys] == "yes")
    if state.asked == WHICH and intent is not None and len(keys) == 1 and keys.isdigit():
        return _which_by_key(bot, state, intent, int(keys))
    # What was asked for goes first; then whatever of the intent the keys fit.
    names = [n for n in (state.asked, *(intent.slots if intent else ())) if n in bot.slots]
    for name in names:
        slot = bot.slots[name]
        value = None if slot.secret else keyed(slot, keys, bot.language, state.today)
        if value is not None:
            return handle(bot, state, state.intent, {name: value})
    return not_understood(bot, state)


def _which_by_key(bot: Bot, state: DialogState, intent: Intent, number: int) -> Outcome:
    """The slots by their numbers, in the order in which they were asked for."""
    if not 1 <= number <= len(intent.slots):
        return not_understood(bot, state)
    return correct(bot, state, Correction(wrong=(intent.slots[number - 1],)))
