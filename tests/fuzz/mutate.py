"""Inputs that are nearly right, and words that mean something to whoever reads them wrongly."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from random import Random
from typing import Any

HOSTILE = (
    "", " ", "\n", "\r\n", "\n\n", "\0", "\t", "\x1b[2J", "\x7f", "\x85", "\u2028", "\ufeff",
    "\ud800", "\udfff", "é", "ß", "日本", "🙂", "e\u0301", "\u200d", "\u202e", "٤٢", "４２", "²",
    "${system(touch x)}", "$${x}", "#{x}", "{account}", "{accounts.due}", "}", "{", "$", ";", "|",
    "=", "'", '"', "\\", "\\n", "%0A", "%0AEvent-Name: SPOOF", "%", "%zz", "api status", "<b>",
    "[[x]]", "[a](b)", "../../etc/passwd", "+882123456", "execute_on_answer", "sip_h_X", "ai_x",
    "-1", "0", "1", "4271", "99999999999", "1e999", "NaN", "Infinity", "true", "null", "0x10",
    "zero", "yes", "no", "not", "double", "hundred", "forty two", "Dr. No", "e.g. ", "6 p.m. ",
    "...", "?!", ". ", ", ", "x" * 300, "a b " * 80, "*", "#", "9" * 70, "confirm", "balance",
)  # fmt: skip
BYTES = (
    b"", b"\n", b"\n\n", b"\r\n", b":", b"\0", b"%0A", b"%", b"\xff", b"\xc3\x28", b"\xed\xa0\x80",
    b"-1", b"99999999", b"1e9", b"4294967295", b" ", b"\t", b"{", b"}", b"[", b"]", b'"', b",",
)  # fmt: skip
NUMBERS = (
    -(2**63), -(2**31), -1, 0, 1, 2, 7, 63, 64, 255, 4000, 65535, 2**31, 2**32, 2**64, 10**30,
)  # fmt: skip


def text(dice: Random, pieces: int = 6) -> str:
    """Up to so many hostile pieces in a row."""
    found = []
    for _ in range(dice.randrange(pieces + 1)):
        if dice.random() < 0.7:
            found.append(dice.choice(HOSTILE))
        else:
            found.append(chr(dice.choice((dice.randrange(128), dice.randrange(0x3000),
                                          dice.randrange(0x110000)))))  # fmt: skip
    return dice.choice(("", " ")).join(found)


def mangled(dice: Random, data: bytes, tokens: Sequence[bytes] = BYTES, most: int = 3) -> bytes:
    """The bytes with up to so many changes; sometimes with none."""
    out = bytearray(data)
    for _ in range(dice.randrange(most + 1)):
        at = dice.randrange(len(out) + 1)
        end = min(len(out), at + dice.randrange(1, 40))
        match dice.randrange(7):
            case 0:
                out[at : at + 1] = bytes([dice.randrange(256)])
            case 1:
                out[at:at] = dice.choice(tokens)
            case 2:
                del out[at:end]
            case 3:  # something stands there twice
                out[at:at] = out[at:end]
            case 4:
                del out[at:]
            case 5:  # another number
                _other_number(dice, out, at)
            case 6:
                other = dice.randrange(len(out) + 1)
                out[at:at] = out[other : other + dice.randrange(1, 80)]
    return bytes(out)


def _other_number(dice: Random, out: bytearray, at: int) -> None:
    while at < len(out) and not 0x30 <= out[at] <= 0x39:
        at += 1
    end = at
    while end < len(out) and 0x30 <= out[end] <= 0x39:
        end += 1
    if end > at:
        out[at:end] = b"%d" % dice.choice(NUMBERS)


def sliced(dice: Random, data: bytes) -> list[bytes]:
    """The bytes as they may come off a wire: in one piece, a few, or one by one."""
    if len(data) < 2 or dice.random() < 0.2:
        return [data]
    if len(data) < 600 and dice.random() < 0.1:
        return [bytes([one]) for one in data]
    cuts = sorted(dice.randrange(len(data)) for _ in range(dice.randrange(1, 6)))
    return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]


def value(dice: Random, depth: int = 2) -> Any:
    """Any JSON value."""
    match dice.randrange(9 if depth else 6):
        case 0:
            return None
        case 1:
            return dice.random() < 0.5
        case 2:
            return dice.choice(NUMBERS)
        case 3:
            return dice.choice((0.5, -0.0, 1e308, 1e-320))
        case 4 | 5:
            return text(dice, 3)
        case 6:
            return [value(dice, depth - 1) for _ in range(dice.randrange(4))]
        case _:
            return {text(dice, 1): value(dice, depth - 1) for _ in range(dice.randrange(4))}


def reshaped(dice: Random, data: Any, most: int = 2) -> Any:
    """A JSON value of which up to so many parts are missing, doubled or of another kind."""
    data = copy.deepcopy(data)
    for _ in range(dice.randrange(most + 1)):
        places = list(_places(data))
        if not places:
            return value(dice)
        holder, key = dice.choice(places)
        match dice.randrange(4):
            case 0:
                del holder[key]
            case 1 if isinstance(holder, list):
                holder.insert(key, copy.deepcopy(holder[key]))
            case 1:
                holder[text(dice, 1)] = value(dice)
            case _:
                holder[key] = value(dice)
    return data


def _places(data: Any) -> Any:
    items = ()
    if isinstance(data, dict):
        items = tuple(data.items())
    elif isinstance(data, list):
        items = tuple(enumerate(data))
    for key, held in items:
        yield data, key
        yield from _places(held)
