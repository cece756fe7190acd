"""What every language model engine offers: an utterance in, words and a decision out."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Protocol

from workers.acting import Result, ToolCall
from workers.bot import Bot
from workers.messages import Decision, DialogState, Line

# What was called is sent back its result; None: nobody runs tools here.
Reply = Generator[str | Decision | ToolCall, Result | None, None]


class LlmError(Exception):
    """The engine could not answer: provider down, nonsense came back, deadline passed."""


@dataclass(frozen=True, slots=True)
class Request:
    """One turn to be answered.

    text: what the caller said or keyed in, as recognised.
    history: earlier lines of the call, oldest first, the bot's cut to what was heard.
    said: sentences of the answer that the caller has had already, from an attempt that broke off.
    An engine goes on after them, or gives the same answer from its beginning.
    """

    bot: Bot
    state: DialogState
    history: tuple[Line, ...]
    text: str
    keyed: bool = False
    said: tuple[str, ...] = ()


class LlmEngine(Protocol):
    """One per process; reply() may be called by several threads at once."""

    name: str

    def warm(self, bot: Bot) -> None:
        """Have ready what the first turn with this bot would otherwise wait for."""

    def reply(self, request: Request, timeout_s: float) -> Reply:
        """Yield pieces of text to be spoken, of any length, one Decision at any place, and calls of
        the bot's tools.

        Raises LlmError, and never lasts longer than timeout_s seconds in all, tools apart.
        """
