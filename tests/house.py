"""The whole system for a test to call, and the caller's recorded sentences."""

from __future__ import annotations

from pathlib import Path

import yaml

from eslbot.prompts import read_wav
from eslbot.rig import house as rig
from eslbot.rig.house import ROOT, RedisProcess, until
from tests.conftest import ENERGY

RECORDINGS = ROOT / "eslbot" / "recordings"

__all__ = ["RECORDINGS", "ROOT", "House", "RedisProcess", "recording", "until"]

# Where a house finds language models that another one has built; set for each run of the tests.
models: Path | None = None

# Nothing in a conversation that goes well may depend on how fast the machine is.
PATIENT = {
    "filler": {"say": []},
    "menu": {"after_ms": 30_000},
    "budget": {
        "final_ms": 20_000,
        "first_sentence_ms": 20_000,
        "next_sentence_ms": 20_000,
        "audio_ms": 20_000,
    },
}


class House(rig.House):
    """patient: its bot waits for an answer as long as it takes, and says nothing meanwhile."""

    def __init__(self, folder: Path, state: Path, patient: bool = True, **environ: str) -> None:
        if patient and "ESLBOT_BOT" not in environ:
            example = yaml.safe_load(ENERGY.read_text()) | {"ladder": PATIENT}
            (folder / "bot.yaml").write_text(yaml.safe_dump(example, sort_keys=False))
            environ["ESLBOT_BOT"] = str(folder / "bot.yaml")
            environ.setdefault("ESLBOT_SHED_LAG_MS", "5000")
        if models is not None and not (state / "stt").exists():
            for one in (models, state):
                one.mkdir(parents=True, exist_ok=True)
            (state / "stt").symlink_to(models)
        super().__init__(folder, state, **environ)


def recording(name: str) -> bytes:
    """One of the caller's recorded sentences."""
    return read_wav(RECORDINGS / f"{name}.wav")
