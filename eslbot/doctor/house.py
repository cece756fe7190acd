"""The house before a start: its ports, Redis, disk, folder of state and records."""

from __future__ import annotations

import shutil
import socket
import time
from pathlib import Path

import redis

from eslbot.console import login
from eslbot.doctor.finding import Finding, warning
from eslbot.records.store import Store, StoreError
from eslbot.records.webhooks import read_secrets
from eslbot.redis_server import NoRedis, binary
from workers import cluster, queues, streams
from workers.bot import Bot
from workers.settings import Settings, SettingsError

OLDEST_REDIS = (6, 2)
PINGS = 5
SLOW_MS = 5.0  # a turn passes Redis about ten times
# Recordings and the records' database lie there; without any space SQLite can't even begin.
DISK_WRONG_MB = 50
DISK_WARN_MB = 1000


def port(name: str, host: str, number: int) -> list[Finding]:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as one:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            one.bind((host, number))
    except OSError as error:
        what = f"{name}: {host}:{number}: {error.strerror or error}"
        return [Finding(what, "give it another, or end what has it; is it ours? --running")]
    return []


def ports(settings: Settings) -> list[Finding]:
    """All that would be listened on are free."""
    found = port("ESLBOT_LISTEN_PORT", settings.listen_host, settings.listen_port)
    if settings.metrics_port:
        found += port("ESLBOT_METRICS_PORT", settings.metrics_host, settings.metrics_port)
    if settings.websocket_port:
        found += port("ESLBOT_WEBSOCKET_PORT", settings.websocket_host, settings.websocket_port)
    if settings.audiosocket_port:
        host, number = settings.audiosocket_host, settings.audiosocket_port
        found += port("ESLBOT_AUDIOSOCKET_PORT", host, number)
    if not console(settings):
        found += port("ESLBOT_CONSOLE_PORT", settings.console_host, settings.console_port)
    if not settings.redis_url:
        found += port("ESLBOT_REDIS_PORT", "127.0.0.1", settings.redis_port)
    return found


def console(settings: Settings) -> list[Finding]:
    try:
        login.check(settings.console_host, settings.console_token)
    except login.NotSafe as error:
        return [Finding(str(error), "openssl rand -hex 24 makes one")]
    return []


def own_redis() -> list[Finding]:
    try:
        binary()
    except NoRedis as error:
        return [Finding(f"REDIS_URL: {error}", "install redis-server, or name a Redis")]
    return []


def other_redis(settings: Settings) -> list[Finding]:
    """One that runs: it answers, is no older than it may be, keeps what it is given, is near."""
    try:
        timeout_s = settings.redis_timeout_ms / 1000
        client = streams.connect(settings.redis, timeout_s, 2, settings.redis_tls)
        try:
            streams.wait_for_redis(client, within_s=0)
            return _about(client)
        finally:
            client.close()
    except SettingsError as error:
        return [Finding(str(error))]
    except (redis.RedisError, ValueError) as error:
        return [Finding(f"REDIS_URL: {streams.plain(error)}", "start it, or name another")]


def queue_redis(settings: Settings) -> list[Finding]:
    """Each Redis with queues: as the other one."""
    name = "ESLBOT_QUEUE_REDIS_URLS"
    try:
        clients = queues.connect(settings, settings.redis_timeout_ms / 1000, 2)
    except SettingsError as error:
        return [Finding(str(error))]
    found, away = [], []
    for number, client in enumerate(clients, 1):
        try:
            found += _about(client, f"{name}: {number}")
        except redis.RedisError as error:
            away.append(f"{name}: {number}: {streams.plain(error)}")
        finally:
            client.close()
    wrong = len(away) == len(clients)
    do = "start it" if wrong else "start it; the jobs of its calls go to the others meanwhile"
    return found + [Finding(what, do, warning=not wrong) for what in away]


