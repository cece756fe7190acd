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


def settings(root: Path) -> dict[str, str]:
    """Those of the file, none where there is no file."""
    with contextlib.suppress(FileNotFoundError):
        found: dict[str, str] = environ.parse((root / ".env").read_text())
        return found
    return {}


if __name__ == "__main__":
    os.environ.update(settings(ROOT))
    # In its place, so that signals reach it.
    os.execv(sys.executable, [sys.executable, "-m", "eslbot", *sys.argv[1:]])  # noqa: S606
