"""`eslbot monitor`: a synthetic call every few minutes, through the real path, and an alarm.

    greeting   from the answer to the bot's first word
    answer     a question is asked in a recorded voice: from its last word to the answer's first
    drill      0 is pressed: the DTMF menu has to be heard, and 0 once more has to reach a person

The call comes from the stand-in switch, not from FreeSWITCH: what is measured is the listener, the
workers and Redis. The person it ends at is the stand-in's own, so that nobody's telephone rings.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from eslbot.first_call import RECORDINGS, BadCall, NoListener, bot_of, dial
from eslbot.prompts import read_wav
from eslbot.switch.caller import PAUSE_S, Caller, NotAnswered, Say
from eslbot.switch.channel import Channel
from workers.bot import Bot
from workers.settings import Settings

MENU_WITHIN_S = 5.0
PERSON_WITHIN_S = 20.0
TOLD_WITHIN_S = 5.0


@dataclass(slots=True)
class Round:
    """One synthetic call; seconds, None where it did not get so far."""

    at: str
    greeting_s: float | None = None
    answer_s: float | None = None
    menu_s: float | None = None
    person_s: float | None = None
    wrong: list[str] = field(default_factory=list)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Call the running listener again and again, and tell when a caller would wait too long. "
        "Exit code with --once: 0 all well, 1 something is wrong, 2 it could not be tried."
    )
    parser.add_argument("--every-s", type=_seconds, default=300, help="(%(default)s)")
    parser.add_argument("--once", action="store_true", help="one call, and end")
    parser.add_argument("--max-wait-ms", type=_milliseconds, default=1500,
                        help="alarm when a caller waits longer (%(default)s)")  # fmt: skip
    parser.add_argument("--wav", type=Path, default=RECORDINGS / "hours.wav",
                        help="the question, 8 kHz mono 16 bit (when are you open)")  # fmt: skip
    parser.add_argument("--alarm-url", metavar="URL", type=_url,
                        help="where a round that went wrong is posted, as JSON")  # fmt: skip
    parser.add_argument("--json", action="store_true", help="a JSON object for each round")
    parser.add_argument("--no-drill", action="store_true", help="leave the DTMF menu alone")


def _seconds(text: str) -> int:
    if not text.isdigit() or not 5 <= int(text) <= 86400:
        raise argparse.ArgumentTypeError("5 to 86400")
    return int(text)


def _milliseconds(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or not 1 <= int(text[:9]) <= 60_000:
        raise argparse.ArgumentTypeError("1 to 60000")
    return int(text)


def _url(text: str) -> str:
    try:
        parts = urlsplit(text)
        good = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        good = False
    if not good:
        raise argparse.ArgumentTypeError("neither http://HOST... nor https://HOST...")
    return text


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """See add_arguments."""
    try:
        bot = bot_of(settings)
        question = read_wav(arguments.wav)
    except (BadCall, OSError, ValueError) as error:
        print(f"eslbot monitor: {error}", file=sys.stderr)
        return 2
    while True:
        began = time.monotonic()
        done = one_round(settings, bot, question, arguments.max_wait_ms / 1000,
                         drill=not arguments.no_drill)  # fmt: skip
        print(json.dumps(asdict(done)) if arguments.json else line(done), flush=True)
        if done.wrong and arguments.alarm_url:
            _alarm(arguments.alarm_url, done)
        if arguments.once:
            return 1 if done.wrong else 0
        time.sleep(max(0.0, arguments.every_s - (time.monotonic() - began)))


def one_round(
    settings: Settings, bot: Bot, question: bytes, max_wait_s: float, *, drill: bool
) -> Round:
    """One call from its beginning to its end; never raises for what a caller could meet."""
    done = Round(datetime.now(UTC).isoformat(timespec="seconds"))
    try:
        call = dial(settings, bot, {})
    except NoListener as error:
        done.wrong.append(str(error))
        return done
    try:
        _talk(call, done, question)
        if drill:
            _drill(call, done)
    except NotAnswered as error:
        done.wrong.append(str(error))
    finally:
        call.hangup()
    for name in ("greeting_s", "answer_s"):
        took = getattr(done, name)
        if took is not None and took > max_wait_s:
            what = name.removesuffix("_s")
            done.wrong.append(f"{what} after {took:.2f} s; at most {max_wait_s:.2f} s")
    return done


def _talk(call: Channel, done: Round, question: bytes) -> None:
    caller = Caller(call)
    caller.wait_bot()
    heard = call.recording.first_heard("bot")
    if heard is None or call.where != "socket":
        raise NotAnswered(f"no greeting: the call is at {call.where}")
    done.greeting_s = round(heard * call.recording.tick_s, 3)
    caller.do(Say(question))
    if not caller.gaps or call.where != "socket":
        raise NotAnswered(f"no answer: the call is at {call.where}")
    done.answer_s = round(caller.gaps[0], 3)


def _drill(call: Channel, done: Round) -> None:
    """The way out for a caller whose assistant is of no use; needs no worker."""
    recording = call.recording
    call.wait_for(lambda: recording.quiet_s("bot") > PAUSE_S, 30)
    since, began = recording.ticks, call.seconds
    call.keys("0")
    if not call.wait_for(lambda: recording.first_heard("bot", since) is not None, MENU_WITHIN_S):
        raise NotAnswered(f"the menu was not heard in {MENU_WITHIN_S:.0f} s after 0")
    done.menu_s = round(call.seconds - began, 3)
    began = call.seconds
    call.keys("0")
    if not call.wait_for(lambda: call.where != "socket", PERSON_WITHIN_S):
        raise NotAnswered(f"no person in {PERSON_WITHIN_S:.0f} s after 0 in the menu")
    if not call.where.startswith("extension:"):
        raise NotAnswered(f"no person: the call is at {call.where}")
    done.person_s = round(call.seconds - began, 3)


def line(done: Round) -> str:
    """A round as a line for people."""
    took = [
        f"{name} {value:.2f} s"
        for name in ("greeting", "answer", "menu", "person")
        if (value := getattr(done, f"{name}_s")) is not None
    ]
    verdict = f"WRONG: {'; '.join(done.wrong)}" if done.wrong else "all well"
    return f"{done.at}  {', '.join(took) or '-'}  {verdict}"


def _alarm(url: str, done: Round) -> None:
    import httpx  # a third of this command's start, and mostly not needed

    try:
        httpx.post(url, json=asdict(done), timeout=TOLD_WITHIN_S).raise_for_status()
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        print(f"eslbot monitor: the alarm was not taken: {type(error).__name__}", file=sys.stderr)
