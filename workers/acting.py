"""From a decision to act, to what is said of it: tools of the bot's file. No I/O.

    dialog, or a model ─▶ ToolCall ─▶ whoever runs the engine has it run ─▶ Result ─▶ Outcome

An engine yields the call and is sent the result, so that only jobs.py, which knows the listener,
has tools run.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from workers import dialog
from workers.bot import PLACEHOLDER, Bot, Intent
from workers.bot.routes import route_at
from workers.bot.tools import Tool
from workers.messages import Decision, DialogState

MAX_CALLS = 6  # of tools in a turn: several wishes of one utterance


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool of the bot, by its name, and what it is to be told."""

    tool: str
    arguments: Mapping[str, Any]

    @property
    def act(self) -> str:
        """Names what is to be done: the same for each attempt at it."""
        what = json.dumps([self.tool, dict(self.arguments)], sort_keys=True, default=str)
        return hashlib.sha256(what.encode("utf-8", "replace")).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a call. status: "ok"; "no": the server refused, and the tool's `errors` know
    its code; "bad arguments", "no secret", "breaker open", "failed"; "unknown": it may have been
    done.

    said: each field of the result, as it is spoken; plain: as it is. code: HTTP's, 0: none came.
    """

    status: str
    said: Mapping[str, str] = field(default_factory=dict)
    plain: Mapping[str, str] = field(default_factory=dict)
    code: int = 0
    ms: int = 0

    @property
    def ok(self) -> bool:
        return self.status == "ok"


FAILED = Result("failed")
Acting = Generator["str | Decision | ToolCall", "Result | None", dialog.Outcome]


def carried_out(bot: Bot, outcome: dialog.Outcome, now: datetime | None = None) -> Acting:
    """The outcome, once what it takes was done. now: to look at the hours by; None: as it is."""
    for _ in range(MAX_CALLS):
        decision = outcome.decision
        if decision.action != "tool":
            return at_hours(bot, outcome, now or datetime.now(UTC))
        state = decision.state
        speaking = bot.speaking(state.language)
        intent = speaking.intents.get(state.intent or "")
        if intent is None or intent.tool is None:
            break
        tool = speaking.tools[intent.tool]
        given = {name: state.slots[name] for name in tool.arguments if name in state.slots}
        result = (yield ToolCall(intent.tool, given)) or FAILED
        told = answered(speaking, intent, tool, state, result)
        taken_for = decision.intent or state.intent
        decision = replace(told.decision, intent=taken_for)
        outcome = dialog.Outcome((*outcome.say, *told.say), decision)
    return dialog.not_understood(bot, outcome.decision.state)


def at_hours(bot: Bot, outcome: dialog.Outcome, now: datetime) -> dialog.Outcome:
    """The outcome, but nobody is sent to where it is closed."""
    decision = outcome.decision
    if decision.action != "transfer" or decision.destination not in bot.destinations:
        return outcome
    speaking = bot.speaking(decision.state.language)
    route = route_at(speaking, decision.destination, now)
    if route.destination == decision.destination:
        return outcome
    own = speaking.destinations[decision.destination].say
    say = tuple(one for one in outcome.say if one != own) + route.say
    if route.destination is not None:
        return dialog.Outcome(say, replace(decision, destination=route.destination))
    state = replace(decision.state, intent=None)
    say = (*say, speaking.phrases.anything_else)
    return dialog.Outcome(say, replace(decision, action="none", destination=None, state=state))


def answered(
    bot: Bot, intent: Intent, tool: Tool, state: DialogState, result: Result
) -> dialog.Outcome:
    """What is said of a result, and how the call goes on."""
    if result.ok:
        slots = {**state.slots, **kept(bot, tool, result)}
        return dialog.done(
            bot, intent, _filled(tool, intent, result, slots), replace(state, slots=slots)
        )
    answer = tool.errors.get(str(result.code)) if result.status == "no" else None
    if answer is None:
        return _gives_up(bot, intent, state, tool.on_error)
    if answer.ask is None:
        return dialog.done(bot, intent, answer.say, state)
    if state.misses >= bot.max_misses:
        return _gives_up(bot, intent, state, answer.say)
    rest = {name: value for name, value in state.slots.items() if name != answer.ask}
    asking = replace(state, slots=rest, asked=answer.ask, misses=state.misses + 1)
    return dialog.Outcome((answer.say, bot.slots[answer.ask].question), Decision(asking))


def kept(bot: Bot, tool: Tool, result: Result) -> dict[str, str]:
    """Slots that the result fills, where it fits them."""
    found = {slot: result.plain.get(name, "") for slot, name in tool.keep.items()}
    return {slot: value for slot, value in found.items() if bot.slots[slot].accepts(value)}


def _gives_up(bot: Bot, intent: Intent, state: DialogState, phrase: str) -> dialog.Outcome:
    handed = dialog.transfer(bot, state, intent.destination)
    return dialog.Outcome((phrase, *handed.say), handed.decision)


def _filled(tool: Tool, intent: Intent, result: Result, slots: Mapping[str, str]) -> str:
    """The template with the result in it; slots are left to the dialog, which can say them."""

    def value(found: re.Match[str]) -> str:
        name, part = found.group(1), found.group(2)
        if intent.answer:
            return result.said.get(part, "") if part and name == intent.tool else found.group(0)
        if name in result.said:
            return result.said[name]
        return found.group(0) if name in slots else ""

    return PLACEHOLDER.sub(value, intent.answer or tool.say or "")
