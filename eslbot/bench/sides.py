"""The two sides of the comparison as processes: our whole house, and Pipecat."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gevent

from eslbot.bench import machine
from eslbot.bench.callers import over_udp
from eslbot.rig.house import ROOT, House
from eslbot.switch.channel import Channel
from workers import streams

START_S = 120.0


class BenchError(Exception):
    """What is needed for a measurement is not there; str() is one line that says what."""


@dataclass(frozen=True, slots=True)
class Took:
    """One turn as a side saw it itself: seconds of the wall clock."""

    decided: float
    first_frame: float


@dataclass(slots=True)
class Terms:
    """What is the same for both. delay_ms: of each of the three services; silence_ms: that ends
    an utterance; core: where the measured processes run, None: anywhere."""

    calls: int
    delay_ms: float
    silence_ms: int
    core: set[int] | None = None


class Provider:
    """A server of OpenAI's protocol that answers each request after the same delay."""

    def __init__(self, delay_ms: float) -> None:
        command = [sys.executable, "-m", "tests.provider", "--port", "0"]
        self._process = subprocess.Popen(  # noqa: S603
            [*command, "--first-delay-s", str(delay_ms / 1000)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
        )
        self.url = line(self._process, START_S, "the provider").strip()
        self.pid = self._process.pid

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()


class Ours:
    """Redis, listener, one worker process of each role; calls come by the event socket."""

    name = "eslbot"

    def __init__(self, folder: Path, terms: Terms, provider: str) -> None:
        environ = {f"ESLBOT_{role}": "openai" for role in ("STT", "LLM", "TTS")}
        environ |= {f"ESLBOT_{role}_URL": provider for role in ("STT", "LLM", "TTS")}
        # Nothing fails here, and 64 recognisers in reserve would take long to start.
        environ |= {f"ESLBOT_{role}_EMBEDDED": "off" for role in ("STT", "LLM", "TTS")}
        # The provider says the same each time; the peer asks it each time.
        environ |= {f"ESLBOT_SPEECH_{where}_MB": "0" for where in ("CACHE", "DISK", "REDIS")}
        self._terms = terms
        self._house = House(
            folder,
            folder / "state",
            **environ,
            ESLBOT_ENDPOINT_SILENCE_MS=str(terms.silence_ms),
            ESLBOT_SPECULATE_MS="0",  # the peer does not, and its wait is measured from the end
            ESLBOT_STT_SLOTS="64",
            ESLBOT_WORKER_SLOTS="64",
            ESLBOT_LOG_LEVEL="warning",
        )

    def start(self) -> None:
        self._house.start_all()
        if self._terms.core:
            for pid in self.pids().values():
                machine.pin(pid, self._terms.core)

    def pids(self) -> dict[str, int]:
        found = {name: process.pid for name, process in self._house.processes.items()}
        if self._house.redis.process:
            found["redis"] = self._house.redis.process.pid
        return found

    def dial(self, number: int) -> Channel:
        return self._house.dial()

    def turns(self, calls: list[Channel]) -> list[list[Took]]:
        """From each call's log. The decision is as long before the text as the turn says."""
        client = self._house.redis.client(2)
        try:
            return [self._turns(client, call) for call in calls]
        finally:
            client.close()

    def _turns(self, client: Any, call: Channel) -> list[Took]:
        found = []
        text_at: float | None = None
        for _, entry in client.xrange(streams.log_key(call.uuid)):
            what, fields = entry[b"what"], json.loads(entry[b"fields"])
            if what == b"heard":
                text_at = float(entry[b"at"])
            elif what == b"turn" and text_at is not None and "first_frame_ms" in fields:
                decided = text_at - (fields["final_ms"] - fields["endpoint_ms"]) / 1000
                took_s = (fields["first_frame_ms"] - fields["endpoint_ms"]) / 1000
                found.append(Took(decided, decided + took_s))
                text_at = None
        return found

    def stop(self) -> None:
        self._house.stop()


@dataclass(slots=True)
class Pipecat:
    """One process for all calls. more: arguments of pipecat_bot.py."""

    name: str
    python: Path
    folder: Path
    terms: Terms
    more: tuple[str, ...] = ()
    _process: Any = None
    _ports: list[int] = field(default_factory=list)

    def start(self) -> None:
        """Raises BenchError."""
        bot = Path(__file__).parent / "pipecat_bot.py"
        arguments = ["--calls", str(self.terms.calls), "--delay-ms", str(self.terms.delay_ms)]
        arguments += ["--silence-ms", str(self.terms.silence_ms), *self.more]
        with (self.folder / "pipecat.log").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603
                [str(self.python), str(bot), *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env={"PATH": os.environ["PATH"], "HOME": str(self.folder)},
            )
        if self.terms.core:
            machine.pin(self._process.pid, self.terms.core)
        self._ports = json.loads(line(self._process, START_S, "Pipecat"))["ports"]

    def pids(self) -> dict[str, int]:
        return {"pipecat": self._process.pid}

    def dial(self, number: int) -> Channel:
        return over_udp(self._ports[number])

    def turns(self, calls: list[Channel]) -> list[list[Took]]:
        self._process.stdin.write(b"\n")
        self._process.stdin.flush()
        told = json.loads(line(self._process, START_S, "Pipecat"))["turns"]
        return [[Took(*one) for one in call] for call in told]

    def stop(self) -> None:
        if self._process is None:
            return
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def line(process: Any, within_s: float, who: str) -> str:
    """A line of its output, with other greenlets going on meanwhile. Raises BenchError."""
    waited = 0.0
    while not select.select([process.stdout], [], [], 0)[0]:
        if process.poll() is not None or waited > within_s:
            raise BenchError(f"{who} did not start; see its log")
        gevent.sleep(0.05)
        waited += 0.05
    found: bytes = process.stdout.readline()
    if not found:
        raise BenchError(f"{who} ended; see its log")
    return found.decode()
