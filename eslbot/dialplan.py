"""A bot's DTMF menu as a FreeSWITCH dialplan: extensions, their conditions and actions.

    entry ─▶ socket (the listener) ─── gone, refused, wedged ───▶ menu extension
                                                                       │
    eslbot_go ◀────────────────────────────────────────────────────────┘
      │  ai_intent not known ─▶ the menu ─▶ eslbot_choice ─▶ eslbot_answer_INTENT ─▶ eslbot_choice
      │                                          └─▶ eslbot_go
      ├─ a slot not known ─▶ asked ─▶ eslbot_entered_SLOT ─▶ eslbot_go
      └─ all known ─▶ eslbot_to_DESTINATION ─▶ the destination's extension

A dialplan's conditions are evaluated once, when the call is routed (mod_dialplan_xml.c,
parse_exten); so each decision on something new is a transfer to an extension of its own. A
condition that does not hold queues its anti-actions and ends its extension: that is how the
first missing slot is found. It costs two transfers for each key of the menu and for each slot.

No text of the bot stands in the dialplan, only names, extensions and prompts' file names, each
of a checked alphabet: FreeSWITCH expands `${...}` wherever it reads, values included.
"""

from __future__ import annotations

from collections.abc import Iterable

from eslbot.call_secret import VARIABLE as SECRET_VARIABLE
from eslbot.dialplan_transfers import INTERNAL, REACH, by_hours, reach
from eslbot.dialplan_xml import condition as _condition
from eslbot.dialplan_xml import extension as _extension
from eslbot.dialplan_xml import matches as _is
from eslbot.ivr import (
    INTENT_VARIABLE,
    MAX_ANSWERS,
    MAX_KEYS,
    PERSON_KEY,
    TERMINATOR,
    digits_slots,
    menu_prompts,
)
from eslbot.prompts import prompt_file
from workers.bot import Bot, Intent, Slot

# A loop between the menu and a destination ends here. The longest way through a menu takes less.
MAX_TRANSFERS = 70


def answers(bot: Bot) -> dict[str, str]:
    """Intent to answer, where a menu can play it and come to it."""
    chosen = {item.intent for item in bot.menu.items}
    return {
        name: intent.fixed_answer
        for name, intent in bot.intents.items()
        if intent.fixed_answer and (name in chosen or not intent.hangup)
    }


def asked_slots(bot: Bot) -> list[str]:
    """Every slot that some intent needs and a keypad can fill."""
    names = [name for i in bot.intents.values() for name in digits_slots(bot, i)]
    return list(dict.fromkeys(names))


