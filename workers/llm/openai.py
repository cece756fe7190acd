"""A language model behind an OpenAI-compatible server: POST /chat/completions, streamed.

Source: the API reference of OpenAI, "Create chat completion", streaming and function calling.

The model answers in words of its own, or calls one of three tools: handle_intent (the bot's own
rules then ask, look up and answer: facts come from the bot's file), transfer (to a named
destination) and hang_up. What it calls is checked against the bot; what it must not is refused.

The prompt begins with what is the same for all calls of a bot, so that a provider can keep it;
the call's state, the history and the utterance follow.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from workers import dialog, secret_slots
from workers.bot import Bot
from workers.http_provider import Deadline, Provider, ProviderError, parse_json, plain
from workers.llm import prompt
from workers.llm.engine import LlmError, Request
from workers.messages import Decision, DialogState, Step
from workers.redaction import Private, hidden, restore
from workers.values.slot_values import offered

log = logging.getLogger(__name__)

MAX_REPLY = 2000  # characters
MAX_ARGUMENTS = 4000
MAX_TOOLS = 4
MAX_TOKENS = 300
GO_ON = "The line broke off here. Go on with your answer after these words, repeating none."


@dataclass(slots=True)
class _ToolCall:
    name: str = ""
    arguments: str = ""


@dataclass(slots=True)
class _Answer:
    """What has come so far."""

    tools: dict[int, _ToolCall] = field(default_factory=dict)
    said: int = 0
    private: Mapping[str, str] = field(default_factory=dict)


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
    ) -> None:
        self.provider = Provider(
            url, api_key, connect_timeout_s=connect_timeout_s, retry_percent=retry_percent
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

    def reply(self, request: Request, timeout_s: float) -> Iterator[str | Decision]:
        """See engine.py. A retry is possible up to the first token, and not after it."""
        request = replace(request, state=dialog.begin(request.state))
        if request.keyed and request.text in secret_slots.PLACEHOLDERS:
            # There is nothing in it for a model to understand.
            outcome = dialog.keyed_in(request.bot, request.state, request.text)
            yield outcome.decision
            yield from (sentence + " " for sentence in outcome.say)
            return
        deadline = Deadline(timeout_s)
        answer = _Answer()
        try:
            yield from self.provider.retrying(
                deadline, lambda: self._begin(request, answer, deadline)
            )
            yield from self._act(request, answer)
        except ProviderError as error:
            raise LlmError(str(error)) from error

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
            "messages": hidden(messages(request), private),
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
                    if answer.said > MAX_REPLY:
                        raise ProviderError(f"an answer of more than {MAX_REPLY} characters")
                    yield plain(text)
                # From here: whoever takes the words may take his time.
                reply.expect(self._token_gap_s)

    def _act(self, request: Request, answer: _Answer) -> Iterator[str | Decision]:
        """Do what the model called for; refuse what it may not."""
        bot, state = request.bot, request.state
        called = [answer.tools[index] for index in sorted(answer.tools)[:MAX_TOOLS]]
        for call in called:
            call.arguments = restore(call.arguments, answer.private)
        several = _wishes(bot, called)
        for call in called:
            outcome = self._outcome(bot, state, call)
            if len(several) > 1:
                outcome = dialog.wishes(bot, state, several)
            if outcome is None:
                log.warning("the model called for something that the bot does not have")
                continue
            yield outcome.decision
            yield from (sentence + " " for sentence in outcome.say)
            return
        if answer.said:
            yield Decision(replace(state, asked=None, misses=0))
            return
        if answer.tools:
            outcome = dialog.not_understood(bot, state)
            yield outcome.decision
            yield from (sentence + " " for sentence in outcome.say)
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
        if call.name == "transfer":
            destination = given.get("destination")
            if not isinstance(destination, str) or destination not in bot.destinations:
                return None
            return dialog.transfer(bot, state, destination)
        if call.name == "hang_up":
            return dialog.Outcome((bot.phrases.goodbye,), Decision(state, "hangup"))
        return None


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


def messages(request: Request) -> list[dict[str, str]]:
    """The prompt: what never changes first, the utterance last."""
    found = [{"role": "system", "content": instructions(request.bot)}]
    found += [{"role": "system", "content": note} for note in request.notes]
    earlier, latest = prompt.bounded(request.history)
    told = prompt.state_line(request.state)
    found.append({"role": "system", "content": f"{told}\n{earlier}".strip()})
    roles = {"caller": "user", "bot": "assistant"}
    found += [{"role": roles[line.who], "content": line.text} for line in latest]
    how = "keyed in" if request.keyed else "said"
    found.append({"role": "user", "content": f"[{how}] {request.text}" if request.keyed
                  else request.text})  # fmt: skip
    if request.said:
        found.append({"role": "assistant", "content": " ".join(request.said)})
        found.append({"role": "system", "content": GO_ON})
    return found


def instructions(bot: Bot) -> str:
    """The same for all calls of a bot."""
    lines = [
        bot.persona or f"You are the telephone assistant {bot.name}.",
        "You speak on the telephone: one or two short sentences, no markup, no lists.",
        prompt.speaks(bot),
        "What the caller says comes from a speech recogniser and may be misheard.",
        "When the caller wants one of these, call handle_intent; never invent its facts:",
    ]
    for name, intent in bot.intents.items():
        slots = f" (slots: {', '.join(intent.slots)})" if intent.slots else ""
        lines.append(f"- {name}{slots}: {'; '.join(intent.examples[:3])}")
    lines.append("Slots:")
    for name, slot in bot.slots.items():
        how = "; keyed in, handle_intent asks for it: never ask for it yourself"
        lines.append(f"- {name} ({slot.type}{how if slot.secret else ''}): {slot.question}")
    lines.append("If a slot was asked for, pass the caller's answer with the same intent.")
    lines.append("If the caller corrects a value, pass the new one with the same intent.")
    lines.append("If the caller wants several things, call handle_intent once for each, in order.")
    lines.append("What the caller wants to keep as it is, is no wish: do not call for it.")
    return "\n".join(lines)


def tools(bot: Bot) -> list[dict[str, Any]]:
    """The tools a model may call, with the bot's own names as their only values."""

    def tool(name: str, what: str, properties: dict[str, Any], required: list[str]) -> Any:
        schema = {"type": "object", "properties": properties, "required": required}
        return {
            "type": "function",
            "function": {"name": name, "description": what, "parameters": schema},
        }

    slots = {name: prompt.slot_schema(slot) for name, slot in bot.slots.items() if not slot.secret}
    return [
        tool(
            "handle_intent",
            "Serve a wish of the caller; it asks for what is missing and answers.",
            {
                "intent": {"type": "string", "enum": list(bot.intents)},
                "slots": {"type": "object", "properties": slots},
                "confirmed": {"type": "boolean", "description": "answer to a confirmation"},
            },
            ["intent"],
        ),
        tool(
            "transfer",
            "Connect the caller to a person.",
            {"destination": {"type": "string", "enum": list(bot.destinations)}},
            ["destination"],
        ),
        tool("hang_up", "Say goodbye and end the call.", {}, []),
    ]
