"""Where the bot's knowledge lies, and how much of it is used at once."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from workers.bot.texts import Model

# Within the folder of the bot's file: no way up, and nothing hidden.
_PART = r"[A-Za-z0-9_][A-Za-z0-9_.-]*"
Folder = Annotated[
    str, StringConstraints(max_length=200, pattern=rf"^{_PART}(?:/{_PART})*$"), Field()
]


class Knowledge(Model):
    """A folder of Markdown and text files from which questions are answered."""

    # Beside the bot's file, on every host with llm workers.
    folder: Folder
    # Without a language model: how sure it has to be that a passage answers the question.
    sure_from_percent: int = Field(60, ge=1, le=99)
    # Sentences of a passage that are read out.
    sentences: int = Field(2, ge=1, le=4)
    # Passages that a language model is given.
    passages: int = Field(4, ge=1, le=8)
