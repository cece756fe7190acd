"""Is everything set up rightly? Asked before a start, so that nothing is half started."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import redis

from eslbot.records.store import Store, StoreError
from eslbot.records.webhooks import read_secrets
from eslbot.redis_server import NoRedis, binary
from workers import streams
from workers.bot import BotError, load
from workers.settings import Settings, SettingsError

ENGINES_WITHIN_S = 300  # a model may have to be fetched


def check(settings: Settings) -> int:
    """Print one line for each thing that is wrong; 0 when nothing is, else 2."""
    wrong = [
        *_bot(settings),
        *_port("ESLBOT_LISTEN_PORT", settings.listen_host, settings.listen_port),
        *_metrics(settings),
        *_redis(settings),
        *_state_dir(settings),
    ]
    if not wrong:
        wrong = _records(settings)
    if not wrong:
        wrong = _engines()
    for line in wrong:
        print(f"eslbot: {line}", file=sys.stderr)
    return 2 if wrong else 0


def _bot(settings: Settings) -> list[str]:
    try:
        load(Path(settings.bot))
    except BotError as error:
        return [f"ESLBOT_BOT: {error}"]
    return []


def _records(settings: Settings) -> list[str]:
    """Keys and secrets are what they should be, and the database is there."""
    try:
        known = read_secrets(settings.webhook_secrets_file)
        bot = load(Path(settings.bot))
        absent = sorted({h.secret for h in bot.webhooks.values()} - set(known))
        if absent:
            return [f"ESLBOT_WEBHOOK_SECRETS_FILE: has no secret {', '.join(absent)}"]
        store = Store.of(settings)
        with store.begin():
            pass
        store.close()
    except SettingsError as error:
        return [str(error)]
    except StoreError as error:
        return [f"ESLBOT_RECORDS_URL: {error}"]
    return []


def _port(name: str, host: str, port: int) -> list[str]:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as one:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            one.bind((host, port))
    except OSError as error:
        return [f"{name}: {host}:{port}: {error.strerror or error}"]
    return []


def _metrics(settings: Settings) -> list[str]:
    if not settings.metrics_port:
        return []
    return _port("ESLBOT_METRICS_PORT", settings.metrics_host, settings.metrics_port)


def _redis(settings: Settings) -> list[str]:
    if not settings.redis_url:
        try:
            binary()
        except NoRedis as error:
            return [f"REDIS_URL: {error}"]
        return _port("ESLBOT_REDIS_PORT", "127.0.0.1", settings.redis_port)
    try:
        timeout_s = settings.redis_timeout_ms / 1000
        client = streams.connect(settings.redis, timeout_s, 2, settings.redis_tls)
        streams.wait_for_redis(client, within_s=0)
        version = client.info("server")["redis_version"]
        if tuple(int(part) for part in version.split(".")[:2]) < (6, 2):
            return [f"REDIS_URL: Redis {version} is older than 6.2"]
    except SettingsError as error:
        return [str(error)]
    except (redis.RedisError, ValueError) as error:
        return [f"REDIS_URL: {streams.plain(error)}"]
    return []


def _state_dir(settings: Settings) -> list[str]:
    try:
        folder = Path(settings.state_dir)
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".probe"
        probe.touch()
        probe.unlink()
    except OSError as error:
        return [f"ESLBOT_STATE_DIR: {settings.state_dir}: {error.strerror}"]
    return []


def _engines() -> list[str]:
    """Let each role choose its engine as the workers will, in processes like theirs."""
    command = [sys.executable, "-m", "workers", "--check"]
    runs = {
        role: subprocess.Popen(  # noqa: S603
            [*command, role], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        for role in streams.STAGES
    }
    wrong = []
    for role, run in runs.items():
        try:
            _, told = run.communicate(timeout=ENGINES_WITHIN_S)
        except subprocess.TimeoutExpired:
            run.kill()
            wrong.append(f"{role}: its engine did not load in {ENGINES_WITHIN_S} s")
            continue
        if run.returncode:
            wrong.append(told.strip().splitlines()[-1] if told.strip() else f"{role}: failed")
    return wrong
