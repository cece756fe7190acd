"""All that is sealed, sealed anew with the newest key: then the old ones can go."""

from __future__ import annotations

from sqlalchemy import select, update

from eslbot.records import schema
from eslbot.records.store import Store

BATCH = 500


def rekey(store: Store) -> int:
    """How many rows were there. Recordings keep their key. Raises StoreError, SealError."""
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
