"""`recording:`: whether calls are recorded, and what the caller is told or asked before."""

from __future__ import annotations

from typing import Literal

from workers.bot.texts import Model, Phrase


class Recording(Model):
    """consent: said before anything else. announce: who has heard it to its end is recorded. ask:
    who answers yes, or presses 1."""

    consent: Phrase
    mode: Literal["announce", "ask"] = "announce"
