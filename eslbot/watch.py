"""The switch looks after us, and we after its audio."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from eslbot.departure import Left
from eslbot.media.unicast import MediaError

if TYPE_CHECKING:
    from eslbot.call import Call

# A clock that has not ticked for so long is stuck: then the watchdog must not be renewed.
STUCK_S = 1.0


class Watch:
    """Two timers of a call."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._watched_until = 0.0

    def renew(self) -> None:
        """From this loop, and only while the clock ticks: it stands for both working."""
        if not self._call.door.watched:
            return
        settings = self._call.settings
        now = time.monotonic()
        if self._watched_until and now > self._watched_until:
            # This process was stopped, and the call has gone: renewing would take it away
            # from whoever has it now.
            self._call.leave.end("taken", "the watchdog has fired")
            self._call.door.close()
            raise Left
        if now - self._call.house.last_tick < STUCK_S:
            self._watched_until = now + settings.watchdog_s
            self._call.door.renew()
        self._call.timer("watchdog", settings.watchdog_s / 3, self.renew)

    def media(self) -> None:
        """Audio that stays away means that media has ended, which nothing else tells."""
        assert self._call.leg is not None
        if not self._call.door.steady:
            return
        last = self._call.leg.heard_at
        limit = self._call.settings.media_timeout_ms / 1000
        if last is not None and time.monotonic() - last > limit:
            raise MediaError("the switch sends no audio any more")
        self._call.timer("media", limit / 2, self.media)
