"""`eslbot variants`: how the variants of a bot do, and which one all new callers get.

records of calls ─▶ by variant: resolved, escalated, handling time ─▶ intervals ─▶ promote?
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import redis

from eslbot import promotion
from eslbot.evidence import (
    MAX_CALLS,
    Ended,
    Interval,
    Tally,
    mean,
    mean_apart,
    share,
    share_apart,
    tallies,
    winner,
)
from workers import streams
from workers.bot import Bot, load
from workers.settings import Settings, SettingsError

if TYPE_CHECKING:
    from eslbot.records.store import Store

LEVEL = 0.95


class NoVariants(Exception):
    """There is nothing to report on, or to promote; str() is one line."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = "Compare the variants of ESLBOT_BOT by the records of its calls."
    parser.add_argument("--since", type=date.fromisoformat, metavar="YYYY-MM-DD",
                        help="calls from this day on; default: see the bot's file")  # fmt: skip
    parser.add_argument("--json", action="store_true", help="for programs")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--promote", metavar="NAME", help="all new callers get this variant")
    what.add_argument("--withdraw", action="store_true", help="callers are drawn again")
    what.add_argument("--auto", action="store_true",
                      help="promote, if the evidence is what the bot's file asks for")  # fmt: skip


def run(arguments: argparse.Namespace, settings: Settings, bot: Bot) -> int:
    """Raises NoVariants, SettingsError."""
    if bot.variants is None:
        raise NoVariants(f"{settings.bot}: the bot {bot.name} has no variants")
    try:
        timeout_s = settings.redis_timeout_ms / 1000
        client = streams.connect(settings.redis, timeout_s, 2, settings.redis_tls)
        if arguments.promote is not None or arguments.withdraw:
            return _told(client, bot, arguments.promote or "")
        found = tallies(_records(settings, bot, arguments.since or _since(bot)))
        chosen = _auto(client, bot, found) if arguments.auto else ""
        now = promotion.promoted(client, bot.name)
        log = promotion.history(client, bot.name)
    except (redis.RedisError, ValueError) as error:
        raise SettingsError(f"REDIS_URL: {streams.plain(error)}") from None
    if arguments.json:
        print(json.dumps(report(bot, found) | {"promoted": now, "log": log}))
        return 0
    print(table(bot, found))
    if chosen:
        print(f"\npromoted: {chosen}, by the evidence")
    elif now:
        print(f"\npromoted: {now} ({log[0].get('why') if log else 'by hand'})")
    return 0


def _told(client: redis.Redis, bot: Bot, name: str) -> int:
    assert bot.variants is not None
    if name and name not in bot.variants.choices:
        raise NoVariants(f"{name!r} is no variant; there is {', '.join(bot.variants.choices)}")
    promotion.promote(client, bot.name, name, "told to")
    print(f"promoted: {name}" if name else "withdrawn: callers are drawn again")
    return 0


def _auto(client: redis.Redis, bot: Bot, found: dict[str, Tally]) -> str:
    """Promote the winner, if there is one, and nobody has decided yet."""
    log = promotion.history(client, bot.name)
    if promotion.promoted(client, bot.name) or (log and not log[0].get("variant")):
        return ""
    name = sufficient(bot, found)
    if name:
        sizes = ", ".join(f"{one} {len(tally)}" for one, tally in found.items())
        promotion.promote(client, bot.name, name, f"the evidence: {sizes} calls")
    return name


def promote_by_evidence(settings: Settings, store: Store, client: redis.Redis) -> str:
    """What the recorder does once an hour: promote the winner, if the bot's file asks for it.

    Raises BotError, StoreError, redis.RedisError.
    """
    bot = load(Path(settings.bot))
    if bot.variants is None or bot.variants.promote is None:
        return ""
    return _auto(client, bot, tallies(ended(store, bot, _since(bot))))


def sufficient(bot: Bot, found: dict[str, Tally]) -> str:
    """The variant that the bot's file would have promoted by this evidence, or ""."""
    asked = bot.variants.promote if bot.variants else None
    if asked is None or bot.variants is None:
        return ""
    names = [name for name, one in bot.variants.choices.items() if one.weight]
    if len(names) < 2:
        return ""
    return winner(found, names, asked.calls, asked.confidence_percent / 100)


def _since(bot: Bot) -> date | None:
    return bot.variants.promote.since if bot.variants and bot.variants.promote else None


