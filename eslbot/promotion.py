"""The variant that all new callers get, in Redis, and who said so.

    eslbot:variant:BOT   list   what was promoted, when and why, JSON, the latest first; MAX_LOG of
                                them, no expiry: the first one holds until there is another

BOT is the bot's name in its file. A list alone, so that a recorder that may promote can't replace
what is no list.
"""

from __future__ import annotations

import json
import re
import time
from typing import Any

import redis

MAX_LOG = 100
_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")


def key(bot: str) -> str:
    return f"eslbot:variant:{bot}"


def promoted(client: redis.Redis, bot: str) -> str:
    """The promoted variant's name, "" where none is. Raises redis.RedisError."""
    latest = _entries(client, bot, 1)
    name = latest[0].get("variant") if latest else ""
    return name if isinstance(name, str) and _NAME.fullmatch(name) else ""


def promote(client: redis.Redis, bot: str, variant: str, why: str) -> None:
    """variant "": from now on callers are drawn again. Raises redis.RedisError."""
    entry = json.dumps({"at": round(time.time(), 3), "variant": variant, "why": why[:200]})
    pipe = client.pipeline(transaction=False)
    pipe.lpush(key(bot), entry)
    pipe.ltrim(key(bot), 0, MAX_LOG - 1)
    pipe.execute()


def history(client: redis.Redis, bot: str) -> list[dict[str, Any]]:
    """The latest first. Raises redis.RedisError."""
    return _entries(client, bot, MAX_LOG)


def _entries(client: redis.Redis, bot: str, count: int) -> list[dict[str, Any]]:
    raw: Any = client.lrange(key(bot), 0, count - 1)
    found = []
    for text in raw:
        try:
            entry = json.loads(text)
        except (ValueError, RecursionError):
            continue
        if isinstance(entry, dict):
            found.append(entry)
    return found
