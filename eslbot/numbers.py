"""The numbers of a call: whole where a call is judged by them, cut where people look on."""

from __future__ import annotations

import re

from eslbot.esl import clean_value

MAX_NUMBER = 80
_SHOWN = 3
_INTERNAL = 5  # digits; a number that is no longer is an extension


def clean(number: str) -> str:
    return clean_value(number[:MAX_NUMBER])


def shown(number: str) -> str:
    """The last digits of a caller's number; extensions and names as they are."""
    digits = re.sub(r"\D", "", number)
    return f"…{digits[-_SHOWN:]}" if len(digits) > _INTERNAL else number
