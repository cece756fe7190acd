"""Another wish beside the answer to a question: "seventy twelve, and when are you open?"

    what was asked ─▶ answered ─▶ ... ─▶ done ─▶ "Next, our opening hours." ─▶ done
            └─ and a wish beside it ─▶ waits ────────┘

Where the open wish ends with a person, what was wanted beside it goes first. Only what follows from
it; how it is found in the words is in llm/intents.py, or a language model's affair. No I/O.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from workers import dialog
from workers.bot import Bot
from workers.messages import DialogState, Step


def answered(
    bot: Bot,
    state: DialogState,
    wishes: Sequence[Step],
    answer: Callable[[DialogState], dialog.Outcome],
) -> dialog.Outcome:
    """The outcome of the answer, with these wishes waiting; the caller is told that they do.

    answer: takes the state in which they wait.
    """
    later = _later(bot, state, wishes)
    if not later:
        return answer(state)
    outcome = answer(replace(state, pending=later))
    decision = outcome.decision
    intent = bot.intents.get(state.intent or "")
    if intent is not None and intent.transfer and decision.action == "transfer":
        return _before_leaving(bot, state, later, decision.state)
    if decision.action != "none" or decision.state.asked is None or decision.state.misses:
        return outcome
    new = [step for step in later if step not in state.pending and step in decision.state.pending]
    told = [dialog.bridge(bot, bot.phrases.after, step.intent) for step in new]
    return dialog.Outcome((*told, *outcome.say), decision)


def _later(bot: Bot, state: DialogState, wishes: Sequence[Step]) -> tuple[Step, ...]:
    """What waits then: at most MAX_PENDING, each intent once, the open one not again."""
    found = {step.intent: step for step in state.pending if step.intent in bot.intents}
    for step in wishes:
        if step.intent in bot.intents and step.intent != state.intent:
            found.setdefault(step.intent, step)
    return tuple(list(found.values())[: dialog.MAX_PENDING])


def _before_leaving(
    bot: Bot, state: DialogState, later: Sequence[Step], known: DialogState
) -> dialog.Outcome:
    """What can be done before the caller is connected; the open wish waits, with its values."""
    assert state.intent is not None
    mine = bot.intents[state.intent].slots
    slots = {name: value for name, value in known.slots.items() if name in mine}
    return dialog.wishes(
        bot, replace(state, asked=None, pending=()), [*later, Step(state.intent, slots)]
    )
