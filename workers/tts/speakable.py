"""Text from a model, made safe to hand to a speech synthesiser as plain words."""

from __future__ import annotations

import unicodedata
from typing import Final

WORD_CHARS: Final = 60  # a longer "word" is noise, and some synthesisers take minutes over it
_JOINERS: Final = "\u200c\u200d"  # shape letters in Persian and the Indic scripts
_MARKUP: Final = str.maketrans(dict.fromkeys("[]<>{}|\\^`~", " "))


def speakable(text: str, max_chars: int) -> str:
    """At most max_chars of the text, one line, with nothing in it that is not read aloud.

    Gone are: control and format characters (espeak-ng takes commands after U+0001), NUL, lone
    surrogates, private and unassigned code points, and the brackets of markup: `[[` begins
    phonemes in espeak-ng and piper, `<` a tag. May be empty: then there is nothing to say.
    """
    # Before anything else, so that a megabyte costs no more than a sentence.
    shown = unicodedata.normalize("NFC", text[: 4 * max_chars])
    plain = "".join(c if _is_spoken(c) else " " for c in shown).translate(_MARKUP)
    words: list[str] = []
    for word in plain.split():
        words += [word[at : at + WORD_CHARS] for at in range(0, len(word), WORD_CHARS)]
    line = " ".join(words)
    if len(line) > max_chars:
        cut = line[: max_chars + 1].rpartition(" ")[0]
        line = cut or line[:max_chars]
    return line if any(unicodedata.category(c)[0] in "LNS" for c in line) else ""


def _is_spoken(char: str) -> bool:
    return char in _JOINERS or unicodedata.category(char)[0] != "C"
