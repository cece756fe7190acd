"""What crosses Redis, and the pipes to a speech process."""

from __future__ import annotations

import contextlib
import json
import math
import types
from dataclasses import fields, is_dataclass
from random import Random
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from tests.fuzz.mutate import NUMBERS, mangled, reshaped, sliced, text, value
from tests.fuzz.runner import Target
from workers import streams
from workers.messages import (
    MAX_PCM_BYTES,
    MAX_TEXT_CHARACTERS,
    DialogState,
    Line,
    Message,
    MessageError,
    Step,
    Turn,
    decode,
    encode,
    turn_from_json,
    turn_to_json,
)
from workers.tts.frames import (
    MAX_REPLY_BYTES,
    FrameError,
    Reply,
    ReplyReader,
    RequestReader,
    encode_request,
)

KINDS = get_args(Message)
ODD = (b"NaN", b"-Infinity", b"1e999", b"[" * 9000, b"1" * 5000, b"1" * 400, b'"\\ud800"', b"\xff",
       b"", b"\x00" * 70_000)  # fmt: skip
_HINTS = {kind: get_type_hints(kind) for kind in (*KINDS, Step, DialogState, Line, Turn)}


def _some(dice: Random, hint: Any) -> Any:
    """A value of a declared type."""
    if hint is bytes:
        return dice.randbytes(dice.randrange(20))
    if hint is str:
        return text(dice, 3)
    if hint is bool:
        return dice.random() < 0.5
    if hint is int:
        return dice.choice(NUMBERS)
    if hint is float:
        return dice.choice((0.0, 0.5, 1.0, 30.0))
    origin, args = get_origin(hint), get_args(hint)
    if origin is Literal:
        return dice.choice(args)
    if origin in (Union, types.UnionType):
        return _some(dice, dice.choice(args))
    if hint is type(None):
        return None
    if origin is dict:
        return {text(dice, 1): _some(dice, args[1]) for _ in range(dice.randrange(3))}
    if origin is tuple:
        return tuple(_some(dice, args[0]) for _ in range(dice.randrange(3)))
    return hint(**{name: _some(dice, kind) for name, kind in _HINTS[hint].items()})


def _is(one: Any, hint: Any) -> bool:
    """Whether a value is of a declared type, all the way down, and finite."""
    if hint is float:
        return type(one) is float and math.isfinite(one)
    origin, args = get_origin(hint), get_args(hint)
    if origin is Literal:
        return any(one == a and type(one) is type(a) for a in args)
    if origin in (Union, types.UnionType):
        return any(_is(one, a) for a in args)
    if origin is dict:
        return type(one) is dict and all(_is(k, str) and _is(v, args[1]) for k, v in one.items())
    if origin is tuple:
        return type(one) is tuple and all(_is(part, args[0]) for part in one)
    if type(one) is not hint:
        return False
    if is_dataclass(hint):
        return all(_is(getattr(one, f.name), _HINTS[hint][f.name]) for f in fields(hint))
    if hint is str:
        return len(one) <= MAX_TEXT_CHARACTERS
    return hint is not bytes or len(one) <= MAX_PCM_BYTES


def _make_entry(dice: Random) -> dict[bytes, bytes]:
    fields = {k.encode(): v for k, v in encode(_some(dice, dice.choice(KINDS))).items()}
    for _ in range(dice.randrange(3)):
        name = dice.choice(list(fields))
        match dice.randrange(6):
            case 0:
                del fields[name]
            case 1:
                fields[name] = mangled(dice, fields[name])
            case 2 | 3:
                shaped = value(dice)
                with contextlib.suppress(ValueError, RecursionError):
                    shaped = reshaped(dice, json.loads(fields[name]))
                fields[name] = json.dumps(shaped).encode()
            case 4:
                fields[name] = dice.choice(ODD)
            case 5:
                fields[b"t"] = dice.choice(KINDS).__name__.encode()
        if not fields:
            break
    return fields


