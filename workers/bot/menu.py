"""The DTMF menu, and what is said apart from answers."""

from __future__ import annotations

from pydantic import Field

from workers.bot.texts import Key, Model, Name, Phrase


class MenuItem(Model):
    key: Key
    intent: Name
    prompt: Phrase


class Menu(Model):
    """The DTMF menu, in the listener and in FreeSWITCH alike. 0 is always a person."""

    intro: Phrase
    items: tuple[MenuItem, ...] = Field(min_length=1, max_length=9)
    person: Name
    person_prompt: Phrase
    retry: Phrase
    attempts: int = Field(3, ge=1, le=9)
    digit_timeout_ms: int = Field(5000, ge=1000, le=30000)


class Phrases(Model):
    """What the bot says apart from answers."""

    not_understood: Phrase
    no_input: Phrase
    anything_else: Phrase
    to_menu: Phrase
    goodbye: Phrase
    yes_no: Phrase = "Please say yes or no."
    cancelled: Phrase = "All right, I have changed nothing."
