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
MAX_DEPTH = 20
MAX_VALUES = 200_000  # of the whole file, aliases written out
MAX_SHOWN = 400  # characters of a key, and of a cause, in an error
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
    """Something to be asked for. Digits are 0-9 only, spoken or keyed in.

    secret: keyed in only; its digits stay between the caller, the listener and the channel.
    """

    type: Literal["digits", "yes_no", "text"]
    ask: Phrase
    ask_keypad: Phrase | None = None
    variable: Variable
    min_digits: int = Field(1, ge=1, le=32)
    max_digits: int = Field(16, ge=1, le=32)
    secret: bool = False

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.min_digits > self.max_digits:
            raise ValueError("min_digits is greater than max_digits")
        if self.type == "digits" and self.ask_keypad is None:
            raise ValueError("a digits slot needs ask_keypad, the question of the DTMF menu")
        if self.secret and self.type != "digits":
            raise ValueError("only a digits slot can be secret: it has to be keyed in")
        return self

    @property
    def question(self) -> str:
        """What the assistant asks; of a secret, to key it in."""
        return self.ask_keypad if self.secret and self.ask_keypad else self.ask

    def accepts(self, value: str) -> bool:
        """Whether a channel variable's value can be this slot's."""
        if self.type == "digits":
            fits = self.min_digits <= len(value) <= self.max_digits
            return fits and value.isascii() and value.isdigit()
        if self.type == "yes_no":
            return value in ("yes", "no")
        return 0 < len(value) <= 200 and value.isprintable()


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
        if self.hangup and self.answer is None:
            raise ValueError("hangup needs an answer")
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


class Filler(_Model):
    """Said while nothing of the answer is there: after_ms after the end of the utterance, and
    again_ms after the last filler, each in its turn."""

    after_ms: int = Field(default=800, ge=100, le=10_000)
    again_ms: int = Field(default=1200, ge=100, le=10_000)
    say: tuple[Phrase, ...] = Field(
        default=("One moment, please.", "Just a moment more."), min_length=0, max_length=8
    )


class Attempts(_Model):
    """How often a rung is tried in one turn and stage."""

    attempts: int = Field(default=1, ge=0, le=2)


class Budget(_Model):
    """Milliseconds that a stage may take before it is tried one rung further."""

    # From the end of the utterance to its text.
    final_ms: int = Field(default=1500, ge=100, le=20_000)
    # From the text to the first sentence of the answer, and from one sentence to the next.
    first_sentence_ms: int = Field(default=1200, ge=100, le=20_000)
    next_sentence_ms: int = Field(default=1500, ge=100, le=20_000)
    # From a sentence to its first audio, and from one piece of audio to the next.
    audio_ms: int = Field(default=800, ge=100, le=20_000)


class MenuRung(_Model):
    """after_ms: from the end of the utterance to the first audio of its answer at the latest."""

    after_ms: int = Field(default=4000, ge=500, le=30_000)


class Ladder(_Model):
    """What is done, one rung after another, for a turn whose answer does not come.

    filler: words meanwhile. hedge: the stage once more, by another worker; the first result
    counts. backup: its next engine, a second provider or the embedded one. menu: the DTMF menu,
    and from there a person.
    """

    filler: Filler = Filler()
    hedge: Attempts = Attempts()
    backup: Attempts = Attempts(attempts=2)
    menu: MenuRung = MenuRung()
    budget: Budget = Budget()


