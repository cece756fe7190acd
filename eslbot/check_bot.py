"""`eslbot check BOT`: what is wrong with a bot's file, and what probably is."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from workers.bot import BotError, line_of, load_with_lines
from workers.bot.advice import advice

MAX_WARNINGS = 200


def check_bot(path: Path, as_json: bool) -> int:
    """Print a line for each thing; 0 all right, 1 there are warnings, 2 it can't be used."""
    try:
        bot, lines = load_with_lines(path)
    except BotError as error:
        errors = [error, *error.others]
        if as_json:
            _json(path, errors=[_told(one.line, one.key, one.cause) for one in errors])
        else:
            # One mistake often makes others: all of them are for programs.
            more = f" (and {len(error.others)} more: --json)" if error.others else ""
            print(f"eslbot check: {error}{more}", file=sys.stderr)
        return 2
    warnings = [
        _told(line_of(lines, one.key), one.key, one.cause)
        for one in advice(bot, path.parent)[:MAX_WARNINGS]
    ]
    if as_json:
        _json(path, warnings=warnings)
    else:
        for told in warnings:
            print(f"{path}: line {told['line']}: {told['key']}: warning: {told['cause']}")
        end = f"{len(warnings)} warnings" if warnings else "right"
        print(f"{path}: bot {bot.name}, {len(bot.intents)} intents: {end}")
    return 1 if warnings else 0


def _told(line: int, key: str, cause: str) -> dict[str, object]:
    return {"line": line, "key": key, "cause": cause}


def _json(path: Path, **found: list[dict[str, object]]) -> None:
    told = {"file": str(path), "errors": [], "warnings": []} | found
    print(json.dumps(told, indent=2))
