"""One load test: the house, its provider, the generators, who watches; and what they all saw."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gevent
import redis

from eslbot.loadtest import plan as plans
from eslbot.loadtest.plan import Lines, Plan
from eslbot.loadtest.processes import put_ahead
from eslbot.loadtest.watch import Metrics, Seen, Watch, added, metrics
from eslbot.rig.house import ROOT, House, free_port, until
from eslbot.rig.provider import counts
from workers import streams
from workers.bot import load

BOT = ROOT / "eslbot" / "bots" / "energy.yaml"
BEGIN_S = 4.0  # for generators to be there before the first call arrives
TELL_EVERY_S = 10.0

Tell = Callable[[str], None]


@dataclass(slots=True)
class Outcome:
    """What is known when all is over. window: the time of full load, since the start, seconds.
    before, after: it; final: when the last call is over."""

    plan: Plan
    window: tuple[float, float]
    seen: Seen
    calls: list[dict[str, Any]]
    unfinished: int
    late_ms: list[int]  # ticks of the generators, by how late they were
    logs: dict[
        str, list[tuple[float, str, dict[str, Any]]]
    ]  # by call: (since the start, what, ...)
    before: Metrics
    after: Metrics
    final: Metrics
    udp_drops: int
    provider: dict[str, Any]
    put_ahead: bool  # generators and provider have the CPU before the others
    errors: list[str] = field(default_factory=list)


class Rig:
    """start(), run() once, stop()."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        self.plan = plan
        self._folder = folder
        self._port = free_port()
        url = f"http://127.0.0.1:{self._port}"
        self._url = url
        self.house = House(
            folder,
            folder / "state",
            ESLBOT_BOT=str(BOT),
            ESLBOT_STT_URL=f"{url}/v1",
            ESLBOT_LLM_URL=f"{url}/v1",
            ESLBOT_TTS_URL=f"{url}/v1",
            **(plan.environ() | {"ESLBOT_TTS": "openai"}),
        )
        # (TCP port, port of /metrics) of each listener.
        self._listeners = [(self.house.port, self.house.metrics_port)]
        self._provider: subprocess.Popen[bytes] | None = None
        self._generators: list[subprocess.Popen[bytes]] = []
        self._ahead: list[bool] = []

    def start(self) -> None:
        """Raises house.Late."""
        self._start_provider()
        workers = self.plan.workers
        self.house.start_all(workers)
        for n in range(2, self.plan.listeners + 1):
            metrics_port = free_port()
            self._listeners.append((self.house.port, metrics_port))
            name = f"listener.{n}"
            self.house.start(name, ESLBOT_METRICS_PORT=str(metrics_port))
            until(functools.partial(self._ready, name), 60, f"{name} says READY")

    def _ready(self, name: str) -> bool:
        return "READY" in self.house.log(name)

    def _start_provider(self) -> None:
        phrases = self._folder / "phrases.json"
        phrases.write_text(json.dumps(load(BOT).fixed_phrases()))
        delays = {"--stt-ms": plans.STT_MS, "--llm-ms": plans.LLM_MS,
                  "--llm-gap-ms": plans.LLM_GAP_MS, "--tts-ms": plans.TTS_MS}  # fmt: skip
        command = [sys.executable, "-m", "eslbot.rig.provider", "--port", str(self._port)]
        command += ["--phrases", str(phrases), "--person", "agent"]
        for flag, ms in delays.items():
            command += [flag, str(ms)]
        with (self._folder / "provider.log").open("wb") as log:
            self._provider = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)  # noqa: S603
        self._ahead.append(put_ahead(self._provider.pid))
        until(self._provider_answers, 20, "the provider answers")

    def _provider_answers(self) -> bool:
        try:
            counts(self._url)
        except OSError:
            return False
        return True

    def run(self, tell: Tell) -> Outcome:
        plan = self.plan
        start_at, wall_at = time.monotonic() + BEGIN_S, time.time() + BEGIN_S
        window = (plan.ramp_s, plan.ramp_s + plan.seconds)
        results = self._start_generators(start_at, start_at + window[1])
        client = self.house.redis.client(4)
        pids = {name: process.pid for name, process in self._processes().items()}
        names = [name for name in pids if name.startswith("listener")]
        ports = (port for _, port in self._listeners)
        listeners = {pids[name]: port for name, port in zip(names, ports, strict=True)}
        watch = Watch(pids, listeners, client, start_at)
        watching = gevent.spawn(watch.run)
        gevent.sleep(max(0.0, start_at + window[0] - time.monotonic()))
        before = self._metrics()
        self._tell_progress(tell, start_at + window[1])
        after = self._metrics()
        errors = self._await_generators()
        watch.stop()
        watching.join(timeout=5)
        found = [json.loads(path.read_text()) for path in results if path.exists()]
        if len(found) < len(results):
            errors.append(f"{len(results) - len(found)} generators left no result")
        calls = [call for one in found for call in one["calls"]]
        late = [sum(column) for column in zip(*(one["late_ms"] for one in found), strict=True)]
        provider = counts(self._url)
        gevent.sleep(1.5)  # the listener writes what became of the last calls
        logs = {call["call"]: self._log(client, call["call"], wall_at) for call in calls}
        client.close()
        return Outcome(
            plan, window, watch.seen, calls, sum(one["unfinished"] for one in found), late, logs,
            before, after, self._metrics(), sum(one.total for one in watch.drops), provider,
            all(self._ahead), errors,
        )  # fmt: skip

    def _start_generators(self, start_at: float, end_at: float) -> list[Path]:
        plan = self.plan
        audio = self._folder / "audio"
        audio.mkdir()
        results = []
        for n in range(plan.generators):
            lines = Lines(
                list(range(n, plan.calls, plan.generators)), plan.calls,
                [f"127.0.0.1:{port}" for port, _ in self._listeners], start_at, end_at, str(audio),
            )  # fmt: skip
            asked, result = (self._folder / f"{name}.{n}.json" for name in ("lines", "result"))
            lines.write(asked)
            results.append(result)
            command = [sys.executable, "-m", "eslbot.loadtest.generator", str(asked), str(result)]
            with (self._folder / f"generator.{n}.log").open("wb") as log:
                generator = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)  # noqa: S603
            self._generators.append(generator)
            self._ahead.append(put_ahead(generator.pid))
        return results

    def _processes(self) -> dict[str, subprocess.Popen[bytes]]:
        assert self._provider is not None and self.house.redis.process is not None
        generators = {f"generator.{n}": one for n, one in enumerate(self._generators)}
        more = {"redis": self.house.redis.process, "provider": self._provider}
        return self.house.processes | more | generators

    def _metrics(self) -> Metrics:
        return added([metrics(port) for _, port in self._listeners])

    def _tell_progress(self, tell: Tell, end_at: float) -> None:
        while (left := end_at - time.monotonic()) > 0:
            flight = self._metrics().get(("eslbot_calls_in_flight", ()), 0.0)
            tell(f"{flight:.0f} calls open, {left:.0f} s to go")
            gevent.sleep(min(left, TELL_EVERY_S))

    def _await_generators(self) -> list[str]:
        """What is wrong with them."""
        deadline = time.monotonic() + plans.GRACE_S + 30
        while time.monotonic() < deadline and any(g.poll() is None for g in self._generators):
            gevent.sleep(0.1)
        return [
            f"generator {n} ended with {one.poll()}"
            for n, one in enumerate(self._generators)
            if one.poll() != 0
        ]

    @staticmethod
    def _log(
        client: redis.Redis, call: str, wall_at: float
    ) -> list[tuple[float, str, dict[str, Any]]]:
        entries: Any = client.xrange(streams.log_key(call))
        return [
            (float(e[b"at"]) - wall_at, e[b"what"].decode(), json.loads(e[b"fields"]))
            for _, e in entries
        ]

    def stop(self) -> None:
        for one in self._generators:
            if one.poll() is None:
                one.kill()
            one.wait()
        self.house.stop()
        if self._provider:
            self._provider.kill()
            self._provider.wait()
