"""`eslbot call`: a call to the running listener from the stand-in switch, told as it happens."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import gevent
import redis

from eslbot import call_secret
from eslbot.prompts import read_wav
from eslbot.switch.caller import Caller, Interrupt, Keys, NotAnswered, Say, Step
from eslbot.switch.channel import Channel, Dialplan
from workers import secret_slots, streams
from workers.bot import Bot, BotError, load
from workers.settings import Settings

RECORDINGS = Path(__file__).parent / "recordings"
# Without steps of its own: a balance, the number it needs, and a person.
DEFAULT = [("wav", "balance.wav"), ("wav", "account.wav"), ("wav", "person.wav")]
KEYS = frozenset("0123456789*#")
LEAVE_S = 12.0


class BadCall(Exception):
    """An argument that can't be used; str() names it."""


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """0: the caller was answered. 1: not. 2: an argument is wrong, or no listener is there."""
    try:
        steps = [_step(kind, value) for kind, value in arguments.steps or _default()]
        variables = dict(_pair(text) for text in arguments.set)
        bot = _bot(settings)
        redis_client = _redis(settings)
    except BadCall as error:
        print(f"eslbot call: {error}", file=sys.stderr)
        return 2
    if settings.call_secrets:
        variables.setdefault(call_secret.VARIABLE, settings.call_secrets[0])
    listener = f"{settings.listen_host}:{settings.listen_port}"
    call = Channel(
        Dialplan(
            [listener],
            watchdog_s=settings.watchdog_s,
            menu_extension=settings.menu_extension,
            context=settings.context,
            destinations={d.extension for d in bot.destinations.values() if d.extension},
            reaches={name: True for name, d in bot.destinations.items() if not d.extension},
        ),
        variables=variables,
    )
    call.dial()
    if not call.wait_for(lambda: call.where != "dialplan", 5.0):
        print(f"eslbot call: no listener answers at {listener}", file=sys.stderr)
        return 2
    if call.where.startswith("native"):
        print(f"eslbot call: no listener at {listener}: start it with `make run`", file=sys.stderr)
        return 2
    telling = gevent.spawn(_tell, call, redis_client)
    caller = Caller(call)
    answered = _go_through(caller, steps)
    call.sleep(0.3)
    where = call.where
    call.hangup()
    call.sleep(0.3)
    telling.kill()
    call.recording.save(Path(arguments.out))
    known = {k: v for k, v in call.variables.items() if k.startswith("ai_")}
    _summary(call, caller, where, answered, arguments.out, secret_slots.shown(bot, known))
    return 0 if answered and call.crashed is None else 1


def _go_through(caller: Caller, steps: list[Step]) -> bool:
    call = caller.call
    try:
        if not isinstance(steps[0], Interrupt):
            caller.wait_bot()
        for at, step in enumerate(steps):
            if call.where != "socket":
                print(f"   the call is at {call.where}: {len(steps) - at} steps are left out")
                break
            following = steps[at + 1] if at + 1 < len(steps) else None
            caller.do(step, wait=not isinstance(following, Interrupt))
    except NotAnswered as error:
        print(f"   NOT ANSWERED: {error}")
        return False
    # A transfer comes after what is said before it.
    call.wait_for(lambda: call.where != "socket" or call.recording.quiet_s("bot") > 1.5, LEAVE_S)
    return bool(call.recording.audible("bot").any())


def _tell(call: Channel, client: redis.Redis) -> None:
    """Print the call's log as the listener writes it; without Redis there is none."""
    key, last = streams.log_key(call.uuid), "0"
    while True:
        try:
            # Polled: this process' sockets are not patched, and the call's ticks must go on.
            found: Any = client.xread({key: last}, count=100)
        except redis.RedisError:
            gevent.sleep(1.0)
            continue
        for entry_id, entry in found[0][1] if found else ():
            last = entry_id
            _print(call, entry[b"what"].decode(), json.loads(entry[b"fields"]))
        gevent.sleep(0.05)


