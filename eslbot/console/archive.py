"""The calls there were: from Redis for an hour, and from the record store for as long as it keeps
them. The database is asked on a thread of its own, so that no page, and no phone, waits for it."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from typing import Any

import redis
from gevent.threadpool import ThreadPool

from eslbot.console.feed import Feed
from eslbot.media import recording
from eslbot.records import read
from eslbot.records.seal import SealError
from eslbot.records.store import Store, StoreError
from workers import streams
from workers.settings import Settings

log = logging.getLogger(__name__)

MAX_LISTENERS = 100  # to one recording, each written down once
MAX_SEARCHED = 2_000  # kept calls that a search looks at
_NOT_OF_A_TURN = ("call", "leg", "more", "tools", "heard", "said", "slots")


class Archive:
    """Every method raises redis.RedisError."""

    def __init__(self, client: redis.Redis, feed: Feed, settings: Settings) -> None:
        self.kept = settings.records == "on"
        self._client = client
        self._feed = feed
        self._settings = settings
        self._thread = ThreadPool(1)
        self._store: Store | None = None
        # The recording that was heard last: (file, size), by whom.
        self._sound: tuple[tuple[str, int], bytes] = (("", 0), b"")
        self._heard: set[str] = set()

    def calls(self, query: str, limit: int) -> list[dict[str, Any]]:
        """The newest first."""
        recent = [one.shown() for one in self._feed.search(query, limit)]
        known = {one["uuid"] for one in recent}
        kept = self._ask(lambda store: _search(store, query, limit), [])
        return (recent + [one for one in kept if one["uuid"] not in known])[:limit]

    def call(self, uuid: str, who: str) -> dict[str, Any] | None:
        """`uuid`; `events`, each with `at`, `what` and its own fields; `audio`: where there is a
        recording, when it began."""
        events = self._events(uuid)
        if not events:
            row = self._ask(lambda store: read.call(store, uuid, who), None)
            if row is None:
                return None
            events = told_again(row)
        began = next((event["at"] for event in events if event["what"] == "recording"), None)
        return {"uuid": uuid, "events": events, "audio": began}

    def audio(self, uuid: str, who: str) -> bytes | None:
        """A stereo WAV file: the caller left, the bot right."""
        told = (event.get("file") for event in self._events(uuid) if event["what"] == "recording")
        name = next(told, None)
        found: bytes | None = self._ask(lambda store: self._read(store, uuid, name, who), None)
        return found

    def _events(self, uuid: str) -> list[dict[str, Any]]:
        found: Any = self._client.xrange(streams.log_key(uuid), count=streams.MAX_LOG_ENTRIES)
        return [event for _, entry in found if (event := _event(entry)) is not None]

    def _read(self, store: Store, uuid: str, name: str | None, who: str) -> bytes | None:
        if name is None:
            row = next(iter(read.calls(store, read.Query(uuid=uuid), 1)), None)
            name = (row or {}).get("recording") or ""
        path = recording.folder(self._settings) / name
        if not recording.FILE.fullmatch(name) or not path.exists():
            return None
        # A player asks for a recording piece by piece.
        which = (name, path.stat().st_size)
        if self._sound[0] != which:
            self._sound = (which, recording.read(path, store.seal.audio_keys))
            self._heard.clear()
        if who not in self._heard:
            with store.begin() as connection:
                store.audit(connection, "listened", uuid, who=who)
            if len(self._heard) >= MAX_LISTENERS:
                self._heard.clear()
            self._heard.add(who)
        return self._sound[1]

    def _ask(self, question: Callable[[Store], Any], otherwise: Any) -> Any:
        if not self.kept:
            return otherwise
        try:
            return self._thread.apply(self._answer, (question,))
        except (StoreError, SealError, recording.RecordingError, OSError) as error:
            log.warning("the record store: %s", error)
            return otherwise

    def _answer(self, question: Callable[[Store], Any]) -> Any:
        if self._store is None:
            self._store = Store.of(self._settings)
        return question(self._store)


def _event(entry: Mapping[bytes, bytes]) -> dict[str, Any] | None:
    try:
        fields = json.loads(entry[b"fields"])
        return {**fields, "at": float(entry[b"at"]), "what": entry[b"what"].decode()}
    except (KeyError, ValueError, TypeError):
        return None


def _search(store: Store, query: str, limit: int) -> list[dict[str, Any]]:
    """Calls that have all the words in their row, or the query as the caller's number."""
    if not query.strip():
        return [_shown(row) for row in read.calls(store, None, limit)]
    words = query.lower().split()
    rows = [row for row in read.calls(store, None, MAX_SEARCHED)
            if all(word in _text(row) for word in words)]  # fmt: skip
    if sum(letter.isdigit() for letter in query) >= 3:
        known = {row["uuid"] for row in rows}
        of_caller = read.calls(store, read.Query(caller=query.strip()), limit)
        rows += [row for row in of_caller if row["uuid"] not in known]
    rows.sort(key=lambda row: row["started_at"] or 0.0, reverse=True)
    return [_shown(row) for row in rows[:limit]]


def _text(row: Mapping[str, Any]) -> str:
    names = ("uuid", "bot", "intent", "outcome", "reason", "language", "listener")
    values = [*(row[name] for name in names), *row["variables"].values()]
    return " ".join(str(value) for value in values if value).lower()


def _shown(row: Mapping[str, Any]) -> dict[str, Any]:
    """A kept call as story.Summary shows one."""
    began = row["started_at"] or 0.0
    return {
        "uuid": row["uuid"], "began": began, "last": row["ended_at"] or began, "caller": "",
        "called": "", "bot": row["bot"] or "", "listener": row["listener"] or "",
        "state": "ended", "words": "", "who": "", "intent": row["intent"] or "",
        "turns": row["turn_count"] or 0, "failures": 0, "wait_ms": None,
        "outcome": row["outcome"] or "unknown", "reason": row["reason"] or "",
    }  # fmt: skip


def told_again(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A kept call's events as its log told them. Of a turn, where only its beginning and its end
    are kept, what was heard and said stands at its beginning."""
    told = [{**one["fields"], "at": one["at"], "what": one["what"]} for one in row["events"]]
    for turn in row["turns"]:
        at = turn["opened_at"] or turn["at"]
        if turn["heard"] is not None:
            heard = {"text": turn["heard"], "keyed": bool(turn["keyed"])}
            told.append({**heard, "confidence": turn["confidence"], "at": at, "what": "heard"})
            decided = {name: turn[name] for name in ("intent", "slots", "action")}
            told.append({**decided, "at": at, "what": "decided"})
        tools = turn["tools"] if isinstance(turn["tools"], list) else []
        told += [{**tool, "at": at, "what": "tool"} for tool in tools if isinstance(tool, dict)]
        if turn["said"]:
            told.append({"at": at, "what": "said", "text": turn["said"]})
        rest = {k: v for k, v in turn.items() if k not in _NOT_OF_A_TURN and v is not None}
        told.append({**turn["more"], **rest, "what": "turn"})
    # Python's sort keeps the order of what has the same time.
    return sorted(told, key=lambda event: event["at"] or 0.0)
