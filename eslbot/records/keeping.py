"""How long records are kept, and what is deleted when somebody asks for it."""

from __future__ import annotations

import fcntl
import logging
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, delete, or_, select

from eslbot.media.recording import FILE, folder
from eslbot.records import schema
from eslbot.records.store import Store
from workers.settings import Settings

log = logging.getLogger(__name__)

DAY_S = 86400.0
BATCH = 500
DRAFT = ".rekeyed"  # behind a recording's name: half of one that is sealed anew
DRAFT_S = 60.0  # nobody writes one any more that was not touched for so long


def prune(store: Store, settings: Settings, now: float | None = None) -> tuple[int, int]:
    """Delete what is older than it may be. (calls, recordings here). Raises StoreError, OSError."""
    now = time.time() if now is None else now
    deleted = _prune_text(store, settings, now)
    if folder(settings).is_dir():
        drop_drafts(folder(settings), now)
    audio = _prune_audio(settings, now)
    if audio:
        with store.begin() as connection:
            store.audit(connection, "expired", detail=f"{audio} recordings", who="retention")
    if deleted or audio:
        log.info("retention: %d calls and %d recordings deleted", deleted, audio)
    return deleted, audio


def _prune_text(store: Store, settings: Settings, now: float) -> int:
    deleted = 0
    if settings.keep_text_days:
        before = now - settings.keep_text_days * DAY_S
        old = select(schema.calls.c.uuid).where(schema.calls.c.started_at < before).limit(BATCH)
        while True:
            with store.begin() as connection:
                uuids = list(connection.execute(old).scalars())
                if not uuids:
                    break
                _delete(connection, uuids)
                store.audit(connection, "expired", detail=f"{len(uuids)} calls", who="retention")
            deleted += len(uuids)
    if deleted:
        store.forget_pages()
    return deleted


def forget(store: Store, settings: Settings, number: str, who: str = "") -> tuple[int, int]:
    """Delete all that is kept of calls from a number. (calls, recordings here); the audit trail has
    the counts. Raises StoreError, OSError."""
    hashes = store.seal.caller_hashes(number)
    calls = schema.calls
    of_caller = or_(*[calls.c.caller == one for one in hashes], calls.c.uuid.is_(None))
    with store.begin() as connection:
        rows = connection.execute(select(calls.c.uuid, calls.c.recording).where(of_caller)).all()
        files = [row.recording for row in rows if row.recording]
        # The files first: a failure leaves the rows that name them.
        with alone(folder(settings)):
            found = sum(_unlink(folder(settings) / name) for name in files if FILE.fullmatch(name))
        for at in range(0, len(rows), BATCH):
            _delete(connection, [row.uuid for row in rows[at : at + BATCH]])
        detail = f"a caller: {len(rows)} calls, {found} of {len(files)} recordings"
        store.audit(connection, "forgotten", detail=detail, who=who)
    store.forget_pages()
    return len(rows), found


def drop_drafts(recordings: Path, now: float) -> None:
    """Of a `records rekey` that was killed."""
    for draft in recordings.glob(f"*{DRAFT}"):
        if _older(draft, now - DRAFT_S):
            _unlink(draft)


@contextmanager
def alone(recordings: Path) -> Iterator[None]:
    """No other process deletes files of this folder meanwhile, or puts others in their place."""
    if not recordings.is_dir():
        yield
        return
    held = os.open(recordings, os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield
    finally:
        os.close(held)


def _delete(connection: Connection, uuids: Sequence[str]) -> None:
    for table in (schema.turns, schema.events, schema.deliveries):
        connection.execute(delete(table).where(table.c.call.in_(uuids)))
    connection.execute(delete(schema.calls).where(schema.calls.c.uuid.in_(uuids)))


def _prune_audio(settings: Settings, now: float) -> int:
    if not settings.keep_audio_days or not folder(settings).is_dir():
        return 0
    before = now - settings.keep_audio_days * DAY_S
    with alone(folder(settings)):
        found = (path for path in folder(settings).iterdir() if FILE.fullmatch(path.name))
        return sum(_unlink(path) for path in found if _older(path, before))


def _older(path: Path, before: float) -> bool:
    try:
        return path.stat().st_mtime < before
    except FileNotFoundError:  # another recorder was first
        return False


def _unlink(path: Path) -> bool:
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    return True
