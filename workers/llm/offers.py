"""What a chat model is told of a bot and of a call, and the functions that it may call.

It begins with what is the same for all calls of a bot, so that a provider can keep it; the call's
state, the history and the utterance follow.
"""

from __future__ import annotations

from typing import Any

from workers.bot import Bot
from workers.bot.tools import Argument
from workers.llm import prompt
from workers.llm.engine import Request

GO_ON = "The line broke off here. Go on with your answer after these words, repeating none."


def messages(request: Request) -> list[dict[str, str]]:
    """The prompt: what never changes first, the utterance last."""
    found = [{"role": "system", "content": instructions(request.bot)}]
    found += [{"role": "system", "content": note} for note in request.notes]
    note, latest = prompt.note(request.state, request.history)
    found.append({"role": "system", "content": note})
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
    offered = [name for name, tool in bot.tools.items() if tool.offered]
    if offered:
        lines.append(
            f"You may look things up with {', '.join(offered)}; say only what they answer."
        )
    lines.append("Slots:")
    for name, slot in bot.slots.items():
        how = "; keyed in, handle_intent asks for it: never ask for it yourself"
        lines.append(f"- {name} ({slot.type}{how if slot.secret else ''}): {slot.question}")
    lines.append("If a slot was asked for, pass the caller's answer with the same intent.")
    lines.append("If the caller corrects a value, pass the new one with the same intent.")
    lines.append("If the caller wants several things, call handle_intent once for each, in order.")
    lines.append("If the caller no longer wants what is open (never mind), call cancel_wish.")
    lines.append("What the caller wants to keep as it is, is no wish: say so by unchanged.")
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
                "unchanged": {"type": "boolean", "description": "something shall stay as it is"},
            },
            ["intent"],
        ),
        tool(
            "cancel_wish", "The caller no longer wants what is open: nothing of it is done.", {}, []
        ),
        tool(
            "transfer",
            "Connect the caller to a person.",
            {"destination": {"type": "string", "enum": list(bot.destinations)}},
            ["destination"],
        ),
        tool("hang_up", "Say goodbye and end the call.", {}, []),
        *(
            tool(
                name,
                one.description,
                {key: _schema(argument) for key, argument in one.arguments.items()},
                [k for k, a in one.arguments.items() if a.required and a.default is None],
            )
            for name, one in bot.tools.items()
            if one.offered
        ),
    ]


def _schema(argument: Argument) -> dict[str, Any]:
    """An argument as JSON Schema."""
    kinds = {"integer": "integer", "boolean": "boolean"}
    found: dict[str, Any] = {"type": kinds.get(argument.type, "string")}
    told = {"digits": "digits", "date": "YYYY-MM-DD", "time": "HH:MM, 24 hours",
            "amount": "as 12.50"}.get(argument.type)  # fmt: skip
    what = "; ".join(part for part in (argument.description, told) if part)
    if what:
        found["description"] = what
    if argument.options:
        found["enum"] = list(argument.options)
    return found
