"""The engine without a model: the closest example's intent, and the bot's own rules.

It knows what the bot's file says and says when it did not understand.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator

from workers import dialog
from workers.bot import Bot
from workers.llm.engine import Request
from workers.llm.matcher import Matcher
from workers.messages import Decision

MAX_MATCHERS = 64
# Sure enough to drop the question that was just asked for another wish.
CHANGES_SUBJECT = 0.60


class IntentsEngine:
    """Matchers are kept per bot, the latest MAX_MATCHERS of them."""

    name = "intents"

    def __init__(self) -> None:
        self._matchers: OrderedDict[str, Matcher] = OrderedDict()
        self._lock = threading.Lock()

    def reply(self, request: Request, timeout_s: float) -> Iterator[str | Decision]:
        """Whole sentences, then the decision; takes about a millisecond."""
        outcome = self._outcome(request)
        yield outcome.decision
        for sentence in outcome.say:
            # The space ends a sentence for who splits the text again.
            yield sentence + " "

    def _outcome(self, request: Request) -> dialog.Outcome:
        bot, state, text = request.bot, request.state, request.text
        answer = dialog.answer_to(bot, state, text, request.keyed)
        if request.keyed:
            return answer or dialog.not_understood(bot, state)
        match = self._matcher(bot).match(text)
        changes = match.sure and match.score >= CHANGES_SUBJECT and match.intent != state.intent
        free_text = state.asked in bot.slots and bot.slots[state.asked].type == "text"
        if answer is not None and not (changes and (free_text or not _answers(answer))):
            return answer
        if match.sure and match.intent is not None:
            slots = dialog.slots_in(bot, match.intent, text)
            return dialog.handle(bot, state, match.intent, slots)
        return dialog.not_understood(bot, state)

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


def _answers(outcome: dialog.Outcome) -> bool:
    """A value was taken, which an utterance about something else seldom brings."""
    return outcome.decision.state.misses == 0
