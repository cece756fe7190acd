"""The engine without a model: the closest example's intent, and the bot's own rules.

It knows what the bot's file says and says when it did not understand.

    something was asked ─▶ the answer to it ───────────────────┐
            ├────────────▶ and another wish beside it, waiting ┤
            └────────────▶ another wish, if it is sure ────────┤
    nothing was asked ───▶ a correction of what was answered ──┼─▶ dialog
            └────────────▶ several wishes, if each is sure ────┤
            └────────────▶ a wish, if it is likely ────────────┘
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Collection

from workers import beside, dialog
from workers.acting import carried_out
from workers.bot import Bot, Slot
from workers.llm.clauses import cuts, without_stays
from workers.llm.engine import Reply, Request
from workers.llm.from_knowledge import from_knowledge
from workers.llm.matcher import Match, Matcher
from workers.messages import DialogState, Step
from workers.spoken import digits, is_number

MAX_MATCHERS = 64
# Probability of another wish from which the question that was just asked is dropped for it.
CHANGES_SUBJECT = 0.8
# A call ended by mistake can't be taken back.
HANGS_UP = 0.8
# Probability from which a part of an utterance is a wish of its own.
IS_A_WISH = 0.6
# Share of an utterance in the intent's own words from which it only says the wish again, and is
# no free text that was asked for.
SAYS_IT_AGAIN = 0.9


class IntentsEngine:
    """Matchers are kept per bot, the latest MAX_MATCHERS of them."""

    name = "intents"
    reads_notes = False

    def __init__(self) -> None:
        self._matchers: OrderedDict[str, Matcher] = OrderedDict()
        self._lock = threading.Lock()

    def warm(self, bot: Bot) -> None:
        """Build the bot's matcher."""
        self._matcher(bot)

    def reply(self, request: Request, timeout_s: float) -> Reply:
        """The decision, then whole sentences; takes about a millisecond, tools apart."""
        outcome = yield from carried_out(request.bot, self.outcome(request))
        yield outcome.decision
        for sentence in outcome.say:
            # The space ends a sentence for who splits the text again.
            yield sentence + " "

    def outcome(self, request: Request) -> dialog.Outcome:
        """What the utterance comes to, before any tool was called."""
        bot, state, text = request.bot, dialog.begin(request.state), request.text
        if request.keyed:
            return dialog.keyed_in(bot, state, text)
        matcher = self._matcher(bot)
        favoured = dialog.favoured(bot, state)
        wanted, stays = without_stays(text, bot.language)
        match = matcher.match(wanted, favoured)
        if state.asked is not None:
            found = _with_more(matcher, bot, state, wanted, favoured)
            found = found or _asked(bot, state, text, match)
            missed = found.decision.state.misses > state.misses
            return (from_knowledge(request) if missed else None) or found
        corrected = dialog.corrected_after(bot, state, text)
        if corrected is not None and not (match.sure and match.score >= CHANGES_SUBJECT):
            return corrected
        parts = several(matcher, bot, wanted, favoured)
        if parts:
            steps = [_step(bot, state, name, part) for name, part in parts]
            return dialog.wishes(bot, state, steps, stays)
        if not match.sure or (_hangs_up(bot, match) and match.score < HANGS_UP):
            return from_knowledge(request) or dialog.not_understood(bot, state)
        known = from_knowledge(request, match.score)
        if known is not None:
            return known
        assert match.intent is not None
        return dialog.wishes(bot, state, [_step(bot, state, match.intent, wanted)], stays)

    def parts(self, request: Request) -> list[str]:
        """The utterance, taken apart at its wishes; what answers an open question comes first."""
        bot, state = request.bot, dialog.begin(request.state)
        matcher, favoured = self._matcher(bot), dialog.favoured(bot, state)
        wanted, _ = without_stays(request.text, bot.language)
        if request.keyed:
            return [request.text]
        if state.asked is None:
            return [words for _, words in several(matcher, bot, wanted, favoured)] or [wanted]
        part, others = _beside(matcher, bot, state, wanted, favoured)
        return [part, *(words for _, words in others)] if others else [request.text]

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
    slots = dialog.slots_in(bot, match.intent, text, state.today) if match.intent else {}
    return dialog.handle(bot, state, match.intent, slots)


def _step(bot: Bot, state: DialogState, intent: str, text: str) -> Step:
    return Step(intent, dialog.slots_in(bot, intent, text, state.today))


def several(
    matcher: Matcher, bot: Bot, text: str, favoured: Collection[str]
) -> list[tuple[str, str]]:
    """The wishes of an utterance, each with its words; none where it has not at least two."""
    found: list[tuple[str, str]] = []
    rest = text
    while len(found) < dialog.MAX_PENDING:
        cut = next(
            (one for one in cuts(rest, bot.language) if _parts(matcher, one, favoured, found)), None
        )
        if cut is None:
            break
        first = matcher.match(cut[0], favoured).intent
        assert first is not None
        found.append((first, cut[0]))
        rest = cut[1]
    last = matcher.match(rest, favoured).intent
    return [*found, (last, rest)] if found and last else []