class Bot(_Model):
    """The whole definition. `sha` names its content: workers keep a bot by it."""

    name: Name
    language: Annotated[str, StringConstraints(pattern=r"^[a-z]{2}(-[A-Z]{2})?$")] = "en"
    persona: Annotated[str, StringConstraints(max_length=8000)] = ""
    greeting: Phrase
    phrases: Phrases
    # After so many turns in a row that were not understood, the DTMF menu takes over.
    max_misses: int = Field(2, ge=1, le=9)
    ladder: Ladder = Ladder()
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
                if intent.lookup.key in self.slots and self.slots[intent.lookup.key].secret:
                    raise ValueError(f"{at}.lookup.key: {intent.lookup.key} is a secret slot")
            _known(intent.destination, self.destinations, f"{at}.destination")
            if intent.transfer:
                _known(intent.transfer, self.destinations, f"{at}.transfer")
            texts = {"answer": intent.answer, "confirm": intent.confirm}
            if intent.lookup:
                texts["lookup.missing"] = intent.lookup.missing
            for key, text in texts.items():
                self._placeholders(text or "", intent, f"{at}.{key}")
        keys: set[str] = set()
        for n, item in enumerate(self.menu.items):
            _known(item.intent, self.intents, f"menu.items.{n}.intent")
            if item.key in keys:
                raise ValueError(f"menu.items.{n}.key: {item.key} stands there twice")
            keys.add(item.key)
        _known(self.menu.person, self.destinations, "menu.person")
        variables = {"ai_intent"}
        for name, asked in self.slots.items():
            if name == "confirm":
                raise ValueError("slots.confirm: the name stands for a question of the bot's own")
            if asked.variable in variables:
                raise ValueError(f"slots.{name}.variable: needs a channel variable of its own")
            variables.add(asked.variable)
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
        return next((at for at, text in plain.items() if "{" in text or "}" in text), None)

    def _placeholders(self, text: str, intent: Intent, at: str) -> None:
        for word, field in PLACEHOLDER.findall(text):
            if not field:
                _known(word, intent.slots, at)
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
        data = _plain(root, (), lines)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else 1
        cause = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise BotError(f"{path}: line {line}: {_shown(cause)}") from None
    except (ValueError, OverflowError, RecursionError) as error:
        # PyYAML lets out what int() and chr() raise, for "\UFFFFFFFF" for instance.
        raise BotError(f"{path}: line 1: {type(error).__name__}: not a YAML text") from None
    try:
        bot = Bot.model_validate(data)
    except ValidationError as error:
        # A misspelt key is also a missing one: the first says more.
        first = min(error.errors(), key=lambda e: e["type"] != "extra_forbidden")
        cause = "unknown key" if first["type"] == "extra_forbidden" else first["msg"]
        cause = cause.removeprefix("Value error, ")
        what = ".".join(str(part) for part in first["loc"])
        if not what and ": " in cause:  # of _references, which name the key themselves
            what, cause = cause.split(": ", 1)
        raise BotError(_at(path, lines, what, cause)) from None
    stray = bot.stray_brace()
    if stray:
        raise BotError(_at(path, lines, stray, "a brace that belongs to no placeholder here"))
    return bot


def _at(path: Path, lines: dict[tuple[str, ...], int], what: str, cause: str) -> str:
    """The error's line: that of the key, or of the closest one around it."""
    keys = tuple(what.split("."))
    line = next((lines[keys[:n]] for n in range(len(keys), -1, -1) if keys[:n] in lines), 1)
    return f"{path}: line {line}: {_shown(what) + ': ' if what else ''}{_shown(cause)}"


def _shown(text: str) -> str:
    """Something of the file in an error: on one line, and not too much of it."""
    cut = text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."
    return cut if cut.isprintable() else ascii(cut)[1:-1][:MAX_SHOWN]


def _plain(
    node: yaml.Node | None, at: tuple[str, ...], lines: dict[tuple[str, ...], int]
) -> object:
    """Nodes to dict, list and str, with the line of each; repeated keys are errors."""
    if node is None:
        return None
    # A few lines of aliases to aliases are more text than there is memory.
    if len(at) > MAX_DEPTH or len(lines) > MAX_VALUES:
        raise yaml.MarkedYAMLError(None, None, "nested too deeply or too much", node.start_mark)
    lines.setdefault(at, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        result: dict[str, object] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                # Nor could its text be told: of aliases to aliases it is endless.
                raise yaml.MarkedYAMLError(None, None, "a key that is no word", key_node.start_mark)
            key = str(key_node.value)
            if key in result:
                raise yaml.MarkedYAMLError(
                    None, None, f"{key} stands here twice", key_node.start_mark
                )
            lines[(*at, key)] = key_node.start_mark.line + 1
            result[key] = _plain(value_node, (*at, key), lines)
        return result
    if isinstance(node, yaml.SequenceNode):
        return [_plain(n, (*at, str(i)), lines) for i, n in enumerate(node.value)]
    return str(node.value).strip()
