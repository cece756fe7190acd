"""The whole system as processes of its own: Redis, listener, workers; and calls to it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import gevent

from eslbot.prompts import read_wav
from eslbot.switch.channel import Channel, Dialplan
from tests.conftest import RedisServer, free_port, wait_until
from workers import streams

ROOT = Path(__file__).parent.parent
RECORDINGS = ROOT / "eslbot" / "recordings"


def recording(name: str) -> bytes:
    """One of the caller's recorded sentences."""
    return read_wav(RECORDINGS / f"{name}.wav")


class House:
    """start() what a test wants; stop() ends it all."""

    def __init__(self, folder: Path, state: Path, **environ: str) -> None:
        self.redis = RedisServer(folder)
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

    def start(self, *parts: str) -> None:
        """Of "redis", "listener", "stt", "llm", "tts"."""
        for part in parts:
            if part == "redis":
                self.redis.start()
                continue
            module = ["eslbot", "serve"] if part == "listener" else ["workers", part]
            with (self._folder / f"{part}.log").open("ab") as log:
                self.processes[part] = subprocess.Popen(
                    [sys.executable, "-m", *module],
                    cwd=ROOT,
                    env=self.environ,
                    stdout=log,
                    stderr=log,
                )

    def start_all(self) -> None:
        self.start("redis", "stt", "llm", "tts", "listener")
        self.wait_ready()

    def wait_ready(self) -> None:
        wait_until(lambda: "READY" in self.log("listener"), 90, "the listener says READY")

    def log(self, part: str) -> str:
        path = self._folder / f"{part}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def kill(self, part: str) -> None:
        self.processes[part].kill()
        self.processes[part].wait()

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
                process.terminate()
        deadline = time.monotonic() + 6
        for process in self.processes.values():
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.redis.kill()


def until(condition: Any, within_s: float, what: str = "") -> None:
    """Like wait_until, with the stand-in's ticks going on."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {within_s} s: {what}"
        gevent.sleep(0.02)
