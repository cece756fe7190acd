"""To a destination: is there somebody, may one more go there, and what those who answer are told.

    transfer ─▶ closed, or too many this hour? ─▶ said so ─▶ elsewhere, or back to the bot
        │
        ├─ blind ─────▶ the destination's extension
        ├─ attended ──▶ the whisper is spoken to a file ─▶ eslbot_reach_NAME ─▶ bridge
        └─ refer ─────▶ eslbot_reach_NAME ─▶ deflect
                              nobody took it ─▶ eslbot_back=NAME ─▶ the way in, to a listener again

The bridge is FreeSWITCH's own, in the generated dialplan (dialplan_transfers.py): no listener has
to live for a caller to come back.
"""

from __future__ import annotations

import contextlib
import logging
import re
import time
import uuid as uuids
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from eslbot.call_state import Event, State
from eslbot.esl import clean_value
from eslbot.prompts import write_wav
from workers.bot import Bot
from workers.bot.destinations import whisper
from workers.bot.routing import Route, route_at
from workers.messages import Failed, Message, Sentence, SentencesEnd, Speech, SpeechEnd, Turn

if TYPE_CHECKING:
    from eslbot.call import Call

log = logging.getLogger(__name__)

BACK_VARIABLE = "eslbot_back"
WHISPER_VARIABLE = "eslbot_whisper"
SUMMARY_VARIABLE = "ai_summary"
HEADER = "sip_h_X-Eslbot-"
MAX_HEADERS = 16
WHISPER_S = 3.0  # to speak it; then the person who answers does without
KEEP_WHISPERS_S = 600
MAX_WHISPER_BYTES = 20 * 16_000
_PATH = re.compile(r"/[A-Za-z0-9._/-]{1,200}")
_EXPORTS = re.compile(r"[A-Za-z0-9_,-]{0,500}")


def summary(bot: Bot, intent: str | None, known: Mapping[str, str]) -> str:
    """What the caller wants, and what is known, for who takes over; secrets are left out."""
    found = bot.intents.get(intent or "")
    parts = [(found.title or (intent or "").replace("_", " ")) if found else ""]
    for name, value in known.items():
        slot = bot.slots.get(name)
        if slot is not None and not slot.secret and value:
            parts.append(f"{name.replace('_', ' ')} {value}")
    return clean_value(", ".join(part for part in parts if part))


def handed(call: Call) -> dict[str, str]:
    """Channel variables for who takes over, and the same as headers of the SIP call to them."""
    intent = call.dialog.intent or call.dialog.last
    told = summary(call.bot, intent, call.dialog.slots)
    headers = {"Call": call.uuid, "Intent": intent or "", "Summary": told}
    for name, value in call.dialog.slots.items():
        slot = call.bot.slots.get(name)
        if slot is not None and not slot.secret:
            headers[f"Slot-{name.replace('_', '-').title()}"] = value
    values = {SUMMARY_VARIABLE: told}
    for name, value in list(headers.items())[:MAX_HEADERS]:
        if clean := clean_value(value):
            values[HEADER + name] = clean
    # The list may be the dialplan's own already: it is added to.
    before = call.door.variable("export_vars")
    exports = [one for one in before.split(",") if one] if _EXPORTS.fullmatch(before) else []
    ours = [name for name in values if name.startswith(HEADER)]
    values["export_vars"] = ",".join(dict.fromkeys([*exports, *ours]))
    return values


def route(call: Call, destination: str) -> Route:
    """Where the caller comes to now: by the hours, and by the caps of all listeners."""
    bot = call.bot.speaking(call.dialog.language)
    found = route_at(bot, destination, datetime.now(UTC))
    if found.destination is None:
        return found
    target = bot.destinations[found.destination]
    limit = target.max_transfers_per_hour
    if limit is None or call.house.link.may_transfer(found.destination, limit):
        return found
    call.record("capped", destination=found.destination)
    said = found.say[:-1] if target.say in found.say else found.say
    after = target.closed.destination if target.closed else None
    after = after or bot.menu.person
    busy = (*said, target.busy or "")
    if after == found.destination:
        return Route(None, busy)
    other = route_at(bot, after, datetime.now(UTC))
    # One cap is looked at: were the next one full as well, somebody has to take the caller.
    return Route(other.destination, (*busy, *other.say))


