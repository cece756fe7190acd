"""Reading records: for the command line, the console and reports.

calls(store, Query(...), limit)   the newest first, without what was said
call(store, uuid, who=...)        one call with its turns and events; who read it is kept
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import and_, desc, or_, select
from sqlalchemy.sql import ColumnElement

from eslbot.records import schema
from eslbot.records.store import Store

MAX_ROWS = 10_000


@dataclass(frozen=True, slots=True)
class Query:
    """Which calls; what is None does not matter. since, until: seconds since 1970, of the start.
    caller: a number. uuid: the beginning of one."""

    bot: str | None = None
    intent: str | None = None
    outcome: str | None = None
    variant: str | None = None
    escalated: bool | None = None
    resolved: bool | None = None
    caller: str | None = None
    since: float | None = None
    until: float | None = None
    uuid: str | None = None


def calls(store: Store, query: Query | None = None, limit: int = 50) -> list[dict[str, Any]]:
    """Rows of the table `calls` as dictionaries, the newest first, at most `limit`; variables as a
    mapping. Raises StoreError, SealError."""
    chosen = (
        select(schema.calls)
        .where(_where(store, query or Query()))
        .order_by(desc(schema.calls.c.started_at), schema.calls.c.uuid)
        .limit(min(max(limit, 1), MAX_ROWS))
    )
    with store.begin() as connection:
        rows = connection.execute(chosen).all()
    return [_plain(store.opened(schema.calls, row)) for row in rows]


def call(store: Store, uuid: str, who: str = "", purpose: str = "read") -> dict[str, Any] | None:
    """One call: its row, "turns" and "events" in their order; None when there is none. That it was
    read stands in the audit trail. Raises StoreError, SealError."""
    with store.begin() as connection:
        row = connection.execute(select(schema.calls).where(schema.calls.c.uuid == uuid)).first()
        if row is None:
            return None
        turns = connection.execute(
            select(schema.turns)
            .where(schema.turns.c.call == uuid)
            .order_by(schema.turns.c.at, schema.turns.c.number)
        ).all()
        events = connection.execute(
            select(schema.events)
            .where(schema.events.c.call == uuid)
            .order_by(schema.events.c.at, schema.events.c.seq)
        ).all()
        store.audit(connection, purpose, uuid, who=who)
    found = _plain(store.opened(schema.calls, row))
    found["turns"] = [_plain(store.opened(schema.turns, one)) for one in turns]
    found["events"] = [_plain(store.opened(schema.events, one)) for one in events]
    return found


def turns(
    store: Store, query: Query | None = None, limit: int = MAX_ROWS
) -> Iterator[dict[str, Any]]:
    """The turns of the newest calls, call by call, in their order, for statistics. Whoever tells
    them to somebody writes that into the audit trail. Raises StoreError, SealError."""
    for one in calls(store, query, limit):
        chosen = (
            select(schema.turns)
            .where(schema.turns.c.call == one["uuid"])
            .order_by(schema.turns.c.at, schema.turns.c.number)
        )
        with store.begin() as connection:
            rows = connection.execute(chosen).all()
        for row in rows:
            yield _plain(store.opened(schema.turns, row))


def audit(store: Store, limit: int = 100) -> list[dict[str, Any]]:
    """The audit trail, the newest first."""
    chosen = select(schema.audit).order_by(desc(schema.audit.c.at)).limit(min(limit, MAX_ROWS))
    with store.begin() as connection:
        return [dict(row._mapping) for row in connection.execute(chosen)]


def _where(store: Store, query: Query) -> ColumnElement[bool]:
    c = schema.calls.c
    wanted: list[ColumnElement[bool]] = [c.uuid.is_not(None)]
    for name in ("bot", "intent", "outcome", "variant"):
        value = getattr(query, name)
        if value is not None:
            wanted.append(c[name] == value)
    for name in ("escalated", "resolved"):
        value = getattr(query, name)
        if value is not None:
            wanted.append(c[name].is_(value))
    if query.since is not None:
        wanted.append(c.started_at >= query.since)
    if query.until is not None:
        wanted.append(c.started_at < query.until)
    if query.uuid is not None:
        wanted.append(c.uuid.startswith(query.uuid, autoescape=True))
    if query.caller is not None:
        hashes = store.seal.caller_hashes(query.caller)
        wanted.append(or_(*[c.caller == one for one in hashes], c.uuid.is_(None)))
    return and_(*wanted)


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """With the columns that hold JSON as what they are."""
    for name in ("variables", "slots", "tools", "more", "fields"):
        if name in row:
            row[name] = json.loads(row[name]) if row[name] else {}
    return row
