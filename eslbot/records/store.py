"""The database: opened, brought up to date, and written in transactions that are whole or not."""

from __future__ import annotations

import contextlib
import getpass
import os
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Table, create_engine, event, insert, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Engine
from sqlalchemy.engine.url import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from eslbot.records import schema
from eslbot.records.migrations import TooNew, migrate
from eslbot.records.seal import Seal
from eslbot.records.seal import load as load_seal
from workers.settings import Settings

BUSY_S = 10
SQLITE_FILE = "records.sqlite3"


class StoreError(Exception):
    """The database can't be used now; str() has no password."""


class Store:
    """One database. Raises StoreError where it can't be reached or is not ours."""

    def __init__(self, url: str, seal: Seal | None = None) -> None:
        self.seal = seal or Seal()
        self.engine = _engine(url)
        self.sqlite = self.engine.dialect.name == "sqlite"
        self._migrated = False

    @classmethod
    def of(cls, settings: Settings) -> Store:
        """Raises StoreError, SettingsError."""
        return cls(url_of(settings), load_seal(settings))

    @contextlib.contextmanager
    def begin(self) -> Iterator[Connection]:
        """A transaction; the schema is brought up to date by the first one. Raises StoreError."""
        try:
            with self.engine.begin() as connection:
                if not self._migrated:
                    migrate(connection)
                yield connection
            self._migrated = True
        except TooNew as error:
            raise StoreError(str(error)) from None
        except SQLAlchemyError as error:
            raise StoreError(plain(error)) from error

    def add(self, connection: Connection, table: Table, row: dict[str, Any]) -> bool:
        """Insert a row unless its key is there. Whether it was new."""
        dialect: Any = sqlite if self.sqlite else postgresql
        sealed = self.sealed(table, row)
        answer = connection.execute(dialect.insert(table).values(sealed).on_conflict_do_nothing())
        return bool(answer.rowcount)

    def sealed(self, table: Table, row: dict[str, Any]) -> dict[str, Any]:
        """With the columns that hold words encrypted, and fit for any database."""
        columns = schema.SEALED.get(table.name, ())
        clean = {k: _storable(v) if isinstance(v, str) else v for k, v in row.items()}
        return {k: self.seal.seal(v) if k in columns else v for k, v in clean.items()}

    def opened(self, table: Table, row: Any) -> dict[str, Any]:
        """A row as a dictionary, decrypted. Raises seal.SealError."""
        columns = schema.SEALED.get(table.name, ())
        return {k: self.seal.open(v) if k in columns else v for k, v in row._mapping.items()}

    def audit(self, connection: Connection, what: str, call: str = "", detail: str = "",
              who: str = "") -> None:  # fmt: skip
        """Who did what; in the same transaction as the doing."""
        row = {"id": uuid.uuid4().hex, "at": time.time(), "who": (who or user())[:100]}
        row |= {"what": what, "call": call, "detail": detail[:500]}
        connection.execute(insert(schema.audit).values(row))

    def forget_pages(self) -> None:
        """Let nothing that was deleted stand in SQLite's log beside the file."""
        if self.sqlite:
            with contextlib.suppress(SQLAlchemyError), self.engine.connect() as connection:
                connection.execute(text("PRAGMA wal_checkpoint(TRUNCATE)"))

    def close(self) -> None:
        self.engine.dispose()


def url_of(settings: Settings) -> str:
    if settings.records_url:
        return settings.records_url
    folder = Path(settings.state_dir)
    folder.mkdir(parents=True, exist_ok=True)
    return f"sqlite:///{(folder / SQLITE_FILE).absolute()}"


def _storable(text: str) -> str:
    """Without what PostgreSQL refuses, and halves of surrogate pairs, which JSON can hold."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()


def user() -> str:
    """Whoever runs this process."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def plain(error: Exception) -> str:
    """A database's error in a line: without statement, values and URL."""
    cause = getattr(error, "orig", None) or error
    if isinstance(cause.args[0] if cause.args else None, dict):  # pg8000: the server's fields
        told = cause.args[0].get("M", "")
    else:
        told = str(cause).splitlines()[0] if str(cause) else ""
    return f"{type(cause).__name__}: {told[:200]}"


def transient(error: StoreError) -> bool:
    """Whether the same may work later: the database is away, busy or full."""
    cause = error.__cause__
    if not isinstance(cause, DBAPIError):
        return True
    return type(cause).__name__ not in ("DataError", "IntegrityError", "ProgrammingError")


def _engine(url: str) -> Engine:
    try:
        parsed = make_url(url)
        if parsed.drivername in ("postgresql", "postgres"):
            parsed = parsed.set(drivername="postgresql+pg8000")
        if parsed.drivername not in ("sqlite", "postgresql+pg8000"):
            raise StoreError("the database's URL is neither sqlite:///FILE nor postgresql://...")
        options: dict[str, Any] = {"pool_pre_ping": True}
        if parsed.drivername == "sqlite":
            options["connect_args"] = {"timeout": BUSY_S}
        else:
            arguments: dict[str, Any] = {"timeout": BUSY_S}
            host = parsed.query.get("host", "")
            if isinstance(host, str) and host.startswith("/"):  # a socket's folder, as libpq has it
                arguments["unix_sock"] = f"{host}/.s.PGSQL.{parsed.port or 5432}"
                parsed = parsed.difference_update_query(["host"])
            options |= {"connect_args": arguments, "pool_size": 3, "max_overflow": 2}
        engine = create_engine(parsed, **options)
    except ArgumentError:
        raise StoreError("the database's URL can't be read") from None
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _on_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    return engine


def _on_sqlite(connection: Any, _: object) -> None:
    # SQLAlchemy's advice: the driver's own idea of transactions leaves out DDL and reads.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = FULL")  # what is acknowledged to Redis is on the disk
    cursor.execute("PRAGMA secure_delete = ON")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")
