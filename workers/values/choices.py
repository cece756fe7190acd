"""One of several: "the large one", "number two", "not the small one, the large one"."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from workers.values.lexicon import Lexicon
from workers.values.numbers import below_hundred, ordinal


def read(
    lexicon: Lexicon, text: str, options: Mapping[str, Sequence[str]], strict: bool = False
) -> str | None:
    """The option's name, or None where none is named, or several are.

    strict: nothing was asked, so that "the second one" is none.
    """
    tokens = [_stem(token) for token in lexicon.tokens(text)]
    named = _named(lexicon, tokens, options)
    if named:
        return named.pop() if len(named) == 1 else None
    return None if strict else _numbered(lexicon, lexicon.tokens(text), list(options))


def keyed(keys: str, options: Mapping[str, Sequence[str]]) -> str | None:
    """By number, from 1."""
    if not re.fullmatch("[1-9]", keys) or int(keys) > len(options):
        return None
    return list(options)[int(keys) - 1]


def spoken(name: str, words: Sequence[str]) -> str:
    """What an option is called."""
    return words[0] if words else name.replace("_", " ")


def other(value: str, options: Mapping[str, Sequence[str]]) -> str | None:
    """The other one of two."""
    rest = [name for name in options if name != value]
    return rest[0] if len(rest) == 1 else None


def _named(lexicon: Lexicon, tokens: list[str], options: Mapping[str, Sequence[str]]) -> set[str]:
    """Which options the words name; a longer name hides the shorter one within it."""
    phrases = sorted(
        (
            ([_stem(word) for word in lexicon.tokens(words)], name)
            for name, others in options.items()
            for words in (name.replace("_", " "), *others)
        ),
        key=lambda one: -len(one[0]),
    )
    left: list[str | None] = list(tokens)
    found = set()
    for phrase, name in phrases:
        size = len(phrase)
        for at in range(len(left) - size + 1):
            if size and left[at : at + size] == phrase:
                denied = any(token in lexicon.not_ for token in tokens[max(0, at - 2) : at])
                left[at : at + size] = [None] * size
                if not denied:
                    found.add(name)
    return found


def _numbered(lexicon: Lexicon, tokens: list[str], names: list[str]) -> str | None:
    found = set()
    for at, token in enumerate(tokens):
        place = ordinal(lexicon, tokens, at)
        if place is None and token in lexicon.number:
            place = below_hundred(lexicon, tokens, at + 1)
        if place is None and len(tokens) == 1:
            place = below_hundred(lexicon, tokens, at)
        if place and 1 <= place[0] <= len(names):
            found.add(names[place[0] - 1])
        elif token in lexicon.last_one:
            found.add(names[-1])
    return found.pop() if len(found) == 1 else None


def _stem(token: str) -> str:
    return token[:-1] if len(token) > 3 and token.endswith("s") else token
