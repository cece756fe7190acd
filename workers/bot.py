"""The bot's definition: one YAML file that feeds the AI and both DTMF menus.

    greeting ─▶ the caller speaks ─▶ intent ─▶ its slots, asked in turn ─▶ confirm? ─▶ answer
                                                                               └─▶ transfer

Every scalar in the file is read as text and converted by the model below, so an account
number `0042` stays `0042` and the word `no` stays a word. Unknown keys are errors. An error
names the file, the line and the key.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Literal, Self

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

MAX_FILE_BYTES = 1_000_000
PLACEHOLDER = re.compile(r"\{([a-z][a-z0-9_]*)(?:\.([a-z][a-z0-9_]*))?\}")

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,31}$")]
# What is spoken or shown to a model: bounded, and without control characters, which some
# engines and every log would choke on.
Phrase = Annotated[
    str, StringConstraints(min_length=1, max_length=600, pattern=r"^[^\x00-\x1f\x7f]+$")
]
Key = Annotated[str, StringConstraints(pattern=r"^[1-9*]$")]
# These two stand in commands to FreeSWITCH and in its dialplan.
Extension = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_*#+-]{1,32}$")]
Context = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
Variable = Annotated[str, StringConstraints(pattern=r"^ai_[a-z0-9_]{1,40}$")]


class BotError(Exception):
    """The bot's file can't be used. str() is one line: file, line, key, cause."""


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Destination(_Model):
    """Somewhere a caller can be sent: an extension in a FreeSWITCH dialplan context."""

    extension: Extension
    context: Context = "default"
    say: Phrase


class Slot(_Model):
    """Something to be asked for. Digits are 0-9 only, spoken or keyed in."""

    type: Literal["digits", "yes_no", "text"]
    ask: Phrase
    ask_keypad: Phrase | None = None
    variable: Variable
    min_digits: int = Field(1, ge=1, le=32)
    max_digits: int = Field(16, ge=1, le=32)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.min_digits > self.max_digits:
            raise ValueError("min_digits is greater than max_digits")
        if self.type == "digits" and self.ask_keypad is None:
            raise ValueError("a digits slot needs ask_keypad, the question of the DTMF menu")
        return self

    def accepts(self, value: str) -> bool:
        """Whether a channel variable's value can be this slot's."""
        if self.type == "digits":
            fits = self.min_digits <= len(value) <= self.max_digits
            return fits and value.isascii() and value.isdigit()
        if self.type == "yes_no":
            return value in ("yes", "no")
        return 0 < len(value) <= 200


class Lookup(_Model):
    """A row of a table, found by a slot's value; missing is said when there is none."""

    table: Name
    key: Name
    missing: Phrase


class Intent(_Model):
    """What a caller can want. Ends in an answer, or in a transfer."""

    examples: tuple[Phrase, ...] = Field(min_length=1, max_length=200)
    slots: tuple[Name, ...] = Field((), max_length=8)
    lookup: Lookup | None = None
    confirm: Phrase | None = None
    answer: Phrase | None = None
    transfer: Name | None = None
    # The call ends after the answer.
    hangup: bool = False
    # Where a DTMF menu sends the caller when it can't answer by itself.
    destination: Name

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.answer is None) == (self.transfer is None):
            raise ValueError("give either answer or transfer")
        return self

    @property
    def fixed_answer(self) -> str | None:
        """The answer if it is the same for every caller: a menu can play it from a file."""
        if self.answer is None or self.slots or PLACEHOLDER.search(self.answer):
            return None
        return self.answer


class MenuItem(_Model):
    key: Key
    intent: Name
    prompt: Phrase


class Menu(_Model):
    """The DTMF menu, in the listener and in FreeSWITCH alike. 0 is always a person."""

    intro: Phrase
    items: tuple[MenuItem, ...] = Field(min_length=1, max_length=9)
    person: Name
    person_prompt: Phrase
    retry: Phrase
    attempts: int = Field(3, ge=1, le=9)
    digit_timeout_ms: int = Field(5000, ge=1000, le=30000)


class Phrases(_Model):
    """What the bot says apart from answers."""

    not_understood: Phrase
    no_input: Phrase
    anything_else: Phrase
    to_menu: Phrase
    goodbye: Phrase
    yes_no: Phrase = "Please say yes or no."
    cancelled: Phrase = "All right, I have changed nothing."


