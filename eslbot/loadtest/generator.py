"""`python -m eslbot.loadtest.generator LINES.json RESULT.json`: a process with some of the calls.

It says how late its own clock was, so that its limit is told apart from the system's.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from dataclasses import asdict
from pathlib import Path

import gevent
import numpy as np

from eslbot.loadtest.line import Line
from eslbot.loadtest.plan import EVERY_NTH_KEPT, GRACE_S, MAX_KEPT, Lines
from eslbot.prompts import read_wav
from eslbot.switch.clock import CLOCK

RECORDINGS = Path(__file__).parent.parent / "recordings"
WORDS = ("balance", "account", "hours", "person")


def words() -> list[bytes]:
    """The caller's sentences, without the silence at their ends."""
    found = []
    for name in WORDS:
        pcm = np.frombuffer(read_wav(RECORDINGS / f"{name}.wav"), "<i2")
        loud = np.flatnonzero(np.abs(pcm) > 300)
        found.append(pcm[loud[0] : loud[-1] + 1].tobytes())
    return found


def main(lines_path: str, result_path: str) -> int:
    of = Lines.read(Path(lines_path))
    spoken = words()
    lines = [Line(n, of, spoken) for n in of.lines]
    gc.freeze()
    kept = 0
    tasks = []
    for line, n in zip(lines, of.lines, strict=True):
        keep = n % EVERY_NTH_KEPT == 0 and kept < MAX_KEPT
        kept += keep
        tasks.append(gevent.spawn(line.run, keep))
    gevent.joinall(tasks, timeout=max(0.0, of.end_at - time.monotonic()) + GRACE_S + 5)
    result = {
        "calls": [asdict(call) for line in lines for call in line.calls],
        "unfinished": sum(line.unfinished for line in lines),
        "late_ms": CLOCK.lateness.counts,
    }
    Path(result_path).write_text(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
