"""Two models behind one engine: the local one, and a strong one for the turns that need it.

    a route of the bot's fits ─▶ strong ─ out, or nothing in its time ─▶ local
    else ─▶ local ─ known to be out ─▶ strong

All of this is level 0 of a turn's ladder: the backup and the embedded engine come after it, as
ever. Each model has its own breaker.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections import OrderedDict
from dataclasses import replace
from typing import TYPE_CHECKING

from workers.acting import Result
from workers.bot import Bot
from workers.bot.routes import Turns
from workers.breaker import Breaker, provider_failed
from workers.llm.engine import LlmError, Reply, Request
from workers.llm.matcher import Match, Matcher
from workers.messages import Decision
from workers.spoken import words

if TYPE_CHECKING:
    from workers.engines import Level

log = logging.getLogger(__name__)

MAX_MATCHERS = 64
_AND = re.compile(r"\b(?:and|but|also|then|oh|plus)\b|[.?!;]")


class RoutedLlm:
    """name and provider are the local model's: the strong one is an extra of it."""

    def __init__(self, local: Level, strong: Level) -> None:
        self.name = local.engine.name
        self.parts = (local, strong)
        self._local = local
        self._strong = strong
        self._matchers: OrderedDict[str, Matcher] = OrderedDict()
        self._lock = threading.Lock()

    def warm(self, bot: Bot) -> None:
        self._local.engine.warm(bot)
        self._strong.engine.warm(bot)
        if bot.routes:
            self._matcher(bot)

    def reply(self, request: Request, timeout_s: float) -> Reply:
        """See engine.py. Each Decision says which model it is of."""
        deadline = time.monotonic() + timeout_s
        route = self.route(request)
        if route == "local" and not _closed(self._local):
            route = "strong"
        if route == "strong" and _closed(self._strong):
            begun: list[bool] = []
            try:
                yield from _of(_counted(self._strong, request, timeout_s), "strong", begun)
                return
            except LlmError as error:
                if begun or not _closed(self._local):
                    raise
                log.warning("the strong model: %s; the local one answers", error)
                route = "local after strong"
        left_s = max(0.1, deadline - time.monotonic())
        name = "local" if route == "local" else "local after strong"
        yield from _of(_counted(self._local, request, left_s), name, [])

    def route(self, request: Request) -> str:
        """ "local" or "strong", as the bot's first route that fits says."""
        bot = request.bot
        if request.keyed or not bot.routes:
            return "local"
        match = self._matcher(bot).match(request.text)
        for route in bot.routes:
            if self._fits(route.when, request, match):
                return route.to
        return "local"

    def _fits(self, when: Turns, request: Request, match: Match) -> bool:
        if when.words_from is not None and len(words(request.text)) < when.words_from:
            return False
        heard, sure = when.heard_below_percent, when.sure_below_percent
        if heard is not None and request.confidence * 100 >= heard:
            return False
        # The answer to a question is no wish, and so no unlikely one.
        if sure is not None and (request.state.asked or match.score * 100 >= sure):
            return False
        if when.misses_from is not None and request.state.misses < when.misses_from:
            return False
        meant = {request.state.intent, match.intent if match.sure else None}
        if when.intents and not meant & set(when.intents):
            return False
        if when.wishes_from is not None:
            return self._wishes(request) >= when.wishes_from
        return True

    def _wishes(self, request: Request) -> int:
        """Different wishes in an utterance, taken apart at its conjunctions."""
        matcher = self._matcher(request.bot)
        found = (matcher.match(part) for part in _AND.split(request.text.lower())[:8])
        return len({one.intent for one in found if one.sure})

    def _matcher(self, bot: Bot) -> Matcher:
        sha = bot.sha
        with self._lock:
            if sha not in self._matchers:
                self._matchers[sha] = Matcher(bot)
            self._matchers.move_to_end(sha)
            while len(self._matchers) > MAX_MATCHERS:
                self._matchers.popitem(last=False)
            return self._matchers[sha]


class EitherBreaker:
    """For who asks whether the level can be used: as long as one of both models can.

    The models' own breakers are kept by RoutedLlm, and probed as parts of its level.
    """

    def __init__(self, breakers: tuple[Breaker | EitherBreaker | None, ...]) -> None:
        self._breakers = breakers
        self.name = "llm:routed"
        self.opened = 0  # its parts count their own

    @property
    def used_at(self) -> float:
        return time.monotonic()

    def closed(self) -> bool:
        return any(one is None or one.closed() for one in self._breakers)

    def may_probe(self) -> bool:
        return False

    def succeeded(self, probe: bool = False) -> None:
        """Counted where it happens."""

    def failed(self, probe: bool = False) -> None:
        """Counted where it happens."""


def _closed(level: Level) -> bool:
    return level.breaker is None or level.breaker.closed()


def _counted(level: Level, request: Request, timeout_s: float) -> Reply:
    """The engine's reply; how it went is told to its breaker."""
    try:
        yield from level.engine.reply(request, timeout_s)
    except LlmError as error:
        if level.breaker is not None and provider_failed(error):
            level.breaker.failed()
        raise
    if level.breaker is not None:
        level.breaker.succeeded()


def _of(pieces: Reply, route: str, begun: list[bool]) -> Reply:
    """The same, each Decision with the route that it is of; begun: not empty once there is any."""
    result: Result | None = None
    while True:
        try:
            piece = next(pieces) if result is None else pieces.send(result)
        except StopIteration:
            return
        begun.append(True)
        result = yield replace(piece, route=route) if isinstance(piece, Decision) else piece
