"""Keeps one worker process running: a worker that is killed is started again.

For the Procfile: honcho ends everything when one process ends, and a worker that ran out of
memory is no reason to end the listener's calls. Where systemd or Kubernetes restart processes
themselves, it is not needed.
"""

from __future__ import annotations

import ctypes
import signal
import subprocess
import sys
import threading
import time
from types import FrameType

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 10.0
# A worker that lived for so long was sound: the next pause is short again.
SOUND_S = 30.0
PR_SET_PDEATHSIG = 1  # linux/prctl.h
MISCONFIGURED = 2


def _die_with_parent() -> None:
    """In the child: end when this process does, however it does."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def respawn(arguments: list[str]) -> int:
    """Run `python -m workers ARGUMENTS` until it ends by itself or we are told to end.

    Returns its exit code; 2, a wrong setting, is not tried again.
    """
    stopping = threading.Event()
    child: subprocess.Popen[bytes] | None = None

    def stop(number: int, frame: FrameType | None) -> None:
        stopping.set()
        if child is not None and child.poll() is None:
            child.terminate()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    pause_s = FIRST_PAUSE_S
    while True:
        began = time.monotonic()
        child = subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", "workers", *arguments], preexec_fn=_die_with_parent
        )
        code = child.wait()
        if stopping.is_set() or code in (0, MISCONFIGURED):
            return max(0, code)
        if time.monotonic() - began > SOUND_S:
            pause_s = FIRST_PAUSE_S
        print(f"{arguments[0]}: ended ({code}); again in {pause_s} s", flush=True)
        if stopping.wait(pause_s):
            return 0
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
