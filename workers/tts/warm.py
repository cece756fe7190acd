"""A bot's own sentences, spoken before the first caller asks for them.

One worker of the fleet at a time does it, a sentence after another, so that a provider sees one
request at once and no caller's. The others come after it, and find all there. A worker that dies
meanwhile loses its lock after LOCK_S, and another goes on where it stopped.

Where requests are bounded (rate_limit.py) it takes no more than half of them, and goes on when
there is room again: the rest is for callers.

Only the first engine speaks ahead: those after it are for when it fails, and a voice that changes
in the middle of an answer would be the worse for it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Final

import redis
from redis.exceptions import LockError

from workers.breaker import provider_failed
from workers.engines import Level
from workers.http_provider import OverRate
from workers.tts.cache import SpeechCache, wanted
from workers.tts.engine import TtsError

log = logging.getLogger(__name__)

LOCK: Final = "eslbot:speaking-ahead"
LOCK_S: Final = 40.0
SENTENCE_S: Final = 15.0  # for one, less than the lock lasts


def speak_ahead(
    client: redis.Redis,
    cache: SpeechCache,
    level: Level,
    sentences: Iterable[str],
    language: str,
    stopped: Callable[[], bool],
) -> bool:
    """Whether all is there now; else another worker is at it, the provider is out, or it must not
    be asked so often: call again.

    Raises redis.RedisError.
    """
    lock = client.lock(LOCK, timeout=LOCK_S, blocking=False)
    if not lock.acquire():
        return False
    try:
        for text in sentences:
            if stopped() or not _speak(cache, level, text, language):
                return False
            lock.reacquire()
        return True
    except LockError:
        return False  # Redis lost it, or this process was stopped for long: another has it
    finally:
        try:
            lock.release()
        except LockError:
            log.debug("the lock was lost, and is nobody's or another's")


def _speak(cache: SpeechCache, level: Level, text: str, language: str) -> bool:
    """False: the provider is out, or must not be asked now, there is no use in going on."""
    one = wanted(level.engine, text, language, shared=True)
    if cache.settle(one):
        return True
    if level.breaker is not None and not level.breaker.closed():
        return False
    if level.limit is not None and not level.limit.spare():
        return False
    try:
        for _ in cache.speak(level.engine, one, SENTENCE_S):
            pass
    except TtsError as error:
        if isinstance(error.__cause__, OverRate):
            return False
        if level.breaker is None or not provider_failed(error):
            # This engine can't say this sentence; it may well say the others.
            log.warning("not spoken ahead: %s", error)
            return True
        level.breaker.failed()
        return False
    if level.breaker is not None:
        level.breaker.succeeded()
    return True
