"""How the house is: what its parts say of themselves in Redis, in one answer."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any

import redis

from workers import streams

MAX_SHOWN = 200  # of each kind
BREAKER = "eslbot:breaker:"
CHAOS = "eslbot:chaos"
LATE_AGE_S = 2.0  # a job that waits longer means that workers are short


def look(client: redis.Redis, lag_ms: float, queues: Sequence[redis.Redis] = ()) -> dict[str, Any]:
    """As JSON. lag_ms: how late this process' own loop is. queues: where jobs wait, if not with all
    the rest. Without Redis only lag_ms is told."""
    began = time.monotonic()
    found: dict[str, Any] = {"at": time.time(), "console": {"lag_ms": round(lag_ms, 1)}}
    try:
        client.ping()
        ping_ms = (time.monotonic() - began) * 1000
        found["redis"] = _redis(client, ping_ms)
        found["listeners"] = _named(client, streams.listener_key(""))
        found["workers"] = _workers(client)
        found["queues"] = _queues(queues or (client,))
        found["breakers"] = _breakers(client)
        found["chaos"] = _json(client.get(CHAOS))
    except redis.RedisError as error:
        found["redis"] = {"ok": False, "why": streams.plain(error)}
    found["troubles"] = troubles(found)
    return found


def troubles(found: dict[str, Any]) -> list[str]:
    """What an operator should look at, in words; the worst first."""
    if not found["redis"]["ok"]:
        return [f"Redis is away: {found['redis']['why']}. Calls go to the DTMF menu."]
    listeners, workers = found["listeners"], found["workers"]
    told = [] if listeners else ["No listener is there: FreeSWITCH's own menu takes all calls."]
    told += [f"{one['id']}: {one['not_ready']}" for one in listeners if one.get("not_ready")]
    for stage in streams.STAGES:
        if not any(one["role"] == stage and one["alive"] for one in workers):
            told.append(f"No {stage} worker is there.")
    told += [f"{one['name']}: its breaker is {one['state']}" for one in found["breakers"]
             if one["state"] != "closed"]  # fmt: skip
    told += [f"The {one['name']} queue is {one['age_s']:.0f} s behind." for one in found["queues"]
             if (one["age_s"] or 0) > LATE_AGE_S]  # fmt: skip
    if found["chaos"]:
        told.append(f"On purpose: {found['chaos'].get('fault')} in a share of the calls.")
    return told


def _redis(client: redis.Redis, ping_ms: float) -> dict[str, Any]:
    info: Any = client.info()
    return {
        "ok": True,
        "ping_ms": round(ping_ms, 1),
        "version": info.get("redis_version", ""),
        "role": info.get("role", ""),
        "memory_mb": round(info.get("used_memory", 0) / 1e6, 1),
        "memory_max_mb": round(info.get("maxmemory", 0) / 1e6, 1),
        "clients": info.get("connected_clients", 0),
        "commands_per_s": info.get("instantaneous_ops_per_sec", 0),
    }


def _named(client: redis.Redis, prefix: str) -> list[dict[str, Any]]:
    keys = sorted(client.scan_iter(f"{prefix}*", count=1000))[:MAX_SHOWN]
    found: Any = client.mget(keys) if keys else []
    return [
        {"id": key.decode().removeprefix(prefix)} | about
        for key, raw in zip(keys, found, strict=True)
        if (about := _json(raw)) is not None
    ]


def _workers(client: redis.Redis) -> list[dict[str, Any]]:
    found = []
    for stage in streams.STAGES:
        those = _named(client, f"eslbot:worker:{stage}:")
        alive = streams.alive(client, [one["id"] for one in those])
        found += [one | {"role": stage, "alive": one["id"] in alive} for one in those]
    return found


def _queues(clients: Sequence[redis.Redis]) -> list[dict[str, Any]]:
    """age_s: of the job that waits longest; None: none waits."""
    return [
        {"name": stage, "jobs": jobs, "age_s": round(oldest_s, 3) if jobs else None}
        for stage, (jobs, oldest_s) in streams.all_queue_states(clients).items()
    ]


def _breakers(client: redis.Redis) -> list[dict[str, Any]]:
    """Those that count failures; of a provider without any there is nothing in Redis."""
    seconds, micro = client.time()
    now_ms = seconds * 1000 + micro // 1000
    found = []
    for key in sorted(client.scan_iter(f"{BREAKER}*", count=1000))[:MAX_SHOWN]:
        raw: Any = client.hgetall(key)
        numbers = {name.decode(): int(value) for name, value in raw.items() if value.isdigit()}
        state = "closed" if "until" not in numbers else "open"
        if state == "open" and numbers.get("probe", 0) > now_ms:
            state = "half open"
        found.append({"name": key.decode().removeprefix(BREAKER), "state": state,
                      "failures": numbers.get("failures", 0)})  # fmt: skip
    return found


def _json(raw: Any) -> dict[str, Any] | None:
    try:
        found = json.loads(raw) if raw else None
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
