"""What is allowed in a bot's file, and still likely to be a mistake: warnings of `eslbot check`.

    examples    that the matcher takes for another intent, judged by all the other examples
    phrases     that take long to say
    unused      slots, tables and destinations that nothing leads to
    knowledge   a folder that is not there, or holds nothing
    variants    that nobody gets

Slower than load(), and needs the engine without a model: so it is asked for, not done at a start.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from workers.bot.definition import Bot
from workers.knowledge.passages import read, stamp
from workers.llm.matcher import Matcher

CHARACTERS_PER_S = 16  # espeak-ng and flite, English
LONG_S = 20
# Less than this, and the next example beside it may well put it right.
TAKEN_FROM = 0.9
MAX_EXAMPLES = 1000  # that are tried, each against all others


class Warned(NamedTuple):
    key: str
    cause: str


def advice(bot: Bot, folder: Path) -> list[Warned]:
    """folder: of the bot's file, in which its knowledge lies."""
    return [
        *_examples(bot), *_long(bot), *_unused(bot), *_knowledge(bot, folder), *_variants(bot),
    ]  # fmt: skip


def _examples(bot: Bot) -> Iterator[Warned]:
    said: dict[str, str] = {}
    tried = 0
    for name, intent in bot.intents.items():
        for n, example in enumerate(intent.examples):
            key = f"intents.{name}.examples.{n}"
            same = " ".join(example.lower().split())
            if same in said:
                yield Warned(key, f"stands in {said[same]} as well")
                continue
            said[same] = name
            tried += 1
            if len(intent.examples) > 1 and tried <= MAX_EXAMPLES:
                yield from _taken_for(bot, name, n, key)


def _taken_for(bot: Bot, name: str, n: int, key: str) -> Iterator[Warned]:
    """As if this example were a caller's words, and had not been given."""
    others = {one: list(intent.examples) for one, intent in bot.intents.items()}
    example = others[name].pop(n)
    found = Matcher.of(others).match(example)
    if found.intent != name and found.score >= TAKEN_FROM:
        yield Warned(key, f"by the other examples it is taken for {found.intent}, "
                     f"{found.score:.0%} sure")  # fmt: skip


def _long(bot: Bot) -> Iterator[Warned]:
    for key, text in spoken(bot):
        seconds = len(text) / CHARACTERS_PER_S
        if seconds > LONG_S:
            yield Warned(key, f"takes about {seconds:.0f} s to say; a caller listens to {LONG_S}")


def spoken(bot: Bot) -> Iterator[tuple[str, str]]:
    """All that is said in one go, by key."""
    yield "greeting", bot.greeting
    yield from ((f"phrases.{k}", v) for k, v in bot.phrases.model_dump().items()
                if isinstance(v, str))  # fmt: skip
    for name, slot in bot.slots.items():
        yield f"slots.{name}.ask", slot.ask
        yield f"slots.{name}.ask_keypad", slot.ask_keypad or ""
    for name, intent in bot.intents.items():
        yield f"intents.{name}.answer", intent.answer or ""
        yield f"intents.{name}.confirm", intent.confirm or ""
    for name, destination in bot.destinations.items():
        yield f"destinations.{name}.say", destination.say
    menu = [bot.menu.intro, *(item.prompt for item in bot.menu.items), bot.menu.person_prompt]
    yield "menu", " ".join(menu)


def _unused(bot: Bot) -> Iterator[Warned]:
    asked = {slot for intent in bot.intents.values() for slot in intent.slots}
    for name in bot.slots:
        if name not in asked:
            yield Warned(f"slots.{name}", "no intent asks for it")
    looked_up = {intent.lookup.table for intent in bot.intents.values() if intent.lookup}
    for name in bot.tables:
        if name not in looked_up:
            yield Warned(f"tables.{name}", "no intent looks anything up in it")
    reached = {bot.menu.person}
    for intent in bot.intents.values():
        reached |= {intent.destination, intent.transfer or ""}
    reached |= {rule.transfer or "" for rule in bot.rules.values()}
    for name in bot.destinations:
        if name not in reached:
            yield Warned(
                f"destinations.{name}", "nothing leads there but a language model's choice"
            )


def _knowledge(bot: Bot, folder: Path) -> Iterator[Warned]:
    if bot.knowledge is None:
        return
    path = folder / bot.knowledge.folder
    files = stamp(path)
    if not path.is_dir():
        yield Warned("knowledge.folder", f"{path} is not there")
    elif not read(path, files):
        yield Warned("knowledge.folder", f"{path} holds no text")


def _variants(bot: Bot) -> Iterator[Warned]:
    for name, one in (bot.variants.choices if bot.variants else {}).items():
        if not one.weight:
            yield Warned(f"variants.choices.{name}.weight", "0: nobody gets it, unless promoted")
