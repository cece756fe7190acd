"""Numbers in words: "a hundred and twenty five", "zweitausendsechsundzwanzig"."""

from __future__ import annotations

import re
from collections.abc import Callable, Set

from workers.values.lexicon import Lexicon

Found = tuple[int, int]  # the number, and how many tokens it is
Read = Callable[[Lexicon, list[str], int], Found | None]


def is_number(lexicon: Lexicon, token: str) -> bool:
    return token in lexicon.small or token[:1].isdigit()


def below_hundred(lexicon: Lexicon, tokens: list[str], at: int) -> Found | None:
    """0 to 99: "forty two", "forty", "twelve", 42."""
    if at >= len(tokens):
        return None
    token = tokens[at]
    if re.fullmatch(r"[0-9]{1,2}", token):
        return int(token), 1
    value = lexicon.small.get(token)
    if value is None:
        return None
    if value >= 20 and value % 10 == 0 and at + 1 < len(tokens):
        ones = lexicon.small.get(tokens[at + 1], 0)
        if 0 < ones < 10:
            return value + ones, 2
    return value, 1


def cardinal(lexicon: Lexicon, tokens: list[str], at: int) -> Found | None:
    """0 to 999,999, in words or in figures without marks."""
    if at < len(tokens) and re.fullmatch(r"[0-9]{1,7}", tokens[at]):
        return int(tokens[at]), 1
    high = _below_thousand(lexicon, tokens, at)
    if high is None:
        if at < len(tokens) and tokens[at] in lexicon.thousand:
            high = (1, 0)
        else:
            return None
    return _times(lexicon, tokens, at, high, 1000, lexicon.thousand, _below_thousand)


def _below_thousand(lexicon: Lexicon, tokens: list[str], at: int) -> Found | None:
    """Also "nineteen hundred"."""
    first = below_hundred(lexicon, tokens, at)
    if at >= len(tokens):
        return None
    if first is None:
        if tokens[at] in lexicon.hundred:
            first = (1, 0)
        elif tokens[at] in lexicon.one and tokens[at + 1 : at + 2]:
            large = lexicon.hundred | lexicon.thousand
            first = (1, 1) if tokens[at + 1] in large else None
    if first is None:
        return None
    return _times(lexicon, tokens, at, first, 100, lexicon.hundred, below_hundred)


def _times(
    lexicon: Lexicon, tokens: list[str], at: int, first: Found, unit: int, words: Set[str],
    read: Read,
) -> Found:  # fmt: skip
    """So many hundreds or thousands, where one of these words follows, and what is read behind."""
    value, used = first
    if at + used >= len(tokens) or tokens[at + used] not in words:
        return first
    used += 1
    low = _after(lexicon, tokens, at + used, read)
    return (value * unit + low[0], used + low[1]) if low else (value * unit, used)


def _after(lexicon: Lexicon, tokens: list[str], at: int, read: Read) -> Found | None:
    """What follows a hundred or a thousand, with an "and" or without."""
    skip = 1 if at < len(tokens) and tokens[at] in lexicon.and_ else 0
    found = read(lexicon, tokens, at + skip)
    return (found[0], found[1] + skip) if found else None


def ordinal(lexicon: Lexicon, tokens: list[str], at: int) -> Found | None:
    """1 to 31: "third", "twenty third", 23rd."""
    if at >= len(tokens):
        return None
    figures = re.fullmatch(r"([0-9]{1,2})(?:st|nd|rd|th)", tokens[at])
    if figures:
        n = int(figures[1])
        return (n, 1) if 1 <= n <= 31 else None
    if lexicon.small.get(tokens[at]) in (20, 30) and at + 1 < len(tokens):
        ones = lexicon.ordinals.get(tokens[at + 1], 0)
        n = lexicon.small[tokens[at]] + ones
        if 0 < ones < 10 and n <= 31:
            return n, 2
    found = lexicon.ordinals.get(tokens[at])
    return (found, 1) if found else None
