"""A file of scenarios: which bot is called, what its callers do, and what must come of it.

    bot: ../eslbot/bots/energy.yaml
    scenarios:
      - name: balance
        steps:
          - say: What is my balance?
            expect: {intent: balance}
          - keys: "4271#"
            expect: {slots: {account: "4271"}, said: [one hundred and twenty dollars]}
        expect: {outcome: open}

Unknown keys and names that the bot does not have are errors, with the file, the line and the key.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import Field, StringConstraints, ValidationError, model_validator

from workers.bot import Bot, BotError, load
from workers.bot.file import Lines, at_key, invalid, read
from workers.bot.texts import Model, Name, Phrase, Variable

NONE: Final = "none"  # as an intent: nothing was understood
ACTIONS: Final = ("say", "wav", "text", "keys", "silence_s", "hangup")
SPEECH: Final = ("say", "wav")

Voice = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9+-]{1,24}$")]
Outcome = Literal["open", "menu", "transferred", "hung up", "caller gone", "native menu"]


class ScenarioError(BotError):
    """A file of scenarios can't be used; str() is one line: file, line, key, cause."""


class Noise(Model):
    """Behind the caller. snr_db: the speech's level over the noise's.

    white: of all frequencies alike; babble: other voices at once.
    throughout: in the pauses, too; otherwise from just before the words to just after them.
    """

    kind: Literal["white", "babble"] = "white"
    snr_db: float = Field(ge=-10, le=60)
    throughout: bool = False


class Interrupt(Model):
    """While the bot speaks: so long after it began, or at about the word (its place is guessed
    from the length of the text before it)."""

    after_s: float | None = Field(default=None, ge=0, le=60)
    word: Annotated[str, StringConstraints(min_length=1, max_length=60)] | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.after_s is None) == (self.word is None):
            raise ValueError("give either after_s or word")
        return self


class Tool(Model):
    """A tool that is called. arguments: those that matter, as the slots that they come from; the
    call's log does not hold what a server is told."""

    name: Name
    status: Literal["ok", "no", "failed"] = "ok"
    arguments: dict[str, str] = Field(default_factory=dict, max_length=32)


class Expect(Model):
    """What a step, or a whole call, has to come to. What is left out is not looked at."""

    intent: Name | None = None
    slots: dict[Name, str] = Field(default_factory=dict, max_length=32)
    tools: tuple[Tool, ...] = Field(default=(), max_length=16)
    said: tuple[Phrase, ...] = Field(default=(), max_length=16)
    not_said: tuple[Phrase, ...] = Field(default=(), max_length=16)
    transferred_to: Name | None = None
    outcome: Outcome | None = None
    variables: dict[Variable, str] = Field(default_factory=dict, max_length=32)
    # Files of the bot's knowledge, on which the answer rests.
    cited: tuple[Phrase, ...] = Field(default=(), max_length=8)
    recorded: bool | None = None
    # From the caller's last sound or key to the bot's first.
    answer_within_s: float | None = Field(default=None, gt=0, le=60)


class Step(Model):
    """One thing that the caller does; exactly one of ACTIONS.

    say: words, spoken by a synthesised voice. wav: recordings, one after the other, with the
    words that they say. text: words, taken as recognised without any audio. keys: 0-9 * #.
    silence_s: nothing, for so long. hangup: the caller ends the call.
    """

    say: Phrase | None = None
    wav: tuple[Phrase, ...] | None = Field(default=None, min_length=1, max_length=64)
    words: Phrase | None = None
    text: Phrase | None = None
    keys: Annotated[str, StringConstraints(pattern=r"^[0-9*#]{1,64}$")] | None = None
    silence_s: float | None = Field(default=None, gt=0, le=120)
    hangup: bool | None = None
    voice: Voice | None = None
    noise: Noise | None = None
    interrupt: Interrupt | None = None
    wait_s: float = Field(default=0.0, ge=0, le=60)  # before it begins
    expect: Expect = Expect()

    @model_validator(mode="after")
    def _check(self) -> Self:
        given = [name for name in ACTIONS if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"give exactly one of {', '.join(ACTIONS)}")
        if self.wav is not None and self.words is None:
            raise ValueError("a recording needs words: what it says")
        if self.words is not None and self.wav is None:
            raise ValueError("words belong to wav")
        if given[0] not in SPEECH and (self.voice or self.noise):
            raise ValueError(f"voice and noise belong to {' and '.join(SPEECH)}")
        if given[0] in ("silence_s", "hangup") and self.interrupt:
            raise ValueError("interrupt belongs to what is said or keyed")
        return self

    @property
    def action(self) -> str:
        return next(name for name in ACTIONS if getattr(self, name) is not None)

    @property
    def said(self) -> str:
        """The words of a step that has any, whichever way they are brought."""
        return self.say or self.text or self.words or ""