def _parts(
    matcher: Matcher,
    cut: tuple[str, str],
    favoured: Collection[str],
    before: list[tuple[str, str]],
) -> bool:
    """Whether both parts are wishes, and none of them was there already."""
    one, two = (matcher.match(part, favoured) for part in cut)
    sure = all(match.sure and match.score >= IS_A_WISH for match in (one, two))
    names = {one.intent, two.intent, *(name for name, _ in before)}
    return sure and len(names) == len(before) + 2


def _hangs_up(bot: Bot, match: Match) -> bool:
    return match.intent is not None and bot.intents[match.intent].hangup


def _asked(bot: Bot, state: DialogState, text: str, match: Match) -> dialog.Outcome:
    """The answer to what was asked, or another wish; people mix the two."""
    other = match.sure and match.score >= CHANGES_SUBJECT and match.intent != state.intent
    leaving = other and not _hangs_up(bot, match)
    answer = dialog.answer_to(bot, state, text, leaving=leaving)
    if answer is None:
        # The wish said again is no answer either: were it none of the misses, two who
        # do not understand each other would go on for ever.
        return _wish(bot, state, text, match) if other else dialog.not_understood(bot, state)
    if state.asked in (dialog.CONFIRM, dialog.WHICH):
        return _and_more(bot, answer, text, match) if other else answer
    slot = bot.slots.get(state.asked or "")
    if slot is not None and slot.type == "text":
        again = match.sure and match.intent == state.intent and match.explained >= SAYS_IT_AGAIN
        if again:
            return dialog.not_understood(bot, state)
    elif slot is not None and slot.type != "yes_no" and not _short(slot, text, bot.language):
        return answer  # a whole value is meant as one, whatever stands around it
    return _wish(bot, state, text, match) if other else answer


def _with_more(
    matcher: Matcher, bot: Bot, state: DialogState, text: str, favoured: Collection[str]
) -> dialog.Outcome | None:
    """The answer to what was asked, with other wishes beside it; None where there are none."""
    part, wanted = _beside(matcher, bot, state, text, favoured)
    if not wanted:
        return None

    def answer(waiting: DialogState) -> dialog.Outcome:
        found = dialog.answer_to(bot, waiting, part, leaving=True)
        return found or dialog.not_understood(bot, waiting)

    return beside.answered(
        bot, state, [_step(bot, state, name, words) for name, words in wanted], answer
    )


def _beside(
    matcher: Matcher, bot: Bot, state: DialogState, text: str, favoured: Collection[str]
) -> tuple[str, list[tuple[str, str]]]:
    """The part that answers the open question, and other wishes with their words."""
    for before, after in [*cuts(text, bot.language), *_around_figures(bot, state, text)]:
        for part, rest in ((before, after), (after, before)):
            wanted = _others(matcher, bot, state, rest, favoured)
            if wanted and _answers(matcher, bot, state, part, favoured):
                return part, wanted
    return "", []


def _around_figures(bot: Bot, state: DialogState, text: str) -> list[tuple[str, str]]:
    """Cuts behind and before a number that was asked for: a recogniser loses small words."""
    slot = bot.slots.get(state.asked or "")
    said = text.split()
    figures = [n for n, word in enumerate(said) if is_number(word.strip(".,;?!").lower())]
    if slot is None or slot.type != "digits" or not figures:
        return []
    at = (figures[-1] + 1, figures[0])
    return [(" ".join(said[:n]), " ".join(said[n:])) for n in at if 0 < n < len(said)]


def _others(
    matcher: Matcher, bot: Bot, state: DialogState, text: str, favoured: Collection[str]
) -> list[tuple[str, str]]:
    """Wishes other than the open one, and sure to be; a goodbye is none."""
    match = matcher.match(text, favoured)
    found = several(matcher, bot, text, favoured)
    if not found and match.sure and match.intent and match.score >= CHANGES_SUBJECT:
        found = [(match.intent, text)]
    return [
        (name, words)
        for name, words in found
        if name != state.intent and not bot.intents[name].hangup
    ]


def _answers(
    matcher: Matcher, bot: Bot, state: DialogState, text: str, favoured: Collection[str]
) -> bool:
    """Whether this part of an utterance answers what was asked."""
    slot = bot.slots.get(state.asked or "")
    if slot is not None and _short(slot, text, bot.language):
        return False
    if slot is not None and slot.type == "text":
        match = matcher.match(text, favoured)
        if match.sure and match.score >= IS_A_WISH:
            return False
    return dialog.answer_to(bot, state, text, leaving=True) is not None


def _short(slot: Slot, text: str, language: str) -> bool:
    """A single figure is more often "one moment" than a number."""
    return slot.type == "digits" and len(digits(text, language)) < 2


def _and_more(bot: Bot, answer: dialog.Outcome, text: str, match: Match) -> dialog.Outcome:
    """ "No, what are your opening hours": the answer stands, and the question is answered."""
    # "No thank you" says goodbye as well as no; what was asked goes first.
    if answer.decision.action != "none" or answer.decision.state.asked or _hangs_up(bot, match):
        return answer
    more = _wish(bot, answer.decision.state, text, match)
    said = tuple(one for one in answer.say if one != bot.phrases.anything_else)
    return dialog.Outcome(said + more.say, more.decision)