def _check_entry(entry: dict[bytes, bytes]) -> bool:
    try:
        message = decode(entry)
    except MessageError:
        return False
    assert _is(message, type(message)), "a field of another type than declared"
    again = decode({k.encode(): v for k, v in encode(message).items()})
    assert again == message
    return True


def _make_turn(dice: Random) -> str:
    data = json.loads(turn_to_json(_some(dice, Turn)))
    raw = json.dumps(reshaped(dice, data, 3))
    if dice.random() < 0.2:
        raw = mangled(dice, raw.encode()).decode("utf-8", "replace")
    return raw


def _check_turn(raw: str) -> bool:
    try:
        turn = turn_from_json(raw)
    except MessageError:
        return False
    assert _is(turn, Turn), "a field of another type than declared"
    assert turn_from_json(turn_to_json(turn)) == turn
    return True


def _make_address(dice: Random) -> dict[bytes, bytes]:
    call = text(dice, 2).encode("utf-8", "replace")
    numbers = (b"%d" % dice.choice(NUMBERS) for _ in range(2))
    entry = {b"call": call} | dict(zip((b"epoch", b"attempt"), numbers, strict=True))
    if dice.random() < 0.5:
        name = dice.choice((b"call", b"epoch", b"attempt"))
        entry[name] = mangled(dice, entry[name])
    if dice.random() < 0.1:
        del entry[dice.choice((b"call", b"epoch", b"attempt"))]
    return entry


def _check_address(entry: dict[bytes, bytes]) -> bool:
    try:
        call, epoch, attempt = streams.address(entry)
    except MessageError:
        return False
    assert call.encode() == entry[b"call"]
    for name, number in ((b"epoch", epoch), (b"attempt", attempt)):
        assert number >= 0 and b"%d" % number == (entry[name].lstrip(b"0") or b"0")
    return True


def _make_frames(dice: Random) -> tuple[str, list[bytes]]:
    kind = dice.choice(("replies", "requests"))
    made = b""
    for _ in range(dice.randrange(1, 4)):
        if kind == "replies":
            body = dice.randbytes(dice.randrange(30))
            made += Reply(dice.choice(b"RPE"), dice.randrange(2**32), body).encode()
        else:
            request = {"id": dice.randrange(9), "text": text(dice, 2), "language": "en"}
            made += encode_request(reshaped(dice, request) if dice.random() < 0.5 else request)
    if dice.random() < 0.7:
        made = mangled(dice, made, (b"R", b"P", b"\0\0\0\0", b"\xff" * 4, b"[" * 5000), 2)
    return kind, sliced(dice, made)


def _check_frames(one: tuple[str, list[bytes]]) -> bool:
    kind, pieces = one
    found, refused = _frames(kind, pieces)
    whole, also = _frames(kind, [b"".join(pieces)])
    assert (found, refused) == (whole, also), "the cut decides"
    return not refused


def _frames(kind: str, pieces: list[bytes]) -> tuple[list[Any], bool]:
    found: list[Any] = []
    reader = ReplyReader() if kind == "replies" else RequestReader()
    try:
        for piece in pieces:
            for frame in reader.feed(piece):
                found.append(frame)
                if isinstance(frame, Reply):
                    assert len(frame.body) <= MAX_REPLY_BYTES
                else:
                    assert type(frame["id"]) is int
    except FrameError:
        return found, True
    return found, False


TARGETS = [
    Target(
        "entry",
        "a message whose fields are of their declared types and cross again unchanged, "
        "or MessageError",
        _make_entry,
        _check_entry,
    ),
    Target("turn", "the same of a job's turn", _make_turn, _check_turn),
    Target(
        "address",
        "call and epoch as they were written, or MessageError",
        _make_address,
        _check_address,
    ),
    Target(
        "speech-frames",
        "the same frames however they are cut, within their bounds, or FrameError",
        _make_frames,
        _check_frames,
    ),
]
