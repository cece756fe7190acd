"""Pieces of text in, sentences out, fit to be spoken.

A model's text comes in pieces of any length; speech begins with the first whole sentence. A
full stop ends one only before a space, so that 4.50 stays whole; a sentence that will not end
is cut at a comma or a space.
"""

from __future__ import annotations

import re
import unicodedata

MAX_SENTENCE = 240  # characters: about 15 seconds of speech
_END = re.compile(r"(?<=[.!?…])[\"')\]*_]*\s+|\n+")
_ABBREVIATION = re.compile(r"\b(?:[A-Z]|Dr|Mr|Mrs|Ms|Prof|St|No|e\.g|i\.e|etc|vs|approx)\.$")
_MARKUP = re.compile(r"```.*?```|`|\*\*|__|[*#>~|_]|^\s*[-•]\s+|\[([^\]]*)\]\([^)]*\)", re.S | re.M)


def speakable(text: str) -> str:
    """Without markup, emoji and control characters, which a voice would read aloud."""
    text = _MARKUP.sub(lambda found: found.group(1) or "", text)
    kept = (c if unicodedata.category(c)[0] != "C" else " " for c in text)
    plain = "".join(c for c in kept if unicodedata.category(c) not in ("So", "Sk"))
    return " ".join(plain.split())


class SentenceSplitter:
    """feed() pieces, then flush()."""

    def __init__(self) -> None:
        self._rest = ""

    def feed(self, text: str) -> list[str]:
        """The sentences that are complete now."""
        self._rest += text
        done: list[str] = []
        start = 0
        for end in _END.finditer(self._rest):
            piece = self._rest[start : end.end()].strip()
            if _ABBREVIATION.search(piece):
                continue
            done.append(piece)
            start = end.end()
        self._rest = self._rest[start:]
        while len(self._rest) > MAX_SENTENCE:
            cut = max(self._rest.rfind(mark, 0, MAX_SENTENCE) for mark in (", ", "; ", ": "))
            if cut < MAX_SENTENCE // 3:
                cut = self._rest.rfind(" ", 0, MAX_SENTENCE)
            if cut <= 0:
                cut = MAX_SENTENCE - 1
            done.append(self._rest[: cut + 1])
            self._rest = self._rest[cut + 1 :]
        return self._clean(done)

    def flush(self) -> list[str]:
        """What is left, as a last sentence."""
        rest, self._rest = self._rest, ""
        return self._clean([rest])

    @staticmethod
    def _clean(pieces: list[str]) -> list[str]:
        clean = (speakable(piece) for piece in pieces)
        return [one for one in clean if any(c.isalnum() for c in one)]
