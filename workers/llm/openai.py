"""A language model behind an OpenAI-compatible server: POST /chat/completions, streamed.

Source: the API reference of OpenAI, "Create chat completion", streaming and function calling.

The model answers in words of its own, or calls a function: handle_intent (the bot's own rules then
ask, look up, act and answer: facts come from the bot's file), cancel_wish (nothing of what is open
is done), transfer (to a named destination), hang_up, or a tool of the bot's that is offered to it,
whose result it is told. What it calls is checked against the bot; what it must not is refused, and
told to it once.

The prompt begins with what is the same for all calls of a bot, so that a provider can keep it;
the call's state, the history and the utterance follow.
"""

from __future__ import annotations

import contextlib
import json
import logging
import time
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from workers import beside, dialog, secret_slots
from workers.acting import FAILED, Result, ToolCall, carried_out
from workers.bot import Bot
from workers.bot.tools import TAKEN, Tool
from workers.http_provider import Deadline, Provider, ProviderError, parse_json, plain
from workers.llm.engine import LlmError, Reply, Request
from workers.llm.offers import messages, tools
from workers.messages import Decision, DialogState, Step
from workers.redaction import Private, hidden, restore
from workers.tools.values import BadArguments, arguments
from workers.values.slot_values import offered

log = logging.getLogger(__name__)

MAX_REPLY = 2000  # characters
MAX_ARGUMENTS = 4000
MAX_TOOLS = 4
MAX_ROUNDS = 3  # of the model, with what it called in between
MAX_RESULT = 4000  # characters of a tool's result, for the model
REFUSED = '{"error": "there is no such function, or not with these arguments"}'
MAX_TOKENS = 300


@dataclass(slots=True)
class _ToolCall:
    name: str = ""
    arguments: str = ""


@dataclass(slots=True)
class _Answer:
    """What has come so far. after: what the model called before, and what it was told of it."""

    tools: dict[int, _ToolCall] = field(default_factory=dict)
    said: int = 0
    private: Mapping[str, str] = field(default_factory=dict)
    words: list[str] = field(default_factory=list)
    after: list[dict[str, Any]] = field(default_factory=list)


