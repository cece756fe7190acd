"""The engine without a model: the closest example's intent, and the bot's own rules.

It knows what the bot's file says and says when it did not understand.

    something was asked ─▶ the answer to it ─────────────┐
            └────────────▶ another wish, if it is sure ──┼─▶ dialog
    nothing was asked ───▶ a wish, if it is likely ──────┘
"""

from __future__ import annotations

import threading
from collections import OrderedDict

from workers import dialog
from workers.acting import carried_out
from workers.bot import Bot
from workers.llm.engine import Reply, Request
from workers.llm.matcher import Match, Matcher
from workers.messages import DialogState
from workers.spoken import digits

MAX_MATCHERS = 64
# Probability of another wish from which the question that was just asked is dropped for it.
CHANGES_SUBJECT = 0.8
# A call ended by mistake can't be taken back.
HANGS_UP = 0.8
# Share of an utterance in the intent's own words from which it only says the wish again, and is
# no free text that was asked for.
SAYS_IT_AGAIN = 0.9


class IntentsEngine:
    """Matchers are kept per bot, the latest MAX_MATCHERS of them."""

    name = "intents"

    def __init__(self) -> None:
        self._matchers: OrderedDict[str, Matcher] = OrderedDict()
        self._lock = threading.Lock()

    def warm(self, bot: Bot) -> None:
        """Build the bot's matcher."""
        self._matcher(bot)

    def reply(self, request: Request, timeout_s: float) -> Reply:
        """The decision, then whole sentences; takes about a millisecond, tools apart."""
        outcome = yield from carried_out(request.bot, self._outcome(request))
        yield outcome.decision
        for sentence in outcome.say:
            # The space ends a sentence for who splits the text again.
            yield sentence + " "

    def _outcome(self, request: Request) -> dialog.Outcome:
        bot, state, text = request.bot, request.state, request.text
        if request.keyed:
            return dialog.keyed_in(bot, state, text)
        match = self._matcher(bot).match(text)
        if state.asked is not None:
            return _asked(bot, state, text, match)
        if not match.sure or (_hangs_up(bot, match) and match.score < HANGS_UP):
            return dialog.not_understood(bot, state)
        return _wish(bot, state, text, match)

    def _matcher(self, bot: Bot) -> Matcher:
        sha = bot.sha
        with self._lock:
            if sha in self._matchers:
                self._matchers.move_to_end(sha)
                return self._matchers[sha]
            # Built under the lock: once is enough, and the others want the same one.
            found = self._matchers[sha] = Matcher(bot)
            while len(self._matchers) > MAX_MATCHERS:
                self._matchers.popitem(last=False)
            return found


def _wish(bot: Bot, state: DialogState, text: str, match: Match) -> dialog.Outcome:
    slots = dialog.slots_in(bot, match.intent, text) if match.intent else {}
    return dialog.handle(bot, state, match.intent, slots)


def _hangs_up(bot: Bot, match: Match) -> bool:
    return match.intent is not None and bot.intents[match.intent].hangup


def _asked(bot: Bot, state: DialogState, text: str, match: Match) -> dialog.Outcome:
    """The answer to what was asked, or another wish; people mix the two."""
    answer = dialog.answer_to(bot, state, text)
    other = match.sure and match.score >= CHANGES_SUBJECT and match.intent != state.intent
    if answer is None:
        # The wish said again is no answer either: were it none of the misses, two who
        # do not understand each other would go on for ever.
        return _wish(bot, state, text, match) if other else dialog.not_understood(bot, state)
    if state.asked == dialog.CONFIRM:
        return _and_more(bot, answer, text, match) if other else answer
    slot = bot.slots.get(state.asked or "")
    if slot is not None and slot.type == "text":
        again = match.sure and match.intent == state.intent and match.explained >= SAYS_IT_AGAIN
        if again:
            return dialog.not_understood(bot, state)
    elif slot is not None and slot.type == "digits" and len(digits(text)) > 1:
        return answer  # a whole number is meant as one, whatever stands around it
    return _wish(bot, state, text, match) if other else answer


def _and_more(bot: Bot, answer: dialog.Outcome, text: str, match: Match) -> dialog.Outcome:
    """ "No, what are your opening hours": the answer stands, and the question is answered."""
    # "No thank you" says goodbye as well as no; what was asked goes first.
    if answer.decision.action != "none" or answer.decision.state.asked or _hangs_up(bot, match):
        return answer
    more = _wish(bot, answer.decision.state, text, match)
    said = tuple(one for one in answer.say if one != bot.phrases.anything_else)
    return dialog.Outcome(said + more.say, more.decision)
