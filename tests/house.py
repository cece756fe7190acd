"""The whole system for a test to call, and the caller's recorded sentences."""

from __future__ import annotations

from eslbot.prompts import read_wav
from eslbot.rig.house import ROOT, House, until

RECORDINGS = ROOT / "eslbot" / "recordings"

__all__ = ["RECORDINGS", "ROOT", "House", "recording", "until"]


def recording(name: str) -> bytes:
    """One of the caller's recorded sentences."""
    return read_wav(RECORDINGS / f"{name}.wav")