class Bot(_Model):
    """The whole definition. `sha` names its content: workers keep a bot by it."""

    name: Name
    language: Annotated[str, StringConstraints(pattern=r"^[a-z]{2}(-[A-Z]{2})?$")] = "en"
    persona: Annotated[str, StringConstraints(max_length=8000)] = ""
    greeting: Phrase
    phrases: Phrases
    # After so many turns in a row that were not understood, the DTMF menu takes over.
    max_misses: int = Field(2, ge=1, le=9)
    slots: dict[Name, Slot] = {}
    tables: dict[Name, dict[str, dict[Name, Phrase]]] = {}
    intents: dict[Name, Intent] = Field(min_length=1, max_length=200)
    destinations: dict[Name, Destination] = Field(min_length=1, max_length=100)
    menu: Menu

    @model_validator(mode="after")
    def _references(self) -> Self:
        for name, intent in self.intents.items():
            at = f"intents.{name}"
            for slot in intent.slots:
                _known(slot, self.slots, f"{at}.slots")
            if intent.lookup:
                _known(intent.lookup.table, self.tables, f"{at}.lookup.table")
                _known(intent.lookup.key, intent.slots, f"{at}.lookup.key")
            _known(intent.destination, self.destinations, f"{at}.destination")
            if intent.transfer:
                _known(intent.transfer, self.destinations, f"{at}.transfer")
            for text in (intent.answer, intent.confirm, intent.lookup and intent.lookup.missing):
                self._placeholders(text or "", intent, at)
        seen: set[str] = set()
        for item in self.menu.items:
            _known(item.intent, self.intents, "menu.items.intent")
            if item.key in seen:
                raise ValueError(f"menu.items.key: {item.key} stands there twice")
            seen.add(item.key)
        _known(self.menu.person, self.destinations, "menu.person")
        variables = [slot.variable for slot in self.slots.values()]
        if len(set(variables)) != len(variables) or "ai_intent" in variables:
            raise ValueError("slots.variable: each slot needs a channel variable of its own")
        return self

    def _placeholders(self, text: str, intent: Intent, at: str) -> None:
        for word, field in PLACEHOLDER.findall(text):
            if not field:
                _known(word, intent.slots, f"{at}: placeholder")
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
        return tuple(dict.fromkeys(texts))


def _known(name: str, among: Collection[str], at: str) -> None:
    if name not in among:
        raise ValueError(f"{at}: {name!r} is not defined; there is {', '.join(among) or 'none'}")


def load(path: Path) -> Bot:
    """Read and check a bot's file. Raises BotError with file, line and key."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise BotError(f"{path}: {error.strerror}") from None
    if len(raw) > MAX_FILE_BYTES:
        raise BotError(f"{path}: larger than {MAX_FILE_BYTES} bytes")
    try:
        root = yaml.compose(raw, Loader=yaml.SafeLoader)
        lines: dict[tuple[str, ...], int] = {}
        data = _plain(root, (), lines, depth=0)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else 1
        cause = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise BotError(f"{path}: line {line}: {cause}") from None
    except (UnicodeDecodeError, RecursionError) as error:
        raise BotError(f"{path}: {type(error).__name__}: not a YAML text") from None
    try:
        return Bot.model_validate(data)
    except ValidationError as error:
        # A misspelt key is also a missing one: the first says more.
        first = min(error.errors(), key=lambda e: e["type"] != "extra_forbidden")
        keys = tuple(str(part) for part in first["loc"])
        line = next((lines[keys[:n]] for n in range(len(keys), -1, -1) if keys[:n] in lines), 1)
        what = ".".join(keys)
        cause = "unknown key" if first["type"] == "extra_forbidden" else first["msg"]
        cause = cause.removeprefix("Value error, ")
        raise BotError(f"{path}: line {line}: {what + ': ' if what else ''}{cause}") from None


def _plain(
    node: yaml.Node | None, at: tuple[str, ...], lines: dict[tuple[str, ...], int], depth: int
) -> object:
    """Nodes to dict, list and str, with the line of each; repeated keys are errors."""
    if depth > 20:
        raise yaml.MarkedYAMLError(
            None, None, "nested too deeply", node.start_mark if node else None
        )
    if node is None:
        return None
    lines.setdefault(at, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        result: dict[str, object] = {}
        for key_node, value_node in node.value:
            key = str(key_node.value)
            if key in result:
                raise yaml.MarkedYAMLError(
                    None, None, f"{key} stands here twice", key_node.start_mark
                )
            lines[(*at, key)] = key_node.start_mark.line + 1
            result[key] = _plain(value_node, (*at, key), lines, depth + 1)
        return result
    if isinstance(node, yaml.SequenceNode):
        return [_plain(n, (*at, str(i)), lines, depth + 1) for i, n in enumerate(node.value)]
    return str(node.value).strip()
