"""What knowledge, routes, rules and variants have to agree on with the rest of a bot."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from workers.bot.texts import PLACEHOLDER, known
from workers.bot.variants import Variant

if TYPE_CHECKING:
    from workers.bot.definition import Bot

# Channel variables of the house.
OURS = frozenset({"ai_intent", "ai_language", "ai_summary", "ai_variant"})


def agree(bot: Bot) -> None:
    """Raises ValueError, whose text begins with the key."""
    for n, route in enumerate(bot.routes):
        for intent in route.when.intents:
            known(intent, bot.intents, f"routes.{n}.when.intents")
    taken = OURS | {slot.variable for slot in bot.slots.values()}
    for name, rule in bot.rules.items():
        if rule.transfer:
            known(rule.transfer, bot.destinations, f"rules.{name}.transfer")
        for variable in rule.variables:
            if variable in taken:
                at = f"rules.{name}.variables.{variable}"
                raise ValueError(f"{at}: this channel variable is a slot's, or the bot's own")
    for name, variant in (bot.variants.choices if bot.variants else {}).items():
        at = f"variants.choices.{name}"
        for phrase in variant.phrases:
            known(phrase, type(bot.phrases).model_fields, f"{at}.phrases.{phrase}")
        for intent, text in variant.answers.items():
            known(intent, bot.intents, f"{at}.answers.{intent}")
            if bot.intents[intent].answer is None:
                raise ValueError(f"{at}.answers.{intent}: the intent has no answer, but a transfer")
            bot.check_placeholders(text, bot.intents[intent], f"{at}.answers.{intent}")


def spoken(bot: Bot) -> Iterator[tuple[str, str]]:
    """Key and text of what is said by these sections, less its placeholders."""
    for name, rule in bot.rules.items():
        if rule.say:
            yield f"rules.{name}.say", rule.say
    for name, variant in (bot.variants.choices if bot.variants else {}).items():
        at = f"variants.choices.{name}"
        if variant.greeting:
            yield f"{at}.greeting", variant.greeting
        for key, text in variant.phrases.items():
            yield f"{at}.phrases.{key}", text
        for key, text in variant.answers.items():
            yield f"{at}.answers.{key}", PLACEHOLDER.sub("", text)


def as_variant(bot: Bot, variant: Variant) -> Bot:
    """The bot as this variant has it: a bot like any other, with a sha of its own."""
    changed: dict[str, object] = {"variants": None}
    if variant.greeting is not None:
        changed["greeting"] = variant.greeting
    if variant.persona is not None:
        changed["persona"] = variant.persona
    if variant.phrases:
        changed["phrases"] = bot.phrases.model_copy(update=dict(variant.phrases))
    if variant.answers:
        changed["intents"] = {
            name: intent.model_copy(update={"answer": variant.answers[name]})
            if name in variant.answers
            else intent
            for name, intent in bot.intents.items()
        }
    # Built anew: its translations have to lead back to it, and not to the file's bot.
    return type(bot).model_validate(bot.model_copy(update=changed).model_dump())


def served(bot: Bot) -> dict[str, Bot]:
    """What calls are served with, by the variant's name; "" where the file has no variants."""
    if bot.variants is None:
        return {"": bot}
    return {name: as_variant(bot, one) for name, one in bot.variants.choices.items()}
