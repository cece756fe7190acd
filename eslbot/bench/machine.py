"""What the machine is, who runs where on it, and what a process has used of it: from /proc."""

from __future__ import annotations

import contextlib
import os
import platform
from pathlib import Path
from typing import Any

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def cpu_s(pid: int) -> float:
    """User and system seconds of a process and its living children; 0 where it is gone."""
    return sum(_own_s(one) for one in _tree(pid))


def _own_s(pid: int) -> float:
    try:
        # proc(5): utime and stime are fields 14 and 15; the name before them may hold spaces.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) * _TICK_S


def _tree(pid: int) -> list[int]:
    found = [pid]
    for parent in found:
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{parent}/task").iterdir():
                found += [int(child) for child in (task / "children").read_text().split()]
    return found


def pin(pid: int, cores: set[int]) -> None:
    """All threads of a process; what it starts later inherits it."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):
            os.sched_setaffinity(int(task.name), cores)


def two_cores() -> tuple[set[int], set[int]]:
    """(the core of what is measured, the core of what calls it); the same where there is one."""
    cores = sorted(os.sched_getaffinity(0))
    return {cores[0]}, {cores[1 if len(cores) > 1 else 0]}


def about() -> dict[str, Any]:
    """Processor, cores, Python, and how busy the machine is with whatever else."""
    model = platform.processor() or platform.machine()
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next(one for one in lines if one.startswith("model name"))
        model = name.partition(":")[2].strip()
    return {
        "processor": model,
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "load_1min": round(os.getloadavg()[0], 2),
    }
