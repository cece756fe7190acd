"""The recorder: takes what listeners tell off Redis and writes it. Any number may run.

    eslbot:records ─ consumer group ─▶ one transaction ─▶ XACK, XDEL
                     └ entries of a recorder that died: claimed by another after CLAIM_MS

An entry leaves Redis only after it was written; written twice it is there once. While the database
is away all stays in Redis.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import threading
import time
from collections import OrderedDict
from typing import Any

import redis

from eslbot.records import keeping
from eslbot.records.courier import Courier
from eslbot.records.fold import Entry, EntryError, entry
from eslbot.records.store import Store, StoreError, transient
from eslbot.records.webhooks import read_secrets
from eslbot.records.write import write
from eslbot.variants import promote_by_evidence
from workers import streams
from workers.bot import Bot, BotError
from workers.settings import Settings

log = logging.getLogger(__name__)

GROUP = "recorders"
BATCH = 200
BLOCK_MS = 500
CLAIM_MS = 15_000
CLAIM_EVERY_S = 5.0
AGAIN_S = (0.2, 0.5, 1.0, 2.0)
MAX_BOTS = 64
MAX_REFUSED = 1_000
PRUNE_EVERY_S = 3600.0


class Recorder:
    """run() until stop()."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self.name = f"{os.uname().nodename}-{os.getpid()}"
        self.written = 0
        self._settings = settings
        self._store = store
        timeout_s = settings.redis_timeout_ms / 1000
        self._client = streams.connect(settings.redis, timeout_s, 4, settings.redis_tls)
        self._stop = threading.Event()
        self._bots: OrderedDict[str, Bot | None] = OrderedDict()
        self._lock = threading.Lock()
        self._claimed_at = 0.0
        self._courier = Courier(store, self.bot, read_secrets(settings.webhook_secrets_file))

    def run(self) -> None:
        """Raises StoreError where the database can't be used to begin with, redis.RedisError."""
        streams.wait_for_redis(self._client, 10.0)
        with self._store.begin():
            pass
        threads = [
            threading.Thread(target=self._courier.run, args=(self._stop,), name="webhooks"),
            threading.Thread(target=self._prune, name="retention"),
        ]
        for thread in threads:
            thread.start()
        log.info("recording to %s", self._store.engine.url.render_as_string(hide_password=True))
        try:
            while not self._stop.is_set():
                self._step()
        finally:
            self._stop.set()
            for thread in threads:
                thread.join(timeout=15)

    def stop(self) -> None:
        self._stop.set()

    def _step(self) -> None:
        try:
            found = self._claim() or self._read()
            if found:
                self._record(found)
        except redis.ResponseError as error:
            if str(error).startswith("NOGROUP"):
                self._make_group()
            else:
                log.error("Redis: %s", streams.plain(error))
                self._stop.wait(1.0)
        except redis.RedisError as error:
            log.warning("Redis: %s", streams.plain(error))
            self._stop.wait(0.5)

    def _make_group(self) -> None:
        try:
            self._client.xgroup_create(streams.RECORDS, GROUP, id="0", mkstream=True)
        except redis.ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise

    def _read(self) -> list[tuple[bytes, dict[bytes, bytes]]]:
        found: Any = self._client.xreadgroup(
            GROUP, self.name, {streams.RECORDS: ">"}, count=BATCH, block=BLOCK_MS
        )
        return list(found[0][1]) if found else []

    def _claim(self) -> list[tuple[bytes, dict[bytes, bytes]]]:
        """What a recorder that died had in hand, ourselves before a failure included."""
        if time.monotonic() - self._claimed_at < CLAIM_EVERY_S:
            return []
        self._claimed_at = time.monotonic()
        found: Any = self._client.xautoclaim(
            streams.RECORDS, GROUP, self.name, CLAIM_MS, "0-0", count=BATCH
        )
        self._drop_idle()
        return [one for one in found[1] if one[1]]

    def _drop_idle(self) -> None:
        """Recorders that are gone and have nothing in hand."""
        for one in self._client.xinfo_consumers(streams.RECORDS, GROUP):
            gone = one["idle"] > 10 * CLAIM_MS and not one["pending"]
            if gone and one["name"] != self.name.encode():
                self._client.xgroup_delconsumer(streams.RECORDS, GROUP, one["name"])

    def _record(self, found: list[tuple[bytes, dict[bytes, bytes]]]) -> None:
        """Until it is written, or we are to stop: then it waits for the next recorder."""
        entries: list[Entry] = []
        for _, raw in found:
            try:
                entries.append(entry(raw))
            except EntryError as error:
                log.error("%s", error)
                self._refuse(raw)
        tries = 0
        while entries:
            try:
                write(self._store, entries, self.bot)
                break
            except StoreError as error:
                if not transient(error):
                    self._one_by_one(entries)
                    break
                if tries == 0:
                    log.error("the database: %s; records wait in Redis", error)
                if self._stop.wait(AGAIN_S[min(tries, len(AGAIN_S) - 1)]):
                    return
                tries += 1
            except Exception as error:
                # Such as a row of the same call that no key opens. To end here would be to meet it
                # again after each start.
                log.error("records: %s", type(error).__name__)
                self._one_by_one(entries)
                break
        if tries:
            log.info("the database answers")
        ids = [one for one, _ in found]
        pipe = self._client.pipeline(transaction=True)
        pipe.xack(streams.RECORDS, GROUP, *ids)
        pipe.xdel(streams.RECORDS, *ids)
        pipe.execute()
        self.written += len(entries)

    def _one_by_one(self, entries: list[Entry]) -> None:
        """One of these can't be written ever: the others are."""
        for one in entries:
            try:
                write(self._store, [one], self.bot)
            except StoreError as error:
                if transient(error):
                    raise redis.RedisError("the database went away") from None
                self._put_aside(one, f"an entry that no database takes: {error}")
            except Exception as error:
                self._put_aside(one, f"an entry that can't be written: {type(error).__name__}")

    def _put_aside(self, one: Entry, why: str) -> None:
        log.error("%s", why)
        raw = {"id": one.id, "call": one.call, "what": one.what}
        self._refuse({k.encode(): v.encode() for k, v in raw.items()})

    def _refuse(self, raw: dict[bytes, bytes]) -> None:
        text = json.dumps({k.decode("utf-8", "replace"): v.decode("utf-8", "replace")
                           for k, v in raw.items() if k in (b"id", b"call", b"what")})  # fmt: skip
        pipe = self._client.pipeline(transaction=False)
        pipe.rpush(streams.RECORDS_REFUSED, text)
        pipe.ltrim(streams.RECORDS_REFUSED, -MAX_REFUSED, -1)
        pipe.expire(streams.RECORDS_REFUSED, streams.RECORDS_TTL_S)
        pipe.execute()

    def bot(self, sha: str) -> Bot | None:
        """The definition under which a call ran, as listeners put it into Redis."""
        with self._lock:
            if sha in self._bots:
                self._bots.move_to_end(sha)
                return self._bots[sha]
        try:
            found = streams.get_bot(self._client, sha)
        except (streams.InputLost, redis.RedisError, ValueError):
            return None
        with self._lock:
            self._bots[sha] = found
            while len(self._bots) > MAX_BOTS:
                self._bots.popitem(last=False)
        return found

    def _prune(self) -> None:
        while not self._stop.is_set():
            try:
                keeping.prune(self._store, self._settings)
            except (StoreError, OSError) as error:
                log.warning("retention: %s", error)
            except Exception:
                log.exception("retention")
            self._promote()
            self._stop.wait(PRUNE_EVERY_S)

    def _promote(self) -> None:
        """The better variant of the bot, when its file asks for that."""
        try:
            name = promote_by_evidence(self._settings, self._store, self._client)
        except (StoreError, BotError, redis.RedisError) as error:
            log.warning("variants: %s", error)
        else:
            if name:
                log.info("variants: %s is promoted, by the evidence", name)


def run(settings: Settings) -> None:
    """The process: until SIGTERM or SIGINT. Raises StoreError, SettingsError, redis.RedisError."""
    recorder = Recorder(settings, Store.of(settings))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: recorder.stop())
    recorder.run()
