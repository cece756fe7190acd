"""How well moods are noticed: `python -m tests.measure_moods`. See tests/data/moods*.yaml."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from tests.conftest import ENERGY
from workers.bot import load
from workers.llm.moods import Mood, mood

DATA = Path(__file__).parent / "data"


def measure(name: str, show: bool = False) -> dict[str, tuple[int, int, int]]:
    """By kind: noticed and there; noticed and not there; there and not noticed."""
    bot = load(ENERGY)
    rows: list[dict[str, Any]] = yaml.safe_load((DATA / name).read_text())
    found = {}
    for kind in ("anger", "anger high", "urgency", "urgency high", "person"):
        counts = [0, 0, 0]
        for row in rows:
            noticed, there = _is(kind, mood(bot, row["said"])), _is(kind, _labelled(row))
            if noticed or there:
                counts[0 if noticed and there else 1 if noticed else 2] += 1
                if show and noticed != there:
                    print(f"{'false' if noticed else 'missed':7} {kind:13} {row['said']}")
        found[kind] = (counts[0], counts[1], counts[2])
    return found


def _labelled(row: dict[str, Any]) -> Mood:
    return Mood(row.get("anger", "none"), row.get("urgency", "none"), row.get("person", False))


def _is(kind: str, of: Mood) -> bool:
    name, _, strength = kind.partition(" ")
    value = getattr(of, name)
    if isinstance(value, bool):
        return value
    return bool(value == "high" if strength else value != "none")


def main() -> None:
    for name in ("moods.yaml", "moods_later.yaml", "moods_last.yaml"):
        print(name)
        for kind, (right, false, missed) in measure(name, show=True).items():
            print(f"{kind:13} noticed {right} of {right + missed}, {false} where there is none")


if __name__ == "__main__":
    main()
