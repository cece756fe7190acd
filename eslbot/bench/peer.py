"""eslbot's whole path against Pipecat: same audio, same delays, same machine, one after another.

Both get the same callers (callers.py) from another process on another core, and the same delays
of the three services. Measured are the CPU time of all processes of a side over the measured
seconds, from /proc, and for each turn the wait from the decision that the utterance is over to
the first frame of the answer, less the services' own delays.

    pipecat             its pipeline in one process, stub services in it, silence ends an utterance
    pipecat, provider   its OpenAI clients asking the very server that ours ask
    pipecat, smart      stub services; its default, the Smart Turn model, ends an utterance
    eslbot              listener, Redis and three workers, asking a server by HTTP
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import gevent
import numpy as np

from eslbot.bench import machine
from eslbot.bench.callers import STAGGER_S, Caller, Heard, sentences
from eslbot.bench.sides import BenchError, Ours, Pipecat, Provider, Terms, Took
from eslbot.rig.house import Late

PINNED = "1.14.0"
SERVICES = 3
WARM_UP_S = 8.0
SIDES = ("pipecat", "pipecat, provider", "pipecat, smart", "eslbot")


@dataclass(slots=True)
class Run:
    """One side, measured. Milliseconds where a name does not say otherwise."""

    side: str
    calls: int
    seconds: float
    turns: int
    unanswered: int
    cpu_ms_per_call_s: float
    by_process: dict[str, float] = field(default_factory=dict)
    calls_per_core: float = 0.0
    wait_p50: float | None = None
    wait_p99: float | None = None
    vad_lag_p50: float | None = None
    vad_lag_p99: float | None = None
    gap_p50: float | None = None
    gap_p99: float | None = None
    load_1min: float = 0.0


def measure(side: Ours | Pipecat, terms: Terms, silence_ms: float, seconds: float) -> Run:
    """Start it, call it, measure. Raises BenchError."""
    try:
        side.start()
        callers = _call(side, terms.calls)
        gevent.sleep(WARM_UP_S)
        load = os.getloadavg()[0]
        since, before = time.time(), {n: machine.cpu_s(p) for n, p in side.pids().items()}
        gevent.sleep(seconds)
        until, after = time.time(), {n: machine.cpu_s(p) for n, p in side.pids().items()}
        for one in callers:
            one.ended = True
        told = side.turns([one.call for one in callers])
        for one in callers:
            one.call.hangup()
        gevent.sleep(0.2)
    except Late as error:
        raise BenchError(f"{side.name}: {error}") from None
    finally:
        side.stop()
    call_s = terms.calls * (until - since)
    used = {name: 1000 * (after[name] - before[name]) / call_s for name in before}
    total = sum(used.values())
    heard = [[h for h in one.heard if since <= h.last_word <= until] for one in callers]
    run = Run(
        side.name,
        terms.calls,
        round(until - since, 1),
        turns=sum(len(one) for one in heard),
        unanswered=sum(h.answer is None for one in heard for h in one),
        cpu_ms_per_call_s=round(total, 2),
        by_process={name: round(ms, 2) for name, ms in sorted(used.items())},
        calls_per_core=round(1000 / total, 1) if total else 0.0,
        load_1min=round(load, 2),
    )
    _times(run, heard, told, terms.delay_ms * SERVICES, silence_ms)
    return run


def _call(side: Ours | Pipecat, count: int) -> list[Caller]:
    spoken = sentences()
    callers = []
    for number in range(count):
        callers.append(Caller(side.dial(number), number, spoken))
        gevent.spawn(callers[-1].run)
        gevent.sleep(STAGGER_S)
    return callers


def _times(
    run: Run,
    heard: Sequence[Sequence[Heard]],
    told: Sequence[Sequence[Took]],
    delays_ms: float,
    silence_ms: float,
) -> None:
    """Each utterance with the side's own account of it: the last one before the answer came."""
    waits, lags, gaps = [], [], []
    for ours, theirs in zip(heard, told, strict=True):
        for one in ours:
            if one.answer is None:
                continue
            gaps.append((one.answer - one.last_word) * 1000 - delays_ms - silence_ms)
            fitting = [t for t in theirs if one.last_word < t.first_frame <= one.answer + 0.1]
            if fitting:
                took = fitting[-1]
                waits.append((took.first_frame - took.decided) * 1000 - delays_ms)
                lags.append((took.decided - one.last_word) * 1000 - silence_ms)
    run.wait_p50, run.wait_p99 = _percentiles(waits)
    run.vad_lag_p50, run.vad_lag_p99 = _percentiles(lags)
    run.gap_p50, run.gap_p99 = _percentiles(gaps)


