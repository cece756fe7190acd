"""Recordings that are too old are deleted, and nothing else that lies in their folder."""

from __future__ import annotations

import os
from pathlib import Path

from sqlalchemy import select

from eslbot.records import keeping, schema
from eslbot.records.keeping import DAY_S
from eslbot.records.seal import Seal
from eslbot.records.store import Store
from workers.settings import Settings

NOW = 1_800_000_000.0


def test_of_recordings_those_go_that_are_older_than_their_days(tmp_path: Path):
    recordings = tmp_path / "recordings"
    recordings.mkdir()
    ages = {"a" * 32 + ".wav": 31, "b" * 32 + ".enc": 31, "c" * 32 + ".wav": 29, "notes.txt": 99}
    for name, days in ages.items():
        (recordings / name).write_bytes(b"x")
        os.utime(recordings / name, (NOW - days * DAY_S,) * 2)
    store = Store(f"sqlite:///{tmp_path / 'records'}", Seal([], b"p" * 32))
    kept = Settings(state_dir=str(tmp_path), keep_audio_days=0, keep_text_days=0)
    assert keeping.prune(store, kept, NOW) == (0, 0)  # 0: for ever
    settings = Settings(state_dir=str(tmp_path), keep_audio_days=30, keep_text_days=0)
    assert keeping.prune(store, settings, NOW) == (0, 2)
    assert sorted(one.name for one in recordings.iterdir()) == ["c" * 32 + ".wav", "notes.txt"]
    with store.begin() as connection:
        told = connection.execute(select(schema.audit.c.what, schema.audit.c.detail)).all()
    assert [tuple(row) for row in told] == [("expired", "2 recordings")]
    store.close()
