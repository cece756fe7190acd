"""The DTMF menu, and what is said apart from answers."""

from __future__ import annotations

from pydantic import Field

from workers.bot.texts import Key, Model, Name, Phrase

STEP = "{step}"


class MenuItem(Model):
    """An intent on a key of the menu."""

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
    """What the bot says apart from answers.

    which: asked for the slot that is wrong. first, next: before each of several wishes; {step}
    stands for the intent's title. after: to a wish beside the answer to a question, which waits.
    unchanged: to "but keep billing the same".
    """

    not_understood: Phrase
    no_input: Phrase
    anything_else: Phrase
    to_menu: Phrase
    goodbye: Phrase
    yes_no: Phrase = "Please say yes or no."
    cancelled: Phrase = "All right, I have changed nothing."
    which: Phrase = "What should I change?"
    first: Phrase = "First, {step}."
    next: Phrase = "Next, {step}."
    after: Phrase = "Then {step}."
    unchanged: Phrase = "Everything else stays as it is."

    def plain(self) -> dict[str, str]:
        """Each phrase by its name, without what is filled in."""
        held: dict[str, str] = self.model_dump()
        return held | {
            name: held[name].replace(STEP, "")
            for name in ("first", "next", "after")
            if STEP in held[name]
        }
