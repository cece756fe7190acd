"""The variant that all new callers get, in Redis, and who said so.

    eslbot:variant:BOT       string  its name; no expiry: it holds until another one is promoted
    eslbot:variant:BOT:log   list    what was promoted, when and why, JSON; the latest MAX_LOG

BOT is the bot's name in its file.
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
    found: Any = client.get(key(bot))
    name = found.decode("ascii", "replace") if found else ""
    return name if _NAME.fullmatch(name) else ""


def promote(client: redis.Redis, bot: str, variant: str, why: str) -> None:
    """variant "": from now on callers are drawn again. Raises redis.RedisError."""
    entry = json.dumps({"at": round(time.time(), 3), "variant": variant, "why": why[:200]})
    pipe = client.pipeline(transaction=False)
    if variant:
        pipe.set(key(bot), variant)
    else:
        pipe.delete(key(bot))
    pipe.lpush(f"{key(bot)}:log", entry)
    pipe.ltrim(f"{key(bot)}:log", 0, MAX_LOG - 1)
    pipe.execute()


def history(client: redis.Redis, bot: str) -> list[dict[str, Any]]:
    """The latest first."""
    found: Any = client.lrange(f"{key(bot)}:log", 0, MAX_LOG - 1)
    return [json.loads(entry) for entry in found]
