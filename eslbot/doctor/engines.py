"""Let each role choose its engines as its workers will, in processes like theirs."""

from __future__ import annotations

import subprocess
import sys

from eslbot.doctor.finding import Finding, warning
from workers import streams

WITHIN_S = 300  # a model may have to be fetched
WARNING = "warning: "  # begins such a line of `python -m workers --check ROLE`
DO = "docs/engines.md says which engines there are and what each needs"


def load() -> list[Finding]:
    command = [sys.executable, "-m", "workers", "--check"]
    runs = {
        role: subprocess.Popen(  # noqa: S603
            [*command, role], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for role in streams.STAGES
    }
    found = []
    for role, run in runs.items():
        try:
            out, told = run.communicate(timeout=WITHIN_S)
        except subprocess.TimeoutExpired:
            run.kill()
            run.communicate()
            found.append(Finding(f"{role}: its engine did not load in {WITHIN_S} s", DO))
            continue
        found += [
            warning(f"{role}: {line.removeprefix(WARNING)}")
            for line in out.splitlines()
            if line.startswith(WARNING)
        ]
        if run.returncode:
            last = told.strip().splitlines()[-1] if told.strip() else f"{role}: failed"
            found.append(Finding(last, DO))
    return found