def audio_redis(settings: Settings) -> list[Finding]:
    """Its Cluster: each slot has a master, each master answers and has a replica."""
    name = "ESLBOT_AUDIO_REDIS_URL"
    found = []
    try:
        nodes = cluster.connect(settings, 2)
        if nodes is None:
            return []
        try:
            nodes.look()
            without = nodes.owners.count(None)
            if without:
                what = f"{name}: {without} of {len(nodes.owners)} slots have no master"
                found.append(Finding(what, "redis-cli --cluster fix HOST:PORT"))
            for master, replicas in nodes.replicas.items():
                found += _master(f"{name}: {master.host}:{master.port}", nodes.at(master), replicas)
        finally:
            nodes.close()
    except SettingsError as error:
        found.append(Finding(str(error)))
    except redis.RedisError as error:
        found.append(Finding(f"{name}: {streams.plain(error)}", "start it, or name another"))
    return found


def _master(name: str, client: redis.Redis, replicas: int) -> list[Finding]:
    try:
        found = _about(client, name)
    except redis.RedisError as error:
        what = f"{name}: {streams.plain(error)}: calls hashed to it are in the menu"
        return [Finding(what, "start it, or have a replica take over: CLUSTER FAILOVER")]
    if not replicas:
        what = f"{name}: has no replica: were it gone, its share of calls would be in the menu"
        found.append(warning(what, "redis-cli --cluster add-node ... --cluster-slave"))
    return found


def _about(client: redis.Redis, name: str = "REDIS_URL") -> list[Finding]:
    version = client.info("server")["redis_version"]
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST_REDIS:
        return [Finding(f"{name}: Redis {version} is older than 6.2", "install a newer one")]
    found = []
    try:
        memory = client.info("memory")
    except redis.exceptions.NoPermissionError:
        memory = {}  # `eslbot redis-acl` of an earlier version
    policy = str(memory.get("maxmemory_policy", "noeviction"))
    if int(memory.get("maxmemory", 0)) and policy != "noeviction":
        found.append(
            warning(
                f"{name}: maxmemory-policy is {policy}: full, Redis would throw turns away "
                "without a word, where an error takes calls to the menu at once",
                "maxmemory-policy noeviction",
            )
        )
    took_ms = min(_ping_ms(client) for _ in range(PINGS))
    if took_ms > SLOW_MS:
        found.append(
            warning(
                f"{name}: a ping takes {took_ms:.1f} ms at best, of {PINGS}",
                "a Redis near by: each turn passes it about ten times",
            )
        )
    return found


def _ping_ms(client: redis.Redis) -> float:
    began = time.monotonic()
    client.ping()
    return (time.monotonic() - began) * 1000


def state_dir(settings: Settings) -> list[Finding]:
    name = f"ESLBOT_STATE_DIR: {settings.state_dir}"
    try:
        folder = Path(settings.state_dir)
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".probe"
        probe.touch()
        probe.unlink()
        free_mb = shutil.disk_usage(folder).free / 1e6
    except OSError as error:
        return [Finding(f"{name}: {error.strerror}", "a folder that this user may write to")]
    if free_mb < DISK_WARN_MB:
        what = f"{name}: {free_mb:.0f} MB are free on its disk"
        do = "make room; ESLBOT_KEEP_AUDIO_DAYS says how long recordings are kept"
        return [Finding(what, do, warning=free_mb >= DISK_WRONG_MB)]
    return []


def records(settings: Settings, bot: Bot) -> list[Finding]:
    """Keys and secrets are what they should be, and the database is there."""
    try:
        known = read_secrets(settings.webhook_secrets_file)
        absent = sorted({h.secret for h in bot.webhooks.values()} - set(known))
        if absent:
            what = f"ESLBOT_WEBHOOK_SECRETS_FILE: has no secret {', '.join(absent)}"
            return [Finding(what, "a line NAME=whsec_BASE64 for each")]
        store = Store.of(settings)
        with store.begin():
            pass
        store.close()
    except SettingsError as error:
        return [Finding(str(error))]
    except StoreError as error:
        return [Finding(f"ESLBOT_RECORDS_URL: {error}")]
    return []
