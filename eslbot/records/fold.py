"""What one entry of the stream means for the tables. No I/O, and no order is relied on: entries of
a call may be written by several recorders, and again after one was killed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eslbot.accounts import HANDED_OVER, NO_TURNS
from eslbot.records import schema

TURN_COLUMNS = {c.name for c in schema.turns.columns} - {"call", "leg", "at", "more"}
JSON_COLUMNS = ("slots", "tools")
MAX_NAME = 200


class EntryError(Exception):
    """An entry that is not one of ours."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that happened in a call. at: seconds since 1970."""

    id: str
    call: str
    leg: str
    seq: int
    at: float
    what: str
    listener: str
    bot: str
    fields: dict[str, Any]


def entry(raw: Mapping[bytes, bytes]) -> Entry:
    """Raises EntryError."""
    try:
        text = {k.decode(): v.decode() for k, v in raw.items()}
        fields = json.loads(text["fields"])
        if not isinstance(fields, dict):
            raise TypeError
        found = Entry(
            text["id"][:MAX_NAME], text["call"][:MAX_NAME], text["leg"][:MAX_NAME],
            int(text["seq"]), float(text["at"]), text["what"][:MAX_NAME],
            text.get("listener", "")[:MAX_NAME], text.get("bot", "")[:MAX_NAME], fields,
        )  # fmt: skip
    except (KeyError, ValueError, TypeError, RecursionError) as error:
        raise EntryError(f"an entry that is not ours: {type(error).__name__}") from None
    if not (found.id and found.call and 0 <= found.seq < 2**31 and 0 < found.at < 1e11):
        raise EntryError("an entry without id or call, or out of all time")
    if found.what == "turn" and type(fields.get("number")) is not int:
        raise EntryError("a turn without a number")
    return found


def call_columns(one: Entry) -> dict[str, Any]:
    """What the entry says of the call as a whole."""
    fields = one.fields
    found: dict[str, Any] = {}
    if one.what == "call":
        found = {
            "bot": _text(fields, "bot"), "bot_sha": one.bot or None,
            "language": _text(fields, "language"), "caller": _text(fields, "caller"),
            "listener": one.listener or None, "started_at": one.at,
        }  # fmt: skip
    elif one.what == "ended":
        found = {
            "outcome": _text(fields, "outcome"), "reason": _text(fields, "reason"),
            "variables": _json(fields.get("variables")), "ended_at": one.at,
        }  # fmt: skip
    elif one.what == "hangup":
        found = {"hung_up_by": _text(fields, "by"), "cause": _text(fields, "cause")}
    elif one.what == "recording":
        found = {"recording": _text(fields, "file")}
    if fields.get("variant"):
        found["variant"] = _text(fields, "variant")
    return {name: value for name, value in found.items() if value is not None}


def turn_row(one: Entry) -> dict[str, Any]:
    """The row of a turn's entry; what has no column is in `more`."""
    row: dict[str, Any] = dict.fromkeys(TURN_COLUMNS)
    row |= {name: one.fields.get(name) for name in TURN_COLUMNS if name in one.fields}
    for name, value in row.items():
        column = schema.turns.columns[name]
        if name in JSON_COLUMNS:
            row[name] = _json(value)
        elif not _is(value, column.type.python_type):
            row[name] = None
    more = {k: v for k, v in one.fields.items() if k not in TURN_COLUMNS}
    return row | {"call": one.call, "leg": one.leg, "at": one.at, "more": _json(more)}


def settled(call: Mapping[str, Any], turns: Sequence[Any], menu: bool) -> dict[str, Any]:
    """What a call comes to, from its row, its turns in their order, and whether a menu was there.

    escalated: a person or a menu had to take over. resolved: a wish was served, it did not have to,
    and the last thing the caller said was understood.
    """
    real = [turn for turn in turns if turn.outcome not in NO_TURNS]
    intents = [turn.intent for turn in real if turn.intent]
    found: dict[str, Any] = {"turn_count": len(real), "intent": intents[-1] if intents else None}
    began, ended = call["started_at"], call["ended_at"]
    if ended is not None:
        escalated = menu or call["outcome"] in HANDED_OVER
        served = any(t.intent and not t.open_intent and not t.misses for t in real)
        found["escalated"] = escalated
        found["resolved"] = served and not escalated and not real[-1].misses
        if began is not None:
            found["handling_s"] = max(0.0, round(ended - began, 3))
    return found


def _is(value: Any, kind: type) -> bool:
    if kind is float:
        return type(value) in (int, float)
    return type(value) is kind


def _text(fields: Mapping[str, Any], name: str) -> str | None:
    value = fields.get(name)
    return value[:MAX_NAME] if isinstance(value, str) and value else None


def _json(value: Any) -> str | None:
    return json.dumps(value, ensure_ascii=False) if value else None
