"""What the engine without a model makes of the bot's knowledge: a passage's own sentences.

A question is answered where a passage is sure enough to answer it, and no intent is about as
sure to be meant; then what was open goes on. "Where does that come from?" is answered with the
passage's title.
"""

from __future__ import annotations

import re
from dataclasses import replace

from workers import dialog
from workers.bot import Bot
from workers.knowledge.index import Hit, answer
from workers.llm.engine import Request
from workers.messages import Decision, DialogState

AHEAD = 0.2
_SOURCE = re.compile(
    r"\b(?:where (?:is|does|did|do) (?:that|this|it|you)\b.*\b(?:from|say|said|written|know)"
    r"|how do you know|who (?:says|said) (?:that|so)|what(?: is|'s) (?:the|your) source"
    r"|says who)\b"
)


def from_knowledge(request: Request, intent: float = 0.0) -> dialog.Outcome | None:
    """None where nothing is sure enough. intent: how sure it is that an intent is meant; a passage
    has to be surer than that by AHEAD."""
    bot, knowledge = request.bot, request.bot.knowledge
    if knowledge is None or not request.passages:
        return None
    best = request.passages[0]
    if best.score * 100 < knowledge.sure_from_percent or best.score < intent + AHEAD:
        return None
    if asks_for_source(request.text):
        said: tuple[str, ...] = (f"{best.passage.title}.",)
    else:
        said = answer(best, request.text, knowledge.sentences)
    return _outcome(bot, dialog.begin(request.state), said, best)


def asks_for_source(text: str) -> bool:
    return bool(_SOURCE.search(text.lower()))


def _outcome(bot: Bot, state: DialogState, said: tuple[str, ...], best: Hit) -> dialog.Outcome:
    asking = state.asked in bot.slots
    following = bot.slots[state.asked or ""].question if asking else bot.phrases.anything_else
    if state.asked == dialog.CONFIRM:
        following = bot.phrases.yes_no
    # What was open stays so: the question is asked once more.
    kept = replace(state, misses=0)
    return dialog.Outcome((*said, following), Decision(kept, cited=(best.passage.id,)))
