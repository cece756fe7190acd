"""Variants of a bot that are tried against each other; a caller always meets the same one."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Self

from pydantic import Field, StringConstraints, model_validator

from workers.bot.texts import Model, Name, Phrase


class Variant(Model):
    """What differs from the rest of the file; a variant that differs in nothing is the file."""

    # Share of the callers: its weight of the sum of all.
    weight: int = Field(1, ge=0, le=1000)
    greeting: Phrase | None = None
    persona: Annotated[str, StringConstraints(max_length=8000)] | None = None
    # By their names in `phrases`.
    phrases: dict[Name, Phrase] = Field(default_factory=dict)
    # By the names of their intents.
    answers: dict[Name, Phrase] = Field(default_factory=dict)


class Promote(Model):
    """When the evidence suffices to take one variant for all."""

    # Of each variant, before the first look; later looks at each doubling.
    calls: int = Field(200, ge=20, le=1_000_000)
    # Of not promoting by mere chance, over all looks together.
    confidence_percent: int = Field(95, ge=80, le=99)
    # Only calls from this day on count (UTC): the day on which the variants were changed last.
    since: date | None = None


class Variants(Model):
    """salt: another one draws all callers anew."""

    salt: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{0,64}$")] = ""
    # Absent: only when told to.
    promote: Promote | None = None
    choices: dict[Name, Variant] = Field(min_length=2, max_length=8)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not any(one.weight for one in self.choices.values()):
            raise ValueError("choices: all weights are 0")
        return self
