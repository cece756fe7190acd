"""The dialplan's file on the switch, against the one that would be generated now.

What the operator chose when it was generated (listeners, folder of sounds, number) is read from
the file; all the rest follows from the bot and the settings, and has to be the same to the letter.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

from eslbot.doctor.finding import Finding, warning
from eslbot.doctor.switch import listeners
from eslbot.freeswitch import DIALPLAN, generate
from workers.bot import Bot
from workers.settings import Settings

MAX_BYTES = 4_000_000
AGAIN = "eslbot freeswitch --out DIR, copy eslbot.xml and the sounds, fs_cli -x reloadxml"
ENTRY = "eslbot: a call comes in"
_VERSION = re.compile(r"from bot \S+, version ([0-9a-f]{6,64})\.")
_LITERAL = re.compile(r"\[([*+.])\]")


def compare(path: Path, bot: Bot, settings: Settings) -> list[Finding]:
    name = str(path)
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
        text = raw.decode()
        root = ElementTree.fromstring(text)  # noqa: S314  the operator's own file
    except OSError as error:
        return [Finding(f"--dialplan: {name}: {error.strerror}")]
    except (UnicodeDecodeError, ElementTree.ParseError):
        return [Finding(f"--dialplan: {name}: is no XML", AGAIN)]
    if len(raw) > MAX_BYTES:
        return [Finding(f"--dialplan: {name}: more than {MAX_BYTES} bytes: not the one", AGAIN)]
    return _compare(name, text, root, bot, settings)


def _compare(
    name: str, text: str, root: ElementTree.Element, bot: Bot, settings: Settings
) -> list[Finding]:
    entry = root.find(f".//extension[@name='{ENTRY}']")
    sockets = _data(entry, "socket") if entry is not None else []
    condition = entry.find("condition") if entry is not None else None
    if condition is None or not sockets:
        return [Finding(f"--dialplan: {name}: not made by `eslbot freeswitch`", AGAIN)]
    found = listeners(f"--dialplan: {name}", sockets, settings)
    version = _VERSION.search(text)
    if version is None or version[1] != bot.sha:
        other = version[1] if version else "none"
        what = f"--dialplan: {name}: is of version {other}, the bot is {bot.sha}"
        return [*found, Finding(what, AGAIN)]
    secrets: Sequence[str] = settings.call_secrets or ("",)
    try:
        wanted = [_generated(root, condition, sockets[0], bot, settings, one) for one in secrets]
    except ValueError as error:
        return [*found, Finding(f"--dialplan: {name}: {error}", AGAIN)]
    if text in wanted[1:]:
        what = f"--dialplan: {name}: brings an older one of ESLBOT_CALL_SECRET"
        return [*found, warning(what, AGAIN)]
    if text != wanted[0]:
        what = (
            f"--dialplan: {name}: is not what would be generated now (context, extensions, "
            "watchdog, secret, or changed by hand)"
        )
        return [*found, Finding(what, AGAIN)]
    return found


def _generated(
    root: ElementTree.Element,
    condition: ElementTree.Element,
    socket: str,
    bot: Bot,
    settings: Settings,
    secret: str,
) -> str:
    """The file as it would be now. Raises ValueError."""
    expression = condition.get("expression", "")
    sounds = next((f for f in _data(root, "playback") if f.startswith("/")), "/none/none")
    return generate(
        bot,
        listeners=[_bracketed(one) for one in socket.split(" ")[0].split("|")],
        sounds_dir=sounds.rpartition("/")[0],
        context=settings.context,
        watchdog_s=settings.watchdog_s,
        entry_extension=_LITERAL.sub(r"\1", expression.removeprefix("^").removesuffix("$")),
        menu_extension=settings.menu_extension,
        gap_ms=settings.dtmf_gap_ms,
        secret=secret,
    )[DIALPLAN]


def _data(root: ElementTree.Element, application: str) -> list[str]:
    return [
        action.get("data", "")
        for action in root.iter("action")
        if action.get("application") == application
    ]


def _bracketed(listener: str) -> str:
    """The dialplan has IPv6 without brackets."""
    host, _, port = listener.rpartition(":")
    return f"[{host}]:{port}" if ":" in host else listener
