"""The bots that calls are served with: of the file as it is now, a bot for each of its variants;
and those of earlier versions that calls are still in.

    caller's number, salt ─▶ share of 1 ─▶ variant, always the same one; or the promoted one
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from workers.bot import Bot
from workers.bot.agreement import served


@dataclass(slots=True)
class Version:
    """One content of the bot's file. bots: by variant, "" where it has none."""

    bot: Bot
    bots: dict[str, Bot] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.bots = served(self.bot)

    @property
    def first(self) -> Bot:
        return next(iter(self.bots.values()))


class Served:
    """in_use(): the bots of the calls that are going on. promoted: the variant that all new calls
    get, "" where none is."""

    def __init__(self, bot: Bot, in_use: Callable[[], Iterable[Bot]]) -> None:
        self.now = Version(bot)
        self.coming: Version | None = None  # being made ready
        self.promoted = ""
        self._in_use = in_use

    def all(self) -> list[Bot]:
        """Each once; what workers must have ready."""
        found = [*self.now.bots.values(), *(self.coming.bots.values() if self.coming else ())]
        # Thousands of calls have the same few: their shas take a while.
        return list({id(bot): bot for bot in (*found, *self._in_use())}.values())

    def choose(self, number: str, call: str) -> tuple[str, Bot]:
        """The variant for a call from this number, and its bot. A call without one is drawn by
        itself."""
        bots = self.now.bots
        variants = self.now.bot.variants
        if variants is None:
            return "", self.now.first
        if self.promoted in bots:
            return self.promoted, bots[self.promoted]
        anonymous = not any(c.isdigit() for c in number)
        name = draw(
            {name: one.weight for name, one in variants.choices.items()},
            variants.salt,
            call if anonymous else number,
        )
        return name, bots[name]


def draw(weights: Mapping[str, int], salt: str, caller: str) -> str:
    """The variant of a caller: by weight, and the same each time."""
    digest = hashlib.sha256(f"{salt}\0{caller}".encode("utf-8", "replace")).digest()
    at = int.from_bytes(digest[:8]) % sum(weights.values())
    for name, weight in weights.items():
        if at < weight:
            return name
        at -= weight
    raise AssertionError("unreachable")
