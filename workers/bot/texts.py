"""The types that the sections of a bot's file are made of."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints

PLACEHOLDER = re.compile(r"\{([a-z][a-z0-9_]*)(?:\.([a-z][a-z0-9_]*))?\}")

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,31}$")]
# What is spoken or shown to a model: bounded, and without control characters, which some
# engines and every log would choke on.
Phrase = Annotated[
    str, StringConstraints(min_length=1, max_length=600, pattern=r"^[^\x00-\x1f\x7f]+$")
]
Key = Annotated[str, StringConstraints(pattern=r"^[1-9*]$")]
Language = Annotated[str, StringConstraints(pattern=r"^[a-z]{2}(-[A-Z]{2})?$")]
# These two stand in commands to FreeSWITCH and in its dialplan.
Extension = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_*#+-]{1,32}$")]
Context = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
Variable = Annotated[str, StringConstraints(pattern=r"^ai_[a-z0-9_]{1,40}$")]


class Model(BaseModel):
    """A section: unknown keys are errors, and nothing changes once it was read."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def known(name: str, among: Collection[str], at: str) -> None:
    if name not in among:
        raise ValueError(f"{at}: {name!r} is not defined; there is {', '.join(among) or 'none'}")
