"""`eslbot check`: is everything set up rightly? Asked before a start, so that nothing is half
started; with --running of a house that is up.

Exit codes: 0 all well, 1 warnings, 2 something is wrong. A line for each finding on stderr.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from eslbot.doctor import Finding, dialplan, engines, house, running, switch
from workers.bot import Bot, BotError, load
from workers.settings import Settings

Look = tuple[str, Callable[[], list[Finding]]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bot", nargs="?", help="check this bot's file alone")
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.add_argument(
        "--running", action="store_true", help="the house is up: do its parts answer, and how?"
    )
    parser.add_argument(
        "--dialplan",
        type=Path,
        metavar="FILE",
        help="your switch's eslbot.xml: is it the right one?",
    )


def check(
    settings: Settings, *, running: bool = False, as_json: bool = False, file: Path | None = None
) -> int:
    """Print what is found. file: a dialplan to compare."""
    found: list[Finding] = []
    looked = []
    for name, look in _looks(settings, running, file, found):
        looked.append(name)
        found += look()
    wrong = any(not one.warning for one in found)
    code = 2 if wrong else 1 if found else 0
    if as_json:
        told = {"exit": code, "looked_at": looked, "findings": [one.shown() for one in found]}
        print(json.dumps(told, indent=2, ensure_ascii=False))
        return code
    for one in found:
        print(f"eslbot: {one.line}", file=sys.stderr)
    if not wrong:
        well = f"{len(found)} warnings" if found else "all well"
        print(f"eslbot check: {', '.join(looked)}: {well}")
    return code


def _looks(settings: Settings, up: bool, file: Path | None, found: list[Finding]) -> Iterator[Look]:
    """What is looked at, the quick things first. The rest is not where one of them is wrong."""
    bot: Bot | None = None
    try:
        bot = load(Path(settings.bot))
        yield "bot", list
    except BotError as error:
        what = f"ESLBOT_BOT: {error}"
        yield "bot", lambda: [Finding(what)]
    yield "console", lambda: house.console(settings)
    if not up:
        yield "ports", lambda: house.ports(settings)
    if settings.redis_url or up:
        yield "Redis", lambda: house.other_redis(settings)
    else:
        yield "Redis", house.own_redis
    if settings.audio_redis_url:
        yield "audio's Redis", lambda: house.audio_redis(settings)
    if settings.queue_redis_urls:
        yield "queues' Redis", lambda: house.queue_redis(settings)
    yield "state", lambda: house.state_dir(settings)
    if settings.switch_esl:
        yield "switch", lambda: switch.look(settings)
    if file is not None and bot is not None:
        at, of = file, bot
        yield "dialplan", lambda: dialplan.compare(at, of, settings)
    if bot is None or any(not one.warning for one in found):
        return
    of = bot
    yield "records", lambda: house.records(settings, of)
    if up:
        yield "listeners and workers", lambda: running.look(settings)
    elif not any(not one.warning for one in found):
        yield "engines", engines.load
