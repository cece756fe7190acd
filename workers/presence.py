"""What a worker says of itself, so that listeners know whom they can count on.

alive     a few times a second: a worker that was killed or stopped is missed at once, and
          its turns are given to another
worker    every two seconds: engines, providers that are out, bots it is ready for
probes    how is a provider that is out, or that nobody has used for a while?
ahead     a voice says a bot's own sentences before anyone asks (tts/warm.py)
knowledge a changed folder is indexed anew (knowledge/library.py)
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import redis

from workers import jobs, streams
from workers.breaker import provider_failed
from workers.engines import Level, providers
from workers.http_provider import OverRate
from workers.stt.engine import SttError
from workers.tts.shared_sentences import sentences_of
from workers.tts.warm import speak_ahead
from workers.wire import Wire

log = logging.getLogger(__name__)

ANNOUNCE_EVERY_S = 2.0
BEAT_EVERY_S = 0.2
PROBE_EVERY_S = 0.5
AHEAD_EVERY_S = 1.0
KNOWLEDGE_EVERY_S = 1.0
PROBE_TIMEOUT_S = 4.0  # less than a breaker waits for a probe's result


class Presence:
    """Five threads; start() and stop() once each. health_s: see ESLBOT_HEALTH_PROBE_S."""

    def __init__(self, context: jobs.Context, slots: int, health_s: float) -> None:
        self._context = context
        self._slots = slots
        self._health_s = health_s
        self._ready: list[str] = []
        self._ahead: list[str] = []  # of those, the bots whose sentences are spoken
        self._wire = Wire(context.client)
        self._stopped = threading.Event()
        self._changed = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(step, every_s), name=name, daemon=True)
            for name, step, every_s in (
                ("alive", self._beat, BEAT_EVERY_S),
                ("announce", self._announce, ANNOUNCE_EVERY_S),
                ("probe", self._probe, PROBE_EVERY_S),
                ("ahead", self._speak_ahead, AHEAD_EVERY_S),
                ("knowledge", self._look_at_knowledge, KNOWLEDGE_EVERY_S),
            )
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """And be forgotten by the listeners at once."""
        self._stopped.set()
        for thread in self._threads:
            thread.join(0.5)
        try:
            for client in filter(None, (self._context.client, self._context.shard)):
                streams.retire(client, self._context.stage, self._context.name)
        except redis.RedisError:
            log.debug("not retired: Redis is away, and forgets by itself")

    def _run(self, step: Callable[[], None], every_s: float) -> None:
        while not self._stopped.is_set():
            try:
                step()
            except (redis.RedisError, streams.InputLost, SttError):
                # Redis is away, a bot has just expired, or all slots are busy: another time.
                log.debug("%s: not now", threading.current_thread().name)
            except Exception:
                log.exception("%s failed", threading.current_thread().name)
            self._stopped.wait(every_s)

    def _beat(self) -> None:
        streams.beat(self._wire, self._context.name)

    def _announce(self) -> None:
        context = self._context
        self._say()
        new = [sha for sha in streams.bots(context.client) if sha not in self._ready]
        for sha in new:
            jobs.warm(context, sha, self._slots)
            self._ready = [*self._ready[1 - jobs.MAX_BOTS :], sha]
            self._say()

    def _say(self) -> None:
        """That it lives, where listeners count workers, and where those are whose jobs it takes."""
        context = self._context
        for client in filter(None, (context.client, context.shard)):
            streams.announce(client, context.stage, context.name, self.about())

    def _speak_ahead(self) -> None:
        context, speech = self._context, self._context.speech
        if context.stage != "tts" or not speech.keeps:
            return
        speech.sweep()
        for sha in [sha for sha in self._ready if sha not in self._ahead]:
            bot = context.bot(sha)
            first, stopped = context.levels[0], self._stopped.is_set
            if all(
                speak_ahead(
                    context.client, speech, first, sentences_of(voice), voice.language, stopped
                )
                for voice in bot.voices
            ):
                self._ahead = [*self._ahead[1 - jobs.MAX_BOTS :], sha]

    def _look_at_knowledge(self) -> None:
        if self._context.library is not None:
            self._context.library.look_again()

    def about(self) -> dict[str, Any]:
        """What listeners and dashboards are told."""
        levels = self._context.levels
        usable = [one.breaker is None or one.breaker.closed() for one in levels]
        speech = self._context.speech
        parts = providers(levels)
        budgets = [one.engine.provider.retries for one in parts if one.breaker]
        return {
            "engine": levels[0].engine.name,
            "why": levels[0].why,
            "levels": [one.engine.name for one in levels],
            "usable": usable,
            "slots": self._slots,
            "ready": self._ready,
            "requests": sum(budget.requests for budget in budgets),
            "retries": sum(budget.retries for budget in budgets),
            "retries_refused": sum(budget.refused for budget in budgets),
            "over_rate": sum(one.limit.refused for one in parts if one.limit),
            "speech_hits": speech.hits,
            "speech_misses": speech.misses,
            "speech_joined": speech.joined,
            "breakers_opened": sum(one.breaker.opened for one in parts if one.breaker),
        }

    def _probe(self) -> None:
        for level in providers(self._context.levels):
            if level.breaker is None or self._stopped.is_set():
                continue
            if level.breaker.closed():
                unused = time.monotonic() - level.breaker.used_at > self._health_s > 0
                if unused and streams.claim_probe(
                    self._context.client, level.breaker.name, self._health_s
                ):
                    self._ask(level, probe=False)
            elif level.breaker.may_probe():
                self._ask(level, probe=True)

    def _ask(self, level: Level, probe: bool) -> None:
        assert level.breaker is not None
        began = time.monotonic()
        try:
            level.engine.probe(PROBE_TIMEOUT_S)
        except jobs.EngineErrors as error:
            if isinstance(error.__cause__, OverRate):
                return  # it was not asked; while its breaker is open nobody else is in the way
            if provider_failed(error):
                level.breaker.failed(probe)
                return
        # Also a provider that only refuses so small a request is there.
        log.debug("%s: well after %.2f s", level.breaker.name, time.monotonic() - began)
        level.breaker.succeeded(probe)
