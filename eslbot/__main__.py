"""The command line: `eslbot COMMAND`, or `python -m eslbot COMMAND`."""

from __future__ import annotations

import sys

if sys.argv[1:2] in (["serve"], ["console"]):
    # redis-py's sockets must not stop the other calls; before anything imports a socket.
    from gevent import monkey

    monkey.patch_all()

import argparse
from pathlib import Path

import redis

from eslbot import check as check_house
from eslbot import monitor, variants
from eslbot.chaos import command as chaos
from eslbot.evals import command as evals
from eslbot.loadtest import command as loadtest
from eslbot.records import command as records
from workers import logs, streams
from workers.bot import Bot, BotError
from workers.bot import load as load_bot
from workers.settings import Settings, SettingsError, reference
from workers.settings import load as load_settings


class Trouble(Exception):
    """Ends the command with exit code 2 and this one line."""


def main(argv: list[str] | None = None) -> int:
    """Exit codes: 0 all well, 1 it did not come out right, 2 something is set up wrongly."""
    parser = argparse.ArgumentParser(prog="eslbot", description="A voice bot behind FreeSWITCH.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("serve", help="accept calls from FreeSWITCH")
    commands.add_parser("console", help="the web page: a phone, calls, health")
    records.add_commands(commands)
    commands.add_parser("redis", help="run the Redis that comes along")
    check = commands.add_parser("check", help="is everything set up rightly? (before a start)")
    check_house.add_arguments(check)
    commands.add_parser("schema", help="print the JSON Schema of bots' files, for editors")
    commands.add_parser("settings", help="print the reference of all settings")
    commands.add_parser("redis-acl", help="print users for Redis with no more rights than needed")
    _call_arguments(commands.add_parser("call", help="call the listener from a stand-in switch"))
    talk = commands.add_parser("talk", help="talk with the running bot from the terminal")
    talk.add_argument("--out", type=Path, help="keep a stereo recording")
    talk.add_argument("--microphone", action="store_true", help="speak and listen, with headphones")
    monitor.add_arguments(
        commands.add_parser("monitor", help="a synthetic call again and again, and an alarm")
    )
    _freeswitch_arguments(commands.add_parser("freeswitch", help="write FreeSWITCH's files"))
    chaos.add_arguments(commands.add_parser("chaos", help="break it on purpose, and see"))
    variants.add_arguments(commands.add_parser("variants", help="which variant of a bot is better"))
    loadtest.add_arguments(commands.add_parser("loadtest", help="many calls at once, measured"))
    evals.add_arguments(commands.add_parser("eval", help="scripted callers, and what they got"))
    arguments = parser.parse_args(argv)
    try:
        if arguments.command == "settings":
            print(reference(), end="")
            return 0
        if arguments.command == "schema":
            from workers.bot.schema import text

            print(text(), end="")
            return 0
        if arguments.command == "redis-acl":
            from eslbot import redis_acl

            return redis_acl.run()
        settings = load_settings()
        logs.begin(settings.log_level, settings.log_format)
        return _run(arguments, settings)
    except (Trouble, SettingsError, BotError) as error:
        print(f"eslbot {arguments.command}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _run(arguments: argparse.Namespace, settings: Settings) -> int:
    if arguments.command == "serve":
        return _serve(settings)
    if arguments.command == "console":
        return _console(settings)
    if arguments.command in records.COMMANDS:
        return records.run(arguments, settings)
    if arguments.command == "redis":
        from eslbot import redis_server

        try:
            redis_server.run(settings)
        except redis_server.NoRedis as error:
            raise Trouble(str(error)) from None
    if arguments.command == "check":
        if arguments.bot:
            from eslbot.check_bot import check_bot

            return check_bot(Path(arguments.bot), arguments.json)
        return check_house.check(settings, running=arguments.running, as_json=arguments.json,
                                 file=arguments.dialplan)  # fmt: skip
    if arguments.command == "freeswitch":
        return _freeswitch(arguments, settings)
    if arguments.command == "chaos":
        return chaos.run(arguments, settings)
    if arguments.command == "variants":
        try:
            return variants.run(arguments, settings, _bot(settings))
        except variants.NoVariants as error:
            raise Trouble(str(error)) from None
    if arguments.command == "loadtest":
        return loadtest.run(arguments)
    if arguments.command == "talk":
        from eslbot import talk

        return talk.run(arguments, settings)
    if arguments.command == "monitor":
        return monitor.run(arguments, settings)
    if arguments.command == "eval":
        return evals.run(arguments, settings)
    from eslbot.first_call import run

    return run(arguments, settings)


def _bot(settings: Settings) -> Bot:
    try:
        return load_bot(Path(settings.bot))
    except BotError as error:
        raise Trouble(f"ESLBOT_BOT: {error}") from None


def _serve(settings: Settings) -> int:
    bot = _bot(settings)
    from eslbot.listener import Listener
    from eslbot.server import ServerError
    from eslbot.vad import VadError

    try:
        Listener(settings, bot).run()
    except ServerError as error:
        raise Trouble(f"ESLBOT_LISTEN_PORT: {error}") from None
    except (redis.RedisError, ValueError) as error:
        raise Trouble(f"REDIS_URL: {streams.plain(error)}") from None
    except VadError as error:
        raise Trouble(str(error)) from None
    return 0


def _console(settings: Settings) -> int:
    from eslbot.console.server import Console, ConsoleError

    try:
        Console(settings).run()
    except ConsoleError as error:
        raise Trouble(str(error)) from None
    except ValueError as error:
        raise Trouble(f"REDIS_URL: {streams.plain(error)}") from None
    return 0


def _call_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Call the running listener from a stand-in switch, and print the conversation. "
        "Steps are done in the order given, each when the bot has finished speaking; "
        "without any, the caller asks for a balance and then for a person."
    )
    for flag, what in (
        ("--say", "words to be spoken to the bot by a synthesised caller"),
        ("--wav", "a WAV file to be played to it (8 kHz, mono, 16 bit)"),
        ("--keys", "keys to be pressed, 0-9 * #"),
        ("--interrupt", "words that are said while the bot speaks"),
    ):
        parser.add_argument(flag, dest="steps", action=_Step, help=what)
    parser.add_argument("--out", default="call.wav", help="stereo recording (%(default)s)")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE",
                        help="a channel variable that the call begins with")  # fmt: skip


class _Step(argparse.Action):
    def __call__(self, parser, namespace, values, option_string=None):  # type: ignore[no-untyped-def]
        steps = getattr(namespace, "steps", None) or []
        namespace.steps = [*steps, (option_string.lstrip("-"), values)]


def _freeswitch_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = "Write the dialplan and the native menu of the bot, and its prompts."
    parser.add_argument("--out", required=True, type=Path, help="folder to write to")
    parser.add_argument("--sounds-dir", default="/usr/share/freeswitch/sounds/eslbot",
                        help="where the prompts will lie on the switch (%(default)s)")  # fmt: skip
    parser.add_argument(
        "--entry-extension", default="7000", help="number callers reach (%(default)s)"
    )
    parser.add_argument("--listener", action="append", metavar="HOST:PORT",
                        help="listeners, in the order to try; default: this one")  # fmt: skip


def _freeswitch(arguments: argparse.Namespace, settings: Settings) -> int:
    from eslbot.freeswitch import write_files

    listeners = arguments.listener or [f"{settings.listen_host}:{settings.listen_port}"]
    return write_files(_bot(settings), settings, arguments.out, listeners=listeners,
                       sounds_dir=arguments.sounds_dir,
                       entry_extension=arguments.entry_extension)  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
