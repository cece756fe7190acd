"""The assistant switched off by an operator: for some numbers, a share of the calls, at some hours.

    eslbot console ──order──▶ Redis ──every 2 s──▶ listener ──at a call's start──▶ DTMF menu

    eslbot:ai-off         hash   ID → an order, JSON; ≤ MAX_ORDERS
    eslbot:ai-off:audit   list   who ordered what and when, JSON; the newest MAX_AUDIT

A call that an order holds for goes to the DTMF menu at once, hears nothing of trouble, and can't go
back to the assistant. Calls that have begun go on. An order's conditions must all hold; one without
any holds for every call. While Redis is away, the orders that were known last stay in force.
"""

from __future__ import annotations

import json
import re
import secrets
import zlib
from collections.abc import Iterable
from datetime import UTC, datetime, time, timedelta
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

import redis
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

KEY = "eslbot:ai-off"
AUDIT = "eslbot:ai-off:audit"
MAX_ORDERS = 50
MAX_AUDIT = 500
MAX_JSON = 2_000  # characters of an order

_NUMBER = re.compile(r"\*?[A-Za-z0-9+_.@-]{1,40}\*?")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_NO_NUMBER = "digits or a name, up to 40 characters, with a * at either end at the most"
Clock = Annotated[str, Field(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")]


class OrderError(Exception):
    """str() names what is wrong with an order."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Schedule(_Strict):
    """Each week. days: 0 Monday to 6 Sunday, on which it begins. until not after since: it ends on
    the next day. zone: an IANA name, such as Europe/Berlin."""

    days: tuple[Annotated[int, Field(ge=0, le=6)], ...] = Field((0, 1, 2, 3, 4, 5, 6), min_length=1)
    since: Clock
    until: Clock
    zone: str = Field("UTC", max_length=64)

    @field_validator("zone")
    @classmethod
    def _known(cls, zone: str) -> str:
        try:
            ZoneInfo(zone)
        except (KeyError, ValueError, OSError):
            raise ValueError("no time zone of that name") from None
        return zone

    def holds(self, now: datetime) -> bool:
        here = now.astimezone(ZoneInfo(self.zone))
        since, until = time.fromisoformat(self.since), time.fromisoformat(self.until)
        if since < until:
            return here.weekday() in self.days and since <= here.time() < until
        if here.time() >= since:
            return here.weekday() in self.days
        return here.time() < until and (here - timedelta(days=1)).weekday() in self.days


class Order(_Strict):
    """number: the caller's or the one called, see side; `*` at an end stands for anything.
    until: seconds since 1970, when the order ends; None: when it is taken back."""

    number: str = ""
    side: Literal["either", "called", "caller"] = "either"
    share_percent: int = Field(100, ge=1, le=100)
    schedule: Schedule | None = None
    until: float | None = Field(None, gt=0, lt=1e11)
    reason: str = Field("", max_length=120)

    @field_validator("number")
    @classmethod
    def _a_number(cls, number: str) -> str:
        if number and not _NUMBER.fullmatch(number):
            raise ValueError(_NO_NUMBER)
        return number

    @field_validator("reason")
    @classmethod
    def _one_line(cls, reason: str) -> str:
        if _UNPRINTABLE.search(reason):
            raise ValueError("holds a line break or another character without a form")
        return reason.strip()

    @model_validator(mode="after")
    def _side_of_a_number(self) -> Order:
        if self.side != "either" and not self.number:
            raise ValueError("side: without a number")
        return self

    def holds(self, key: str, call: str, caller: str, called: str, now: datetime) -> bool:
        """key: the order's; with the call's it says whether a share holds the call, always the
        same."""
        if self.until is not None and now.timestamp() >= self.until:
            return False
        numbers = {"either": (caller, called), "caller": (caller,), "called": (called,)}[self.side]
        if self.number and not any(_fits(self.number, one) for one in numbers):
            return False
        if self.schedule is not None and not self.schedule.holds(now):
            return False
        return zlib.crc32(f"{key}/{call}".encode()) % 100 < self.share_percent


def _fits(pattern: str, number: str) -> bool:
    text = re.escape(pattern.strip("*"))
    before = ".*" if pattern.startswith("*") else ""
    after = ".*" if pattern.endswith("*") else ""
    return bool(number) and re.fullmatch(f"{before}{text}{after}", number[:80]) is not None


def parse(raw: Any) -> Order:
    """Raises OrderError."""
    try:
        return Order.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        told = first["msg"].removeprefix("Value error, ")
        raise OrderError(f"{where}: {told}" if where else told) from None


def why_off(
    orders: Iterable[tuple[str, Order]],
    call: str,
    caller: str,
    called: str,
    now: datetime | None = None,
) -> str:
    """ "" or the reason why the assistant is off for this call."""
    now = now or datetime.now(UTC)
    for key, order in orders:
        if order.holds(key, call, caller, called, now):
            return order.reason or "switched off"
    return ""


# -- in Redis; all of it raises redis.RedisError


def look(client: redis.Redis) -> list[tuple[str, Order]]:
    """The orders of now, (key, order); what is none of ours is passed over."""
    raw: Any = client.hgetall(KEY)
    found = []
    for key, value in sorted(raw.items())[:MAX_ORDERS]:
        try:
            found.append((key.decode(), parse(json.loads(value[:MAX_JSON]))))
        except (OrderError, ValueError, RecursionError):
            continue
    return found


def give(client: redis.Redis, order: Order, by: str) -> str:
    """The order's key. Raises OrderError where there are too many."""
    _sweep(client)
    if int(client.hlen(KEY)) >= MAX_ORDERS:
        raise OrderError(f"there are {MAX_ORDERS} orders already; take one back")
    key = secrets.token_hex(6)
    pipe = client.pipeline(transaction=True)
    pipe.hset(KEY, key, order.model_dump_json())
    _write_down(pipe, "given", key, order, by)
    pipe.execute()
    return key


def take_back(client: redis.Redis, key: str, by: str) -> bool:
    """False: there is none of that key."""
    order = dict(look(client)).get(key)
    if order is None:
        return False
    pipe = client.pipeline(transaction=True)
    pipe.hdel(KEY, key)
    _write_down(pipe, "taken back", key, order, by)
    return bool(pipe.execute()[0])


def audit(client: redis.Redis, limit: int = 50) -> list[dict[str, Any]]:
    """The newest first."""
    raw: Any = client.lrange(AUDIT, 0, limit - 1)
    return [json.loads(one) for one in raw]


def _sweep(client: redis.Redis) -> None:
    now = datetime.now(UTC).timestamp()
    over = [key for key, order in look(client) if order.until is not None and order.until < now]
    if over:
        client.hdel(KEY, *over)


def _write_down(pipe: redis.client.Pipeline, what: str, key: str, order: Order, by: str) -> None:
    at = datetime.now(UTC).timestamp()
    entry = {"at": at, "what": what, "key": key, "by": by[:80], "order": order.model_dump()}
    pipe.lpush(AUDIT, json.dumps(entry))
    pipe.ltrim(AUDIT, 0, MAX_AUDIT - 1)
