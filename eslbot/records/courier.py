"""Delivers what webhooks are to be told: a thread of the recorder; see webhooks.py."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from threading import Event
from typing import Any

import httpx
from sqlalchemy import and_, delete, exists, func, or_, select, update

from eslbot.records import schema
from eslbot.records.seal import SealError
from eslbot.records.store import Store, StoreError
from eslbot.records.webhooks import headers
from workers.bot import Bot

log = logging.getLogger(__name__)

MAX_DEAD = 10_000  # kept for whoever wants to look; the oldest go
KEEP_DELIVERED_S = 86400.0
TIDY_EVERY_S = 60.0


@dataclass(frozen=True, slots=True)
class Pace:
    """How deliveries are tried. Seconds; after the attempt n the next one waits
    first_s * 3 ** n, half of it by chance, and no longer than longest_s."""

    attempts: int = 12
    first_s: float = 2.0
    longest_s: float = 3600.0
    timeout_s: float = 10.0
    idle_s: float = 0.5

    def wait(self, attempts: int) -> float:
        full = min(self.longest_s, self.first_s * 3.0 ** (attempts - 1))
        return full * random.uniform(0.5, 1.0)  # noqa: S311


class Courier:
    """bot_of(sha): None where nobody knows it any more. secrets: by name."""

    def __init__(
        self,
        store: Store,
        bot_of: Callable[[str], Bot | None],
        secrets: Mapping[str, bytes],
        pace: Pace | None = None,
    ) -> None:
        self._store = store
        self._bot_of = bot_of
        self._secrets = secrets
        self._pace = pace or Pace()
        self._client = httpx.Client(timeout=self._pace.timeout_s, follow_redirects=False)
        self._tidied = time.monotonic()

    def run(self, stop: Event) -> None:
        """Until stop is set."""
        while not stop.is_set():
            try:
                busy = self.once()
                if time.monotonic() - self._tidied > TIDY_EVERY_S:
                    self.tidy()
            except StoreError as error:
                log.warning("webhooks: the database: %s", error)
                busy = False
            except Exception:
                log.exception("webhooks")
                busy = False
            if not busy:
                stop.wait(self._pace.idle_s)
        self._client.close()

    def once(self) -> bool:
        """Try one delivery that is due. False: none was. Raises StoreError."""
        row = self._claim()
        if row is None:
            return False
        state, status = self._deliver(row)
        attempts = row["attempts"] + 1
        values: dict[str, Any] = {"attempts": attempts, "status": status, "lease_until": 0.0}
        if state == "waiting" and attempts >= self._pace.attempts:
            state = "dead"
        values["state"] = state
        if state == "waiting":
            values["due_at"] = time.time() + self._pace.wait(attempts)
        elif state == "dead":
            log.error("webhook %s: %s given up after %d attempts: %s",
                      row["webhook"], row["id"], attempts, status)  # fmt: skip
        with self._store.begin() as connection:
            connection.execute(
                update(schema.deliveries).where(schema.deliveries.c.id == row["id"]).values(values)
            )
        return True

    def _claim(self) -> dict[str, Any] | None:
        """One that is due, before which nothing of the same call waits, for us alone."""
        table = schema.deliveries
        before = table.alias("before")
        now = time.time()
        due = select(table).where(
            and_(
                table.c.state == "waiting",
                table.c.due_at <= now,
                table.c.lease_until <= now,
                ~exists().where(
                    and_(
                        before.c.state == "waiting",
                        before.c.webhook == table.c.webhook,
                        before.c.call == table.c.call,
                        or_(
                            before.c.at < table.c.at,
                            and_(before.c.at == table.c.at, before.c.seq < table.c.seq),
                        ),
                    )
                ),
            )
        )
        with self._store.begin() as connection:
            row = connection.execute(due.order_by(table.c.due_at, table.c.at).limit(1)).first()
            if row is None:
                return None
            lease = now + self._pace.timeout_s * 2 + 5
            mine = connection.execute(
                update(table)
                .where((table.c.id == row.id) & (table.c.lease_until <= now))
                .values(lease_until=lease)
            )
            return self._opened(row) if mine.rowcount else None

    def _opened(self, row: Any) -> dict[str, Any]:
        try:
            return self._store.opened(schema.deliveries, row)
        except SealError as error:
            return dict(row._mapping) | {"body": None, "status": str(error)}

    def _deliver(self, row: dict[str, Any]) -> tuple[str, str]:
        """(state, status) after an attempt."""
        bot = self._bot_of(row["bot_sha"])
        hook = bot.webhooks.get(row["webhook"]) if bot else None
        if hook is None:
            return "waiting", "the bot's file is not known here"
        secret = self._secrets.get(hook.secret)
        if secret is None:
            return "waiting", f"no secret {hook.secret}"
        if row["body"] is None:
            return "waiting", row["status"]
        signed = headers(secret, row["id"], int(time.time()), row["body"])
        try:
            with self._client.stream(
                "POST", hook.url, content=row["body"].encode(), headers=signed
            ) as answer:
                code = answer.status_code  # its body is of no interest, however long
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return "waiting", type(error).__name__
        if 200 <= code < 300:
            return "delivered", str(code)
        return ("dead" if code == 410 else "waiting"), str(code)  # 410: it wants no more

    def tidy(self) -> None:
        """Delete what was delivered a day ago, and of the dead all but MAX_DEAD."""
        self._tidied = time.monotonic()
        table = schema.deliveries
        with self._store.begin() as connection:
            old = time.time() - KEEP_DELIVERED_S
            connection.execute(
                delete(table).where((table.c.state == "delivered") & (table.c.at < old))
            )
            count = select(func.count()).select_from(table).where(table.c.state == "dead")
            over = int(connection.execute(count).scalar() or 0) - MAX_DEAD
            if over > 0:
                dead = select(table.c.id).where(table.c.state == "dead")
                oldest = dead.order_by(table.c.at).limit(over)
                connection.execute(delete(table).where(table.c.id.in_(oldest)))
