"""Keys that a caller presses one after another, until they are one entry.

`#` ends it, and so does a value that is complete, or a pause of settings.dtmf_gap_ms. `*` is the
point of an amount; elsewhere it starts over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from workers.values.slot_values import POINT_KEY, keys_end

if TYPE_CHECKING:
    from eslbot.call import Call

MAX_KEYS = 32


class KeyEntry:
    """Of one call. Its assistant hears of each entry once; it may be ""."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._keys = ""

    @property
    def begun(self) -> bool:
        """Whether a key of this entry counts already."""
        return bool(self._keys)

    def press(self, digit: str) -> None:
        call = self._call
        if digit == "#":
            self._end()
            return
        if digit == POINT_KEY and self._keys and POINT_KEY not in self._keys and self._sum_is_due():
            self._keys += digit
        elif digit == "*":  # the field's usual key for starting over
            self._keys = ""
        elif digit.isdigit():
            self._keys = (self._keys + digit)[:MAX_KEYS]
        slot = call.bot.slots.get(call.dialog.asked or "")
        if slot is not None and keys_end(slot, self._keys, call.dialog.today):
            self._end()
        else:
            call.timer("keys", call.settings.dtmf_gap_ms / 1000, self._end)

    def drop(self) -> None:
        """Something else has taken its place."""
        self._keys = ""
        self._call.no_timer("keys")

    def _end(self) -> None:
        keys = self._keys
        self.drop()
        self._call.assistant.entered(keys)

    def _sum_is_due(self) -> bool:
        """Whether keys are meant for an amount: it was asked for, or the open intent needs it."""
        bot, dialog = self._call.bot, self._call.dialog
        intent = bot.intents.get(dialog.intent or "")
        name = dialog.asked
        if name is None and intent is not None:
            name = next((n for n in intent.slots if n not in dialog.slots), None)
        return name in bot.slots and bot.slots[name].type == "amount"