class OpenAiLlm:
    name = "openai"

    def __init__(
        self,
        url: str,
        model: str,
        api_key: str,
        *,
        connect_timeout_s: float,
        first_token_s: float,
        token_gap_s: float,
        retry_percent: int = 10,
        http2: bool = False,
    ) -> None:
        self.provider = Provider(
            url,
            api_key,
            connect_timeout_s=connect_timeout_s,
            http2=http2,
            retry_percent=retry_percent,
        )
        self._model = model
        self._first_token_s = first_token_s
        self._token_gap_s = token_gap_s
        self.provider_name = f"{model}@{self.provider.host}"

    def probe(self, timeout_s: float) -> None:
        """A request as small as can be. Raises LlmError."""
        body = {"model": self._model, "messages": [{"role": "user", "content": "ping"}],
                "stream": True, "max_tokens": 1}  # fmt: skip
        deadline = Deadline(timeout_s)
        try:
            with self.provider.post(
                "chat/completions", deadline=deadline, first_s=self._first_token_s, json=body
            ) as reply:
                for data in reply.events():
                    parse_json(data)
        except ProviderError as error:
            raise LlmError(str(error)) from error

    def warm(self, bot: Bot) -> None:
        """Nothing to do: the provider keeps what it keeps."""

    def reply(self, request: Request, timeout_s: float) -> Reply:
        """See engine.py. A retry is possible up to the first token, and not after it."""
        request = replace(request, state=dialog.begin(request.state))
        bot = request.bot
        if request.keyed and request.text in secret_slots.PLACEHOLDERS:
            # There is nothing in it for a model to understand.
            yield from self._told(bot, dialog.keyed_in(bot, request.state, request.text))
            return
        deadline = Deadline(timeout_s)
        answer = _Answer()
        wrong = 0
        try:
            for _ in range(MAX_ROUNDS):
                yield from self.provider.retrying(
                    deadline, lambda: self._begin(request, answer, deadline)
                )
                calls = [answer.tools[at] for at in sorted(answer.tools)][:MAX_TOOLS]
                if not bot.tools or not calls or any(one.name in TAKEN for one in calls):
                    break
                told, failed = yield from self._use(bot, calls, answer.private, deadline)
                if failed is not None:
                    state = request.state
                    destination = self._destination(bot, state)
                    say = (failed, *dialog.transfer(bot, state, destination).say)
                    done = replace(state, asked=None, misses=0)
                    decision = Decision(done, "transfer", destination)
                    yield from self._told(bot, dialog.Outcome(say, decision))
                    return
                wrong += any(one["content"] == REFUSED for one in told)
                if wrong > 1:
                    yield from self._told(bot, dialog.not_understood(bot, request.state))
                    return
                answer.after += [_called(calls, "".join(answer.words)), *told]
                answer.tools, answer.words = {}, []
            else:
                log.warning("the model did not stop calling")
                yield from self._told(bot, dialog.not_understood(bot, request.state))
                return
            yield from self._act(request, answer)
        except ProviderError as error:
            raise LlmError(str(error)) from error

    def _use(
        self, bot: Bot, calls: list[_ToolCall], private: Mapping[str, str], deadline: Deadline
    ) -> Generator[
        str | Decision | ToolCall, Result | None, tuple[list[dict[str, Any]], str | None]
    ]:
        """Run what the model called; (what it is told of it, what is said where one failed)."""
        told: list[dict[str, Any]] = []
        for at, call in enumerate(calls):
            content = REFUSED
            tool = bot.tools.get(call.name)
            if tool is not None and tool.offered:
                given = self._given(tool, restore(call.arguments, private))
                if given is not None:
                    began = time.monotonic()
                    result = (yield ToolCall(call.name, given)) or FAILED
                    deadline.at += time.monotonic() - began  # the tool's time is its own
                    if result.status not in ("ok", "no"):
                        return told, tool.on_error
                    content = self._result(tool, result)
            else:
                log.warning("the model called for something that the bot does not have")
            told.append({"role": "tool", "tool_call_id": f"call_{at}", "content": content})
        return told, None

    @staticmethod
    def _given(tool: Tool, called_with: str) -> dict[str, Any] | None:
        try:
            return dict(arguments(tool, parse_json(called_with or "{}")))
        except (ProviderError, BadArguments):
            log.warning("the model called a tool with what it does not take")
            return None

    @staticmethod
    def _result(tool: Tool, result: Result) -> str:
        if result.ok:
            return json.dumps(dict(result.said), ensure_ascii=False)[:MAX_RESULT]
        return json.dumps({"error": tool.errors[str(result.code)].say}, ensure_ascii=False)

    @staticmethod
    def _destination(bot: Bot, state: DialogState) -> str:
        intent = bot.intents.get(state.intent or "")
        return intent.destination if intent else bot.menu.person

    @staticmethod
    def _told(bot: Bot, outcome: dialog.Outcome) -> Reply:
        outcome = yield from carried_out(bot, outcome)
        yield outcome.decision
        yield from (sentence + " " for sentence in outcome.say)

    def _begin(self, request: Request, answer: _Answer, deadline: Deadline) -> Iterator[str]:
        words = self._ask(request, answer, deadline)
        first = next(words, None)

        def rest() -> Iterator[str]:
            if first is not None:
                yield first
                yield from words

        return rest()

    def _ask(self, request: Request, answer: _Answer, deadline: Deadline) -> Iterator[str]:
        private = Private(request.bot, request.private)
        answer.private = private.kept
        body = {
            "model": self._model,
            "messages": hidden(
                [*messages(request), *answer.after], private, 1 + len(request.notes)
            ),
            "tools": tools(request.bot),
            "stream": True,
            "temperature": 0.2,
            "max_tokens": MAX_TOKENS,
        }
        with self.provider.post(
            "chat/completions", deadline=deadline, first_s=self._first_token_s, json=body
        ) as reply:
            for data in reply.events():
                text = _take(parse_json(data), answer)
                # Comments and empty pieces keep a connection alive, not a conversation.
                if text is None:
                    continue
                if text:
                    answer.said += len(text)
                    answer.words.append(text)
                    if answer.said > MAX_REPLY:
                        raise ProviderError(f"an answer of more than {MAX_REPLY} characters")
                    yield plain(text)
                # From here: whoever takes the words may take his time.
                reply.expect(self._token_gap_s)

    def _act(self, request: Request, answer: _Answer) -> Reply:
        """Do what the model called for; refuse what it may not."""
        bot, state = request.bot, request.state
        called = [answer.tools[index] for index in sorted(answer.tools)[:MAX_TOOLS]]
        for call in called:
            call.arguments = restore(call.arguments, answer.private)
        several = _wishes(bot, called)
        answer_to_it = _answer(state, called)
        if answer_to_it is not None and {step.intent for step in several} - {state.intent}:

            def outcome_of(waiting: DialogState) -> dialog.Outcome:
                found = self._outcome(bot, waiting, answer_to_it)
                return found or dialog.not_understood(bot, waiting)

            yield from self._told(bot, beside.answered(bot, state, several, outcome_of))
            return
        for call in called:
            outcome = self._outcome(bot, state, call)
            if len(several) > 1:
                outcome = dialog.wishes(bot, state, several)
            if outcome is not None and _unchanged(call):
                outcome = replace(outcome, say=(bot.phrases.unchanged, *outcome.say))
            if outcome is None:
                log.warning("the model called for something that the bot does not have")
                continue
            yield from self._told(bot, outcome)
            return
        if answer.said:
            yield Decision(replace(state, asked=None, misses=0))
            return
        if answer.tools:
            yield from self._told(bot, dialog.not_understood(bot, state))
            return
        raise ProviderError("an answer without words")

    @staticmethod
    def _outcome(bot: Bot, state: DialogState, call: _ToolCall) -> dialog.Outcome | None:
        try:
            given = parse_json(call.arguments or "{}")
        except ProviderError:
            return None
        if not isinstance(given, dict):
            return None
        if call.name == "handle_intent":
            intent, slots = given.get("intent"), given.get("slots", {})
            if not isinstance(intent, str) or intent not in bot.intents:
                return None
            if not isinstance(slots, dict):
                return None
            yes = given.get("confirmed")
            open_ = intent == state.intent and not _values(bot, state, intent, slots)
            if state.asked == dialog.CONFIRM and open_ and isinstance(yes, bool):
                return dialog.confirm(bot, state, yes)
            return dialog.handle(bot, state, intent, slots)
        if call.name == "cancel_wish":
            if state.intent in bot.intents:
                return dialog.cancel(bot, state)
            done = replace(state, asked=None, misses=0)
            return dialog.Outcome((bot.phrases.anything_else,), Decision(done))
        if call.name == "transfer":
            destination = given.get("destination")
            if not isinstance(destination, str) or destination not in bot.destinations:
                return None
            return dialog.transfer(bot, state, destination)
        if call.name == "hang_up":
            return dialog.Outcome((bot.phrases.goodbye,), Decision(state, "hangup"))
        return None


