"""All that is sealed, sealed anew with the newest key: then the old ones can go.

Rows in batches; recordings a block at a time, each into a file beside it that takes its place once
it is whole. What has the newest key already is passed over, so that a run that was broken off goes
on with the next.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import select, update

from eslbot.media.recording import FILE, MAGIC, RecordingError, blocks, sealed
from eslbot.records import schema
from eslbot.records.keeping import DRAFT, alone, drop_drafts
from eslbot.records.store import Store

BATCH = 500
# A recording gets a block a second while its call goes on.
STILL_WRITTEN_S = 60.0


@dataclass(slots=True)
class Rekeyed:
    """Recordings of one folder. had: the newest key already. open: still being written. failed:
    (name, why)."""

    done: int = 0
    had: int = 0
    open: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)


def rekey(store: Store) -> int:
    """How many rows were there. Raises StoreError, SealError."""
    count = 0
    for table in (schema.calls, schema.turns, schema.events, schema.deliveries):
        columns = schema.SEALED[table.name]
        keys = list(table.primary_key.columns)
        with store.begin() as connection:
            rows = connection.execute(select(*keys)).all()
        for at in range(0, len(rows), BATCH):
            with store.begin() as connection:
                for row in rows[at : at + BATCH]:
                    here = [key == value for key, value in zip(keys, row, strict=True)]
                    old = connection.execute(
                        select(*[table.c[name] for name in columns]).where(*here)
                    ).first()
                    if old is None:
                        continue
                    new = {name: store.seal.reseal(old._mapping[name]) for name in columns}
                    connection.execute(update(table).where(*here).values(new))
                    count += 1
    with store.begin() as connection:
        store.audit(connection, "rekeyed", detail=f"{count} rows")
    store.forget_pages()
    return count


def rekey_recordings(folder: Path, keys: Sequence[bytes], now: float) -> Rekeyed:
    """The sealed recordings of a folder. keys: the newest first; none: nothing is done. now: by
    the time of day, in seconds. A file that can't be done is told and left as it is. Raises OSError
    where the folder can't be read."""
    found = Rekeyed()
    if not keys or not folder.is_dir():
        return found
    drop_drafts(folder, now)
    for path in sorted(folder.glob("*.enc")):
        if not FILE.fullmatch(path.name):
            continue
        try:
            with path.open("rb") as old:
                _rekey_file(path, old, keys, now, found)
        except FileNotFoundError:
            if path.exists():  # else it was deleted meanwhile
                found.failed.append((path.name, "what was written anew was taken away"))
        except RecordingError as error:
            found.failed.append((path.name, str(error)))
        except OSError as error:
            found.failed.append((path.name, error.strerror or type(error).__name__))
    return found


def _rekey_file(
    path: Path, old: BinaryIO, keys: Sequence[bytes], now: float, found: Rekeyed
) -> None:
    if old.read(len(MAGIC)) != MAGIC:
        raise RecordingError("not a recording of ours")
    if _opens(old, keys[:1]):
        found.had += 1
        return
    was = os.fstat(old.fileno())
    if was.st_mtime > now - STILL_WRITTEN_S:
        found.open += 1
        return
    key = AESGCM(keys[0])
    draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}{DRAFT}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as new:
            new.write(MAGIC)
            for number, block in enumerate(blocks(old, keys)):
                new.write(sealed(key, number, block))
            new.flush()
            os.fsync(new.fileno())
        with alone(path.parent):
            here = path.stat()  # gone: FileNotFoundError, and it stays so
            if (here.st_ino, here.st_size, here.st_mtime_ns) != (
                was.st_ino, was.st_size, was.st_mtime_ns,
            ):  # fmt: skip
                found.open += 1
                return
            draft.replace(path)
            # Retention goes by its time.
            os.utime(path, ns=(was.st_atime_ns, was.st_mtime_ns))
        found.done += 1
    finally:
        with suppress(FileNotFoundError):
            draft.unlink()


def _opens(file: BinaryIO, keys: Sequence[bytes]) -> bool:
    """Whether these keys open its first block, if it has any; it stands behind the magic again
    then."""
    try:
        next(blocks(file, keys), None)
        return True
    except RecordingError:
        return False
    finally:
        file.seek(len(MAGIC))
