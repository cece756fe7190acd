"""What a good language model would call, found without one: for evals and tests.

It is asked as a model is, by messages and functions, and answers as one does: handle_intent with
an intent and the values of slots, or with one that the bot does not have where it understood
nothing. Which intent, and which values, is found by the intents engine and the bot's own rules.
"""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

from workers import dialog
from workers.bot import Bot
from workers.knowledge.index import Index
from workers.knowledge.passages import Passage
from workers.llm.clauses import without_stays
from workers.llm.engine import Request
from workers.llm.guide import CITE
from workers.llm.intents import IntentsEngine
from workers.messages import Decision, DialogState
from workers.spoken import yes_or_no
from workers.values import slot_values

STATE: Final = "State of this call: "
KEYED: Final = "[keyed in] "
NOTHING: Final = "nothing"  # an intent that no bot has
MAX_PASSAGES: Final = 8
_PASSAGE: Final = re.compile(r"^\[(\d+)\] ([^\n]*)\n([^\n]+)$", re.MULTILINE)


class RulesModel:
    def __init__(self, bots: Sequence[Bot]) -> None:
        self._bots = {tuple(bot.intents): bot for bot in bots}
        self._engine = IntentsEngine()

    def warm(self) -> None:
        for bot in self._bots.values():
            self._engine.warm(bot)

    def deltas(self, asked: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """The pieces of a streamed answer. Raises ValueError: not a request of a known bot."""
        said, state = _said(asked.get("messages")), _state(asked.get("messages"))
        if "tools" not in asked:  # a probe
            yield {"role": "assistant", "content": "Yes."}
            return
        bot = self._bot(asked["tools"])
        yield {"role": "assistant"}
        known = self._known(bot, state, said, asked.get("messages"))
        if known:
            yield {"content": known}
            return
        for index, (name, given) in enumerate(self._calls(bot, state, said)):
            arguments = json.dumps(given)
            half = len(arguments) // 2
            for function in ({"name": name, "arguments": arguments[:half]},
                             {"arguments": arguments[half:]}):  # fmt: skip
                yield {"tool_calls": [{"index": index, "function": function}]}

    def _bot(self, tools: Any) -> Bot:
        try:
            (intents,) = (
                tuple(one["function"]["parameters"]["properties"]["intent"]["enum"])
                for one in tools
                if one["function"]["name"] == "handle_intent"
            )
            return self._bots[intents]
        except (KeyError, TypeError, ValueError):
            raise ValueError("tools of a bot that this server was not started with") from None

    def _known(self, bot: Bot, state: DialogState, said: str, given: Any) -> str:
        """An answer from the passages that it was told, with their numbers; "" for none."""
        hits = tuple(_index(given).search(said, MAX_PASSAGES)) if bot.knowledge else ()
        if not hits or said.startswith(KEYED):
            return ""
        outcome = self._engine.outcome(Request(bot, state, (), said, passages=hits))
        cited = "".join(f" [{number}]" for number in outcome.decision.cited)
        return " ".join([*outcome.say[:-1], cited, outcome.say[-1]]) if cited else ""

    def _calls(
        self, bot: Bot, state: DialogState, said: str
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """Functions and what they are told: for each part of the utterance one."""
        keyed = said.startswith(KEYED)
        text = said.removeprefix(KEYED)
        _, stays = without_stays(text, bot.language)
        for part in self._engine.parts(Request(bot, state, (), text, keyed)):
            name, given = self._call(bot, state, part, keyed)
            yield name, given | {"unchanged": True} if stays and state.asked is None else given
            stays = False
            state = DialogState(today=state.today)  # the others answer nothing

    def _call(
        self, bot: Bot, state: DialogState, text: str, keyed: bool
    ) -> tuple[str, dict[str, Any]]:
        outcome = self._engine.outcome(Request(bot, state, (), text, keyed))
        function, first, after = "handle_intent", outcome.decision, outcome.decision.state
        if outcome.say[:1] == (bot.phrases.cancelled,):
            return "cancel_wish", {}
        if (
            first.action == "tool"
            and state.asked == dialog.CONFIRM
            and after.intent == state.intent
        ):
            return function, {"intent": state.intent, "confirmed": True}
        if first.action == "tool":
            assert after.intent is not None
            mine = bot.intents[after.intent].slots
            slots = {name: after.slots[name] for name in mine if name in after.slots}
            return function, {"intent": after.intent, "slots": slots}
        if state.asked == dialog.CONFIRM and state.intent and not _corrected(state, first):
            yes = slot_values.YES_NO_KEYS.get(text) if keyed else yes_or_no(text, bot.language)
            if yes is not None:
                return function, {"intent": state.intent, "confirmed": yes == "yes"}
        intent = first.intent
        if intent is None or first.action == "menu" or after.misses > state.misses + 1:
            return function, {"intent": NOTHING}
        slots = {n: v for n, v in after.slots.items() if state.slots.get(n) != v}
        slot = bot.slots.get(state.asked or "")
        if state.asked and slot and intent == state.intent and state.asked not in slots:
            # It was given, and is none that is known: the bot's rules say so.
            read = slot_values.keyed if keyed else slot_values.read
            value = read(slot, text, bot.language, state.today)
            if value is not None:
                slots[state.asked] = value
        return function, {"intent": intent, "slots": slots}


def _index(given: Any) -> Index:
    """The passages of the knowledge base that stand in the prompt, by their numbers."""
    found = []
    for one in _messages(given):
        if one.get("role") != "system" or not one["content"].startswith(CITE):
            continue
        for number, title, text in _PASSAGE.findall(one["content"]):
            sentences = tuple(re.split(r"(?<=[.!?])\s+", text))
            found.append(Passage(number, title, sentences))
    return Index(found)


def _corrected(state: DialogState, first: Decision) -> bool:
    """Whether the answer to a confirmation was another value, "no, on Friday"."""
    if first.intent != state.intent:
        return False
    return any(state.slots.get(n) not in (None, v) for n, v in first.state.slots.items())


def _messages(given: Any) -> list[dict[str, str]]:
    if not isinstance(given, list) or not all(isinstance(one, dict) for one in given):
        raise ValueError("messages that make no sense")
    return [one for one in given if isinstance(one.get("content"), str)]


def _said(given: Any) -> str:
    said = [one["content"] for one in _messages(given) if one.get("role") == "user"]
    if not said:
        raise ValueError("nothing was said")
    return said[-1]


def _state(given: Any) -> DialogState:
    for one in _messages(given):
        if one.get("role") == "system" and STATE in one["content"]:
            line = re.split(r"\n", one["content"].partition(STATE)[2])[0]
            try:
                known = json.loads(line)
                # A server has a calendar of its own, where it is not told the day of the call.
                today = str(known.get("today") or datetime.date.today().isoformat())
                slots = {str(name): str(value) for name, value in known["slots"].items()}
                return DialogState(known["intent"], slots, known["asked"], today=today)
            except (AttributeError, KeyError, ValueError):
                raise ValueError("a state that makes no sense") from None
    return DialogState(today=datetime.date.today().isoformat())
