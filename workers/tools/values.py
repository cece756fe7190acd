"""Values on their way to a tool and back: each one is checked as the type it is to be. No I/O.

What a caller or a model gives goes out only as the argument's type, and what a server answers is
said only as the field's: a server's answer is no more trusted than a caller's word.
"""

from __future__ import annotations

import datetime
import re
import unicodedata
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from workers.bot.tools import MAX_VALUE, Argument, ResultField, Tool
from workers.values.say import spoken

Given = str | int | bool
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TIME = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])")
MAX_INTEGER = 10**12


class BadArguments(Exception):
    """A tool was called with what it does not take. str() names arguments, never their values."""


def arguments(tool: Tool, given: object) -> dict[str, Given]:
    """Each argument as its type. Raises BadArguments."""
    if not isinstance(given, Mapping):
        raise BadArguments("the arguments are no object")
    extra = [name for name in given if name not in tool.arguments]
    if extra:
        raise BadArguments(f"{len(extra)} arguments that it does not have")
    found: dict[str, Given] = {}
    for name, argument in tool.arguments.items():
        value = given.get(name)
        if value is None and argument.default is not None:
            value = argument.default
        if value is None:
            if argument.required:
                raise BadArguments(f"{name} is missing")
            continue
        checked = _argument(argument, value)
        if checked is None:
            raise BadArguments(f"{name} is no {argument.type}")
        found[name] = checked
    return found


def _argument(argument: Argument, value: object) -> Given | None:
    if argument.type == "boolean":
        words = {"yes": True, "true": True, "no": False, "false": False}
        return (
            value
            if isinstance(value, bool)
            else words.get(value)
            if isinstance(value, str)
            else None
        )
    if argument.type == "integer":
        return integer(value)
    if argument.type == "amount" and isinstance(value, int | float) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        return None
    if argument.type == "digits":
        value = re.sub("[ -]", "", value)
        fits = argument.min_digits <= len(value) <= argument.max_digits
        return value if fits and value.isascii() and value.isdigit() else None
    if argument.type == "choice":
        return value if value in argument.options else None
    if argument.type == "amount":
        amount = money(value.partition(" ")[0])
        return None if amount is None else f"{amount:.2f}"
    if argument.type == "date":
        return value if day(value) else None
    if argument.type == "time":
        return value if _TIME.fullmatch(value) else None
    if len(value) > MAX_VALUE:
        return None
    return clean(value) or None


def integer(value: object) -> int | None:
    """A whole number of ours, or a text of one; True is none."""
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,12}", value):
        value = int(value)
    whole = isinstance(value, int) and not isinstance(value, bool)
    return value if whole and abs(value) <= MAX_INTEGER else None  # type: ignore[arg-type,return-value]


def money(value: object) -> Decimal | None:
    """An amount with two decimals at most."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    if len(str(value)) > 20:
        return None
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        return None
    if not amount.is_finite() or abs(amount) > 10**9 or amount != round(amount, 2):
        return None
    return amount


def day(value: object) -> datetime.date | None:
    if not isinstance(value, str) or not _DATE.fullmatch(value):
        return None
    try:
        return datetime.date.fromisoformat(value)
    except ValueError:
        return None


def clean(text: str, limit: int = MAX_VALUE) -> str:
    """On one line, of printable characters, and not too long; no markup, which a voice would read
    aloud or take for an order."""
    kept = ("  " if unicodedata.category(c)[0] in "CZ" or c in "<>{}[]|\\`" else c
            for c in text[: 4 * limit])  # fmt: skip
    return " ".join("".join(kept).split())[:limit].strip()


def results(
    tool: Tool, answer: object, language: str, today: str = ""
) -> tuple[dict[str, str], dict[str, str]]:
    """(as they are said, as they are) of each field of the tool's result.

    Raises BadArguments where the answer lacks one, or holds it as something else.
    """
    said: dict[str, str] = {}
    plain: dict[str, str] = {}
    for name, field in tool.result.items():
        found = _at(answer, field.path)
        values = found[: field.most] if isinstance(found, list) else [found]
        if found is None or found == "" or not values:
            if not field.optional:
                raise BadArguments(f"the answer lacks {name}")
            said[name], plain[name] = field.missing or "", ""
            continue
        read = [_field(field, value, language, today) for value in values]
        if None in read:
            raise BadArguments(f"{name} of the answer is no {field.type}")
        said[name] = _listed([one[0] for one in read if one], language)
        plain[name] = ", ".join(one[1] for one in read if one)
    return said, plain


def _at(answer: object, path: str) -> Any:
    for key in path.split("."):
        if isinstance(answer, dict):
            answer = answer.get(key)
        elif isinstance(answer, list) and key.isdigit() and int(key) < len(answer):
            answer = answer[int(key)]
        else:
            return None
    return answer


def _field(field: ResultField, value: object, language: str, today: str) -> tuple[str, str] | None:
    """(said, plain), or None where the value is not of the field's type."""
    if field.type == "amount":
        amount = money(value)
        if amount is None:
            return None
        sign = "-" if amount < 0 else ""
        said = spoken("amount", f"{abs(amount):.2f} {field.currency}", language)
        return f"{sign}{said}", f"{amount:.2f}"
    if field.type == "integer":
        number = integer(value)
        return None if number is None else (str(number), str(number))
    if field.type == "boolean":
        return ("yes" if value else "no",) * 2 if isinstance(value, bool) else None
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < MAX_INTEGER:
        value = str(value)
    plain = _plain(field.type, value) if isinstance(value, str) else None
    return None if plain is None else (spoken(field.type, plain, language, today), plain)


def _plain(kind: str, value: str) -> str | None:
    if kind == "date":
        return value[:10] if day(value[:10]) else None
    if kind == "time":
        return value[:5] if _TIME.fullmatch(value[:5]) else None
    if kind == "digits":
        return value if value.isascii() and value.isdigit() and len(value) <= 32 else None
    return clean(value) or None


def _listed(values: list[str], language: str) -> str:
    if len(values) < 2 or not language.startswith("en"):
        return ", ".join(values)
    return f"{', '.join(values[:-1])} and {values[-1]}"
