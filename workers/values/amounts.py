"""Amounts of money: "twelve dollars and fifty cents", "twelve fifty", 12.50, zwölf Euro fünfzig."""

from __future__ import annotations

import re
from decimal import Decimal

from workers.values.lexicon import Lexicon
from workers.values.numbers import cardinal, is_number

_FIGURES = re.compile(r"[0-9]{1,7}(?:[.,][0-9]{3})*(?:[.,][0-9]{1,2})?")
MOST = Decimal("9999999.99")


def read(
    lexicon: Lexicon,
    text: str,
    low: Decimal,
    high: Decimal,
    currency: str | None,
    strict: bool = False,
) -> Decimal | None:
    """The one amount from low to high in a text, or None.

    currency: another one said is another amount. strict: none was asked for, so that it takes a
    currency to make one.
    """
    tokens = lexicon.tokens(text)
    found: list[Decimal] = []
    at = 0
    while at < len(tokens):
        said = _amount(lexicon, tokens, at)
        if said is None:
            at += 1
            continue
        readings, used, named = said
        if named and currency is not None and named != currency:
            return None
        end = at + used
        if end < len(tokens) and is_number(lexicon, tokens[end]):
            return None  # figures one by one: a number, and no amount
        if named is not None or not strict:
            fitting = [one for one in readings if low <= one <= high]
            found.append(fitting[0] if fitting else readings[0])
        at = end
    amounts = set(found)
    if len(amounts) != 1:
        return None
    amount = amounts.pop()
    return amount if low <= amount <= high else None


def keyed(keys: str, low: Decimal, high: Decimal) -> Decimal | None:
    """The star is the point: 12*5 is 12.50."""
    if not re.fullmatch(r"[0-9]{1,7}([*][0-9]{0,2})?", keys):
        return None
    amount = Decimal(keys.rstrip("*").replace("*", "."))
    return amount if low <= amount <= high else None


Said = tuple[tuple[Decimal, ...], int, str | None]  # readings, tokens, currency; "": cents of any


def _amount(lexicon: Lexicon, tokens: list[str], at: int) -> Said | None:
    start, named = at, None
    if tokens[at] in ("$", "€", "£"):
        named = lexicon.currencies.get(tokens[at])
        start += 1
    if start >= len(tokens):
        return None
    if re.search("[.,]", tokens[start]):
        return _in_figures(lexicon, tokens, at, start, named)
    whole = cardinal(lexicon, tokens, start)
    if whole is None and tokens[start] in lexicon.one and tokens[start + 1 : start + 2]:
        whole = (1, 1) if tokens[start + 1] in lexicon.currencies else None
    if whole is None:
        return None
    value, end = Decimal(whole[0]), start + whole[1]
    if end < len(tokens) and tokens[end] in lexicon.cents:
        return (value / 100,), end + 1 - at, named or ""
    if end < len(tokens) and tokens[end] in lexicon.currencies:
        named = lexicon.currencies[tokens[end]]
        rest, used = _cents(lexicon, tokens, end + 1)
        return (value + rest,), end + 1 + used - at, named
    if end < len(tokens) and tokens[end] in lexicon.point:
        decimals, used = _decimals(lexicon, tokens, end + 1)
        if decimals:
            value += Decimal(f"0.{decimals}")
            return _with_currency(lexicon, tokens, at, end + 1 + used, value, named)
    cents = cardinal(lexicon, tokens, end)
    if cents and 10 <= cents[0] <= 99 and value < 100 and not tokens[start][:1].isdigit():
        # "twelve fifty": money first, then 1250.
        end += cents[1]
        readings = (value + Decimal(cents[0]) / 100, value * 100 + cents[0])
        if end < len(tokens) and tokens[end] in lexicon.currencies:
            return readings, end + 1 - at, lexicon.currencies[tokens[end]]
        return readings, end - at, named
    return (value,), end - at, named


def _in_figures(
    lexicon: Lexicon, tokens: list[str], at: int, start: int, named: str | None
) -> Said | None:
    token = tokens[start]
    if not _FIGURES.fullmatch(token):
        return None
    whole, mark, decimals = re.fullmatch(r"(.*?)(?:([.,])([0-9]{1,2}))?", token).groups()  # type: ignore[union-attr]
    digits = re.sub("[.,]", "", whole)
    value = Decimal(f"{digits}.{decimals or 0}") if mark else Decimal(digits)
    if value > MOST:
        return None
    return _with_currency(lexicon, tokens, at, start + 1, value, named)


def _with_currency(
    lexicon: Lexicon, tokens: list[str], at: int, end: int, value: Decimal, named: str | None
) -> Said:
    if end < len(tokens) and tokens[end] in lexicon.currencies:
        return (value,), end + 1 - at, lexicon.currencies[tokens[end]]
    return (value,), end - at, named


def _cents(lexicon: Lexicon, tokens: list[str], at: int) -> tuple[Decimal, int]:
    """ "and fifty cents", "fifty"; none: 0."""
    skip = 1 if at < len(tokens) and tokens[at] in lexicon.and_ else 0
    cents = cardinal(lexicon, tokens, at + skip)
    if cents is None or not 0 <= cents[0] <= 99:
        return Decimal(0), 0
    end = at + skip + cents[1]
    named = end < len(tokens) and tokens[end] in lexicon.cents
    if skip and not named:
        return Decimal(0), 0  # "twelve dollars and two of them"
    return Decimal(cents[0]) / 100, skip + cents[1] + named


def _decimals(lexicon: Lexicon, tokens: list[str], at: int) -> tuple[str, int]:
    """ "point five", "point fifty", "point two five"."""
    first = cardinal(lexicon, tokens, at)
    if first is None or first[0] > 99:
        return "", 0
    if first[0] >= 10 or tokens[at][:1].isdigit():
        return str(first[0]), first[1]
    second = cardinal(lexicon, tokens, at + 1)
    if second and second[0] < 10:
        return f"{first[0]}{second[0]}", 2
    return str(first[0]), 1
