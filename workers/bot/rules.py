"""What is done when a caller is angry, in a hurry, or asks for a person."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from workers.bot.texts import Model, Name, Phrase, Variable

Strength = Literal["some", "high"]
Value = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]


class Noticed(Model):
    """What has to be noticed; all that is given has to hold."""

    # At least so much of it.
    anger: Strength | None = None
    urgency: Strength | None = None
    # The caller asks for a person.
    person: bool = False
    # Turns in a row that were not understood.
    misses_from: int | None = Field(None, ge=1, le=9)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.model_dump(exclude_none=True, exclude_defaults=True):
            raise ValueError("names no condition")
        return self


class Rule(Model):
    """Once in a call: words before the answer, variables, or a transfer in place of an answer."""

    when: Noticed
    say: Phrase | None = None
    transfer: Name | None = None
    # Put on the channel, for the dialplan and whoever takes the call.
    variables: dict[Variable, Value] = Field(default_factory=dict, max_length=8)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.say is None and self.transfer is None and not self.variables:
            raise ValueError("does nothing: give say, transfer or variables")
        return self


class Signals(Model):
    """Words of callers of this bot that tell of it, beside those that are known anyway."""

    anger: tuple[Phrase, ...] = Field(default=(), max_length=100)
    urgency: tuple[Phrase, ...] = Field(default=(), max_length=100)
    person: tuple[Phrase, ...] = Field(default=(), max_length=100)