class Scenario(Model):
    name: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")]
    about: Phrase | None = None
    caller_id: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9+]{1,32}$")] = "1001"
    variables: dict[Variable, str] = Field(default_factory=dict, max_length=32)
    # Destinations where nobody takes the call: the caller comes back to the bot.
    unanswered: tuple[Name, ...] = Field(default=(), max_length=16)
    voice: Voice | None = None
    noise: Noise | None = None
    steps: tuple[Step, ...] = Field(min_length=1, max_length=40)
    expect: Expect = Expect()


class File(Model):
    """bot and recordings: relative to the file. hours: of the bot's, whether it is open now; what
    is left out follows the clock. Only in a house of one's own."""

    bot: Phrase
    hours: dict[Name, Literal["open", "closed"]] = Field(default_factory=dict, max_length=50)
    voice: Voice = "rms"
    recordings: tuple[Phrase, ...] = Field(default=(), max_length=8)
    scenarios: tuple[Scenario, ...] = Field(min_length=1, max_length=500)


@dataclass(frozen=True, slots=True)
class Case:
    """A scenario with what belongs to it. wavs: the path of each recording that it names. hours:
    see File."""

    file: Path
    bot_path: Path
    bot: Bot
    scenario: Scenario
    voice: str
    wavs: Mapping[str, Path]
    hours: Mapping[str, str] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return f"{self.file.stem}/{self.scenario.name}"


def find(paths: list[Path]) -> list[Path]:
    """The files meant: folders stand for the *.yaml in them. Raises ScenarioError."""
    found: list[Path] = []
    for path in paths:
        inside = sorted(path.glob("*.yaml")) if path.is_dir() else [path]
        if not inside:
            raise ScenarioError(f"{path}: no *.yaml in it")
        found += inside
    return list(dict.fromkeys(found))


def cases(path: Path) -> list[Case]:
    """All scenarios of a file, checked against its bot. Raises ScenarioError."""
    try:
        data, lines = read(path)
        try:
            file = File.model_validate(data)
        except ValidationError as error:
            raise invalid(path, lines, error) from None
        bot_path = (path.parent / file.bot).resolve()
        try:
            bot = load(bot_path)
        except BotError as error:
            raise at_key(path, lines, "bot", str(error)) from None
        return list(_checked(path, lines, file, bot_path, bot))
    except BotError as error:
        raise ScenarioError(str(error)) from None


def _checked(path: Path, lines: Lines, file: File, bot_path: Path, bot: Bot) -> Iterator[Case]:
    for name in file.hours:
        if name not in bot.hours:
            raise at_key(path, lines, f"hours.{name}", f"the bot has no hours {name}")
    folders = [path.parent, *(path.parent / folder for folder in file.recordings)]
    names: set[str] = set()
    for n, one in enumerate(file.scenarios):
        at = f"scenarios.{n}"
        if one.name in names:
            raise at_key(path, lines, f"{at}.name", f"{one.name} stands there twice")
        names.add(one.name)
        wavs: dict[str, Path] = {}
        for s, step in enumerate(one.steps):
            _known(path, lines, f"{at}.steps.{s}.expect", step.expect, bot)
            for w, wav in enumerate(step.wav or ()):
                there = next((p for f in folders if (p := f / wav).is_file()), None)
                if there is None:
                    raise at_key(path, lines, f"{at}.steps.{s}.wav.{w}", f"{wav}: no such file")
                wavs[wav] = there
            if step.expect.recorded is not None:
                cause = "is known at the end of the call, not of a step"
                raise at_key(path, lines, f"{at}.steps.{s}.expect.recorded", cause)
        _known(path, lines, f"{at}.expect", one.expect, bot)
        for u, name in enumerate(one.unanswered):
            if name not in bot.destinations or bot.destinations[name].extension:
                cause = "no destination that is attended, or a REFER"
                raise at_key(path, lines, f"{at}.unanswered.{u}", f"{name}: {cause}")
        yield Case(path, bot_path, bot, one, one.voice or file.voice, wavs, file.hours)


def _known(path: Path, lines: Lines, at: str, expect: Expect, bot: Bot) -> None:
    """Names that are expected have to be the bot's: a misspelt one could never come."""
    for key, name, among in (
        ("intent", expect.intent, {*bot.intents, NONE}),
        ("transferred_to", expect.transferred_to, bot.destinations),
        *((f"slots.{slot}", slot, bot.slots) for slot in expect.slots),
        *((f"tools.{n}.name", tool.name, bot.tools) for n, tool in enumerate(expect.tools)),
    ):
        if name is not None and name not in among:
            raise at_key(path, lines, f"{at}.{key}", f"the bot has no {name}")
    if expect.cited and bot.knowledge is None:
        raise at_key(path, lines, f"{at}.cited", "the bot has no knowledge")
