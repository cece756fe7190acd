"""The schema, step by step: each is run once, in order, within one transaction.

A step is frozen once it has been released; what changes afterwards is a new step. The statements
are those that SQLite and PostgreSQL have in common, so that no tool with files and templates of
its own is needed for half a dozen tables. A database of a newer version is refused.
"""

from __future__ import annotations

from sqlalchemy import Connection, text

_CALLS = """
CREATE TABLE calls (
  uuid TEXT PRIMARY KEY, caller TEXT, bot TEXT, bot_sha TEXT, variant TEXT, language TEXT,
  listener TEXT, started_at DOUBLE PRECISION, ended_at DOUBLE PRECISION, outcome TEXT, reason TEXT,
  hung_up_by TEXT, cause TEXT, intent TEXT, resolved BOOLEAN, escalated BOOLEAN,
  handling_s DOUBLE PRECISION, turn_count INTEGER, variables TEXT, recording TEXT)
"""
_TURNS = """
CREATE TABLE turns (
  call TEXT NOT NULL, leg TEXT NOT NULL, number INTEGER NOT NULL, at DOUBLE PRECISION,
  opened_at DOUBLE PRECISION, keyed BOOLEAN, heard TEXT, confidence DOUBLE PRECISION, said TEXT,
  interrupted BOOLEAN, intent TEXT, open_intent TEXT, asked TEXT, misses INTEGER, slots TEXT,
  tools TEXT, action TEXT, outcome TEXT, endpoint_ms INTEGER, final_ms INTEGER,
  decision_ms INTEGER, first_sentence_ms INTEGER, first_speech_ms INTEGER, first_frame_ms INTEGER,
  more TEXT, PRIMARY KEY (call, leg, number))
"""
_EVENTS = """
CREATE TABLE events (
  id TEXT PRIMARY KEY, call TEXT, leg TEXT, seq INTEGER, at DOUBLE PRECISION, what TEXT,
  fields TEXT)
"""
_DELIVERIES = """
CREATE TABLE deliveries (
  id TEXT PRIMARY KEY, webhook TEXT, bot_sha TEXT, call TEXT, event TEXT, at DOUBLE PRECISION,
  seq INTEGER, body TEXT, state TEXT, attempts INTEGER, due_at DOUBLE PRECISION,
  lease_until DOUBLE PRECISION, status TEXT)
"""
_AUDIT = """
CREATE TABLE audit (
  id TEXT PRIMARY KEY, at DOUBLE PRECISION, who TEXT, what TEXT, call TEXT, detail TEXT)
"""
_APPEND_ONLY = {
    "sqlite": (
        "CREATE TRIGGER audit_update BEFORE UPDATE ON audit BEGIN "
        "SELECT RAISE(ABORT, 'the audit trail is append-only'); END",
        "CREATE TRIGGER audit_delete BEFORE DELETE ON audit BEGIN "
        "SELECT RAISE(ABORT, 'the audit trail is append-only'); END",
    ),
    "postgresql": (
        "CREATE FUNCTION audit_append_only() RETURNS trigger LANGUAGE plpgsql AS "
        "'BEGIN RAISE EXCEPTION ''the audit trail is append-only''; END'",
        "CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE ON audit "
        "FOR EACH ROW EXECUTE FUNCTION audit_append_only()",
    ),
}
_FIRST = (
    _CALLS, _TURNS, _EVENTS, _DELIVERIES, _AUDIT,
    "CREATE INDEX calls_started ON calls (started_at)",
    "CREATE INDEX calls_caller ON calls (caller)",
    "CREATE INDEX events_call ON events (call, at)",
    "CREATE INDEX deliveries_due ON deliveries (state, due_at)",
    "CREATE INDEX deliveries_call ON deliveries (call)",
)  # fmt: skip

STEPS: tuple[tuple[str, ...], ...] = (_FIRST,)
LOCK = 727_010  # PostgreSQL's advisory lock: one migrates, the others wait


class TooNew(Exception):
    """The database was made by a later version of ours."""


def migrate(connection: Connection) -> int:
    """Within a transaction that is open already: run what is missing. The version there is now."""
    dialect = connection.dialect.name
    if dialect == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:n)"), {"n": LOCK})
    connection.execute(text("CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT)"))
    found = connection.execute(text("SELECT value FROM meta WHERE name = 'version'")).scalar()
    version = int(found or 0)
    if version > len(STEPS):
        raise TooNew(f"the records have version {version}, this program knows {len(STEPS)}")
    for number, statements in enumerate(STEPS[version:], version + 1):
        for statement in statements:
            connection.execute(text(statement))
        if number == 1:
            for statement in _APPEND_ONLY[dialect]:
                connection.exec_driver_sql(statement)
    if version == 0:
        connection.execute(text("INSERT INTO meta VALUES ('version', :v)"), {"v": str(len(STEPS))})
    elif version < len(STEPS):
        connection.execute(
            text("UPDATE meta SET value = :v WHERE name = 'version'"), {"v": str(len(STEPS))}
        )
    return len(STEPS)
