"""What AudioSocket can't carry crosses by FastAGI, on the same port.

    begin: before the sound, what the dialplan knows:   AGI(agi://HOST/begin,UUID,ai_account=4271)
    end:   after it, what became of the call:           AGI(agi://HOST/end,UUID)

AudioSocket tells a crash of ours and an end on purpose apart in nothing, and can set no variable.
So the dialplan asks afterwards; where nobody answers, or nothing is known of the call, it goes on
in its own menu. Source: Asterisk 22, res/res_agi.c.
"""

from __future__ import annotations

import re
import uuid as uuids
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from eslbot import call_secret
from eslbot.esl import VARIABLE, clean_value

FIRST_BYTES = b"agi_"
MAX_REQUEST = 16 * 1024  # bytes
MAX_LINES = 200
_ARGUMENT = re.compile(r"agi_arg_[0-9]{1,2}")
_NAME = re.compile(r"[a-z_][a-z0-9_]{0,47}")


class AgiError(Exception):
    """Not what our dialplan asks. The text names the rule, never what came."""


@dataclass(frozen=True, slots=True)
class Request:
    what: str  # begin or end
    uuid: str
    variables: Mapping[str, str]
    secret: str = field(default="", repr=False)


def parse(block: bytes) -> Request:
    """The lines that Asterisk sends, up to the empty one. Raises AgiError."""
    lines = block.decode("utf-8", "replace").split("\n")
    if len(lines) > MAX_LINES or len(block) > MAX_REQUEST:
        raise AgiError("too long")
    found: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(": ")
        if colon:
            found.setdefault(name.strip(), value.strip())
    what = found.get("agi_network_script", "")
    if what not in ("begin", "end"):
        raise AgiError("neither begin nor end is asked for")
    arguments = [found[name] for name in found if _ARGUMENT.fullmatch(name)]
    try:
        uuid = str(uuids.UUID(arguments[0]))
    except (IndexError, ValueError):
        raise AgiError("the first argument is no UUID") from None
    variables, secret = {}, ""
    for argument in arguments[1:]:
        name, equals, value = argument.partition("=")
        if name == call_secret.VARIABLE and equals:
            secret = value
        elif not equals or not VARIABLE.fullmatch(name):
            raise AgiError("an argument that is not ai_...=value")
        elif value:
            variables[name] = clean_value(value)
    return Request(what, uuid, variables, secret)


def set_variable(name: str, value: str) -> bytes:
    """A command; Asterisk's answer to it is one line."""
    if not _NAME.fullmatch(name):
        raise AgiError("no name of a variable")
    plain = clean_value(value).replace("\\", "").replace('"', "'")
    return f'SET VARIABLE {name} "{plain}"\n'.encode()


def admits(brought: str, secrets: Sequence[str]) -> bool:
    """Whether it is one of the secrets; without any secret, always."""
    return call_secret.admits({f"variable_{call_secret.VARIABLE}": brought}, secrets)


def converse(sock: Any, first: bytes, answer: Callable[[Request], Mapping[str, str]]) -> None:
    """One request on a socket: read it, set the variables that answer() gives, and end.

    first: what was read already. Raises AgiError; what takes long is the caller's to bound.
    """
    data = bytearray(first)
    while b"\n\n" not in data:
        if len(data) > MAX_REQUEST:
            raise AgiError("too long")
        more = sock.recv(4096)
        if not more:
            raise AgiError("it ended within the request")
        data += more
    block, _, rest = bytes(data).partition(b"\n\n")
    for name, value in answer(parse(block)).items():
        sock.sendall(set_variable(name, value))
        while b"\n" not in rest:
            more = sock.recv(4096)
            if not more or len(rest) > MAX_REQUEST:
                raise AgiError("it ended within an answer")
            rest += more
        line, _, rest = rest.partition(b"\n")
        if not line.startswith((b"200 ", b"HANGUP")):
            raise AgiError("Asterisk did not take a variable")
