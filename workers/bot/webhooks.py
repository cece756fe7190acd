"""`webhooks:`: who is told by HTTP what happens in calls."""

from __future__ import annotations

import urllib.parse
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, field_validator

from workers.bot.texts import Model, Name

EventName = Literal["call.started", "turn.finished", "call.menu", "call.ended", "call.hung_up"]


class Webhook(Model):
    """secret: the name of one in ESLBOT_WEBHOOK_SECRETS_FILE, which signs. words: whether what
    was heard and said goes along, redacted; else only names and numbers do."""

    url: Annotated[str, StringConstraints(max_length=500, pattern=r"^https?://[!-~]+$")]
    events: Annotated[tuple[EventName, ...], Field(min_length=1, max_length=5)]
    secret: Name
    words: bool = False

    @field_validator("url")
    @classmethod
    def _url(cls, url: str) -> str:
        parts = urllib.parse.urlsplit(url)
        if not parts.hostname or parts.username or parts.password or parts.fragment:
            raise ValueError("a host is wanted, and no name, password or fragment in it")
        return url
