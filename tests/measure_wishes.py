"""How well two wishes of one utterance are told apart: `python -m tests.measure_wishes`.

Pairs of the sentences of energy_wishes.py, of two intents each, joined as people do; and every
sentence alone, which must not be cut.
"""

from __future__ import annotations

import random

from tests.conftest import ENERGY
from tests.energy_wishes import KNOWN, UNKNOWN
from workers.bot import load
from workers.llm.clauses import without_stays
from workers.llm.intents import IntentsEngine, several

JOINTS = (" and ", " and then ", " and also ", ", and ", ". ")
PAIRS = 500


def main() -> None:
    bot = load(ENERGY)
    matcher = IntentsEngine()._matcher(bot)
    alone = [text for texts in KNOWN.values() for text in texts] + list(UNKNOWN)
    cut = 0
    for text in alone:
        wanted, stays = without_stays(text, "en")
        cut += stays or bool(several(matcher, bot, wanted, ()))
    print(f"alone: {cut} of {len(alone)} cut")
    dice = random.Random(4271)
    names = [name for name in KNOWN if not bot.intents[name].hangup]
    right = other = 0
    for _ in range(PAIRS):
        one, two = dice.sample(names, 2)
        text = dice.choice(KNOWN[one]) + dice.choice(JOINTS) + dice.choice(KNOWN[two])
        found = [name for name, _ in several(matcher, bot, text, ())]
        right += found == [one, two]
        other += bool(found) and found != [one, two]
    print(f"pairs: {right} of {PAIRS} told apart, {other} taken for others")


if __name__ == "__main__":
    main()
