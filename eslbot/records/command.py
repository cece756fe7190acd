"""`eslbot recorder`, `calls`, `show`, `report`, `export`, `forget`, `records`: what is kept."""

from __future__ import annotations

import argparse
import datetime
import json
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import redis

from workers import streams
from workers.settings import Settings, SettingsError

if TYPE_CHECKING:
    from eslbot.records.read import Query

COMMANDS = ("recorder", "calls", "show", "report", "export", "forget", "records")
MAX_LIMIT = 10_000  # what is read at once, see read.py
UNITS_S = {"m": 60.0, "h": 3600.0, "d": 86400.0, "w": 7 * 86400.0}


def add_commands(commands: Any) -> None:
    commands.add_parser("recorder", help="write calls' records, and tell webhooks")
    calls = commands.add_parser("calls", help="list calls")
    _filters(calls)
    calls.add_argument("--json", action="store_true", help="a line of JSON for each")
    calls.add_argument("--live", action="store_true", help="those that go on now, until Ctrl-C")
    show = commands.add_parser("show", help="one call: what was said, and how long all took")
    show.add_argument("call", metavar="CALL", help="its UUID, or the beginning of it")
    show.add_argument("--json", action="store_true")
    show.add_argument("--audio", type=Path, metavar="WAV", help="write its recording here")
    report = commands.add_parser("report", help="what leads to escalation, what is asked again")
    _filters(report, 10_000)
    report.add_argument("--json", action="store_true")
    export = commands.add_parser("export", help="conversations for few-shot and fine-tuning, JSONL")
    _filters(export, 10_000)
    export.add_argument("--format", choices=("chat", "turns"), default="chat",
                        help="a conversation a line, or a turn a line (%(default)s)")  # fmt: skip
    forget = commands.add_parser("forget", help="delete all calls of a number")
    forget.add_argument("number", metavar="NUMBER")
    more = commands.add_parser("records", help="keys, audit trail, retention")
    more.add_argument("what", choices=("key", "rekey", "audit", "prune"))


def _filters(parser: argparse.ArgumentParser, limit: int = 50) -> None:
    parser.add_argument("--bot", help="of this bot")
    parser.add_argument("--intent", help="whose last wish was this")
    parser.add_argument("--outcome", help="that ended so: 'hung up', 'transferred', ...")
    parser.add_argument("--variant", help="with this variant of the prompt")
    parser.add_argument("--escalated", action=argparse.BooleanOptionalAction,
                        help="that went to a person or a menu")  # fmt: skip
    parser.add_argument("--resolved", action=argparse.BooleanOptionalAction,
                        help="whose wish was served")  # fmt: skip
    parser.add_argument("--caller", metavar="NUMBER", help="from this number")
    parser.add_argument("--since", metavar="TIME", help="since 2026-11-21, or for 90m, 24h, 7d")
    parser.add_argument("--until", metavar="TIME")
    parser.add_argument("--limit", type=_limit, default=limit,
                        help=f"at most so many (%(default)s), up to {MAX_LIMIT}")  # fmt: skip


