"""What was done in a call so far, in one bounded line: for a model's prompt, and for a person.

    balance (account: 4271); address (street: five main street, postcode: 12345): changed nothing

Made of the bot's own names and of values, never of a model's words. A secret stands there as its
placeholder.
"""

from __future__ import annotations

from collections.abc import Mapping

from workers.bot import Bot

MAX_SUMMARY = 600  # characters; what is oldest goes
MAX_SHOWN = 60  # of one value


def with_step(bot: Bot, summary: str, name: str, slots: Mapping[str, str], how: str = "") -> str:
    """The summary with one more intent that is over; how: in what way, where not by its answer."""
    given = ", ".join(
        f"{slot}: {slots[slot][:MAX_SHOWN]}" for slot in bot.intents[name].slots if slot in slots
    )
    step = name + (f" ({given})" if given else "") + (f": {how}" if how else "")
    steps = [*(summary.split("; ") if summary else []), step]
    while len("; ".join(steps)) > MAX_SUMMARY and len(steps) > 1:
        steps.pop(0)
    return "; ".join(steps)[:MAX_SUMMARY]