def _print(call: Channel, what: str, of: dict[str, Any]) -> None:
    at = f"{call.seconds:6.1f}"
    match what:
        case "heard":
            how = "keyed" if of.get("keyed") else f"confidence {of.get('confidence')}"
            print(f"{at}  heard    {of['text']!r} ({how})")
        case "partial":
            print(f"{at}    …      {of['text']!r}")
        case "decided":
            slots = ", ".join(f"{k}={v}" for k, v in of["slots"].items())
            action = f" then {of['action']}" if of["action"] != "none" else ""
            print(f"{at}  decided  {of['intent']} {slots}{action}")
        case "said":
            print(f"{at}  said     {of['text']}")
        case "interrupted":
            print(f"{at}  cut off; heard of it: {of['heard']!r}")
        case "turn":
            spans = [(k[:-3].replace("_", " "), of[k]) for k in of if k.endswith("_ms")]
            times = ", ".join(f"{name} {ms} ms" for name, ms in spans)
            print(f"{at}  turn     {of['outcome']}: after the last word: {times or '-'}")
        case "menu":
            print(f"{at}  menu     {of['reason']}")
        case "ended":
            print(f"{at}  ended    {of['outcome']}")
        case _:
            return
    sys.stdout.flush()


def _summary(
    call: Channel, caller: Caller, where: str, answered: bool, out: str, known: dict[str, str]
) -> None:
    print(
        f"\n{'ANSWERED' if answered else 'NOT ANSWERED'}; the call ended at {where}, with {known}"
    )
    if caller.gaps:
        gaps = ", ".join(f"{gap * 1000:.0f}" for gap in caller.gaps)
        print(f"from the caller's last word to the bot's first audio: {gaps} ms")
    if caller.silenced:
        print(
            f"interrupted: silent {caller.silenced[0] * 1000:.0f} ms after the caller's first word"
        )
    if call.crashed:
        print(f"THIS WOULD HAVE CRASHED FREESWITCH: {call.crashed}")
    if call.lost_frames or call.corrupt_frames:
        print(f"frames lost {call.lost_frames}, of a wrong size {call.corrupt_frames}")
    print(f"both sides are in {out} (left: caller, right: bot)")


def _default() -> list[tuple[str, str]]:
    return [(kind, str(RECORDINGS / name)) for kind, name in DEFAULT]


def _step(kind: str, value: str) -> Step:
    if kind == "keys":
        if not value or set(value) - KEYS:
            raise BadCall(f"--keys {value!r}: only 0-9, * and #")
        return Keys(value)
    if kind == "wav":
        try:
            return Say(read_wav(Path(value)))
        except (OSError, ValueError) as error:
            raise BadCall(f"--wav {value}: {error}") from None
    pcm = _speak(value, kind)
    return Interrupt(pcm) if kind == "interrupt" else Say(pcm)


def _speak(words: str, kind: str) -> bytes:
    made = subprocess.run(  # noqa: S603
        [sys.executable, "-m", "workers.tts", "--", words], capture_output=True, timeout=60
    )
    if made.returncode or not made.stdout:
        cause = made.stderr.decode(errors="replace").strip().splitlines()
        raise BadCall(f"--{kind}: can't be spoken: {cause[-1] if cause else 'no audio'}")
    return made.stdout


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise BadCall(f"--set {text!r}: not NAME=VALUE")
    return name, value


def _redis(settings: Settings) -> redis.Redis:
    timeout_s = settings.redis_timeout_ms / 1000
    try:
        return streams.connect(settings.redis, timeout_s, 2, settings.redis_tls)
    except ValueError as error:
        raise BadCall(f"REDIS_URL: {streams.plain(error)}") from None


def _bot(settings: Settings) -> Bot:
    try:
        return load(Path(settings.bot))
    except BotError as error:
        raise BadCall(f"ESLBOT_BOT: {error}") from None