def _limit(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or not 1 <= int(text[:9]) <= MAX_LIMIT:
        raise argparse.ArgumentTypeError(f"1 to {MAX_LIMIT}")
    return int(text)


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Exit codes as main()'s. Raises SettingsError."""
    from eslbot.records.seal import SealError, new_key
    from eslbot.records.store import Store, StoreError

    if arguments.command == "records" and arguments.what == "key":
        print(new_key())
        return 0
    try:
        if arguments.command == "recorder":
            from eslbot.records.recorder import run as run_recorder

            run_recorder(settings)
            return 0
        if arguments.command == "calls" and arguments.live:
            return _live(arguments, settings)
        store = Store.of(settings)
        try:
            return _run(arguments, settings, store)
        finally:
            store.close()
    except StoreError as error:
        raise SettingsError(f"ESLBOT_RECORDS_URL: {error}") from None
    except SealError as error:
        raise SettingsError(f"ESLBOT_RECORDS_KEY_FILE: {error}") from None
    except (redis.RedisError, ValueError) as error:
        raise SettingsError(f"REDIS_URL: {streams.plain(error)}") from None
    except BrokenPipeError:
        return 1


def _run(arguments: argparse.Namespace, settings: Settings, store: Any) -> int:
    from eslbot.records import export, keeping, read, report, show

    command = arguments.command
    if command == "calls":
        found = read.calls(store, _query(arguments), arguments.limit)
        print(_lines(found) if arguments.json else show.table(found) + "\n", end="")
    elif command == "show":
        return _show(arguments, settings, store)
    elif command == "report":
        result = report.make(store, _query(arguments), arguments.limit)
        print(json.dumps(result, ensure_ascii=False) if arguments.json else report.told(result))
    elif command == "export":
        for line in export.lines(store, _query(arguments), arguments.limit, arguments.format):
            print(line)
    elif command == "forget":
        calls, files = keeping.forget(store, settings, arguments.number)
        print(f"{calls} calls and {files} recordings deleted")
        return 0 if calls else 1
    elif arguments.what == "audit":
        print(_lines(read.audit(store)), end="")
    elif arguments.what == "prune":
        calls, files = keeping.prune(store, settings)
        print(f"{calls} calls and {files} recordings deleted")
    else:
        return _rekey(settings, store)
    return 0


def _rekey(settings: Settings, store: Any) -> int:
    """0: the old keys can go. 1: something still needs them."""
    from eslbot.media.recording import folder
    from eslbot.records import rekey

    print(f"{rekey.rekey(store)} rows sealed with the newest key")
    found = rekey.rekey_recordings(folder(settings), store.seal.audio_keys, time.time())
    if found.done:
        with store.begin() as connection:
            store.audit(connection, "rekeyed", detail=f"{found.done} recordings")
    print(f"{found.done} recordings sealed with the newest key, {found.had} were already")
    for name, why in found.failed:
        print(f"eslbot records rekey: {name}: {why}", file=sys.stderr)
    if found.open:
        print(f"eslbot records rekey: {found.open} recordings are still being written: run it "
              "again once they have ended", file=sys.stderr)  # fmt: skip
    return 1 if found.failed or found.open else 0


def _live(arguments: argparse.Namespace, settings: Settings) -> int:
    from eslbot import live_calls

    kept = ("intent", "outcome", "variant", "escalated", "resolved", "caller", "since", "until")
    given = [f"--{name}" for name in kept if getattr(arguments, name) is not None]
    if given:
        raise SettingsError(f"{given[0]}: asks for calls that are over; --live takes --bot, --json")
    # A shell that starts it in the background has it ignore SIGINT.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    return live_calls.run(settings, arguments.json, arguments.bot)


def _show(arguments: argparse.Namespace, settings: Settings, store: Any) -> int:
    from eslbot.records import read, show

    found = read.calls(store, read.Query(uuid=arguments.call), 2)
    if len(found) != 1:
        many = "several calls begin so" if found else "there is no such call"
        print(f"eslbot show: {many}", file=sys.stderr)
        return 1
    one = read.call(store, found[0]["uuid"])
    assert one is not None
    if arguments.audio:
        return show.write_audio(one, settings, store, arguments.audio)
    print(json.dumps(one, ensure_ascii=False) if arguments.json else show.call(one))
    return 0


def _lines(rows: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _query(arguments: argparse.Namespace) -> Query:
    from eslbot.records.read import Query

    return Query(
        bot=arguments.bot, intent=arguments.intent, outcome=arguments.outcome,
        variant=arguments.variant, escalated=arguments.escalated, resolved=arguments.resolved,
        caller=arguments.caller, since=_time("--since", arguments.since),
        until=_time("--until", arguments.until),
    )  # fmt: skip


def _time(flag: str, text: str | None) -> float | None:
    """Seconds since 1970 of a date, or of a time that lies so far back. Raises SettingsError."""
    if text is None:
        return None
    if text[-1:] in UNITS_S and text[:-1].isascii() and text[:-1].isdigit() and len(text) < 8:
        return time.time() - int(text[:-1]) * UNITS_S[text[-1]]
    try:
        return datetime.datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError, OSError):
        raise SettingsError(f"{flag}: neither a date such as 2026-11-21 nor 90m, 24h, 7d") from None
