"""Slots, intents and destinations: what a caller can want, and what it takes."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from workers.bot.texts import PLACEHOLDER, Context, Extension, Model, Name, Phrase, Variable


class Destination(Model):
    """Somewhere a caller can be sent: an extension in a FreeSWITCH dialplan context."""

    extension: Extension
    context: Context = "default"
    say: Phrase


class Slot(Model):
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


class Lookup(Model):
    """A row of a table, found by a slot's value; missing is said when there is none."""

    table: Name
    key: Name
    missing: Phrase


class Intent(Model):
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
