"""`eslbot.call.v1`, the protocol of the browser's door, without I/O: docs/doors.md is its
reference."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from eslbot.doors import DIGITS
from eslbot.esl import MAX_VALUE, VARIABLE, clean_value

SUBPROTOCOL = "eslbot.call.v1"
RATES_HZ = (8000, 16000, 48000)
MAX_TEXT = 8192  # characters of a message
MAX_SOUND = 48_000 * 2 // 5  # bytes of one: 200 ms at the highest rate
MAX_FROM = 80
MAX_TOKEN = 200
MAX_VARIABLES = 32
MAX_DELAY_MS = 10_000

# Why the server closes.
OVER, BAD, UNAUTHORISED, LATE, RATE, NO_ROOM = 1000, 4400, 4401, 4408, 4429, 4503


class ProtocolError(Exception):
    """What came is no message of this protocol. The text names the rule, never the message."""


@dataclass(frozen=True, slots=True)
class Start:
    rate: int  # Hz, both ways
    token: str = field(default="", repr=False)
    caller: str = ""  # to be shown: printable
    variables: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Key:
    digit: str


@dataclass(frozen=True, slots=True)
class Hangup:
    pass


@dataclass(frozen=True, slots=True)
class Ping:
    t: float  # the client's own clock


@dataclass(frozen=True, slots=True)
class Network:
    delay_ms: int


Heard = Start | Key | Hangup | Ping | Network


def parse(text: str) -> Heard:
    """A text message of a client. Raises ProtocolError."""
    if len(text) > MAX_TEXT:
        raise ProtocolError(f"more than {MAX_TEXT} characters")
    try:
        found = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise ProtocolError("not JSON") from None
    if not isinstance(found, dict):
        raise ProtocolError("not a JSON object")
    kind = found.get("type")
    if kind == "start":
        return _start(found)
    if kind == "key":
        digit = found.get("digit")
        if not isinstance(digit, str) or digit not in DIGITS:
            raise ProtocolError("key: digit is none of 0-9 * # A-D")
        return Key(digit)
    if kind == "hangup":
        return Hangup()
    if kind == "ping":
        return Ping(_number(found, "ping", "t"))
    if kind == "network":
        delay_ms = _number(found, "network", "delay_ms")
        if not 0 <= delay_ms <= MAX_DELAY_MS:
            raise ProtocolError(f"network: delay_ms is not from 0 to {MAX_DELAY_MS}")
        return Network(round(delay_ms))
    raise ProtocolError("type is none of start, key, hangup, ping, network")


def _no_constant(_name: str) -> Any:
    raise ValueError("NaN and infinity are not JSON")


def _number(found: dict[str, Any], kind: str, name: str) -> float:
    value = found.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > 2**53:
        raise ProtocolError(f"{kind}: {name} is no number")
    if not math.isfinite(value):
        raise ProtocolError(f"{kind}: {name} is no number")
    return value


def _start(found: dict[str, Any]) -> Start:
    rate = found.get("rate")
    if isinstance(rate, bool) or rate not in RATES_HZ:
        raise ProtocolError(f"start: rate is none of {', '.join(map(str, RATES_HZ))}")
    caller = _text(found, "from", MAX_FROM)
    if not caller.isprintable():
        raise ProtocolError("start: from is not printable")
    variables = found.get("variables", {})
    if not isinstance(variables, dict) or len(variables) > MAX_VARIABLES:
        raise ProtocolError(f"start: variables is no object of at most {MAX_VARIABLES}")
    for name, value in variables.items():
        if not VARIABLE.fullmatch(name):
            raise ProtocolError("start: variables: a name that is not ai_...")
        if not isinstance(value, str) or len(value) > MAX_VALUE or clean_value(value) != value:
            raise ProtocolError(f"start: variables: no plain text of at most {MAX_VALUE}")
    return Start(int(rate), _text(found, "token", MAX_TOKEN), caller, variables)


def _text(found: dict[str, Any], name: str, most: int) -> str:
    value = found.get(name, "")
    if not isinstance(value, str) or len(value) > most:
        raise ProtocolError(f"start: {name} is no text of at most {most} characters")
    return value


def event(what: str, at: float, fields: Mapping[str, Any]) -> str:
    """What the server tells; at: seconds since the call began."""
    return json.dumps({"type": what, "at": round(at, 3), **fields})
