"""What of a caller must not be kept or told to a provider, replaced by placeholders.

    "my card is 4242 4242 ..."  ──▶  "my card is [CARD_1]"        records, history, providers
    {"card": "[CARD_1]"}        ──▶  {"card": "4242424242424242"} restore(): a tool's arguments

A call has one Private, in the listener's memory: a value has the same placeholder throughout.
What it holds travels to the worker of a turn with the text of that turn, and nowhere else. No I/O.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from workers.bot import Bot
from workers.bot.redaction import Redaction
from workers.messages import DialogState
from workers.redaction.kinds import MAX_TEXT, Found, cards, find
from workers.redaction.spoken import runs

__all__ = ["Amended", "Private", "hidden", "redact", "restore", "spoken_names"]

MAX_KEPT = 64  # values of a call that have a placeholder of their own; further ones share one
MAX_BOTS = 64
WINDOW = 4  # utterances over which a card's number may be dictated
MAX_OTHER_WORDS = 6  # beside figures, in an utterance that may be a part of one
PLACEHOLDER = re.compile(r"\[(CARD|IBAN|NATIONAL_ID|PHONE|EMAIL|NUMBER)_(\d{1,3})\]")
# What is said where a voice would have to read a placeholder.
NAMES = {
    "en": {"CARD": "your card number", "IBAN": "your bank account", "EMAIL": "your mail address",
           "NATIONAL_ID": "your identity number", "PHONE": "your phone number",
           "NUMBER": "your number"},
    "de": {"CARD": "Ihre Kartennummer", "IBAN": "Ihre Kontonummer", "EMAIL": "Ihre Mailadresse",
           "NATIONAL_ID": "Ihre Ausweisnummer", "PHONE": "Ihre Telefonnummer",
           "NUMBER": "Ihre Nummer"},
    "es": {"CARD": "su número de tarjeta", "IBAN": "su cuenta", "EMAIL": "su correo",
           "NATIONAL_ID": "su número de identidad", "PHONE": "su número de teléfono",
           "NUMBER": "su número"},
    "fr": {"CARD": "votre numéro de carte", "IBAN": "votre compte", "EMAIL": "votre adresse mail",
           "NATIONAL_ID": "votre numéro d'identité", "PHONE": "votre numéro de téléphone",
           "NUMBER": "votre numéro"},
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Amended:
    """An earlier utterance turned out to be a part of something: how it reads now."""

    number: int
    before: str
    text: str


@dataclass(slots=True)
class _Heard:
    number: int
    text: str  # as it reads now
    raw: str
    figures: str


class Private:
    """One call's. kept: placeholder to value, at most MAX_KEPT."""

    def __init__(self, bot: Bot, kept: Mapping[str, str] | None = None) -> None:
        bot = bot.whole  # a translation has no rules of its own
        self._bot = bot
        self._rules = bot.redaction
        self._public = _public(bot)
        self.kept: dict[str, str] = dict(kept or {})
        self._callers: set[str] = set()  # placeholders of what the caller said himself
        self._window: deque[_Heard] = deque(maxlen=WINDOW)
        # The latest number, and the window as it was without it: joining takes figures away.
        self._before: tuple[int, list[_Heard]] = (-1, [])

    def clean(self, text: str) -> str:
        """With placeholders."""
        if len(text) > MAX_TEXT:  # cut between words, so that no number is
            at = text.rfind(" ", 1, MAX_TEXT) + 1 or MAX_TEXT
            return self.clean(text[:at]) + self.clean(text[at:])
        found = find(text, self._rules, self._needed)
        return self._replace(text, [f for f in found if f.value not in self._public])

    def hear(self, number: int, text: str, state: DialogState) -> tuple[str, list[Amended]]:
        """The caller's whole utterance of a turn, in placeholders; and earlier ones anew, where
        together with them it makes a card's number."""
        slot = self._bot.slots.get(state.asked or "")
        run = [item for one in runs(text) for item in one]
        figures = "".join(item.char for item in run)
        cleaned = self.clean(text)
        amended: list[Amended] = []
        if run and not (slot and slot.accepts(figures)) and _talk(text) <= MAX_OTHER_WORDS:
            self._before = (number, [replace(one) for one in self._window])
            self._window.append(_Heard(number, cleaned, text, figures))
            cleaned, amended = self._join(cleaned)
        self._callers |= {one.group() for one in PLACEHOLDER.finditer(cleaned)}
        return cleaned, amended

    def drop(self, number: int) -> None:
        """This utterance will be heard again, as a part of the next one."""
        if self._before[0] == number:
            self._window = deque(self._before[1], maxlen=WINDOW)
            return
        for one in [h for h in self._window if h.number == number]:
            self._window.remove(one)

    def hide_known(self, text: str) -> str:
        """With placeholders for what the caller has said, and for nothing else."""
        for placeholder, value in self.kept.items():
            text = text.replace(value, placeholder)
        return text

    def voiced(self, text: str, known: Mapping[str, str]) -> tuple[str, str]:
        """A sentence of the bot's, for a voice of ours and for a provider's. Both say what the
        bot's knowledge and tools say; a provider is not told what the caller said himself.

        known: placeholders as whoever made the sentence had them. Those of the bot's own earlier
        words are put back.
        """
        own = {name: value for name, value in known.items() if name not in self._callers}
        text = PLACEHOLDER.sub(lambda m: own.get(m.group(), m.group()), text)
        if not self._callers:
            return text, text
        if len(self.kept) >= MAX_KEPT or len(text) > MAX_TEXT:
            return text, self.clean(text)  # of what had no room, nobody knows whose it is
        theirs = {name: self.kept[name] for name in self._callers if name in self.kept}
        outside = text
        for one in reversed(find(text, self._rules, self._needed)):
            # A part of it, or more than it, is as good as told.
            same = (n for n, value in theirs.items() if value in one.value or one.value in value)
            if name := next(same, ""):
                outside = outside[: one.start] + name + outside[one.end :]
        return text, outside

    def clean_values(self, value: Any) -> Any:
        """Texts within lists and mappings."""
        if isinstance(value, str):
            return self.clean(value)
        if isinstance(value, Mapping):
            return {key: self.clean_values(held) for key, held in value.items()}
        if isinstance(value, list | tuple):
            return [self.clean_values(held) for held in value]
        return value

    def _needed(self, figures: str) -> bool:
        """Whether some wish needs a number like this one."""
        slots = self._bot.slots.values()
        return any(s.accepts(figures) for s in slots if s.type == "digits" and not s.secret)

    def _replace(self, text: str, found: list[Found]) -> str:
        for one in reversed(found):
            text = text[: one.start] + self._placeholder(one) + text[one.end :]
        return text

    def _placeholder(self, found: Found) -> str:
        kind = found.kind.upper()
        same = (p for p, v in self.kept.items() if v == found.value and p.startswith(f"[{kind}_"))
        held = next(same, None)
        if held is not None:
            return held
        if len(self.kept) >= MAX_KEPT:
            return f"[{kind}_0]"
        count = sum(p.startswith(f"[{kind}_") for p in self.kept)
        placeholder = f"[{kind}_{count + 1}]"
        self.kept[placeholder] = found.value
        return placeholder

    def _join(self, cleaned: str) -> tuple[str, list[Amended]]:
        """Look over the last utterances together."""
        if "card" in self._rules.allow:
            return cleaned, []
        heard = list(self._window)
        for first in range(len(heard) - 1):
            parts = heard[first:]
            figures = "".join(h.figures for h in parts)
            last_from = len(figures) - len(parts[-1].figures)
            span = next(((s, e) for s, e in cards(figures) if e > last_from > s), None)
            if span is None or figures[span[0] : span[1]] in self._public:
                continue
            value = figures[span[0] : span[1]]
            placeholder = self._placeholder(Found("card", value, 0, 0))
            at = 0
            amended = []
            for part in parts:
                start, at = at, at + len(part.figures)
                if at <= span[0]:
                    continue
                before, part.text = part.text, _without_figures(part.raw, placeholder)
                part.raw, part.figures = part.text, ""
                if start < last_from:
                    amended.append(Amended(part.number, before, part.text))
            return parts[-1].text, amended
        return cleaned, []


