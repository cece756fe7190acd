"""Marks that a model was told to put into its words: taken out before anyone hears them.

    "[anger=high urgency=none person=no] We are open until six [2]." ─▶ "We are open until six ."

A model's text comes in pieces of any length, so what may still become a mark is held back, up to
MAX_MARK characters.
"""

from __future__ import annotations

import re
from collections.abc import Callable

MAX_MARK = 80
_MARK = re.compile(r"\[([^\[\]\n]*)\]")
# A sentence that is over waits for no more: its voice begins one piece of the model's earlier.
_ENDED = re.compile(r"[.!?…][\"'”’)\]*_]*\s+$|\n\s*$")
_NUMBERS = re.compile(r"\d{1,2}(?:\s*,\s*\d{1,2})*")


class Marks:
    """cited: numbers in the order in which they came. on_label(text): of any other mark; whether
    it is one of ours, and so no word of the answer."""

    def __init__(self, on_label: Callable[[str], bool]) -> None:
        self.cited: list[int] = []
        self._on_label = on_label
        self._held = ""

    def feed(self, text: str) -> str:
        """What of it, and of what was held back, can be spoken now."""
        text, self._held = self._held + text, ""
        text = re.sub(r"\s*" + _MARK.pattern, self._take, text)
        opened = text.rfind("[")
        if opened >= 0 and len(text) - opened <= MAX_MARK:
            opened = len(text[:opened].rstrip())  # the space before a mark goes with it
            text, self._held = text[:opened], text[opened:]
        elif text[-1:].isspace() and not _ENDED.search(text):
            bare = text.rstrip()
            text, self._held = bare, text[len(bare) :]
        return text

    def flush(self) -> str:
        """What was held back and is no mark."""
        text, self._held = self._held, ""
        return text

    def _take(self, found: re.Match[str]) -> str:
        inside = found.group(1).strip()
        if _NUMBERS.fullmatch(inside):
            self.cited += [int(n) for n in re.findall(r"\d+", inside)]
            return ""
        return "" if self._on_label(inside) else found.group()