def _percentiles(values: list[float]) -> tuple[float | None, float | None]:
    if not values:
        return None, None
    p50, p99 = np.percentile(values, (50, 99))
    return round(float(p50), 1), round(float(p99), 1)


def table(runs: Sequence[Run]) -> str:
    """In Markdown; one column for each side."""
    rows: list[tuple[str, str]] = [
        ("calls at once", "calls"), ("turns measured", "turns"), ("unanswered", "unanswered"),
        ("CPU ms per call-second", "cpu_ms_per_call_s"), ("calls per core", "calls_per_core"),
        ("wait, p50 ms", "wait_p50"), ("wait, p99 ms", "wait_p99"),
        ("VAD lag, p50 ms", "vad_lag_p50"), ("VAD lag, p99 ms", "vad_lag_p99"),
        ("heard, p50 ms", "gap_p50"), ("heard, p99 ms", "gap_p99"),
        ("load of the machine", "load_1min"),
    ]  # fmt: skip
    lines = ["| | " + " | ".join(run.side for run in runs) + " |", "|---" * (len(runs) + 1) + "|"]
    for title, name in rows:
        cells = [getattr(run, name) for run in runs]
        lines.append(
            f"| {title} | " + " | ".join("-" if c is None else str(c) for c in cells) + " |"
        )
    return "\n".join(lines)


def ratios(runs: Sequence[Run]) -> dict[str, dict[str, float]]:
    """Of each other side to eslbot: above 1 eslbot needs less."""
    ours = next((run for run in runs if run.side == "eslbot"), None)
    found: dict[str, dict[str, float]] = {}
    for run in runs if ours else ():
        if run is ours:
            continue
        pairs = {
            "cpu": (run.cpu_ms_per_call_s, ours.cpu_ms_per_call_s if ours else 0),
            "wait_p50": (run.wait_p50, ours.wait_p50 if ours else None),
            "wait_p99": (run.wait_p99, ours.wait_p99 if ours else None),
        }
        found[run.side] = {n: round(a / b, 2) for n, (a, b) in pairs.items() if a and b and b > 0}
    return found


def pipecat_version(python: Path) -> str:
    """Raises BenchError where it is not there, or is another one."""
    if not python.exists():
        raise BenchError(f"no Pipecat at {python}: `make bench-peer` installs it there")
    ask = "import importlib.metadata as m; print(m.version('pipecat-ai'))"
    told = subprocess.run(  # noqa: S603
        [str(python), "-c", ask], capture_output=True, text=True, timeout=60
    )
    version = told.stdout.strip()
    if version != PINNED:
        raise BenchError(f"Pipecat {version or 'is not there'}; {PINNED} is what was compared with")
    return version


