"""What FreeSWITCH needs of a bot: its dialplan, with the native menu, and the prompts.

    generate()      the files' text; no I/O
    write_files()   the same on disk, with the prompts rendered so far beside them

What stands in the dialplan is in dialplan.py; here it is checked what comes in.
"""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

from eslbot.dialplan import Dialplan, answers, asked_slots
from eslbot.dialplan_transfers import INTERNAL
from eslbot.ivr import ENTRY_GAP_MS, menu_prompts
from eslbot.prompts import prompt_file
from workers.bot import Bot
from workers.settings import Settings

__all__ = ["generate", "native_prompts", "prompt_file", "write_files"]

DIALPLAN = "dialplan/eslbot.xml"
DESTINATIONS = "dialplan/eslbot/destinations.xml.example"
PROMPT_LIST = "prompts.txt"
SOUNDS = "sounds"
MAX_LISTENERS = 50  # mod_event_socket.c, socket_function

_LISTENER = re.compile(r"(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9][A-Za-z0-9.-]{0,252}):([0-9]{1,5})")
_SOUNDS_DIR = re.compile(r"/[A-Za-z0-9._/-]{1,200}")
_CONTEXT = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_EXTENSION = re.compile(r"[A-Za-z0-9_*#+-]{1,32}")


def native_prompts(bot: Bot) -> tuple[str, ...]:
    """Every text that the native menu plays."""
    texts = [*menu_prompts(bot), bot.menu.retry]
    texts += answers(bot).values()
    texts += [bot.slots[name].ask_keypad or "" for name in asked_slots(bot)]
    texts += [text for d in bot.destinations.values() for text in d.fixed_phrases]
    return tuple(dict.fromkeys(texts))


def generate(
    bot: Bot,
    *,
    listeners: list[str],
    sounds_dir: str,
    context: str,
    watchdog_s: int,
    entry_extension: str,
    menu_extension: str,
    gap_ms: int = ENTRY_GAP_MS,
    secret: str = "",
) -> dict[str, str]:
    """The files of a bot: relative name to text.

    listeners: HOST:PORT, tried in this order; IPv6 in brackets. sounds_dir: where the prompts
    will lie on the switch. context: the dialplan context of all this. watchdog_s: a call whose
    listener has not renewed its watchdog for so long goes to the menu. gap_ms: pause after a key
    that ends an entry. secret: what the listener knows its calls by; "": nothing. Raises ValueError
    where one of these can't stand in a dialplan.
    """
    if not 1 <= len(listeners) <= MAX_LISTENERS:
        raise ValueError(f"{len(listeners)} listeners; FreeSWITCH takes 1 to {MAX_LISTENERS}")
    hosts = "|".join(_listener(one) for one in listeners)
    if not _SOUNDS_DIR.fullmatch(sounds_dir) or ".." in sounds_dir.split("/"):
        raise ValueError(f"sounds_dir {sounds_dir!r}: an absolute path of A-Z a-z 0-9 . _ - /")
    if not _CONTEXT.fullmatch(context):
        raise ValueError(f"context {context!r}: 1 to 64 of A-Z a-z 0-9 . _ -")
    _check_extensions(bot, context, entry_extension, menu_extension)
    if watchdog_s < 1 or gap_ms < 1:
        raise ValueError("watchdog_s and gap_ms begin at 1")
    plan = Dialplan(bot, sounds_dir.rstrip("/"), context, gap_ms, secret)
    entry = plan.entry(entry_extension, menu_extension, hosts, watchdog_s)
    blocks = [entry, *plan.menu(menu_extension)]
    return {
        DIALPLAN: _HEAD.format(context=context, bot=bot.name, sha=bot.sha)
        + "\n".join(blocks)
        + _TAIL,
        DESTINATIONS: plan.destinations(),
        PROMPT_LIST: "".join(f"{prompt_file(t)}\t{t}\n" for t in native_prompts(bot)),
    }


