"""One bot in several languages: a file each, with the same names and the same facts.

A translation says the same things otherwise. What it must not change is what others rely on:
intents, slots with their types and variables, tables, destinations, keys of the menu.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workers.bot.definition import Bot
    from workers.bot.texts import Model

# Of each section, what is said and so may differ.
_WORDS = {
    "slots": {"ask", "ask_keypad", "retry", "called", "options"},
    "intents": {"examples", "title", "confirm", "answer", "lookup"},
    "destinations": {"say", "no_answer", "busy", "whisper", "closed"},
    "tools": {"description", "say", "errors", "on_error", "filler", "result", "arguments"},
    "hours": set(),
}


def primary(language: str) -> str:
    """ "de" of "de-AT"."""
    return language.lower().replace("_", "-").partition("-")[0]


def pick(language: str, among: Mapping[str, Bot]) -> str | None:
    """Which of these languages serves a caller who speaks this one; None: none does."""
    if language in among:
        return language
    return next((one for one in among if primary(one) == primary(language)), None)


def difference(bot: Bot, other: Bot) -> str | None:
    """The first thing in which a translation is another bot; None: it is the same."""
    return next(_differences(bot, other), None)


def _differences(bot: Bot, other: Bot) -> Iterator[str]:
    if other.languages:
        yield "languages: a translation has none of its own"
    for section, words in _WORDS.items():
        yield from _section(section, getattr(bot, section), getattr(other, section), words)
    for name, slot in bot.slots.items():
        if list(slot.options) != list(other.slots[name].options):
            yield f"slots.{name}.options: not the same, in the same order"
    for name, intent in bot.intents.items():
        one, two = intent.lookup, other.intents[name].lookup
        same = (one and (one.table, one.key)) == (two and (two.table, two.key))
        if not same:
            yield f"intents.{name}.lookup: not the same"
        if (intent.confirm is None) != (other.intents[name].confirm is None):
            yield f"intents.{name}.confirm: one has it, the other has not"
        if (intent.answer is None) != (other.intents[name].answer is None):
            yield f"intents.{name}.answer: one has it, the other has not"
    for name, table in bot.tables.items():
        if set(table) != set(other.tables.get(name, {})):
            yield f"tables.{name}: not the same rows"
    keys = [(item.key, item.intent) for item in bot.menu.items]
    if keys != [(item.key, item.intent) for item in other.menu.items]:
        yield "menu.items: not the same keys for the same intents"
    if bot.menu.person != other.menu.person:
        yield "menu.person: not the same"
    lacking = sorted(set(type(other.phrases).model_fields) - other.phrases.model_fields_set)
    if lacking:
        yield f"phrases.{lacking[0]}: missing; its default is English"


def _section(
    at: str, one: Mapping[str, Model], other: Mapping[str, Model], words: set[str]
) -> Iterator[str]:
    if list(one) != list(other):
        odd = sorted(set(one) ^ set(other)) or ["the order"]
        yield f"{at}: not the same: {odd[0]}"
        return
    for name, held in one.items():
        mine, theirs = _facts(held, words), _facts(other[name], words)
        key = next((k for k in mine if mine[k] != theirs[k]), None)
        if key is not None:
            yield f"{at}.{name}.{key}: not the same"


def _facts(held: Model, words: set[str]) -> dict[str, Any]:
    return held.model_dump(exclude=words)