class Dialplan:
    """Writes the extensions as XML. What comes in was checked by freeswitch.generate()."""

    def __init__(
        self, bot: Bot, sounds_dir: str, context: str, gap_ms: int, secret: str = ""
    ) -> None:
        self._bot = bot
        self._sounds_dir = sounds_dir
        self._context = context
        self._gap_ms = gap_ms
        self._secret = secret
        self._entry = ""
        self._to_person = self._transfer(f"{INTERNAL}to_{bot.menu.person}")

    def entry(self, extension: str, menu: str, hosts: str, watchdog_s: int) -> str:
        """The way in; hosts as the socket application takes them. Before menu()."""
        self._entry = extension
        secret = [("set", f"{SECRET_VARIABLE}={self._secret}")] if self._secret else []
        return _ENTRY_WHY + _extension(
            "eslbot: a call comes in",
            _condition(
                "destination_number",
                _is(extension),
                ("answer", ""),
                ("set", "socket_resume=true"),
                ("set", f"max_session_transfers={MAX_TRANSFERS}"),
                ("sched_transfer", f"+{watchdog_s} {menu} XML {self._context}"),
                *secret,
                ("socket", f"{hosts} async full"),
                self._transfer(menu),
            ),
        )

    def menu(self, extension: str) -> Iterable[str]:
        """The native menu, piece by piece."""
        bot = self._bot
        forget = [("unset", SECRET_VARIABLE)] if self._secret else []
        yield _MENU_WHY + _extension(
            "eslbot: the native menu",
            _condition(
                "destination_number",
                _is(extension),
                ("set", "wd=${sched_del(${uuid})}"),
                ("set", "socket_resume=false"),
                *forget,
                ("answer", ""),
                ("unset", "eslbot_answers"),
                self._transfer("eslbot_go"),
            ),
        )
        yield "\n    <!-- On with what is known: the intent, then its slots. -->\n"
        for name, intent in bot.intents.items():
            if not (intent.hangup and intent.fixed_answer):
                yield self._go(name, intent)
        yield _extension(
            "eslbot: nothing known, the menu",
            _condition("destination_number", _is("eslbot_go"), *self._ask(menu_prompts(bot), None)),
        )
        yield "\n    <!-- What the key means. None, after all attempts: a person. -->\n"
        for item in bot.menu.items:
            yield self._chosen(item.key, item.intent)
        yield _extension(
            "eslbot: a person",
            _condition("destination_number", _is("eslbot_choice"), self._to_person),
        )
        yield "\n    <!-- Answers that are the same for every caller, then the menu again. -->\n"
        for name, answer in answers(bot).items():
            yield self._answered(name, answer)
        yield "\n    <!-- What was keyed in goes onto the channel only if it is valid. -->\n"
        for name in asked_slots(bot):
            yield self._entered(name, bot.slots[name])
        yield "\n    <!-- The ways out. -->\n"
        yield from self._ways_out(extension)

    def _ways_out(self, menu: str) -> Iterable[str]:
        bot, plan = self._bot, self._transfer
        for name, one in bot.destinations.items():
            then = [("playback", self._path(one.say))]
            if one.extension is not None:
                then.append(("transfer", f"{one.extension} XML {one.context}"))
            else:
                then.append(plan(f"{REACH}{name}"))
            if one.closed is None or one.hours is None:
                yield _extension(
                    f"eslbot: to {name}",
                    _condition("destination_number", _is(f"{INTERNAL}to_{name}"), *then),
                )
            else:
                closed = [("playback", self._path(one.closed.say))]
                after = f"{INTERNAL}to_{one.closed.destination}" if one.closed.destination else menu
                closed += [] if one.closed.destination else [("unset", INTENT_VARIABLE)]
                closed.append(plan(after))
                yield from by_hours(name, bot.hours[one.hours], then, closed, self._context)
            if one.transfer != "blind":
                assert one.no_answer is not None
                no_answer = self._path(one.no_answer)
                yield from reach(name, one, self._context, self._entry, no_answer)

    def destinations(self) -> str:
        """Examples of the bot's destinations in this context: the operator's own part of it."""
        all_of_them = self._bot.destinations.values()
        own = {d.extension for d in all_of_them if d.extension and d.context == self._context}
        examples = [
            _extension(
                f"agents {extension}",
                _condition(
                    "destination_number",
                    _is(extension),
                    ("set", "wd=${sched_del(${uuid})}"),
                    ("set", "socket_resume=false"),
                    ("bridge", f"user/{extension}"),
                ),
            )
            for extension in sorted(own)
        ]
        return _DESTINATIONS.format(examples="\n".join(examples))

    def _go(self, name: str, intent: Intent) -> str:
        conditions = [
            _condition("destination_number", _is("eslbot_go")),
            _condition(f"${{{INTENT_VARIABLE}}}", _is(name)),
        ]
        if intent.fixed_answer:
            conditions.append(_condition(None, None, self._transfer(f"{INTERNAL}answer_{name}")))
            return _extension(f"eslbot: {name}", *conditions)
        for slot_name in digits_slots(self._bot, intent):
            slot = self._bot.slots[slot_name]
            question = self._ask((slot.ask_keypad or "",), slot_name)
            conditions.append(_condition(f"${{{slot.variable}}}", _valid(slot), otherwise=question))
        conditions.append(
            _condition(None, None, self._transfer(f"{INTERNAL}to_{intent.destination}"))
        )
        return _extension(f"eslbot: {name}", *conditions)

    def _chosen(self, key: str, name: str) -> str:
        if self._bot.intents[name].fixed_answer:
            then = [self._transfer(f"{INTERNAL}answer_{name}")]
        else:
            then = [("set", f"{INTENT_VARIABLE}={name}"), self._transfer("eslbot_go")]
        return _extension(
            f"eslbot: key {key}, {name}",
            _condition("destination_number", _is("eslbot_choice")),
            _condition("${eslbot_key}", _is(key), *then),
        )

    def _answered(self, name: str, answer: str) -> str:
        """One x is added for each answer; the last is followed by a person."""
        again = [
            ("set", "eslbot_answers=${eslbot_answers}x"),
            *self._ask((answer, *menu_prompts(self._bot)), None),
        ]
        return _extension(
            f"eslbot: answer {name}",
            _condition("destination_number", _is(f"{INTERNAL}answer_{name}")),
            _condition(
                "${eslbot_answers}",
                f"^x{{{MAX_ANSWERS - 1}}}$",
                ("playback", self._path(answer)),
                self._to_person,
                otherwise=again,
            ),
        )

    def _entered(self, name: str, slot: Slot) -> str:
        return _extension(
            f"eslbot: {name} was keyed in",
            _condition("destination_number", _is(f"{INTERNAL}entered_{name}")),
            _condition(
                "${eslbot_entry}",
                _valid(slot),
                ("set", f"{slot.variable}=${{eslbot_entry}}"),
                self._transfer("eslbot_go"),
                # 0, or nothing valid after all attempts.
                otherwise=[self._to_person],
            ),
        )

    def _ask(self, prompts: tuple[str, ...], slot_name: str | None) -> list[tuple[str, str]]:
        """play_and_get_digits, and where to look at the keys. slot_name None: the menu."""
        menu = self._bot.menu
        if slot_name is None:
            keys = "".join(item.key for item in menu.items)
            bounds, variable, valid = "1 1", "eslbot_key", f"^[{PERSON_KEY}{keys}]$"
            then = self._transfer("eslbot_choice")
        else:
            # Read to the # or a pause, even where max_digits are in: the # of a caller who does
            # as told must not fall into the next question.
            slot = self._bot.slots[slot_name]
            bounds, variable = f"1 {MAX_KEYS}", "eslbot_entry"
            valid = f"^({_digits(slot)}|{PERSON_KEY})$"
            then = self._transfer(f"{INTERNAL}entered_{slot_name}")
        data = (
            f"{bounds} {menu.attempts} {menu.digit_timeout_ms} {TERMINATOR} "
            f"{self._path(*prompts)} {self._path(menu.retry)} {variable} {valid} {self._gap_ms}"
        )
        return [("play_and_get_digits", data), then]

    def _path(self, *texts: str) -> str:
        paths = [f"{self._sounds_dir}/{prompt_file(text)}" for text in texts]
        return paths[0] if len(paths) == 1 else "file_string://" + "!".join(paths)

    def _transfer(self, extension: str) -> tuple[str, str]:
        return ("transfer", f"{extension} XML {self._context}")


