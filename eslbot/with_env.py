"""The command line with the settings of the checkout's `.env`: what `.venv/bin/eslbot` runs.

As honcho has it for `make run`: what stands in the file goes before the environment.
"""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

from honcho import environ

ROOT = Path(__file__).resolve().parent.parent

if __name__ == "__main__":
    with contextlib.suppress(FileNotFoundError):
        os.environ.update(environ.parse((ROOT / ".env").read_text()))
    # In its place, so that signals reach it.
    os.execv(sys.executable, [sys.executable, "-m", "eslbot", *sys.argv[1:]])  # noqa: S606