def _records(settings: Settings, bot: Bot, since: date | None) -> Iterator[Ended]:
    from eslbot.records.store import Store, StoreError

    try:
        yield from ended(Store.of(settings), bot, since)
    except StoreError as error:
        raise SettingsError(f"ESLBOT_RECORDS_URL: {error}") from None


def ended(store: Store, bot: Bot, since: date | None) -> Iterator[Ended]:
    """The bot's calls that are over, in the order in which they began. Raises StoreError."""
    from sqlalchemy import select

    from eslbot.records.schema import calls

    names = list(bot.variants.choices) if bot.variants else []
    begin = datetime(since.year, since.month, since.day, tzinfo=UTC).timestamp() if since else 0.0
    chosen = (
        select(calls.c.variant, calls.c.resolved, calls.c.escalated, calls.c.handling_s)
        .where(calls.c.bot == bot.name, calls.c.variant.in_(names), calls.c.started_at >= begin)
        .where(calls.c.ended_at.is_not(None))
        .order_by(calls.c.started_at, calls.c.uuid)
        .limit(MAX_CALLS)
    )
    with store.begin() as connection:
        for variant, resolved, escalated, handling_s in connection.execute(chosen):
            yield Ended(variant, bool(resolved), bool(escalated), handling_s)


def report(bot: Bot, found: dict[str, Tally]) -> dict[str, Any]:
    """By variant: calls, shares and means with their intervals, and the difference to the first
    variant of the file."""
    names = list(bot.variants.choices) if bot.variants else []
    first = found.get(names[0], Tally()) if names else Tally()
    rows = {}
    for name in names:
        one = found.get(name, Tally())
        rows[name] = {
            "calls": len(one),
            "resolved": _numbers(share(sum(one.resolved), len(one), LEVEL)),
            "escalated": _numbers(share(sum(one.escalated), len(one), LEVEL)),
            "handling_s": _numbers(mean(one.handling_s, LEVEL)),
            "more_resolved": _numbers(share_apart(one.resolved, first.resolved, LEVEL)),
            "more_escalated": _numbers(share_apart(one.escalated, first.escalated, LEVEL)),
            "more_handling_s": _numbers(mean_apart(one.handling_s, first.handling_s, LEVEL)),
        }
    return {"bot": bot.name, "level": LEVEL, "variants": rows, "sufficient": sufficient(bot, found)}


def _numbers(found: Interval) -> list[float | None]:
    return [round(x, 4) if math.isfinite(x) else None for x in found]


def table(bot: Bot, found: dict[str, Tally]) -> str:
    """The report for people."""
    names = list(bot.variants.choices) if bot.variants else []
    head = ("variant", "calls", "resolved", "escalated", "handling")
    rows = [list(head)]
    for name in names:
        one = found.get(name, Tally())
        rows.append([
            name, str(len(one)), _percent(share(sum(one.resolved), len(one), LEVEL)),
            _percent(share(sum(one.escalated), len(one), LEVEL)),
            _seconds(mean(one.handling_s, LEVEL)),
        ])  # fmt: skip
    first = found.get(names[0], Tally()) if names else Tally()
    for name in names[1:]:
        one = found.get(name, Tally())
        rows.append([
            f"{name} - {names[0]}", "", _percent(share_apart(one.resolved, first.resolved, LEVEL)),
            _percent(share_apart(one.escalated, first.escalated, LEVEL)),
            _seconds(mean_apart(one.handling_s, first.handling_s, LEVEL)),
        ])  # fmt: skip
    lines = _aligned(rows)
    lines.append(f"Each with its {LEVEL:.0%} interval.")
    asked = bot.variants.promote if bot.variants else None
    if asked:
        best = sufficient(bot, found)
        told = f"suffices: {best}" if best else "does not suffice yet"
        lines.append(
            f"To promote by itself ({asked.calls} calls each, {asked.confidence_percent} %), "
            f"the evidence {told}."
        )
    return "\n".join(lines)


def _aligned(rows: Iterable[list[str]]) -> list[str]:
    rows = list(rows)
    widths = [max(len(row[n]) for row in rows) for n in range(len(rows[0]))]
    return [
        "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows
    ]


def _percent(found: Interval) -> str:
    if math.isnan(found.at):
        return "-"
    return f"{found.at:.1%} ({found.low:.1%} to {found.high:.1%})"


def _seconds(found: Interval) -> str:
    if math.isnan(found.at):
        return "-"
    if not math.isfinite(found.low):
        return f"{found.at:.1f} s"
    return f"{found.at:.1f} s ({found.low:.1f} to {found.high:.1f})"
