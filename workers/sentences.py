"""Pieces of text in, sentences out, fit to be spoken.

A model's text comes in pieces of any length; speech begins with the first whole sentence. A
full stop ends one only before a space, so that 4.50 stays whole; where it may stand for an
abbreviation, what follows decides, and so is waited for. A sentence that will not end is cut
at a comma or a space.
"""

from __future__ import annotations

import re
import unicodedata

MAX_SENTENCE = 240  # characters: about 15 seconds of speech
_END = re.compile(r"(?<=[.!?…])[\"'”’)\]*_]*\s+|\n+")
# Never the end: a title or an initial, or the number of a list's item.
_ABBREVIATION = re.compile(
    r"(?:\b(?:[A-Z]|Dr|Mr|Mrs|Ms|Prof|St|e\.g|i\.e|vs|approx)|^\W*\d{1,2})\.\s*$"
)
# The end before a capital: "until 6 p.m. Anything else?"; before others it goes on.
_BEFORE_CAPITAL = re.compile(r"\b(?:[ap]\.m|etc|Inc|Ltd|Co)\.\s*$")
# The end unless a number follows: "No. 5".
_BEFORE_NUMBER = re.compile(r"\bNo\.\s*$")
_LINK = re.compile(r"\[([^\[\]]*)\]\([^()]*\)")
# The underscore of a placeholder such as [CARD_1] stays: a voice is told its name, see redaction/.
_MARKUP = re.compile(
    r"</?[a-zA-Z][^<>]{0,100}>|[`*#>~|]|_(?!\d{1,3}\]|ID_\d{1,3}\])|^[^\S\n]*[-•]\s+", re.M
)
_SPOKEN_SIGNS = "°©®"


def speakable(text: str) -> str:
    """Without markup, emoji and control characters, which a voice would read aloud."""
    text = _MARKUP.sub("", _LINK.sub(r"\1", text))
    return " ".join("".join(map(_spoken, text)).split())


def _spoken(character: str) -> str:
    kind = unicodedata.category(character)
    if kind == "Cf" or "\ufe00" <= character <= "\ufe0f":
        return ""  # joiners and variants within an emoji or a word
    if kind[0] == "C":
        return " "
    return "" if kind in ("So", "Sk", "Me") and character not in _SPOKEN_SIGNS else character


class SentenceSplitter:
    """feed() pieces, then flush(). Holds MAX_SENTENCE characters and a piece at most."""

    def __init__(self) -> None:
        self._rest = ""

    def feed(self, text: str) -> list[str]:
        """The sentences that are complete now, each of MAX_SENTENCE characters at most."""
        self._rest += text
        done: list[str] = []
        start = 0
        for end in _END.finditer(self._rest):
            piece = self._rest[start : end.end()]
            following = self._rest[end.end() : end.end() + 1]
            if "\n" not in end.group() and not _ends(piece, following):
                continue
            done.append(piece)
            start = end.end()
        self._rest = self._rest[start:]
        while len(self._rest) > MAX_SENTENCE:
            piece, self._rest = _cut(self._rest)
            done.append(piece)
        return _fit(done)

    def flush(self) -> list[str]:
        """What is left, as a last sentence."""
        rest, self._rest = self._rest, ""
        return _fit([rest])


def _ends(piece: str, following: str) -> bool:
    """Whether a sentence ends here; not yet, if that depends on what is still to come."""
    if _ABBREVIATION.search(piece):
        return False
    if _BEFORE_CAPITAL.search(piece):
        return following.isupper()
    if _BEFORE_NUMBER.search(piece):
        return following != "" and not following.isdigit()
    return True


def _cut(text: str) -> tuple[str, str]:
    """The text's first MAX_SENTENCE characters, less what comes after a comma or a space."""
    at = max(text.rfind(mark, 0, MAX_SENTENCE) for mark in (", ", "; ", ": "))
    if at < MAX_SENTENCE // 3:
        at = text.rfind(" ", 0, MAX_SENTENCE)
    if at <= 0:
        at = MAX_SENTENCE - 1
    return text[: at + 1], text[at + 1 :]


def _fit(pieces: list[str]) -> list[str]:
    fit: list[str] = []
    for piece in pieces:
        rest = speakable(piece)
        while len(rest) > MAX_SENTENCE:
            first, rest = _cut(rest)
            fit.append(first.strip())
        fit.append(rest.strip())
    return [one for one in fit if any(c.isalnum() for c in one)]
