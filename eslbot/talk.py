"""`eslbot talk`: a conversation from the terminal, through the whole running system.

What is typed is spoken to the bot by a synthesised voice, keys are pressed with a slash, and what
each side says and hears is printed as it happens. It is a call like any other: barge-in included,
an empty line waits. With --microphone one speaks and listens; a loudspeaker that the microphone
hears would interrupt the bot.
"""

from __future__ import annotations

import argparse
import contextlib
import sys

import gevent

from eslbot.first_call import KEYS, BadCall, NoListener, bot_of, dial, redis_of, speak, tell
from eslbot.sound_card import NoSoundCard, SoundCard
from eslbot.switch.channel import Channel
from workers.settings import Settings

MAX_LINE = 300  # characters
HELP = "Type what you want to say; /42# presses keys; an empty line waits; Ctrl-D hangs up."


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """0: the call was ended by the caller, or went on to somebody. 2: there is no listener, or no
    microphone."""
    try:
        with SoundCard() if arguments.microphone else contextlib.nullcontext() as card:
            return _talk(arguments, settings, card)
    except (BadCall, NoListener, NoSoundCard) as error:
        print(f"eslbot talk: {error}", file=sys.stderr)
        return 2


def _talk(arguments: argparse.Namespace, settings: Settings, card: SoundCard | None) -> int:
    bot = bot_of(settings)
    client = redis_of(settings)
    call = dial(settings, bot, {})
    print(HELP, flush=True)
    telling = gevent.spawn(tell, call, client)
    carrying = gevent.spawn(card.carry, call) if card else None
    # Typing must not stop the call's clock: the terminal is read by a thread.
    lines = gevent.spawn(_lines, call)
    over = lambda: call.where != "socket" or lines.dead or (carrying and carrying.dead)  # noqa: E731
    call.wait_for(over, 24 * 3600)
    lines.kill(block=False)
    if carrying and isinstance(carrying.exception, NoSoundCard):
        telling.kill()
        call.hangup()
        raise carrying.exception
    call.sleep(0.5)
    telling.kill()
    print(f"the call is at {call.where}" if call.where != "socket" else "hung up")
    call.hangup()
    if arguments.out:
        call.recording.save(arguments.out)
        print(f"both sides are in {arguments.out} (left: caller, right: bot)")
    return 0


def _lines(call: Channel) -> None:
    pool = gevent.get_hub().threadpool
    while line := pool.apply(sys.stdin.readline):
        said = line.strip()
        if not said:
            continue
        if said.startswith("/"):
            keys = said[1:]
            if not keys or set(keys) - KEYS:
                print(f"{said!r}: only 0-9, * and # can be pressed")
                continue
            call.keys(keys)
            continue
        if len(said) > MAX_LINE:
            print(f"that is {len(said)} characters; at most {MAX_LINE} are said at once")
            continue
        try:
            # The speech is made by a process of its own: a thread waits for it.
            call.say(pool.apply(speak, (said, "say")))
        except BadCall as error:
            print(f"eslbot talk: {error}", file=sys.stderr)
    # What was typed last is still to be answered when its input is a file.
    call.wait_for(lambda: not call.saying, 120)
    if not sys.stdin.isatty():
        since = call.recording.ticks
        call.wait_for(lambda: call.recording.first_heard("bot", since) is not None, 15)
        call.wait_for(lambda: call.recording.quiet_s("bot") > 1.5, 60)
