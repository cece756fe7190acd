"""How busy is the switch? Asked over the socket of any call, by the api command `status`.

Source: `mod_commands.c`, status_function; as captured from FreeSWITCH 1.11.3-dev:

    1 session(s) - peak 3, last 5min 3
    1000 session(s) max
    min idle cpu 0.00/98.63
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_SESSIONS = re.compile(r"^(\d+) session\(s\) - peak", re.MULTILINE)
_MAX = re.compile(r"^(\d+) session\(s\) max", re.MULTILINE)
_IDLE = re.compile(r"^min idle cpu [\d.]+/([\d.]+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class SwitchLoad:
    """What the switch says of itself; None: it did not say."""

    sessions: int | None
    max_sessions: int | None
    idle_percent: float | None

    def short(self, sessions_percent: int, idle_percent: int) -> str:
        """ "" or what it is short of."""
        if self.sessions is not None and self.max_sessions:
            used = 100 * self.sessions / self.max_sessions
            if used >= sessions_percent:
                return f"{self.sessions} of {self.max_sessions} sessions are in use"
        if self.idle_percent is not None and self.idle_percent < idle_percent:
            return f"its CPU is idle for {self.idle_percent:.0f} % of the time"
        return ""


def parse(status: str) -> SwitchLoad:
    """The answer to `api status`."""

    def number(expression: re.Pattern[str]) -> float | None:
        found = expression.search(status)
        return float(found.group(1)) if found else None

    sessions, most = number(_SESSIONS), number(_MAX)
    return SwitchLoad(
        None if sessions is None else int(sessions),
        None if most is None else int(most),
        number(_IDLE),
    )
