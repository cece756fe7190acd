"""What is done for a turn whose answer does not come."""

from __future__ import annotations

from pydantic import Field

from workers.bot.texts import Model, Phrase


class Filler(Model):
    """Said while nothing of the answer is there: after_ms after the end of the utterance, and
    again_ms after the last filler, each in its turn."""

    after_ms: int = Field(default=800, ge=100, le=10_000)
    again_ms: int = Field(default=1200, ge=100, le=10_000)
    say: tuple[Phrase, ...] = Field(
        default=("One moment, please.", "Just a moment more."), min_length=0, max_length=8
    )


class Attempts(Model):
    """How often a rung is tried in one turn and stage."""

    attempts: int = Field(default=1, ge=0, le=2)


class Budget(Model):
    """Milliseconds that a stage may take before it is tried one rung further."""

    # From the end of the utterance to its text.
    final_ms: int = Field(default=1500, ge=100, le=20_000)
    # From the text to the first sentence of the answer, and from one sentence to the next.
    first_sentence_ms: int = Field(default=1200, ge=100, le=20_000)
    next_sentence_ms: int = Field(default=1500, ge=100, le=20_000)
    # From a sentence to its first audio, and from one piece of audio to the next.
    audio_ms: int = Field(default=800, ge=100, le=20_000)


class MenuRung(Model):
    """after_ms: from the end of the utterance to the first audio of its answer at the latest."""

    after_ms: int = Field(default=4000, ge=500, le=30_000)


class Ladder(Model):
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
