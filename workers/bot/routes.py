"""Where a caller who is sent to a destination comes to at this hour. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from workers.bot.definition import Bot


@dataclass(frozen=True, slots=True)
class Route:
    """destination: None, back to the bot. say: before that, in this order."""

    destination: str | None
    say: tuple[str, ...]


def is_open(bot: Bot, destination: str, now: datetime) -> bool:
    hours = bot.destinations[destination].hours
    return hours is None or bot.hours[hours].is_open(now)


def route_at(bot: Bot, destination: str, now: datetime) -> Route:
    """From one that is closed on to the next; load() has seen to it that they form no circle."""
    say: list[str] = []
    at: str | None = destination
    while at is not None:
        target = bot.destinations[at]
        if is_open(bot, at, now):
            return Route(at, (*say, target.say))
        assert target.closed is not None
        say.append(target.closed.say)
        at = target.closed.destination
    return Route(None, tuple(say))
