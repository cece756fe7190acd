"""What a caller corrects, and in which slot: "no, the other one", "no, four two seven two".

    is that right? ─▶ "no, on Friday"       the slot that this fits
                   ─▶ "the street is wrong"  this one again
                   ─▶ "no"                   the only slot again, or: which one?
                   ─▶ "never mind"           cancelled

Only reading; what follows from it is in dialog.py. No I/O.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from workers.bot import Bot, Slot
from workers.bot.languages import primary
from workers.messages import DialogState
from workers.spoken import words, yes_or_no
from workers.values import choices
from workers.values.slot_values import one_line, read

_DENIAL: Final = {
    "en": re.compile(
        r"^(?:oh |well |um |uh |sorry |wait )*(?:no|nope|nah|not|wrong|actually|sorry|i mean|"
        r"i meant|i said|that's wrong|that's not right|that is wrong|that is not right|"
        r"correction|make (?:it|that)|change (?:it|that) to)\b"
    ),
    "de": re.compile(
        r"^(?:äh |ähm |oh |moment )*(?:nein|nee|nö|nicht|falsch|doch|ich meine|ich meinte|"
        r"ich sagte|das stimmt nicht|das ist falsch|korrektur|sondern)\b"
    ),
}
_CANCEL: Final = {
    "en": re.compile(
        r"\b(?:cancel|never ?mind|forget (?:it|about it|that)|no thank(?:s| you)|stop|leave it|"
        r"don't do (?:it|that)|i don't want (?:it|that|to))\b"
    ),
    "de": re.compile(
        r"\b(?:abbrechen|abbruch|vergiss es|vergessen sie(?: es| das)?|nein danke|lassen sie es|"
        r"doch nicht|egal)\b"
    ),
}
# Around it, where it is all that was said: in answer to a question of a value.
_MERE: Final = {
    "en": "oh|no|well|um|uh|actually|then|please|just|it|that|this|okay|ok|sorry|thanks|"
    "thank you|wait",
    "de": "ach|nein|äh|ähm|doch|dann|bitte|danke|gut|moment|es",
}
_OTHER: Final = {
    "en": re.compile(r"\b(?:the )?other(?: one)?\b"),
    "de": re.compile(r"\b(?:der|die|das|den) andere[nrs]?\b"),
}
_ALL: Final = {
    "en": re.compile(r"\b(?:everything|all of (?:it|them)|both|start over|all wrong)\b"),
    "de": re.compile(r"\b(?:alles|beides|beide|von vorn|von vorne)\b"),
}
_NEVER: Final = re.compile(r"(?!)")
# Between a slot's name and its new value: "the street is not main street it is ..."
_LEAD_IN: Final = re.compile(
    r"^(?:is|should be|must be|to|it's|it is|ist|lautet|soll|muss|sein|heißt)\b[ ,:]*"
)


@dataclass(frozen=True, slots=True)
class Correction:
    """values: of slots that get another value. wrong: slots to be asked for once more. which: it
    is not clear which one is wrong. cancelled: all of it. named: the caller said which ones."""

    values: Mapping[str, str] = field(default_factory=dict)
    wrong: tuple[str, ...] = ()
    which: bool = False
    cancelled: bool = False
    named: bool = False


def of(bot: Bot, state: DialogState, names: Iterable[str], text: str) -> Correction | None:
    """What the caller corrects in these slots of the state; None where nothing is corrected."""
    language = primary(bot.language)
    said = " ".join(words(text))
    answer = yes_or_no(text, bot.language)
    slots = {name: bot.slots[name] for name in names if name in bot.slots}
    if answer != "yes" and _CANCEL.get(language, _NEVER).search(said):
        return Correction(cancelled=True)
    if answer != "yes" and _ALL.get(language, _NEVER).search(said):
        return Correction(wrong=tuple(slots))
    named = [name for name, slot in slots.items() if _named(said, name, slot)]
    values = _values(bot, state, {n: s for n, s in slots.items() if not named or n in named}, text)
    if _OTHER.get(language, _NEVER).search(said):
        values = values or _others(state, slots)
    if values is None:
        return Correction(which=True)
    if values:
        return Correction(values)
    if answer == "yes":
        return None
    if named and (answer == "no" or state.asked == "which"):
        return Correction(wrong=tuple(named), named=True)
    if answer != "no":
        return None
    if not slots:
        return Correction(cancelled=True)
    return Correction(wrong=tuple(slots)) if len(slots) == 1 else Correction(which=True)


def cancels(bot: Bot, text: str) -> bool:
    """Whether it says "never mind" and nothing else."""
    language = primary(bot.language)
    mere = _MERE.get(language)
    if mere is None:
        return False
    said = " ".join(words(text))
    rest, found = _CANCEL[language].subn(" ", said)
    return found > 0 and not re.sub(rf"\b(?:{mere})\b|\s", "", rest)


def denies(bot: Bot, text: str) -> bool:
    """Whether it begins as a correction does: "no", "I meant"."""
    pattern = _DENIAL.get(primary(bot.language), _NEVER)
    return bool(pattern.search(" ".join(words(text))))


def _named(said: str, name: str, slot: Slot) -> bool:
    called = (name.replace("_", " "), *slot.called)
    return any(re.search(rf"\b{re.escape(' '.join(words(one)))}\b", said) for one in called)


def _values(
    bot: Bot, state: DialogState, slots: Mapping[str, Slot], text: str
) -> dict[str, str] | None:
    """Another value for each slot that one fits; None where one fits several alike."""
    alone = len(slots) == 1
    found: dict[str, str] = {}
    for name, slot in slots.items():
        if slot.type == "yes_no":
            continue
        if slot.type == "text":
            value = _after_name(text, name, slot)
        else:
            value = read(slot, text, bot.language, state.today, strict=not alone)
        if value and value != state.slots.get(name):
            found[name] = value
    return _one_of_each(bot, state, found)


def _one_of_each(bot: Bot, state: DialogState, found: Mapping[str, str]) -> dict[str, str] | None:
    """Of slots of the same type the one whose value the new one is most like."""
    kinds: dict[str, list[str]] = {}
    for name in found:
        kinds.setdefault(bot.slots[name].type, []).append(name)
    chosen: dict[str, str] = {}
    for kind, names in kinds.items():
        # The day in "the third of May 2027" is no account number.
        if kind == "digits" and kinds.keys() & {"date", "time", "amount"}:
            continue
        ranked = sorted(names, key=lambda n: -_likeness(state.slots.get(n, ""), found[n]))
        if len(ranked) > 1:
            first, second = (_likeness(state.slots.get(n, ""), found[n]) for n in ranked[:2])
            if first == second:
                return None
        chosen[ranked[0]] = found[ranked[0]]
    return chosen


def _likeness(old: str, new: str) -> int:
    """In how many places two values are the same; as long as each other counts most."""
    same = sum(a == b for a, b in zip(old, new, strict=False))
    return same + (100 if len(old) == len(new) else 0)


def _others(state: DialogState, slots: Mapping[str, Slot]) -> dict[str, str] | None:
    """ "The other one", where there are two: None where several slots have two."""
    found = {}
    for name, slot in slots.items():
        options = slot.options if slot.type == "choice" else {"yes": (), "no": ()}
        if slot.type in ("choice", "yes_no"):
            value = choices.other(state.slots.get(name, ""), options)
            if value is not None:
                found[name] = value
    return found if len(found) < 2 else None


def _after_name(text: str, name: str, slot: Slot) -> str | None:
    """ "the street is seven market square": what follows the slot's name."""
    plain = one_line(text)
    for called in (name.replace("_", " "), *slot.called):
        found = re.search(rf"\b{re.escape(called)}\b[ ,:]*", plain, re.IGNORECASE)
        if not found:
            continue
        rest = _LEAD_IN.sub("", plain[found.end() :])
        if rest and yes_or_no(rest) is None and slot.accepts(rest):
            return rest
    return None
