"""Entries into the database, each once, and what is to be told to webhooks with them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

from sqlalchemy import Connection, select, update

from eslbot.records import schema, webhooks
from eslbot.records.fold import Entry, call_columns, settled, turn_row
from eslbot.records.store import Store
from workers.bot import Bot

BotOf = Callable[[str], Bot | None]


def write(store: Store, entries: Iterable[Entry], bot_of: BotOf) -> None:
    """All of them in one transaction. Raises StoreError: then nothing was written."""
    calls: dict[str, list[Entry]] = {}
    for one in entries:
        calls.setdefault(one.call, []).append(one)
    with store.begin() as connection:
        for uuid in sorted(
            calls
        ):  # the same order everywhere: two recorders never block each other
            _write_call(store, connection, uuid, calls[uuid], bot_of)


def _write_call(
    store: Store, connection: Connection, uuid: str, entries: list[Entry], bot_of: BotOf
) -> None:
    table = schema.calls
    store.add(connection, table, {"uuid": uuid, "started_at": min(e.at for e in entries)})
    row = dict(
        connection.execute(select(table).where(table.c.uuid == uuid).with_for_update())
        .one()
        ._mapping
    )
    changed: dict[str, Any] = {}
    for one in entries:
        if not _insert(store, connection, one):
            continue
        columns = call_columns(one)
        if "started_at" in columns and row["bot"]:  # it came back: it is still the same call
            columns = {k: v for k, v in columns.items() if k not in ("started_at", "caller")}
        changed |= columns
        row |= columns
        bot = bot_of(one.bot) if one.bot else None
        for delivery in webhooks.deliveries(bot, one) if bot else ():
            store.add(connection, schema.deliveries, delivery)
    changed |= settled(row, *_known(connection, uuid))
    sealed = store.sealed(table, changed)
    connection.execute(update(table).where(table.c.uuid == uuid).values(sealed))


def _insert(store: Store, connection: Connection, one: Entry) -> bool:
    """Whether it was not there yet."""
    if one.what == "turn":
        row = turn_row(one)
        text = _amended(store, connection, one)
        return store.add(connection, schema.turns, row if text is None else row | {"heard": text})
    event = {"id": one.id, "call": one.call, "leg": one.leg, "seq": one.seq, "at": one.at}
    event |= {"what": one.what, "fields": json.dumps(one.fields, ensure_ascii=False)}
    new = store.add(connection, schema.events, event)
    if new and one.what == "amended":
        turns = schema.turns
        values = store.sealed(turns, {"heard": str(one.fields.get("text", ""))})
        here = (turns.c.call == one.call) & (turns.c.leg == one.leg)
        which = here & (turns.c.number == one.fields.get("number"))
        connection.execute(update(turns).where(which).values(values))
    return new


def _amended(store: Store, connection: Connection, one: Entry) -> str | None:
    """What a turn reads like, where that was said before the turn itself came."""
    events = schema.events
    here = (events.c.call == one.call) & (events.c.leg == one.leg) & (events.c.what == "amended")
    for row in connection.execute(select(events).where(here).order_by(events.c.seq.desc())):
        fields = json.loads(store.opened(events, row)["fields"])
        if fields.get("number") == one.fields["number"]:
            return str(fields.get("text", ""))
    return None


def _known(connection: Connection, uuid: str) -> tuple[list[Any], bool]:
    turns, events = schema.turns, schema.events
    c = turns.c
    rows = connection.execute(
        select(c.outcome, c.intent, c.open_intent, c.misses)
        .where(c.call == uuid)
        .order_by(c.at, c.number)
    ).all()
    menu = connection.execute(
        select(events.c.id).where((events.c.call == uuid) & (events.c.what == "menu")).limit(1)
    ).first()
    return list(rows), menu is not None
