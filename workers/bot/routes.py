"""Which turns go to the strong model."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from workers.bot.texts import Model, Name


class Turns(Model):
    """What a turn has to be like; all that is given has to hold."""

    # Words of the utterance.
    words_from: int | None = Field(None, ge=1, le=100)
    # Different wishes in it.
    wishes_from: int | None = Field(None, ge=2, le=4)
    # The recogniser's confidence in the text.
    heard_below_percent: int | None = Field(None, ge=1, le=100)
    # The probability of the likeliest intent.
    sure_below_percent: int | None = Field(None, ge=1, le=100)
    # Turns before it, in a row, that were not understood.
    misses_from: int | None = Field(None, ge=1, le=9)
    # The likeliest intent, or the one that is open.
    intents: tuple[Name, ...] = Field((), max_length=200)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.model_dump(exclude_none=True, exclude_defaults=True):
            raise ValueError("names no condition")
        return self


class Route(Model):
    """The first route whose `when` fits decides; where none does, it is the local model."""

    when: Turns
    to: Literal["local", "strong"] = "strong"