def redact(bot: Bot, text: str, kept: Mapping[str, str] | None = None) -> str:
    """Of a text that goes to a provider; kept: the call's placeholders so far."""
    return Private(bot, kept).clean(text)


def hidden(messages: list[dict[str, Any]], private: Private, own: int) -> list[dict[str, Any]]:
    """Messages for a model: the first `own` are the bot's and stay, whatever was said is cleaned.
    Of a tool's answer, which is the company's, only what the caller said is hidden."""

    def clean(at: int, one: dict[str, Any]) -> dict[str, Any]:
        if at < own:
            return one
        if one.get("role") == "tool":
            return one | {"content": private.hide_known(str(one.get("content", "")))}
        cleaned: dict[str, Any] = private.clean_values(one)
        return cleaned

    return [clean(at, one) for at, one in enumerate(messages)]


def restore(arguments: Any, kept: Mapping[str, str]) -> Any:
    """The arguments of a tool, with values in place of placeholders, also within a text; those of
    other calls stay as they are. kept: of messages.Final."""
    if isinstance(arguments, str):
        return PLACEHOLDER.sub(lambda m: kept.get(m.group(), m.group()), arguments)
    if isinstance(arguments, Mapping):
        return {name: restore(value, kept) for name, value in arguments.items()}
    if isinstance(arguments, list | tuple):
        return [restore(value, kept) for value in arguments]
    return arguments


def spoken_names(text: str, language: str) -> str:
    """A text for a voice: "your card number" in place of [CARD_1]."""
    names = NAMES.get(language[:2], NAMES["en"])
    return PLACEHOLDER.sub(lambda m: names[m.group(1)], text)


def _without_figures(text: str, placeholder: str) -> str:
    """All figures of an utterance as one placeholder."""
    found = [item for run in runs(text) for item in run]
    if not found:
        return text
    return text[: found[0].start] + placeholder + text[found[-1].end :]


def _talk(text: str) -> int:
    """How many words stand beside the figures."""
    spans = [item for run in runs(text) for item in run]
    rest = text
    for item in sorted({(i.start, i.end) for i in spans}, reverse=True):
        rest = rest[: item[0]] + " " + rest[item[1] :]
    return len(re.findall(r"[^\W\d_]{2,}", rest))


_found_public: dict[str, frozenset[str]] = {}


def _public(bot: Bot) -> frozenset[str]:
    """What stands in the bot's own file is no secret: the company's number, its address."""
    sha = bot.sha
    if sha not in _found_public:
        if len(_found_public) >= MAX_BOTS:
            _found_public.clear()
        _found_public[sha] = frozenset(_values(bot))
    return _found_public[sha]


def _values(bot: Bot) -> set[str]:
    rules = Redaction(region=bot.redaction.region, national_ids=bot.redaction.national_ids)
    texts: list[str] = []

    def collect(value: Any) -> None:
        if isinstance(value, str):
            texts.append(value)
        elif isinstance(value, Mapping):
            for held in value.values():
                collect(held)
        elif isinstance(value, list | tuple):
            for held in value:
                collect(held)

    collect(bot.model_dump(mode="json"))
    return {found.value for text in texts for found in find(text, rules)}
