"""The whole definition of a bot, and what its sections have to agree on."""

from __future__ import annotations

import hashlib
import zoneinfo
from typing import Annotated, Self

from pydantic import Field, PrivateAttr, StringConstraints, field_validator, model_validator

from workers.bot import destinations, tools
from workers.bot.destinations import Destination
from workers.bot.flow import Intent
from workers.bot.hours import Hours
from workers.bot.ladder import Ladder
from workers.bot.languages import difference, pick
from workers.bot.menu import Menu, Phrases
from workers.bot.slot import Slot
from workers.bot.texts import PLACEHOLDER, Language, Model, Name, Phrase, known
from workers.bot.tools import Tool


class _Whole:
    """A translation's way back to the bot that it belongs to. All are equal: two bots are compared
    by what they say, and not in circles."""

    def __init__(self, bot: Bot | None = None) -> None:
        self.bot = bot

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Whole)

    __hash__ = None  # type: ignore[assignment]


# Names of questions of the bot's own; see DialogState.asked.
RESERVED = ("confirm", "which")


class Bot(Model):
    """The whole definition. `sha` names its content: workers keep a bot by it."""

    name: Name
    language: Language = "en"
    # The same bot in other languages, each with a file of its own.
    languages: dict[Language, Bot] = Field(default_factory=dict, max_length=20)
    # Of the caller's "today" and "tomorrow"; None: that of the machine.
    timezone: str | None = None
    persona: Annotated[str, StringConstraints(max_length=8000)] = ""
    greeting: Phrase
    phrases: Phrases
    # After so many turns in a row that were not understood, the DTMF menu takes over.
    max_misses: int = Field(2, ge=1, le=9)
    ladder: Ladder = Ladder()
    slots: dict[Name, Slot] = Field(default_factory=dict)
    tables: dict[Name, dict[str, dict[Name, Phrase]]] = Field(default_factory=dict)
    tools: dict[Name, Tool] = Field(default_factory=dict, max_length=50)
    intents: dict[Name, Intent] = Field(min_length=1, max_length=200)
    destinations: dict[Name, Destination] = Field(min_length=1, max_length=100)
    hours: dict[Name, Hours] = Field(default_factory=dict, max_length=50)
    menu: Menu
    _whole: _Whole = PrivateAttr(default_factory=_Whole)

    @model_validator(mode="after")
    def _references(self) -> Self:
        tools.check(self.tools, self.slots)
        destinations.check(self.destinations, self.hours)
        for name, intent in self.intents.items():
            at = f"intents.{name}"
            for slot in intent.slots:
                known(slot, self.slots, f"{at}.slots")
            if intent.lookup:
                known(intent.lookup.table, self.tables, f"{at}.lookup.table")
                known(intent.lookup.key, intent.slots, f"{at}.lookup.key")
                if intent.lookup.key in self.slots and self.slots[intent.lookup.key].secret:
                    raise ValueError(f"{at}.lookup.key: {intent.lookup.key} is a secret slot")
            if intent.language and self.languages:
                known(intent.language, {self.language, *self.languages}, f"{at}.language")
            if intent.tool:
                known(intent.tool, self.tools, f"{at}.tool")
                tool = self.tools[intent.tool]
                tools.check_use(tool, f"{at}.tool", intent.slots, self.slots)
                if not (intent.answer or tool.say):
                    raise ValueError(
                        f"{at}.answer: neither it nor tools.{intent.tool}.say is there"
                    )
            known(intent.destination, self.destinations, f"{at}.destination")
            if intent.transfer:
                known(intent.transfer, self.destinations, f"{at}.transfer")
            texts = {"answer": intent.answer, "confirm": intent.confirm}
            if intent.lookup:
                texts["lookup.missing"] = intent.lookup.missing
            for key, text in texts.items():
                self._placeholders(text or "", intent, f"{at}.{key}")
        keys: set[str] = set()
        for n, item in enumerate(self.menu.items):
            known(item.intent, self.intents, f"menu.items.{n}.intent")
            if item.key in keys:
                raise ValueError(f"menu.items.{n}.key: {item.key} stands there twice")
            keys.add(item.key)
        known(self.menu.person, self.destinations, "menu.person")
        variables = {"ai_intent", "ai_language"}
        for name, asked in self.slots.items():
            if name in RESERVED:
                raise ValueError(f"slots.{name}: the name stands for a question of the bot's own")
            if asked.variable in variables:
                raise ValueError(f"slots.{name}.variable: needs a channel variable of its own")
            variables.add(asked.variable)
        return self

    @model_validator(mode="after")
    def _translations(self) -> Self:
        for language, other in self.languages.items():
            if language != other.language or language == self.language:
                raise ValueError(f"languages.{language}: is a file in {other.language}")
            wrong = difference(self, other)
            if wrong:
                raise ValueError(f"languages.{language}: {wrong}")
            other._whole = _Whole(self)
        return self

    @field_validator("timezone")
    @classmethod
    def _zone(cls, name: str | None) -> str | None:
        if name is not None and name not in zoneinfo.available_timezones():
            raise ValueError(f"{name[:40]!a} is no time zone, as Europe/Berlin is one")
        return name

    def speaking(self, language: str | None) -> Bot:
        """The bot in this language, or as it is where it does not speak it."""
        whole = self._whole.bot or self
        voices = {one.language: one for one in whole.voices}
        chosen = pick(language, voices) if language else None
        return self if chosen is None else voices[chosen]

    @property
    def voices(self) -> tuple[Bot, ...]:
        """The bot in each of its languages, its own first."""
        return (self, *self.languages.values())

    def stray_brace(self) -> str | None:
        """The key of a text with a brace that stands for nothing: it would be read aloud."""
        menu = self.menu
        plain = {"greeting": self.greeting, "menu.intro": menu.intro, "menu.retry": menu.retry}
        plain["menu.person_prompt"] = menu.person_prompt
        plain |= {f"ladder.filler.say.{n}": t for n, t in enumerate(self.ladder.filler.say)}
        plain |= {f"menu.items.{n}.prompt": item.prompt for n, item in enumerate(menu.items)}
        plain |= {f"phrases.{key}": text for key, text in self.phrases.plain().items()}
        for name, slot in self.slots.items():
            plain[f"slots.{name}.ask"] = slot.ask
            plain[f"slots.{name}.ask_keypad"] = slot.ask_keypad or ""
            plain[f"slots.{name}.retry"] = slot.retry or ""
        for name, destination in self.destinations.items():
            plain[f"destinations.{name}"] = " ".join(destination.fixed_phrases)
            plain[f"destinations.{name}.whisper"] = PLACEHOLDER.sub("", destination.whisper or "")
        for name, tool in self.tools.items():
            plain[f"tools.{name}"] = " ".join(tool.fixed_phrases)
            plain[f"tools.{name}.say"] = PLACEHOLDER.sub("", tool.say or "")
        for name, intent in self.intents.items():
            plain[f"intents.{name}.title"] = intent.title or ""
            filled = {"answer": intent.answer, "confirm": intent.confirm}
            filled["lookup.missing"] = intent.lookup.missing if intent.lookup else None
            for key, text in filled.items():
                plain[f"intents.{name}.{key}"] = PLACEHOLDER.sub("", text or "")
        return next((at for at, text in plain.items() if "{" in text or "}" in text), None)

    def _placeholders(self, text: str, intent: Intent, at: str) -> None:
        for word, field in PLACEHOLDER.findall(text):
            if not field:
                known(word, intent.slots, at)
                if self.slots[word].secret:
                    raise ValueError(f"{at}: {{{word}}} is a secret slot, and never said")
            elif word == intent.tool:
                known(field, self.tools[word].result, at)
            elif intent.lookup is None or intent.lookup.table != word:
                raise ValueError(f"{at}: {{{word}.{field}}} needs a lookup in table {word}")
            elif any(field not in row for row in self.tables[word].values()):
                raise ValueError(f"{at}: not every row of table {word} has {field}")

    @property
    def sha(self) -> str:
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:16]

    def fixed_phrases(self) -> tuple[str, ...]:
        """Everything that is said word for word: rendered once, ahead of the first call."""
        texts = [self.greeting, *(t for t in self.phrases.plain().values() if "{" not in t)]
        texts += [self.menu.intro, self.menu.person_prompt, self.menu.retry]
        texts += [item.prompt for item in self.menu.items]
        for slot in self.slots.values():
            texts += [slot.ask, slot.ask_keypad or slot.ask, slot.retry or slot.ask]
        texts += [i.fixed_answer for i in self.intents.values() if i.fixed_answer]
        texts += [text for d in self.destinations.values() for text in d.fixed_phrases]
        texts += [text for tool in self.tools.values() for text in tool.fixed_phrases]
        texts += self.ladder.filler.say
        return tuple(dict.fromkeys(texts))
