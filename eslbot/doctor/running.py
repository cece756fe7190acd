"""A house that is up: is it ours that answers on its ports, and how does it do?"""

from __future__ import annotations

import json

import httpx
import redis

from eslbot.console import health
from eslbot.doctor.finding import Finding, warning
from workers import queues, streams
from workers.settings import Settings, SettingsError

TIMEOUT_S = 3.0
MAX_SHOWN = 200  # characters of another's answer


def look(settings: Settings) -> list[Finding]:
    return [*_listener(settings), *_console(settings), *_parts(settings)]


def _listener(settings: Settings) -> list[Finding]:
    if not settings.metrics_port:
        what = "ESLBOT_METRICS_PORT: is 0, so the listener can't be asked whether it is ready"
        return [warning(what)]
    at = _at(settings.metrics_host, settings.metrics_port)
    try:
        answer = httpx.get(f"http://{at}/ready", timeout=TIMEOUT_S, trust_env=False)
    except httpx.HTTPError as error:
        what = f"the listener: no answer from {at} ({type(error).__name__})"
        return [Finding(what, "start it: make run, or eslbot serve")]
    if answer.status_code == 503:
        return [Finding(f"the listener: not ready: {_plain(answer.text)}")]
    if (answer.status_code, answer.text) != (200, "ok\n"):
        what = f"ESLBOT_METRICS_PORT: {at}: not a listener of ours that answers there"
        return [Finding(what, "give ours another port")]
    return []


def _console(settings: Settings) -> list[Finding]:
    at = _at(settings.console_host, settings.console_port)
    scheme = "https" if settings.console_cert_file else "http"
    # Only whether it is ours is asked, which its certificate has no part in.
    try:
        with httpx.Client(verify=False, timeout=TIMEOUT_S, trust_env=False) as client:  # noqa: S501
            answer = client.get(f"{scheme}://{at}/api/session")
            ours = "error" in answer.json()
    except httpx.HTTPError as error:
        what = f"the console: no answer from {at} ({type(error).__name__})"
        return [warning(what, "eslbot console")]
    except ValueError:
        ours = False
    if not ours:
        what = f"ESLBOT_CONSOLE_PORT: {at}: not our console that answers there"
        return [Finding(what, "give ours another port")]
    return []


def _parts(settings: Settings) -> list[Finding]:
    """Listeners, workers, queues and breakers, as they say of themselves in Redis."""
    try:
        timeout_s = settings.redis_timeout_ms / 1000
        client = streams.connect(settings.redis, timeout_s, 2, settings.redis_tls)
        shards = queues.connect(settings, timeout_s, 2)
    except SettingsError as error:
        return [Finding(str(error))]
    except ValueError as error:
        return [Finding(f"REDIS_URL: {streams.plain(error)}")]
    try:
        found = health.look(client, 0.0, shards)
    except redis.RedisError as error:
        return [Finding(f"REDIS_URL: {streams.plain(error)}")]
    finally:
        client.close()
    no_worker = [f"No {stage} worker is there." for stage in streams.STAGES]
    return [
        Finding(told.rstrip("."), "start it: python -m workers STAGE")
        if told in no_worker
        else warning(told.rstrip("."), "docs/operate.md, What rings")
        for told in found["troubles"]
        if found["redis"]["ok"]  # else other_redis() has told
    ]


def _at(host: str, port: int) -> str:
    """Where a server that listens on all addresses is asked: on this machine."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)  # noqa: S104
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _plain(text: str) -> str:
    return json.dumps(text.strip()[:MAX_SHOWN], ensure_ascii=False).strip('"')
