"""The day of a call, where its caller is: what "tomorrow" follows."""

from __future__ import annotations

import datetime
import zoneinfo


def today(timezone: str | None) -> str:
    """ISO 8601, in this time zone; None: that of the machine."""
    zone = zoneinfo.ZoneInfo(timezone) if timezone else None
    return datetime.datetime.now(zone).date().isoformat()