def write_files(
    bot: Bot,
    settings: Settings,
    out: Path,
    *,
    listeners: list[str],
    sounds_dir: str,
    entry_extension: str,
) -> int:
    """Write generate()'s files and the rendered prompts below out; say what was done.

    0: all is there. 1: prompts are missing, named on stderr. 2: an argument is wrong.
    """
    secret = settings.call_secrets[0] if settings.call_secrets else ""
    try:
        files = generate(
            bot,
            listeners=listeners,
            sounds_dir=sounds_dir,
            context=settings.context,
            watchdog_s=settings.watchdog_s,
            entry_extension=entry_extension,
            menu_extension=settings.menu_extension,
            gap_ms=settings.dtmf_gap_ms,
            secret=secret,
        )
    except ValueError as error:
        print(f"eslbot freeswitch: {error}", file=sys.stderr)
        return 2
    for name, text in files.items():
        path = out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        if secret and secret in text:
            path.chmod(0o600)
            print(f"{path}: holds the call secret; let nobody but FreeSWITCH read the copy")
        path.write_text(text, encoding="utf-8")
        print(path)
    missing = _copy_prompts(Path(settings.state_dir) / "prompts", out / SOUNDS, bot)
    print(f"{out / SOUNDS}: {len(native_prompts(bot)) - len(missing)} prompts for {sounds_dir}")
    if missing:
        print(
            f"eslbot freeswitch: {len(missing)} prompts are not rendered yet: start `eslbot serve` "
            f"and its workers once, or record them ({out / PROMPT_LIST}): {', '.join(missing)}",
            file=sys.stderr,
        )
        return 1
    return 0


def _copy_prompts(rendered: Path, sounds: Path, bot: Bot) -> list[str]:
    """Copy what is rendered, from the voice that has most of it; the names that no voice has."""
    names = [prompt_file(text) for text in native_prompts(bot)]
    voices = sorted(
        (path for path in rendered.glob("*") if path.is_dir()),
        key=lambda path: (-sum((path / name).is_file() for name in names), path.name),
    )
    missing = []
    for name in names:
        source = next((v / name for v in voices if (v / name).is_file()), None)
        if source is None:
            missing.append(name)
            continue
        sounds.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, sounds / name)
    return missing


def _listener(text: str) -> str:
    """HOST:PORT as the socket application wants it: FreeSWITCH takes an IPv6 without brackets."""
    found = _LISTENER.fullmatch(text)
    if not found or not 1 <= int(found[2]) <= 65535:
        raise ValueError(f"listener {text!r}: HOST:PORT is wanted, IPv6 in brackets")
    host = found[1].strip("[]")
    if host in ("0.0.0.0", "::"):  # noqa: S104
        raise ValueError(f"listener {text!r}: FreeSWITCH needs an address it can connect to")
    return f"{host}:{found[2]}"


def _check_extensions(bot: Bot, context: str, entry: str, menu: str) -> None:
    for name, extension in (("entry_extension", entry), ("menu_extension", menu)):
        if not _EXTENSION.fullmatch(extension) or extension.startswith(INTERNAL):
            raise ValueError(f"{name} {extension!r}: 1 to 32 of A-Z a-z 0-9 _ * # + -")
    if entry == menu:
        raise ValueError(f"entry_extension and menu_extension are both {entry!r}")
    for name, destination in bot.destinations.items():
        extension = destination.extension or ""
        taken = extension in (entry, menu) or extension.startswith(INTERNAL)
        if destination.context == context and taken:
            raise ValueError(
                f"destinations.{name}: extension {destination.extension!r} of context {context} "
                "is taken by the bot itself"
            )


_HEAD = """<?xml version="1.0" encoding="UTF-8"?>
<!--
  Generated by `eslbot freeswitch` from bot {bot}, version {sha}. Change the bot, not this file.
  Needs mod_dptools, mod_commands, mod_event_socket, mod_dialplan_xml and mod_sndfile.
-->
<include>
  <context name="{context}">

"""

_TAIL = """
    <!-- Yours: the extensions of the bot's destinations, see eslbot/destinations.xml.example. -->
    <X-PRE-PROCESS cmd="include" data="eslbot/*.xml"/>

  </context>
</include>
"""
