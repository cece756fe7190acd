"""Intents: what a caller can want, and what it comes to."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from workers.bot.texts import PLACEHOLDER, Language, Model, Name, Phrase


class Lookup(Model):
    """A row of a table, found by a slot's value; missing is said when there is none."""

    table: Name
    key: Name
    missing: Phrase


class Intent(Model):
    """What a caller can want. Ends in an answer, in a tool and what it answers, or in a transfer.

    title: how the bot calls it, "your balance". about: the slot that "it" stands for, "when will
    it arrive": a value given for another intent serves this one, and makes it more likely.
    language: the call goes on in this language, and the answer is that of its own file.
    """

    examples: tuple[Phrase, ...] = Field(min_length=1, max_length=200)
    title: Phrase | None = None
    slots: tuple[Name, ...] = Field((), max_length=8)
    about: Name | None = None
    lookup: Lookup | None = None
    confirm: Phrase | None = None
    answer: Phrase | None = None
    # Done first; the answer, or else the tool's `say`, tells what came of it: {tool.field}.
    tool: Name | None = None
    transfer: Name | None = None
    language: Language | None = None
    # The call ends after the answer.
    hangup: bool = False
    # Where a DTMF menu sends the caller when it can't answer by itself.
    destination: Name

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.tool and (self.transfer or self.lookup or self.language):
            raise ValueError("a tool goes with an answer, and with no transfer, lookup or language")
        if not self.tool and (self.answer is None) == (self.transfer is None):
            raise ValueError("give either answer or transfer")
        if self.hangup and self.answer is None and not self.tool:
            raise ValueError("hangup needs an answer")
        if self.language and (self.answer is None or self.slots or self.hangup):
            raise ValueError("a language needs an answer, and no slots and no hangup")
        if self.about and self.about not in self.slots:
            raise ValueError(f"about: {self.about!r} is none of its slots")
        return self

    @property
    def fixed_answer(self) -> str | None:
        """The answer if it is the same for every caller: a menu can play it from a file."""
        if self.answer is None or self.slots or self.tool or self.language:
            return None
        if PLACEHOLDER.search(self.answer):
            return None
        return self.answer
