"""The bot's definition: one YAML file that feeds the AI and both DTMF menus.

    greeting ─▶ the caller speaks ─▶ intent ─▶ its slots, asked in turn ─▶ confirm? ─▶ answer
                                                                               └─▶ transfer

Every scalar in the file is read as text and converted by the model below, so an account
number `0042` stays `0042` and the word `no` stays a word. Unknown keys are errors. An error
names the file, the line and the key.
"""

from workers.bot.definition import Bot
from workers.bot.destinations import Destination
from workers.bot.file import BotError, load
from workers.bot.flow import Intent, Lookup
from workers.bot.ladder import Ladder
from workers.bot.menu import Menu, MenuItem, Phrases
from workers.bot.slot import Slot, SlotType
from workers.bot.texts import PLACEHOLDER

__all__ = [
    "PLACEHOLDER",
    "Bot",
    "BotError",
    "Destination",
    "Intent",
    "Ladder",
    "Lookup",
    "Menu",
    "MenuItem",
    "Phrases",
    "Slot",
    "SlotType",
    "load",
]
