"""The whole system as processes of its own: Redis, listener, workers; and calls to it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gevent
import redis

from eslbot import redis_server
from eslbot.switch.channel import Channel, Dialplan
from workers import streams

ROOT = Path(__file__).parent.parent.parent
ROLES = ("stt", "llm", "tts")
OURS = {"listener": ["eslbot", "serve"], "recorder": ["eslbot", "recorder"]}


class Late(AssertionError):
    """Something did not happen in time; str() says what."""


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def until(
    condition: Callable[[], object], within_s: float, what: str | Callable[[], str] = ""
) -> None:
    """Wait with other greenlets going on. Raises Late, which tells what was awaited."""
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            raise Late(f"not within {within_s} s: {what() if callable(what) else what}")
        gevent.sleep(0.02)


class RedisProcess:
    """A Redis that may be killed, stopped and started again, empty."""

    def __init__(
        self, folder: Path, *more: str, host: str = "127.0.0.1", before: Sequence[str] = ()
    ) -> None:
        """before: words in front of the command, `ip netns exec NAME` for instance."""
        self.port = free_port()
        self.url = f"redis://{host}:{self.port}/0"
        self._before = before
        self._folder = folder
        self._more = more
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self._folder / "redis.log").open("ab") as log:
            self.process = subprocess.Popen(  # noqa: S603
                [*self._before, *redis_server.arguments(self.port, self._folder), *self._more],
                stdout=log,
                stderr=log,
            )
        client = self.client(2)
        streams.wait_for_redis(client, within_s=10)
        client.close()

    def client(self, connections: int = 16) -> redis.Redis:
        return streams.connect(self.url, 2.0, connections)

    def signal(self, number: int) -> None:
        if self.process:
            self.process.send_signal(number)

    def kill(self) -> None:
        if self.process:
            self.process.kill()
            self.process.wait()


class House:
    """start() what is wanted; stop() ends it all.

    Parts: "redis", "listener", "recorder", and workers as "stt", "llm.2": a role, and a number
    where there are several; another listener wants ports of its own (start()'s environ). A worker
    named "stt!" or "stt.1!" is started again by itself when it is killed.
    """

    def __init__(self, folder: Path, state: Path, **environ: str) -> None:
        self.redis = RedisProcess(folder)
        self.before: dict[str, Sequence[str]] = {}  # words in front of a role's command
        self.port = free_port()
        self.metrics_port = free_port()
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._folder = folder
        self.environ = {
            "PATH": os.environ["PATH"],
            "REDIS_URL": self.redis.url,
            "ESLBOT_LISTEN_PORT": str(self.port),
            "ESLBOT_STATE_DIR": str(state),
            "ESLBOT_TTS": "espeak",
            "ESLBOT_METRICS_PORT": str(self.metrics_port),
            **environ,
        }

    def start(self, *parts: str, **environ: str) -> None:
        """environ: settings of these parts, beside the house's."""
        for part in parts:
            name = part.rstrip("!")
            if name == "redis":
                self.redis.start()
                continue
            role = name.split(".")[0]
            module = OURS.get(role, ["workers", role])
            respawn = ["--respawn"] if part.endswith("!") else []
            with (self._folder / f"{name}.log").open("ab") as log:
                self.processes[name] = subprocess.Popen(  # noqa: S603
                    [*self.before.get(role, ()), sys.executable, "-m", *module, *respawn],
                    cwd=ROOT,
                    env=self.environ | environ,
                    stdout=log,
                    stderr=log,
                )

    def start_all(self, workers: int = 1, respawn: bool = False) -> None:
        """So many workers of each role."""
        mark = "!" if respawn else ""
        numbers = [""] if workers == 1 else [f".{n}" for n in range(1, workers + 1)]
        names = [f"{role}{number}{mark}" for number in numbers for role in ROLES]
        try:
            self.start("redis", *names, "listener")
            self.wait_ready(workers)
        except BaseException:
            self.stop()  # nobody else will
            raise

    def wait_ready(self, workers: int = 1) -> None:
        """Raises Late; then nothing of the house is left: nobody has it yet who would stop it."""
        try:
            until(lambda: "READY" in self.log("listener"), 90, "the listener says READY")
            until(
                lambda: all(self.ready(role) >= workers for role in ROLES),
                60,
                "all workers are ready",
            )
        except BaseException:
            self.stop()
            raise

    def ready(self, role: str) -> int:
        """How many workers of a role have got ready for the bot."""
        client = self.redis.client(2)
        try:
            return sum(bool(one["ready"]) for one in streams.living(client, role))
        except redis.RedisError:
            return 0
        finally:
            client.close()

    def log(self, part: str) -> str:
        path = self._folder / f"{part}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def kill(self, part: str) -> None:
        self.processes[part].kill()
        self.processes[part].wait()

    def worker_pids(self, role: str) -> list[int]:
        """Of the workers themselves, not of what starts them again."""
        client = self.redis.client(2)
        try:
            keys = sorted(key.decode() for key in client.scan_iter(f"eslbot:worker:{role}:*"))
        finally:
            client.close()
        pids = [int(key.rsplit("-", 1)[1]) for key in keys]
        return [pid for pid in pids if Path(f"/proc/{pid}").exists()]

    def dial(self, *, socket_resume: bool = True, **channel: Any) -> Channel:
        plan = Dialplan([f"127.0.0.1:{self.port}"], socket_resume=socket_resume)
        call = Channel(plan, **channel)
        call.dial()
        return call

    def told(self, call: Channel) -> list[tuple[str, dict[str, Any]]]:
        """The call's log: (what, fields)."""
        client = self.redis.client(2)
        try:
            found: Any = client.xrange(streams.log_key(call.uuid))
            return [(e[b"what"].decode(), json.loads(e[b"fields"])) for _, e in found]
        finally:
            client.close()

    def heard(self, call: Channel) -> list[str]:
        return [fields["text"] for what, fields in self.told(call) if what == "heard"]

    def said(self, call: Channel) -> str:
        return " ".join(fields["text"] for what, fields in self.told(call) if what == "said")

    def stop(self) -> None:
        for process in self.processes.values():
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.send_signal(signal.SIGINT)
        deadline = time.monotonic() + 6
        for process in self.processes.values():
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.redis.kill()
