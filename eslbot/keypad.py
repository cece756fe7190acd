"""What is keyed in for a slot, as patterns: the dialplan has nothing else to tell right from wrong.

    slot      keys                     value
    digits    4271                     4271
    time      1730, 930                17:30, 09:30
    amount    12, 12*50                12.00, 12.50, with the currency
    choice    2                        the second option's name
    yes_no    1, 2                     yes, no

The listener's menu reads keys in workers/values/; a test holds the two together. No I/O.
"""

from __future__ import annotations

from dataclasses import dataclass

from workers.bot import Slot

ENTRY = "${eslbot_entry}"
_MINUTES = "[0-5][0-9]"


@dataclass(frozen=True, slots=True)
class Form:
    """keys: an expression without marks of its ends. value: what goes onto the channel; $1 and $2
    are groups of digits in keys."""

    keys: str
    value: str


def forms(slot: Slot) -> tuple[Form, ...]:
    """Each way to key a value of this slot; none where a person has to ask."""
    if not slot.in_menus:
        return ()
    if slot.type == "digits":
        return (Form(f"[0-9]{{{slot.min_digits},{slot.max_digits}}}", ENTRY),)
    if slot.type == "time":
        return (
            Form(f"([01][0-9])({_MINUTES})", "$1:$2"),
            Form(f"(2[0-3])({_MINUTES})", "$1:$2"),
            Form(f"([0-9])({_MINUTES})", "0$1:$2"),
        )
    if slot.type == "amount":
        unit = f" {slot.currency}" if slot.currency else ""
        return (
            Form("([1-9][0-9]{0,6})", f"$1.00{unit}"),
            Form("(0|[1-9][0-9]{0,6})[*]([0-9]{2})", f"$1.$2{unit}"),
        )
    names = list(slot.options) if slot.type == "choice" else ["yes", "no"]
    return tuple(Form(str(n), name) for n, name in enumerate(names, 1))


def values(slot: Slot) -> str:
    """An expression for every value that such a slot has on the channel, without groups."""
    if slot.type == "digits":
        found = [forms(slot)[0].keys]
    elif slot.type == "time":
        found = [f"[01][0-9]:{_MINUTES}", f"2[0-3]:{_MINUTES}"]
    elif slot.type == "amount":
        cents = "[.][0-9]{2}" + (f" {slot.currency}" if slot.currency else "")
        found = [f"0{cents}", f"[1-9][0-9]{{0,6}}{cents}"]
    else:
        found = [form.value for form in forms(slot)]
    return "|".join(f"^{one}$" for one in found)
