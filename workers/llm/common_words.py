"""German words that say little of what a caller wants: everyone says them all the time.

In place of word frequencies, which come with pocketsphinx for English alone.
"""

from __future__ import annotations

from typing import Final

# ruff: noqa: SIM905 - words in a row are read more easily

COMMON: Final = frozenset(
    (
        "der die das den dem des ein eine einen einem einer eines kein keine keinen und oder "
        "aber ich du er sie es wir ihr mich mir mein meine meinen meinem meiner meines dich "
        "dir uns unser unsere ihn ihm ihnen ihre ihren ihrem ihrer sich man was wer wo wie "
        "wann warum wieso welche welcher welches welchen ist sind war bin bist sein haben "
        "habe hat hast hatte wird werde werden wurde worden kann können könnte könnten darf "
        "muss müssen soll sollte mit von vom zu zum zur in im an am auf für bei beim aus nach "
        "über unter um vor durch ohne nicht auch noch nur schon so sehr mal denn doch ja nein "
        "hier da dort jetzt heute dann wenn als ob dass weil mehr viel etwas alles dieser "
        "diese dieses diesen hallo guten tag danke bitte machen mache macht gibt geht gehen "
        "kommt kommen"
    ).split()
)
# Callers wrap any wish in them.
WRAPPING: Final = frozenset(
    (
        "möchte möchten will wollen würde gern gerne hätte brauche brauchen frage fragen wissen "
        "sagen sprechen helfen hilfe anruf anrufen rufe geben"
    ).split()
)
COMMON_WEIGHT: Final = 0.15
WRAPPING_WEIGHT: Final = 0.5
OTHER_WEIGHT: Final = 3.0  # as a word of English that is neither common nor rare


def german_weight(word: str) -> float:
    """As English.weight: near 0 for a word that everyone says all the time."""
    if word in COMMON:
        return COMMON_WEIGHT
    return WRAPPING_WEIGHT if word in WRAPPING else OTHER_WEIGHT
