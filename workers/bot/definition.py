"""The whole definition of a bot, and what its sections have to agree on."""

from __future__ import annotations

import hashlib
from typing import Annotated, Self

from pydantic import Field, StringConstraints, model_validator

from workers.bot.agreement import OURS, agree, spoken
from workers.bot.flow import Destination, Intent, Slot
from workers.bot.knowledge import Knowledge
from workers.bot.ladder import Ladder
from workers.bot.menu import Menu, Phrases
from workers.bot.redaction import Redaction
from workers.bot.routes import Route
from workers.bot.rules import Rule, Signals
from workers.bot.texts import PLACEHOLDER, Model, Name, Phrase, known
from workers.bot.variants import Variants


class Bot(Model):
    """The whole definition. `sha` names its content: workers keep a bot by it."""

    name: Name
    language: Annotated[str, StringConstraints(pattern=r"^[a-z]{2}(-[A-Z]{2})?$")] = "en"
    persona: Annotated[str, StringConstraints(max_length=8000)] = ""
    greeting: Phrase
    phrases: Phrases
    # After so many turns in a row that were not understood, the DTMF menu takes over.
    max_misses: int = Field(2, ge=1, le=9)
    ladder: Ladder = Ladder()
    redaction: Redaction = Redaction()
    slots: dict[Name, Slot] = Field(default_factory=dict)
    tables: dict[Name, dict[str, dict[Name, Phrase]]] = Field(default_factory=dict)
    intents: dict[Name, Intent] = Field(min_length=1, max_length=200)
    destinations: dict[Name, Destination] = Field(min_length=1, max_length=100)
    menu: Menu
    knowledge: Knowledge | None = None
    routes: tuple[Route, ...] = Field((), max_length=20)
    signals: Signals = Field(default_factory=Signals)
    rules: dict[Name, Rule] = Field(default_factory=dict, max_length=50)
    variants: Variants | None = None

    @model_validator(mode="after")
    def _references(self) -> Self:
        for name, intent in self.intents.items():
            at = f"intents.{name}"
            for slot in intent.slots:
                known(slot, self.slots, f"{at}.slots")
            if intent.lookup:
                known(intent.lookup.table, self.tables, f"{at}.lookup.table")
                known(intent.lookup.key, intent.slots, f"{at}.lookup.key")
                if intent.lookup.key in self.slots and self.slots[intent.lookup.key].secret:
                    raise ValueError(f"{at}.lookup.key: {intent.lookup.key} is a secret slot")
            known(intent.destination, self.destinations, f"{at}.destination")
            if intent.transfer:
                known(intent.transfer, self.destinations, f"{at}.transfer")
            texts = {"answer": intent.answer, "confirm": intent.confirm}
            if intent.lookup:
                texts["lookup.missing"] = intent.lookup.missing
            for key, text in texts.items():
                self.check_placeholders(text or "", intent, f"{at}.{key}")
        keys: set[str] = set()
        for n, item in enumerate(self.menu.items):
            known(item.intent, self.intents, f"menu.items.{n}.intent")
            if item.key in keys:
                raise ValueError(f"menu.items.{n}.key: {item.key} stands there twice")
            keys.add(item.key)
        known(self.menu.person, self.destinations, "menu.person")
        variables = set(OURS)
        for name, asked in self.slots.items():
            if name == "confirm":
                raise ValueError("slots.confirm: the name stands for a question of the bot's own")
            if asked.variable in variables:
                raise ValueError(f"slots.{name}.variable: needs a channel variable of its own")
            variables.add(asked.variable)
        agree(self)
        return self

    def stray_brace(self) -> str | None:
        """The key of a text with a brace that stands for nothing: it would be read aloud."""
        menu = self.menu
        plain = {"greeting": self.greeting, "menu.intro": menu.intro, "menu.retry": menu.retry}
        plain["menu.person_prompt"] = menu.person_prompt
        plain |= {f"ladder.filler.say.{n}": t for n, t in enumerate(self.ladder.filler.say)}
        plain |= {f"menu.items.{n}.prompt": item.prompt for n, item in enumerate(menu.items)}
        plain |= {f"phrases.{key}": text for key, text in self.phrases.model_dump().items()}
        for name, slot in self.slots.items():
            plain[f"slots.{name}.ask"] = slot.ask
            plain[f"slots.{name}.ask_keypad"] = slot.ask_keypad or ""
        plain |= {f"destinations.{name}.say": d.say for name, d in self.destinations.items()}
        for name, intent in self.intents.items():
            filled = {"answer": intent.answer, "confirm": intent.confirm}
            filled["lookup.missing"] = intent.lookup.missing if intent.lookup else None
            for key, text in filled.items():
                plain[f"intents.{name}.{key}"] = PLACEHOLDER.sub("", text or "")
        plain |= dict(spoken(self))
        return next((at for at, text in plain.items() if "{" in text or "}" in text), None)

    def check_placeholders(self, text: str, intent: Intent, at: str) -> None:
        for word, field in PLACEHOLDER.findall(text):
            if not field:
                known(word, intent.slots, at)
                if self.slots[word].secret:
                    raise ValueError(f"{at}: {{{word}}} is a secret slot, and never said")
            elif intent.lookup is None or intent.lookup.table != word:
                raise ValueError(f"{at}: {{{word}.{field}}} needs a lookup in table {word}")
            elif any(field not in row for row in self.tables[word].values()):
                raise ValueError(f"{at}: not every row of table {word} has {field}")

    @property
    def sha(self) -> str:
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:16]

    def fixed_phrases(self) -> tuple[str, ...]:
        """Everything that is said word for word: rendered once, ahead of the first call."""
        texts = [self.greeting, *self.phrases.model_dump().values()]
        texts += [self.menu.intro, self.menu.person_prompt, self.menu.retry]
        texts += [item.prompt for item in self.menu.items]
        for slot in self.slots.values():
            texts += [slot.ask, slot.ask_keypad or slot.ask]
        texts += [i.fixed_answer for i in self.intents.values() if i.fixed_answer]
        texts += [d.say for d in self.destinations.values()]
        texts += self.ladder.filler.say
        texts += [rule.say for rule in self.rules.values() if rule.say]
        return tuple(dict.fromkeys(texts))