def run_all(asked: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """All sides that were asked for, in turn. Raises BenchError where none can be measured."""
    python = Path(asked.python).absolute()
    versions = {"pipecat": pipecat_version(python)} if set(asked.only) != {"eslbot"} else {}
    measured, caller = machine.two_cores()
    machine.pin(os.getpid(), caller)
    runs: list[Run] = []
    failed: dict[str, str] = {}
    provider = Provider(asked.delay_ms)
    try:
        machine.pin(provider.pid, caller)
        for name in asked.only:
            calls = asked.calls if name == "eslbot" else asked.peer_calls
            terms = Terms(calls, asked.delay_ms, asked.silence_ms, measured)
            here = folder / name.replace(", ", "-")
            here.mkdir(parents=True)
            more: dict[str, tuple[str, ...]] = {
                "pipecat, provider": ("--provider", provider.url),
                "pipecat, smart": ("--turns", "smart"),
            }
            side: Ours | Pipecat
            if name == "eslbot":
                side = Ours(here, terms, provider.url)
            else:
                side = Pipecat(name, python, here, terms, more.get(name, ()))
            # Smart Turn is asked after Pipecat's own 200 ms of silence.
            silence_ms = 200 if name == "pipecat, smart" else asked.silence_ms
            print(f"{name}: {calls} calls, {asked.seconds:g} s …", file=sys.stderr, flush=True)
            try:
                runs.append(measure(side, terms, silence_ms, asked.seconds))
            except BenchError as error:
                failed[name] = str(error)
    finally:
        provider.stop()
    return {
        "date": date.today().isoformat(),
        "machine": machine.about(),
        "versions": versions,
        "terms": {"delay_ms": asked.delay_ms, "silence_ms": asked.silence_ms,
                  "services": SERVICES},
        "runs": runs,
        "failed": failed,
        "ratios_to_eslbot": ratios(runs),
    }  # fmt: skip


def main(argv: list[str] | None = None) -> int:
    """0: measured. 1: not all sides. 2: something is missing, in one line."""
    parser = argparse.ArgumentParser(
        prog="python -m eslbot.bench.peer", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--python", default="var/peer-venv/bin/python", metavar="PATH",
                        help="where Pipecat is installed (%(default)s)")  # fmt: skip
    parser.add_argument("--calls", type=_positive, default=20, metavar="N",
                        help="calls at once of eslbot (%(default)s)")  # fmt: skip
    parser.add_argument("--peer-calls", type=_positive, default=5, metavar="N",
                        help="calls at once of Pipecat (%(default)s)")  # fmt: skip
    parser.add_argument("--seconds", type=_positive, default=30, metavar="S",
                        help="measured for each side (%(default)s)")  # fmt: skip
    parser.add_argument("--delay-ms", type=_positive, default=150, metavar="MS",
                        help="of each of the three services (%(default)s)")  # fmt: skip
    parser.add_argument("--silence-ms", type=_positive, default=640, metavar="MS",
                        help="that ends an utterance (%(default)s)")  # fmt: skip
    parser.add_argument("--only", action="append", choices=SIDES, metavar="SIDE",
                        help=f"may be given again; of: {'; '.join(SIDES)}")  # fmt: skip
    parser.add_argument("--out", type=Path, default=Path("var/bench/peer.json"),
                        help="for what was measured (%(default)s)")  # fmt: skip
    asked = parser.parse_args(argv)
    asked.only = asked.only or list(SIDES)
    folder = Path(tempfile.mkdtemp(prefix="eslbot-bench-"))
    try:
        found = run_all(asked, folder)
    except BenchError as error:
        shutil.rmtree(folder, ignore_errors=True)
        print(f"bench-peer: {error}", file=sys.stderr)
        return 2
    print(table(found["runs"]))
    if len({run.calls for run in found["runs"]}) > 1:
        print("Not the same number of calls: more calls share what a side needs once.")
    for side, values in found["ratios_to_eslbot"].items():
        told = ", ".join(f"{name} {value}" for name, value in values.items())
        print(f"{side} / eslbot: {told}")
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    found["runs"] = [asdict(run) for run in found["runs"]]
    asked.out.write_text(json.dumps(found, indent=1) + "\n")
    print(f"written to {asked.out}")
    if found["failed"]:
        for side, why in found["failed"].items():
            print(f"bench-peer: {side}: {why} (logs: {folder})", file=sys.stderr)
        return 1
    shutil.rmtree(folder, ignore_errors=True)
    return 0


def _positive(text: str) -> int:
    value = int(text) if text.isdigit() else 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 on")
    return value


if __name__ == "__main__":
    sys.exit(main())
