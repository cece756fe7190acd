"""Destinations: where callers can be sent, how, and what becomes of those whom nobody takes.

    blind      the call goes to an extension of your dialplan, and is gone
    attended   somebody answers, is told who it is, and is then connected; else the caller is back
    refer      the caller's own side is asked to dial anew (SIP REFER); refused, the caller is back

A destination is fixed by the file: neither a caller nor a model gives a number.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from workers.bot.hours import Hours
from workers.bot.texts import PLACEHOLDER, Context, Extension, Key, Model, Name, Phrase, known

# These stand in FreeSWITCH's dialplan: nothing of them is expanded, and none begins a list.
Dial = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9/_.@:;=+-]{3,200}$")]
ReferTo = Annotated[
    str,
    StringConstraints(pattern=r"^sips?:[A-Za-z0-9_.+-]{1,64}@[A-Za-z0-9.:-]{1,200}$"),
]
BACK = "back"
WHISPERED = ("intent", "summary")


class Closed(Model):
    """What is said outside the hours, and where the caller goes then; None: back to the bot."""

    say: Phrase
    destination: Name | None = None


class Destination(Model):
    """Somewhere a caller can be sent.

    extension, context: of a blind transfer. dial: of an attended one, a dial string of FreeSWITCH
    such as user/2001 or sofia/gateway/office/2001. refer_to: of REFER, a SIP address.
    ring_s: how long it may take to be answered. whisper: what the person who answers hears first;
    {intent} and {summary} stand for what is known. accept_key: the key that takes the call.
    on_no_answer: back, to the bot, which then says no_answer; or another destination.
    max_transfers_per_hour: of all listeners together; beyond it busy is said, and the caller goes
    where he goes when it is closed, else to menu.person.
    """

    extension: Extension | None = None
    context: Context = "default"
    say: Phrase
    transfer: Literal["blind", "attended", "refer"] = "blind"
    dial: Dial | None = None
    refer_to: ReferTo | None = None
    ring_s: int = Field(25, ge=5, le=60)
    whisper: Phrase | None = None
    accept_key: Key | None = None
    on_no_answer: Name = BACK
    no_answer: Phrase | None = None
    max_transfers_per_hour: int | None = Field(None, ge=1, le=10_000)
    busy: Phrase | None = None
    hours: Name | None = None
    closed: Closed | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        needs = {"blind": "extension", "attended": "dial", "refer": "refer_to"}
        for way, key in needs.items():
            if (getattr(self, key) is not None) != (way == self.transfer):
                raise ValueError(f"{key} belongs to a transfer that is {way}, and to no other")
        if self.transfer == "blind" and self.no_answer:
            raise ValueError("no_answer: of a blind transfer nobody learns whether it is answered")
        if self.transfer != "blind" and not self.no_answer:
            raise ValueError("no_answer is missing: what is said when nobody answers")
        if self.transfer != "attended" and (self.whisper or self.accept_key):
            raise ValueError("whisper and accept_key belong to an attended transfer")
        if (self.max_transfers_per_hour is None) != (self.busy is None):
            raise ValueError("max_transfers_per_hour and busy go together")
        if (self.hours is None) != (self.closed is None):
            raise ValueError("hours and closed go together")
        for word, field in PLACEHOLDER.findall(self.whisper or ""):
            if field or word not in WHISPERED:
                raise ValueError(f"whisper: {{{word}}} is none of {', '.join(WHISPERED)}")
        return self

    @property
    def fixed_phrases(self) -> tuple[str, ...]:
        closed = self.closed.say if self.closed else None
        texts = (self.say, self.no_answer, self.busy, closed)
        return tuple(text for text in texts if text is not None)


def check(destinations: Mapping[str, Destination], hours: Mapping[str, Hours]) -> None:
    """What destinations have to agree on. Raises ValueError."""
    for name, one in destinations.items():
        at = f"destinations.{name}"
        if name == BACK:
            raise ValueError(f"{at}: the name stands for the bot itself")
        if one.on_no_answer != BACK:
            known(one.on_no_answer, destinations, f"{at}.on_no_answer")
        if one.hours:
            known(one.hours, hours, f"{at}.hours")
        if one.closed and one.closed.destination:
            known(one.closed.destination, destinations, f"{at}.closed.destination")
    _no_circle(destinations, "on_no_answer", lambda one: one.on_no_answer)
    _no_circle(destinations, "closed", lambda one: one.closed.destination if one.closed else None)


def _no_circle(
    destinations: Mapping[str, Destination],
    key: str,
    after: Callable[[Destination], str | None],
) -> None:
    for name in destinations:
        seen: list[str] = []
        at: str | None = name
        while at is not None and at != BACK:
            if at in seen:
                raise ValueError(f"destinations.{name}.{key}: leads in a circle")
            seen.append(at)
            at = after(destinations[at])


def whisper(text: str, told: Mapping[str, str]) -> str:
    """The whisper with what is known in it."""
    return PLACEHOLDER.sub(lambda found: told.get(found.group(1), ""), text)
