"""What processes cost, from /proc (proc(5)): CPU, memory, and what their UDP sockets lost."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
AHEAD = -10  # niceness of what stands for other machines
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Cost:
    cpu_s: float  # user and system, since it began
    rss: int  # bytes
    threads: int = 0
    files: int = 0  # open descriptors; 0 where they may not be seen


def cost(pid: int) -> Cost | None:
    """None: it has gone."""
    try:
        # The name in brackets may hold anything.
        fields = (PROC / f"{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    try:
        files = sum(1 for _ in (PROC / f"{pid}/fd").iterdir())
    except OSError:
        files = 0
    # After pid and name: utime and stime are fields 14 and 15, the number of threads is 20, rss
    # is 24, counted from 1.
    cpu_s = (int(fields[11]) + int(fields[12])) / TICKS_PER_S
    return Cost(cpu_s, int(fields[21]) * PAGE, int(fields[17]), files)


def put_ahead(pid: int) -> bool:
    """Give a process that stands for another machine the CPU before ours: callers do not talk
    slower because we are busy. False: it is not allowed (it takes CAP_SYS_NICE)."""
    try:
        os.setpriority(os.PRIO_PROCESS, pid, AHEAD)
    except OSError:
        return False
    return True


def machine_cpu_s() -> tuple[float, float]:
    """(busy, all) of all cores since the machine began, in seconds."""
    first = (PROC / "stat").read_text().split("\n", 1)[0].split()[1:9]
    ticks = [int(one) for one in first]
    idle = ticks[3] + ticks[4]
    return (sum(ticks) - idle) / TICKS_PER_S, sum(ticks) / TICKS_PER_S


class UdpDrops:
    """Datagrams that the kernel dropped at sockets of a process, because it did not read."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._known: dict[str, int] = {}  # by inode, the last count seen

    @property
    def total(self) -> int:
        return sum(self._known.values())

    def look(self) -> None:
        """What a socket loses after the last look, and before it is closed, is not seen."""
        own = self._inodes()
        with contextlib.suppress(OSError):
            for row in (PROC / f"{self._pid}/net/udp").read_text().splitlines()[1:]:
                fields = row.split()
                if fields[9] in own:
                    self._known[fields[9]] = int(fields[12])

    def _inodes(self) -> set[str]:
        found = set()
        with contextlib.suppress(OSError):
            for fd in (PROC / f"{self._pid}/fd").iterdir():
                with contextlib.suppress(OSError):
                    target = str(fd.readlink())
                    if target.startswith("socket:["):
                        found.add(target[8:-1])
        return found