def announced(call: Call, destination: str) -> tuple[str, ...]:
    """What the menu says before it sends a caller there; nothing where it is closed, of which he
    is told instead."""
    here = route_at(call.bot, destination, datetime.now(UTC)).destination == destination
    return (call.bot.destinations[destination].say,) if here else ()


def turned_away(call: Call, say: tuple[str, ...], then: Callable[[], None]) -> None:
    """Say why, and go on."""
    if call.state is State.SPEAKING:
        call.go(Event.SAID)
    first, *rest = say

    def after() -> None:
        if rest:
            turned_away(call, tuple(rest), then)
        else:
            then()

    if not call.say(first, after):
        after()


class Whisper:
    """The whisper of one transfer, spoken by the tts workers into a file that FreeSWITCH plays.

    done(path) is called once on the call's greenlet: "" where there is none, after WHISPER_S at
    the latest.
    """

    def __init__(self, call: Call, destination: str, done: Callable[[str], None]) -> None:
        self._call = call
        self._done: Callable[[str], None] | None = done
        self._name = f"whisper-{uuids.uuid4()}"
        self._pcm = bytearray()
        call.leave.whisper = self
        self._folder = Path(call.settings.whisper_dir or Path(call.settings.state_dir) / "whispers")
        text = call.bot.destinations[destination].whisper
        if not text or not call.house.link.able("tts"):
            self._end("")
            return
        intent = call.bot.intents.get(call.dialog.intent or "")
        title = intent.title if intent and intent.title else call.dialog.intent or ""
        told = summary(call.bot, call.dialog.intent, call.dialog.slots)
        words = whisper(text, {"intent": title.replace("_", " "), "summary": told})
        link = call.house.link
        out = link.out_for(self._name)
        turn = Turn(self._name, 1, out, call.bot.whole.sha, WHISPER_S, WHISPER_S,
                    call.bot.language)  # fmt: skip
        link.register(self._name, self._on_message)
        call.timer("whisper", WHISPER_S, lambda: self._end(""))
        link.dispatch(turn, "tts")
        link.feed(turn, "tts", Sentence(0, words))
        link.feed(turn, "tts", SentencesEnd(1))

    def _on_message(self, epoch: int, attempt: int, message: Message) -> None:
        if isinstance(message, Speech) and len(self._pcm) < MAX_WHISPER_BYTES:
            self._pcm += message.pcm
        elif isinstance(message, SpeechEnd) and message.last:
            self._call.post(self._write)
        elif isinstance(message, Failed):
            self._call.post(self._end, "")

    def _write(self) -> None:
        path = (self._folder / f"{self._name}.wav").absolute()
        if not self._pcm or not _PATH.fullmatch(str(path)):
            self._end("")
            return
        try:
            write_wav(path, bytes(self._pcm))
            path.chmod(0o640)  # FreeSWITCH reads it, by the folder's group
            _tidy(self._folder)
        except OSError as error:
            log.warning("%s: no whisper: %s", self._call.uuid, error.strerror)
            self._end("")
            return
        self._end(str(path))

    def stop(self) -> None:
        """The caller is gone."""
        self._done = None
        self._call.house.link.forget(self._name, self._on_message)

    def _end(self, path: str) -> None:
        done, self._done = self._done, None
        if done is None:
            return
        self._call.no_timer("whisper")
        self._call.house.link.forget(self._name, self._on_message)
        done(path)


def _tidy(folder: Path) -> None:
    """Delete whispers that nobody waits for any more."""
    for old in folder.glob("whisper-*"):
        with contextlib.suppress(FileNotFoundError):  # another listener was first
            if time.time() - old.stat().st_mtime > KEEP_WHISPERS_S:
                old.unlink()


def came_back(call: Call) -> str | None:
    """What is said to a caller whom nobody took, in place of the greeting; None: a new caller."""
    name = call.door.variable(BACK_VARIABLE)
    destination = call.bot.destinations.get(name)
    if destination is None or destination.no_answer is None:
        return None
    call.record("back", destination=name)
    # What led there is done with, or the next words would lead there again.
    call.dialog = replace(call.dialog, intent=None, pending=())
    call.set_variables({"ai_intent": ""})
    # Said once: whoever calls this number next is a new caller.
    call.door.set_variables({BACK_VARIABLE: "", WHISPER_VARIABLE: ""})
    return call.bot.speaking(call.dialog.language).destinations[name].no_answer
