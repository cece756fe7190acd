"""The calls there were: from Redis for an hour, and from the record store where calls are kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import redis

from eslbot.console.feed import Feed
from workers import streams


class Archive:
    """kept: whether calls are kept longer than Redis does."""

    kept = False

    def __init__(self, client: redis.Redis, feed: Feed) -> None:
        self._client = client
        self._feed = feed

    def calls(self, query: str, limit: int) -> list[dict[str, Any]]:
        """The newest first. Raises redis.RedisError."""
        return [one.shown() for one in self._feed.search(query, limit)]

    def call(self, uuid: str) -> dict[str, Any] | None:
        """`uuid`, `events` (each with `at`, `what` and its own fields), `audio`: whether there is
        a recording."""
        found: Any = self._client.xrange(streams.log_key(uuid), count=streams.MAX_LOG_ENTRIES)
        if not found:
            return None
        events = [event for _, entry in found if (event := _event(entry)) is not None]
        return {"uuid": uuid, "events": events, "audio": self.audio(uuid) is not None}

    def audio(self, uuid: str) -> Path | None:
        """A stereo WAV file of both sides."""
        return None


def _event(entry: dict[bytes, bytes]) -> dict[str, Any] | None:
    try:
        fields = json.loads(entry[b"fields"])
        return {**fields, "at": float(entry[b"at"]), "what": entry[b"what"].decode()}
    except (KeyError, ValueError, TypeError):
        return None