def _answer(state: DialogState, called: list[_ToolCall]) -> _ToolCall | None:
    """Of the calls the one about the open question, where there is one."""
    if state.asked is None or state.intent is None:
        return None
    for call in called:
        if call.name == "cancel_wish":
            return call
        with contextlib.suppress(ProviderError):
            given = parse_json(call.arguments or "{}") if call.name == "handle_intent" else None
            if isinstance(given, dict) and given.get("intent") == state.intent:
                return call
    return None


def _unchanged(call: _ToolCall) -> bool:
    """Whether the caller said that something shall stay as it is."""
    if call.name != "handle_intent":
        return False
    try:
        given = parse_json(call.arguments or "{}")
    except ProviderError:
        return False
    return isinstance(given, dict) and given.get("unchanged") is True


def _called(calls: list[_ToolCall], words: str) -> dict[str, Any]:
    """What the model said in the round before, as it wants it back."""
    functions = [{"name": c.name[:100], "arguments": c.arguments or "{}"} for c in calls]
    return {
        "role": "assistant",
        "content": plain(words) or None,
        "tool_calls": [
            {"id": f"call_{at}", "type": "function", "function": function}
            for at, function in enumerate(functions)
        ],
    }


def _wishes(bot: Bot, called: list[_ToolCall]) -> list[Step]:
    """The intents that the model called for; several are several wishes of the caller."""
    found = {}
    for call in called:
        try:
            given = parse_json(call.arguments or "{}") if call.name == "handle_intent" else None
        except ProviderError:
            continue
        if not isinstance(given, dict):
            continue
        name, slots = given.get("intent"), given.get("slots")
        if isinstance(name, str) and name in bot.intents:
            held = slots if isinstance(slots, dict) else {}
            texts = {k: v for k, v in held.items() if isinstance(v, str) and k in bot.slots}
            found[name] = Step(name, texts)
    return list(found.values())


def _values(bot: Bot, state: DialogState, intent: str, slots: dict[str, Any]) -> dict[str, str]:
    """What the model gives that is not known so: with a no, or with a yes, it is a correction."""
    found = {}
    for name in bot.intents[intent].slots:
        value = offered(bot.slots[name], slots.get(name), bot.language, state.today)
        if value is not None and value != state.slots.get(name):
            found[name] = value
    return found


def _take(event: Any, answer: _Answer) -> str | None:
    """One chunk: its text; "" when it holds other news, None when it holds none."""
    if not isinstance(event, dict):
        raise ProviderError("a chunk that is no object")
    if event.get("error"):
        raise ProviderError("the provider reported an error within the answer")
    choices = event.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        return None
    delta = choices[0].get("delta")
    if not isinstance(delta, dict):
        return None
    calls = delta.get("tool_calls")
    if isinstance(calls, list):
        for piece in calls:
            _take_tool(piece, answer)
        return ""
    text = delta.get("content")
    return text if isinstance(text, str) and text else None


def _take_tool(piece: Any, answer: _Answer) -> None:
    index = piece.get("index", 0) if isinstance(piece, dict) else None
    if not isinstance(index, int) or not 0 <= index < 64:
        raise ProviderError("a tool call that makes no sense")
    call = answer.tools.setdefault(index, _ToolCall())
    function = piece.get("function")
    if not isinstance(function, dict):
        return
    for name in ("name", "arguments"):
        part = function.get(name)
        if isinstance(part, str):
            setattr(call, name, getattr(call, name) + part)
    if len(call.arguments) > MAX_ARGUMENTS or len(call.name) > 100:
        raise ProviderError("a tool call of too many characters")
