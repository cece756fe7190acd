"""A fault in a share of live calls, for a time: does the house keep its promise here and now?

The order lies in Redis and expires by itself, so that nothing is left behind, whoever forgets.
Each listener looks at it every two seconds; a new call is drawn or not, and keeps its fault to its
end. What became of those calls is written down for `eslbot chaos report`.
"""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any, Literal

import redis

from workers.messages import (
    Decision,
    Failed,
    Final,
    Message,
    Partial,
    Sentence,
    SentencesEnd,
    Speech,
    SpeechEnd,
    Started,
)
from workers.wire import Pipe

KEY = "eslbot:chaos"
RESULTS = "eslbot:chaos:calls"
MAX_RESULTS = 10_000
KEEP_RESULTS_S = 86_400
FAULTS = {
    "stt mute": "nothing of speech-to-text arrives",
    "llm mute": "nothing of the language model arrives",
    "tts mute": "no speech arrives",
    "voice breaks off": "speech stops after its first second",
    "assistant dead": "nothing of any worker arrives",
    "media dead": "the audio channel fails at once",
}
_OF: dict[str, tuple[type, ...]] = {
    "stt": (Partial, Final),
    "llm": (Decision, Sentence, SentencesEnd),
    "tts": (Speech, SpeechEnd),
}
_BREAKS_AFTER_BYTES = 16_000


class ChaosError(Exception):
    """str() names what is wrong with an order."""


@dataclass(frozen=True, slots=True)
class Order:
    """share_percent: of the calls that begin until then. until: seconds, by Redis' clock."""

    fault: str
    share_percent: int
    until: float
    by: str


def give(client: redis.Redis, fault: str, share_percent: int, minutes: float, by: str) -> Order:
    """Raises ChaosError, redis.RedisError."""
    if fault not in FAULTS:
        raise ChaosError(f"{fault!r} is none of: {', '.join(FAULTS)}")
    if not 1 <= share_percent <= 100:
        raise ChaosError(f"a share of {share_percent} % is not between 1 and 100")
    if not 0 < minutes <= 24 * 60:
        raise ChaosError(f"{minutes} minutes are not between 0 and 1440")
    seconds, micro = client.time()
    order = Order(fault, share_percent, seconds + micro / 1e6 + minutes * 60, by[:60])
    client.set(KEY, json.dumps(asdict(order)), px=int(minutes * 60_000))
    return order


def look(client: redis.Redis) -> Order | None:
    """The order of now. Raises redis.RedisError."""
    raw: Any = client.get(KEY)
    if raw is None:
        return None
    try:
        order = Order(**json.loads(raw))
        good = order.fault in FAULTS and type(order.share_percent) is int
    except (ValueError, TypeError, RecursionError):
        return None
    return order if good else None


def stop(client: redis.Redis) -> bool:
    """False: there was none."""
    return bool(client.delete(KEY))


def draw(order: Order | None) -> str:
    """The fault of a new call, or ""."""
    if order is None or random.random() * 100 >= order.share_percent:  # noqa: S311
        return ""
    return order.fault


class Blindfold:
    """What a call with a fault does not see of what workers say."""

    def __init__(self, fault: str) -> None:
        self._fault = fault
        self._spoken = 0

    def hides(self, message: Message) -> bool:
        if self._fault == "assistant dead":
            return True
        stage: Literal["stt", "llm", "tts"]
        for stage in ("stt", "llm", "tts"):
            if self._fault != f"{stage} mute":
                continue
            of_stage = isinstance(message, Started | Failed) and message.stage == stage
            return of_stage or isinstance(message, _OF[stage])
        if self._fault == "voice breaks off" and isinstance(message, Speech | SpeechEnd):
            self._spoken += len(message.pcm) if isinstance(message, Speech) else 0
            return self._spoken > _BREAKS_AFTER_BYTES
        return False


def write_down(pipe: Pipe, fault: str, end: str, hung_up_by: str, turns: dict[str, int]) -> None:
    entry = {"at": time.time(), "fault": fault, "end": end, "by": hung_up_by, "turns": turns}
    pipe.lpush(RESULTS, json.dumps(entry))
    pipe.ltrim(RESULTS, 0, MAX_RESULTS - 1)
    pipe.expire(RESULTS, KEEP_RESULTS_S)


def report(client: redis.Redis) -> list[str]:
    """Lines: for each fault how its calls ended, and their turns."""
    raw: Any = client.lrange(RESULTS, 0, -1)
    calls: dict[str, Counter[str]] = {}
    turns: dict[str, Counter[str]] = {}
    for one in raw:
        entry = json.loads(one)
        # The bot hangs up on purpose; anyone else than it or the caller should not have.
        lost = entry["by"] == "other" and entry["end"] not in ("transferred", "native menu")
        end = "DROPPED" if lost else entry["end"]
        calls.setdefault(entry["fault"], Counter())[end] += 1
        turns.setdefault(entry["fault"], Counter()).update(entry["turns"])
    lines = []
    for fault, ends in sorted(calls.items()):
        told = ", ".join(f"{count} {end}" for end, count in ends.most_common())
        lines.append(f"{fault}: {ends.total()} calls: {told}")
        told = ", ".join(f"{count} {outcome}" for outcome, count in turns[fault].most_common())
        lines.append(f"  turns: {told or 'none'}")
    return lines or ["no call with a fault has ended yet"]