def _digits(slot: Slot) -> str:
    return f"[0-9]{{{slot.min_digits},{slot.max_digits}}}"


def _valid(slot: Slot) -> str:
    return f"^{_digits(slot)}$"


_ENTRY_WHY = """    <!--
      The way in. Route your numbers here. Order matters:

      answer: the listener's audio begins only on an answered call.

      socket_resume=true: a listener that accepts the call and dies before it said `connect`, or
      right after, leaves an async socket parked in silence for ever; with socket_resume the next
      action below runs. The price: when a listener dies that has a call bridged or has
      transferred it, the call would be torn out of its bridge. The listener therefore sends
      `set socket_resume=false` before it transfers, never bridges, and the menu and the
      destinations set it once more.

      No send_silence_when_idle: the listener sends silence itself while nothing is said. That of
      FreeSWITCH is written beside the listener's frames, and was seen to take their place, so that
      the caller heard nothing.

      max_session_transfers: a bound of our own on transfers; without it each one counts against
      the caller's SIP Max-Forwards, which the call to your people would inherit.

      sched_transfer: the watchdog, for what socket_resume can't see: a listener that is stopped,
      an address that swallows packets. The listener renews it while it lives, and cancels it
      before it transfers.

      eslbot_secret, where ESLBOT_CALL_SECRET is set: what the listener knows its calls by.

      transfer: no listener took the call, or the one that had it is gone.
    -->
"""

_MENU_WHY = """
    <!--
      The native menu: for when no listener is there. It asks what the bot's own menu asks, and
      skips what stands on the channel already. First of all it ends the watchdog, and with
      socket_resume=false what an old listener's socket could still do to this call.
    -->
"""

_DESTINATIONS = """<?xml version="1.0" encoding="UTF-8"?>
<!--
  The bot's destinations are yours: name a copy of this file destinations.xml, and put your own
  way to your people in it. Copies of other names that end in .xml are read as well.

  The first two actions also end what a listener that was stopped, and not gone, has left behind.
  A destination that no extension takes ends the call: there is nowhere to go.
-->
<include>
{examples}</include>
"""
